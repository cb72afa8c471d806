"""The aligned dot unit: random dot products under stalls, pipelines, lanes, widths, biases, edges."""

import re

import numpy as np
import pytest

import positcore as pc
from positcore.hw import aligned
from positcore.hw.aligned import AlignedDot
from positcore.hw.units import Design
from positcore.sim.backend import matmul
from positcore.sim.campaign import verify
from tests.hw.sums import F8, FORMATS, check_dots, check_throughput, compiled
from tests.hw.tails import ordinary

pytestmark = pytest.mark.rtl

F16 = pc.PositFormat(16, 2)
SPECS = [
    pc.MacSpec(F8, F16, pc.Aligned(4, 14)),
    *(pc.MacSpec(*formats, pc.Aligned(3, 5)) for formats in FORMATS),
    pc.MacSpec(F8, F8, pc.Aligned(1, 1)),
    pc.MacSpec(F8, F16, pc.Aligned(8, 14)),
    pc.MacSpec(F8, F16, pc.Aligned(2, 40)),
    pc.MacSpec(F8, F16, pc.Aligned(5, 120)),
    pc.MacSpec(F16, F16, pc.Aligned(4, 28)),
    pc.MacSpec(pc.PositFormat(3, 2), pc.PositFormat(5, 1), pc.Aligned(2, 3)),
]
DEPTHS = range(len(AlignedDot.CUTS) + 1)
DESIGNS = [
    *(Design.of("dot", spec) for spec in SPECS),
    *(Design.of("dot", spec, stages) for spec in (SPECS[0], SPECS[2]) for stages in DEPTHS[1:]),
]
USUAL = [DESIGNS[0], Design.of("dot", SPECS[2], DEPTHS[-1]), Design.of("dot", SPECS[3])]


@pytest.mark.parametrize("design", ordinary(DESIGNS, USUAL.__contains__), ids=lambda design: design.name)
def test_dot_products(design):
    check_dots(design)


@pytest.mark.parametrize("design", USUAL[:2], ids=lambda design: design.name)
def test_a_chunk_in_each_cycle_and_a_result_after_the_latency(design):
    check_throughput(design)


def test_the_mac_is_the_same_unit():
    a, b = Design.of("mac", SPECS[0], 2), Design.of("dot", SPECS[0], 2)
    assert (a.terms, b.terms, a.lanes, b.lanes) == (4, 4, None, 4)
    assert (a.item, b.item) == ("chunk of 4 terms", "chunk of 4 terms")
    assert a.name == "posit_mac_8_2_to_16_2_aligned4x14_s2"
    assert b.name == "posit_dot_8_2_to_16_2_aligned4x14_s2"
    assert str(b) == "dot[posit<8,2> → posit<16,2>, aligned(4 lanes, 14 bits)]"
    assert b.command == (
        "positcore generate dot --format 8,2 --output-format 16,2 --accumulator aligned:4,14 --stages 2"
    )


@pytest.mark.parametrize(
    ("a", "b", "want"),
    [
        ([16.0, 2.0**-3, 0], [4.0, 1.0, 0], 64.0),  # 2^−3 lies below the grid of 2^(6 − 5): gone
        ([16.0, -(2.0**-3), 0], [4.0, 1.0, 0], 62.0),  # toward −∞: a whole unit
        ([-1.0, 2.0**-6, 0], [1.0, 1.0, 0], -1.0),  # −1 has the scale 0, not that of its raw form
        ([-1.0, -(2.0**-3), 0], [-1.0, 2.0**-4, 0], 1.0 - 2.0**-5),
        ([0.0, -(2.0**-6), 0], [64.0, 2.0**-4, 0], -(2.0**-10)),  # a zero product has no scale
    ],
)
def test_what_a_grid_leaves(a, b, want):
    design = USUAL[1]
    spec = design.spec
    codes = [fmt.encode(np.array([x])) for fmt, x in ((spec.a, a), (spec.b, b))]
    assert [fmt.decode(code).tolist() for fmt, code in zip(spec.inputs, codes, strict=True)] == [[a], [b]]
    assert spec.out.decode(compiled(design).replay(*codes, [1], seed=0).astype(np.uint16)).tolist() == [want]


def test_nar_stays_in_its_dot_product():
    nar, one = F8.nar, 0x40
    a = np.array([[one, nar, 0, 0], [0, 0, 0, one], [0, 0, nar, 0], [one, one, one, one], [one, 0, 0, 0]])
    b = np.array([[one, 0, 0, 0], [0, 0, 0, one], [0, 0, 0, 0], [0, 0, 0, nar], [one, 0, 0, 0]])
    got = compiled(DESIGNS[0]).replay(a, b, [0, 1, 1, 1, 1], seed=0)
    assert got.tolist() == [F16.nar] * 3 + [F16.encode([1.0])[0]]


@pytest.mark.parametrize("length", [1, 6, 7])
def test_matrix_products_and_biases(length):
    """The rtl backend packs chunks, fills the last with zeros, and gives the bias in a first one."""
    spec, rng = SPECS[3], np.random.default_rng(length)
    a = rng.integers(0, 64, (5, length)).astype(np.uint8)
    b = rng.integers(0, 64, (length, 7)).astype(np.uint8)
    bias = rng.integers(0, 64, 7).astype(np.uint8)
    np.testing.assert_array_equal(matmul(spec, a, b), pc.matmul(spec, a, b))
    np.testing.assert_array_equal(matmul(spec, a, b, bias), pc.matmul(spec, a, b, bias))


def test_a_bias_that_the_grid_would_cut():
    spec, one = pc.MacSpec(F8, accumulator=pc.Aligned(2, 2)), np.full((1, 1), 0x40, np.uint8)
    with pytest.raises(
        ValueError, match=r"aligned\(2 lanes, 2 bits\) would cut; take a width of at least the 3 fraction"
    ):
        matmul(spec, one, one, one)


def test_parameters_are_checked(unbuilt):
    with pytest.raises(TypeError, match=r"AlignedDot: the accumulator must be Aligned, not quire"):
        AlignedDot(pc.MacSpec(F8))
    with pytest.raises(ValueError, match=r"AlignedDot: stages must be an integer in 0..4 .*, not 5"):
        AlignedDot(SPECS[0], stages=5)
    with pytest.raises(TypeError, match="AlignedDot: dsp must be True or False, not 1"):
        AlignedDot(SPECS[0], dsp=1)


@pytest.mark.parametrize(
    ("spec", "attribute", "fault"),
    [
        pytest.param(
            SPECS[0], "_key", lambda right: lambda scale, nonzero: right(scale, nonzero | 1), marks=pytest.mark.slow
        ),
        pytest.param(
            SPECS[3],
            "_floor_shift",
            lambda right: lambda m, x, amount, **names: right(m, x, amount[:4], **names),
            marks=pytest.mark.slow,
        ),
        (
            SPECS[3],
            "normalize_sticky",
            lambda right: lambda *args, **names: (*right(*args, **names)[:2], args[1][0] & 0),
        ),
    ],
    ids=["zeros_have_scales", "far_terms_come_back", "no_sticky"],
)
def test_planted_faults(monkeypatch, tmp_path, spec, attribute, fault):
    monkeypatch.setattr(aligned, attribute, fault(getattr(aligned, attribute)))
    with pytest.raises(pc.MismatchError, match=re.escape(f"dot[{spec}")):
        verify("dot", spec, vectors=4000, waveforms=tmp_path, optimize="-O0")
    assert (tmp_path / f"posit_dot_{spec.tag}_mismatch.vcd").stat().st_size
