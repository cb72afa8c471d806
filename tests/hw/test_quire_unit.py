"""The quire with the standard's operations: random programs under stalls against exact integers."""

import numpy as np
import pytest

import positcore as pc
from positcore.hw.quire_unit import QuireOperation, QuireUnit
from positcore.hw.units import Design
from positcore.sim.campaign import verify
from positcore.sim.stream import NativeStream
from tests.hw.tails import ordinary
from tests.reference import format_id

pytestmark = pytest.mark.rtl

F8 = pc.PositFormat(8, 2)
SPECS = [
    pc.MacSpec(F8),
    pc.MacSpec((F8, pc.PositFormat(6, 1)), pc.PositFormat(5, 0, underflow=True), pc.Quire(12)),
    pc.MacSpec(pc.PositFormat(16, 1), F8, pc.Quire(63)),
    pc.MacSpec(pc.PositFormat(32, 2)),
    pc.MacSpec(pc.PositFormat(3, 1), pc.PositFormat(8, 2, flush=3), pc.Quire(13)),
]
DEPTH = len(QuireUnit.cuts(pc.MacSpec(F8)))


@pytest.mark.parametrize("spec", ordinary(SPECS, lambda spec: spec.a.n < 16), ids=format_id)
def test_programs(spec):
    assert verify("quire", spec, vectors=60_000, seed=1, waveforms=None, optimize="-O1").vectors == 60_000


@pytest.mark.parametrize("stages", ordinary(range(1, DEPTH + 1), lambda depth: depth == DEPTH))
def test_depth_changes_no_bit(stages):
    verify("quire", F8, vectors=50_000, seed=2, stages=stages, waveforms=None, optimize="-O1")


def test_one_operation_a_cycle():
    unit = NativeStream(Design.of("quire", F8, 4), optimize="-O1")
    count = 1000
    inputs = {
        "a": np.full(count, 0x40), "b": np.full(count, 0x40),
        "operation": np.where(np.arange(count) % 2, QuireOperation.ROUND.value, QuireOperation.ADD.value),
    }  # fmt: skip
    results, cycles = unit.run(inputs, count // 2)
    assert cycles == count + unit.design.latency
    np.testing.assert_array_equal(results["code"], F8.encode(np.arange(1, count // 2 + 1)))


def test_operands_that_an_operation_does_not_have_mean_nothing():
    unit = NativeStream(Design.of("quire", F8, DEPTH), optimize="-O1")
    nar, one = F8.nar, 0x40
    names = ["ADD", "NEGATE", "ROUND", "SUBTRACT", "ROUND", "CLEAR", "ROUND", "MULTIPLY_SUBTRACT", "ROUND"]
    a = [one, nar, nar, one, nar, nar, nar, one, nar]
    b = [nar, nar, nar, nar, nar, nar, nar, one, nar]
    operation = [QuireOperation[name].value for name in names]
    results, _ = unit.run({"a": a, "b": b, "operation": operation}, 4)
    np.testing.assert_array_equal(results["code"], F8.encode(np.array([-1.0, -2.0, 0.0, -1.0])))


def test_parameters_are_checked(unbuilt):
    with pytest.raises(TypeError, match=r"QuireUnit: spec must be a MacSpec such as .*, not PositFormat"):
        QuireUnit(F8)
    with pytest.raises(ValueError, match=rf"QuireUnit: stages must be an integer in 0..{DEPTH} .*, not {DEPTH + 1}"):
        QuireUnit(pc.MacSpec(F8), stages=DEPTH + 1)
    with pytest.raises(TypeError, match="QuireUnit: dsp must be True or False, not 1"):
        QuireUnit(pc.MacSpec(F8), dsp=1)
