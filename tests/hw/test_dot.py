"""The quire dot unit: lanes summed exactly before one accumulator, under stalls and at several depths."""

import numpy as np
import pytest

import positcore as pc
from positcore.hw.mac import QuireDot
from positcore.hw.units import Design
from positcore.sim.campaign import verify
from positcore.sim.stream import NativeStream
from tests.hw.tails import ordinary

pytestmark = pytest.mark.rtl

F8 = pc.PositFormat(8, 2)
SPEC = pc.MacSpec(F8, pc.PositFormat(16, 2))
MIXED = pc.MacSpec((F8, pc.PositFormat(6, 1)), pc.PositFormat(5, 0, underflow=True), pc.Quire(12))
DEPTH = len(QuireDot.cuts(SPEC, lanes=4))


@pytest.mark.parametrize(
    ("spec", "lanes", "stages"),
    ordinary(
        [
            pytest.param(SPEC, 4, DEPTH, id="4 lanes, all stages"),
            pytest.param(MIXED, 3, 2, id="3 lanes, mixed formats"),
            pytest.param(SPEC, 4, 0, id="4 lanes, no stages"),
            pytest.param(SPEC, 1, 3, id="1 lane"),
            pytest.param(pc.MacSpec(pc.PositFormat(16, 1), F8, pc.Quire(63)), 2, 7, id="16 bits"),
            pytest.param(pc.MacSpec(F8), 8, 9, id="8 lanes"),
        ],
        lambda case: case.id in ("4 lanes, all stages", "3 lanes, mixed formats"),
    ),
)
def test_dot_products(spec, lanes, stages):
    report = verify("dot", spec, vectors=8_192, seed=6, lanes=lanes, stages=stages, waveforms=None, optimize="-O1")
    assert report.vectors == 8_192


def test_one_chunk_a_cycle():
    unit = NativeStream(Design.of("dot", MIXED, 2, lanes=3), optimize="-O1")
    chunks = 500
    a = np.full((chunks, 3), pc.PositFormat(8, 2).encode(np.array([0.5])))
    b = np.full((chunks, 3), pc.PositFormat(6, 1).encode(np.array([2.0])))
    results, cycles = unit.run({"a": a, "b": b, "last": np.ones(chunks, int)}, chunks)
    assert cycles == chunks + unit.design.latency
    assert set(results["code"].tolist()) == {int(pc.PositFormat(5, 0, underflow=True).encode(np.array([3.0]))[0])}


def test_parameters_are_checked(unbuilt):
    with pytest.raises(ValueError, match=r"QuireDot: lanes must be an integer in 1..64, .*, not 0"):
        QuireDot(SPEC, lanes=0)
    with pytest.raises(ValueError, match=r"dot: lanes must be an integer in 1..64, .*, not 65"):
        Design.of("dot", SPEC, lanes=65)
    with pytest.raises(ValueError, match=r"QuireDot: 4 lanes are more products than the 3 that 2 carry bits hold"):
        QuireDot(pc.MacSpec(F8, accumulator=pc.Quire(2)), lanes=4)
    with pytest.raises(ValueError, match=rf"QuireDot: stages must be an integer in 0..{DEPTH} .*, not {DEPTH + 1}"):
        QuireDot(SPEC, lanes=4, stages=DEPTH + 1)
