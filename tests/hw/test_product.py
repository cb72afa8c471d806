"""Products of significands: all operands of narrow ones, ends and random operands of wide ones, at every cut."""

from itertools import product as pairs

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

import positcore as pc
from positcore.hw import product as product_module
from positcore.hw.emit import FlatUnit
from positcore.hw.multiplier import Multiplier
from positcore.hw.pipeline import Pipeline
from positcore.hw.product import product_cuts, signed_product, significand_product
from positcore.hw.raw import RawLayout
from positcore.sim.vectors import VectorUnit
from tests.hw.tails import ordinary
from tests.reference import all_pairs

pytestmark = pytest.mark.rtl


class Products(wiring.Component):
    """One product of each pair of widths, of the low bits of shared operands."""

    def __init__(self, widths, *, cuts=(), dsp=False):
        self.widths, self.cuts, self.dsp = widths, cuts, dsp
        a, b = (max(width[side] for width in widths) for side in (0, 1))
        outputs = {f"product_{wa}_{wb}": Out(wa + wb) for wa, wb in widths}
        super().__init__({"a": In(a), "b": In(b), **outputs})

    def elaborate(self, platform):
        m = Module()
        for a, b in self.widths:
            pipeline = Pipeline(m, product_cuts(a), 0)
            pipeline._active = frozenset(self.cuts) & pipeline._cuts
            cut = pipeline.cut if self.cuts else None
            value = signed_product(m, self.a[:a], self.b[:b], name=f"of_{a}_{b}", dsp=self.dsp, cut=cut)
            m.d.comb += getattr(self, f"product_{a}_{b}").eq(value)
        return m


def signed(values, width):
    low = values & (1 << width) - 1
    return low - ((low >> width - 1) << width)


def check(widths, a, b, **options):
    latency = len(options.get("cuts", ()))
    results = VectorUnit(FlatUnit(Products(widths, **options)), latency=latency, optimize="-O0").run({"a": a, "b": b})
    for wa, wb in widths:
        x, y = signed(a, wa), signed(b, wb)
        legal = (a >> wa - 1 ^ a >> wa - 2) & 1 == 1
        assert legal.any()
        got = results[f"product_{wa}_{wb}"]
        np.testing.assert_array_equal(got[legal], (x * y & (1 << wa + wb) - 1)[legal], err_msg=f"{wa} × {wb} bits")


def test_all_operands_of_narrow_ones(unbuilt):
    widths = [*pairs(range(2, 9), (1, 2, 6))]
    a, b = np.meshgrid(np.arange(1 << 8), np.arange(1 << 6))
    check(widths, a.ravel(), b.ravel())


def wide_operands(width, seed):
    """Ends and single bits against each other, and random bits in runs of any length; the top two bits differ."""
    rng = np.random.default_rng(seed)
    half = 1 << width - 2
    ends = [0, 1, 2, half // 3, 2 * half // 3, half - 2, half - 1, *(1 << i for i in range(2, width - 2))]
    edges = np.array([low + base for low in ends for base in (half, 2 * half)])
    runs = rng.integers(0, 1 << width, 20_000) >> rng.integers(0, width, 20_000)
    a = np.concatenate([np.repeat(edges, edges.size), runs % half + half * rng.integers(1, 3, 20_000)])
    return a, np.concatenate([np.tile(edges, edges.size), rng.permutation(runs)])


@pytest.mark.parametrize("width", ordinary([13, 14, 22, 29, 31], {14, 29}.__contains__))
def test_ends_and_random_operands_of_wide_ones(unbuilt, width):
    check([(width, width)], *wide_operands(width, seed=width))


@pytest.mark.parametrize("width", ordinary([2, 5, 14, 29], {2, 14}.__contains__))
def test_cuts_change_no_bit(unbuilt, width):
    cuts = product_cuts(width)
    assert cuts[0] == "recoded"
    operands = wide_operands(max(width, 5), seed=1) if width > 2 else (np.arange(1, 3), np.arange(2))
    for chosen in (cuts[:1], cuts[1::2], cuts):
        if chosen:
            check([(width, width)], *operands, cuts=chosen)


def test_cuts_are_told_by_width():
    assert product_cuts(2) == product_cuts(3) == ("recoded",)
    assert product_cuts(5) == ("recoded", "sums_1")
    assert product_cuts(29) == ("recoded", "sums_1", "sums_2", "sums_3")


def test_a_tool_may_have_the_structure(unbuilt):
    check([(5, 5), (13, 6)], *wide_operands(13, seed=3), dsp=True)
    check([(5, 5)], *wide_operands(5, seed=3), dsp=True, cuts=product_cuts(5))


class Significands(wiring.Component):
    """The product of two raw forms, zero among them."""

    def __init__(self, fmt_a, fmt_b, dsp):
        self.dsp = dsp
        self.width = fmt_a.fraction_bits + fmt_b.fraction_bits + 4
        layouts = RawLayout.of(fmt_a), RawLayout.of(fmt_b)
        super().__init__({"a": In(layouts[0]), "b": In(layouts[1]), "product": Out(self.width)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.product.eq(significand_product(m, self.a, self.b, dsp=self.dsp))
        return m


@pytest.mark.parametrize("dsp", [False, True], ids=["rows", "dsp"])
@pytest.mark.parametrize("formats", [(8, 1, 6, 0), (4, 2, 7, 2)], ids=str)
def test_zero_times_anything_is_zero(unbuilt, formats, dsp):
    a, b = pc.PositFormat(*formats[:2]), pc.PositFormat(*formats[2:])
    bits = [(fmt.fraction_bits + 1, fmt) for fmt in (a, b)]
    raws = []
    for width, _ in bits:
        fields = np.array([(f, s, 0) for f in range(1 << width - 1) for s in (0, 1)] + [(0, 0, 1)])
        raws.append(fields)
    index = np.array(list(pairs(range(len(raws[0])), range(len(raws[1])))))
    (fa, sa, za), (fb, sb, zb) = (raw[column].T for raw, column in zip(raws, index.T, strict=True))
    unit = Significands(a, b, dsp)
    inputs = {"a_fraction": fa, "a_sign": sa, "a_zero": za, "b_fraction": fb, "b_sign": sb, "b_zero": zb}
    inputs |= {name: np.zeros_like(fa) for name in ("a_scale", "a_nar", "b_scale", "b_nar")}
    flat = FlatUnit(unit)
    got = VectorUnit(flat, optimize="-O0").run({port.name: inputs[port.name] for port in flat.ports[:-1]})["product"]
    x = np.where(za, 0, fa + ((1 - 3 * sa) << a.fraction_bits))
    y = np.where(zb, 0, fb + ((1 - 3 * sb) << b.fraction_bits))
    np.testing.assert_array_equal(got, x * y & (1 << unit.width) - 1)


def test_a_multiplier_by_dsps_gives_the_same_codes(unbuilt):
    fmt = pc.PositFormat(6, 1)
    a, b = all_pairs(fmt)
    stages = len(Multiplier.cuts(fmt))
    got = VectorUnit(FlatUnit(Multiplier(fmt, stages=stages, dsp=True)), latency=stages).run({"a": a, "b": b})["code"]
    np.testing.assert_array_equal(got, pc.mul(fmt, a, b))
    with pytest.raises(TypeError, match="Multiplier: dsp must be True or False, not 1"):
        Multiplier(fmt, dsp=1)


def test_a_missing_carry_is_caught(monkeypatch, unbuilt):
    """The unit that a negative row lacks, left out."""
    original = product_module._sum
    term = product_module._Term
    monkeypatch.setattr(
        product_module,
        "_sum",
        lambda m, low, high, name: original(m, low, term(high.value, high.weight, high.low, high.high), name),
    )
    with pytest.raises(AssertionError, match="5 × 5 bits"):
        check([(5, 5)], *wide_operands(5, seed=1))
