"""The quire MAC: random dot products under stalls, pipelines, mixed formats, and the edges of the accumulator."""

import numpy as np
import pytest

import positcore as pc
from positcore.hw.mac import QuireMac
from positcore.hw.units import Design
from positcore.sim.campaign import verify
from positcore.sim.stream import NativeMac, native_mac
from tests.hw.tails import ordinary
from tests.reference import format_id

pytestmark = pytest.mark.rtl

F8 = pc.PositFormat(8, 2)
SPECS = [
    pc.MacSpec(F8),
    pc.MacSpec(pc.PositFormat(8, 1, underflow=True)),
    pc.MacSpec(pc.PositFormat(32, 2)),
    pc.MacSpec(F8, pc.PositFormat(16, 2)),
    pc.MacSpec(pc.PositFormat(16, 1), F8),
    pc.MacSpec((F8, pc.PositFormat(6, 1)), pc.PositFormat(5, 0, underflow=True), pc.Quire(7)),
    pc.MacSpec(F8, pc.PositFormat(8, 2, flush=0)),
    pc.MacSpec(F8, pc.PositFormat(5, 1, flush=7)),
    pc.MacSpec(pc.PositFormat(5, 4), pc.PositFormat(32, 0), pc.Quire(1)),
    pc.MacSpec(pc.PositFormat(2, 0), pc.PositFormat(2, 4)),
    pc.MacSpec(pc.PositFormat(3, 1), pc.PositFormat(8, 2, underflow=True), pc.Quire(4)),
]


@pytest.mark.parametrize("spec", ordinary(SPECS, set(SPECS[3:9:2] + SPECS[:2]).__contains__), ids=format_id)
def test_dot_products(spec):
    assert verify("mac", spec, vectors=20_000, seed=4, waveforms=None, optimize="-O1").vectors == 20_000


DEPTH = len(QuireMac.cuts(pc.MacSpec(F8)))


@pytest.mark.parametrize("stages", ordinary(range(1, DEPTH + 1), lambda depth: depth == DEPTH))
def test_depth_changes_no_bit(stages):
    spec = pc.MacSpec(F8, pc.PositFormat(12, 2))
    verify("mac", spec, vectors=20_480, seed=5, stages=stages, waveforms=None, optimize="-O1")


def test_one_term_a_cycle_and_a_result_after_the_latency():
    """Back-to-back dot products of one term each: as many cycles as terms, and the latency."""
    for stages in (0, 5):
        mac = native_mac(pc.MacSpec(F8), stages)
        a = np.arange(256, dtype=np.uint32)[:, None]
        one = np.full((1, 1), 0x40, np.uint32)
        out = np.empty((256, 1), np.uint32)
        assert mac.matmul_part(a, one, None, out, 0, 256) == 256 + 1 + stages
        np.testing.assert_array_equal(out, a)


def test_nar_stays_in_its_dot_product():
    mac = native_mac(pc.MacSpec(F8))
    nar, one = F8.nar, 0x40
    a = np.array([one, nar, one, one, 0, nar, one], np.uint32)
    b = np.array([one, 0, one, one, nar, one, one], np.uint32)
    last = np.array([0, 0, 1, 1, 1, 1, 1], np.uint8)
    assert mac.replay(a, b, last, seed=0).tolist() == [nar, one, nar, nar, one]


def test_accumulator_holds_its_capacity():
    """2^C − 1 products of maxpos² in a row, and then as many that take them away again."""
    spec = pc.MacSpec(F8, accumulator=pc.Quire(5))
    mac = NativeMac(Design.of("mac", spec), optimize="-O1")
    top, capacity = F8.maxpos_code, spec.accumulator.capacity
    for sign in (1, -1):
        a = np.full(capacity, sign * top & F8.mask, np.uint32)
        last = np.zeros(capacity, np.uint8)
        last[-1] = 1
        assert mac.replay(a, np.full(capacity, top, np.uint32), last, seed=0).tolist() == [sign * top & F8.mask]
    half = capacity // 2
    a = np.array([top] * half + [-top & F8.mask] * half + [1], np.uint32)
    b = np.array([top] * 2 * half + [1], np.uint32)
    last = np.array([0] * 2 * half + [1], np.uint8)
    assert mac.replay(a, b, last, seed=0).tolist() == [1]  # minpos² is still there: it rounds to minpos


def test_parameters_are_checked(unbuilt):
    with pytest.raises(TypeError, match=r"QuireMac: spec must be a MacSpec such as .*, not PositFormat"):
        QuireMac(F8)
    with pytest.raises(ValueError, match=r"QuireMac: stages must be an integer in 0..15 .*, not -1"):
        QuireMac(pc.MacSpec(F8), stages=-1)


def test_other_accumulators_have_other_units(unbuilt):
    with pytest.raises(TypeError, match="QuireMac: the accumulator must be Quire, not fused"):
        QuireMac(pc.MacSpec(pc.posit8, pc.posit8, pc.Fused()))
