"""The MACs that round at every step: random dot products under stalls, pipelines, biases, edges."""

import re

import numpy as np
import pytest

import positcore as pc
from positcore.hw import chain
from positcore.hw.chain import ChainMac
from positcore.hw.units import Design
from positcore.sim.campaign import verify
from tests.hw.sums import F8, FORMATS, check_dots, check_throughput, compiled
from tests.hw.tails import ordinary
from tests.reference import format_id

pytestmark = pytest.mark.rtl

FUSED, ROUNDED = pc.Fused(), pc.Rounded()
SPECS = [pc.MacSpec(*formats, accumulator) for formats in FORMATS for accumulator in (FUSED, ROUNDED)]
DEPTHS = range(len(ChainMac.CUTS) + 1)
DESIGNS = [
    *(Design.of("mac", spec) for spec in SPECS),
    *(Design.of("mac", spec, stages) for spec in SPECS[:4] for stages in DEPTHS[1:]),
]
USUAL = [DESIGNS[0], DESIGNS[1], *(Design.of("mac", spec, DEPTHS[-1]) for spec in SPECS[2:4]), DESIGNS[4]]


@pytest.mark.parametrize("design", ordinary(DESIGNS, USUAL.__contains__), ids=lambda design: design.name)
def test_dot_products(design):
    check_dots(design)


@pytest.mark.parametrize("design", USUAL[:4], ids=lambda design: design.name)
def test_a_term_in_each_cycle_and_a_result_after_the_latency(design):
    check_throughput(design)


@pytest.mark.parametrize("spec", SPECS[:2], ids=format_id)
def test_every_two_codes(spec):
    """Sums of two terms, by elementwise functions: x + y, and x·y + y, for every pair of codes."""
    x, y = (column.ravel().astype(np.uint8) for column in np.mgrid[0:256, 0:256])
    one = np.full_like(x, 0x40)
    for (a, b), (c, d) in (((x, one), (y, one)), ((x, y), (y, one))):
        terms = (np.stack((a, c), 1).ravel(), np.stack((b, d), 1).ravel())
        got = compiled(Design.of("mac", spec)).replay(*terms, np.tile([0, 1], x.size), seed=0)
        product = pc.mul(F8, a, b)
        rounded = pc.add(F8, product, pc.mul(F8, c, d))
        want = rounded if spec.accumulator == ROUNDED else pc.fma(F8, c, d, product)
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("spec", SPECS[:2], ids=format_id)
def test_nar_stays_in_its_dot_product(spec):
    nar, one = F8.nar, 0x40
    a, b = [one, nar, one, one, 0, nar, one], [one, 0, one, one, nar, one, one]
    got = compiled(Design.of("mac", spec)).replay(a, b, [0, 0, 1, 1, 1, 1, 1], seed=0)
    assert got.tolist() == [nar, one, nar, nar, one]


def test_parameters_are_checked(unbuilt):
    with pytest.raises(TypeError, match=r"ChainMac: the accumulator must be Fused or Rounded, not quire"):
        ChainMac(pc.MacSpec(F8))
    with pytest.raises(ValueError, match=r"ChainMac: stages must be an integer in 0..4 .*, not 5"):
        ChainMac(pc.MacSpec(F8, accumulator=pc.Fused()), stages=5)
    with pytest.raises(TypeError, match="ChainMac: dsp must be True or False, not 1"):
        ChainMac(pc.MacSpec(F8, accumulator=pc.Fused()), dsp=1)


@pytest.mark.parametrize(
    ("attribute", "replacement"),
    [
        ("GUARD_BITS", 0),
        ("shift_right_sticky", lambda *args, **names: (args[1].as_signed() >> args[2], args[1][0] & 0)),
        ("normalize_sticky", None),
    ],
    ids=["no_guard_bits", "no_sticky", "run_length_off_by_one"],
)
def test_planted_faults(monkeypatch, attribute, replacement):
    original = getattr(chain, attribute)
    if attribute == "normalize_sticky":

        def replacement(*args, **names):
            shifted, run, sticky = original(*args, **names)
            return shifted, run | 1, sticky

    monkeypatch.setattr(chain, attribute, replacement)
    with pytest.raises(pc.MismatchError, match=re.escape("mac[posit<8,2>")):
        verify("mac", SPECS[0], vectors=20_000, waveforms=None, optimize="-O0")
