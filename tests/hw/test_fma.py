"""Fused multiply-add: every triple of small formats, against exact rationals and the golden model; wider by strata."""

from functools import lru_cache
from types import SimpleNamespace

import numpy as np
import pytest
from amaranth.hdl import Const

import positcore as pc
from positcore.hw import fma
from positcore.hw.emit import FlatUnit
from positcore.hw.fma import FusedMultiplyAdd
from positcore.hw.units import Design
from positcore.sim.campaign import verify
from positcore.sim.directed import directed_codes
from positcore.sim.vectors import VectorUnit
from positcore.sim.verilog import run_verilog
from tests.hw.bundle import Bundle
from tests.hw.tails import ordinary, some_depths
from tests.reference import SMALL_FORMATS, exact, format_id, special_codes

pytestmark = pytest.mark.rtl

F8 = pc.PositFormat(8, 2)
GOLDEN = {"fma": pc.fma, "fms": pc.fms}
EXACT = {"fma": lambda x, y, z: x * y + z, "fms": lambda x, y, z: x * y - z}
WIDE_FORMATS = [
    pc.PositFormat(8, 0), F8, pc.PositFormat(8, 2, underflow=True), pc.PositFormat(8, 1, flush=3), pc.PositFormat(9, 4),
    pc.PositFormat(16, 1), pc.PositFormat(16, 2), pc.PositFormat(32, 2), pc.PositFormat(32, 0), pc.PositFormat(32, 4),
]  # fmt: skip
FMA_FIRST = ordinary(GOLDEN, lambda name: name == "fma")


def all_triples(n):
    x = np.arange(1 << 3 * n, dtype=np.uint32)
    return {"a": x >> 2 * n, "b": (x >> n) & ((1 << n) - 1), "c": x & ((1 << n) - 1)}


def unit(name, fmt, stages=0):
    return FusedMultiplyAdd(fmt, subtract=name == "fms", stages=stages)


@lru_cache
def results_of_all_triples(name, n, es):
    formats = [fmt for fmt in SMALL_FORMATS if (fmt.n, fmt.es) == (n, es)]
    designs = {f"fma_{fmt.tag}": SimpleNamespace(component=lambda fmt=fmt: unit(name, fmt)) for fmt in formats}
    inputs = all_triples(n)
    return inputs, VectorUnit(Bundle(designs), optimize="-O1" if n > 4 else "-O0").run(inputs)


@pytest.mark.slow
@pytest.mark.parametrize("fmt", [fmt for fmt in SMALL_FORMATS if fmt.n <= 3], ids=format_id)
@pytest.mark.parametrize("name", FMA_FIRST)
def test_all_triples_in_rationals(name, fmt):
    inputs, results = results_of_all_triples(name, fmt.n, fmt.es)
    codes = results[f"fma_{fmt.tag}_code"]
    assert codes.size == 1 << 3 * fmt.n
    for a, b, c, code in zip(inputs["a"], inputs["b"], inputs["c"], codes, strict=True):
        assert code == exact(fmt, EXACT[name], a, b, c), f"{name}({fmt}, {a}, {b}, {c})"


@pytest.mark.slow
@pytest.mark.parametrize(
    "fmt",
    ordinary([fmt for fmt in SMALL_FORMATS if fmt.n >= 4], lambda fmt: fmt.n == 4),
    ids=format_id,
)
@pytest.mark.parametrize("name", FMA_FIRST)
def test_all_triples_of_small_formats(name, fmt):
    inputs, results = results_of_all_triples(name, fmt.n, fmt.es)
    codes = results[f"fma_{fmt.tag}_code"]
    assert codes.size == 1 << 3 * fmt.n
    np.testing.assert_array_equal(codes, GOLDEN[name](fmt, inputs["a"], inputs["b"], inputs["c"]))


def strata(fmt, count, seed=1):
    """Every regime length, special codes, addends that cancel the product or nearly, and far ones."""
    rng = np.random.default_rng(seed)
    a, b, c = (directed_codes(fmt, 2 * count, rng).astype(np.int64) for _ in range(3))
    special = special_codes(fmt)
    a[: count // 4], b[: count // 4], c[: count // 4] = rng.choice(special, (3, count // 4))
    product = pc.mul(fmt, a, b).astype(np.int64)
    near = (rng.choice([1, -1], product.size) * product + rng.integers(-2, 3, product.size)) & fmt.mask
    # A far addend decides what a product next to a tie rounds to; so does a far product for an addend.
    far = np.where(rng.integers(0, 2, a.size) == 0, 1, fmt.nar - 1) * rng.choice([1, -1], a.size) & fmt.mask
    kind = rng.integers(0, 4, a.size)
    c = np.select([kind == 0, kind == 1], [near, far], c)
    return {name: column.astype(fmt.dtype) for name, column in (("a", a), ("b", b), ("c", c))}


@pytest.mark.parametrize("fmt", ordinary(WIDE_FORMATS, {F8, pc.posit16}.__contains__), ids=format_id)
@pytest.mark.parametrize("name", GOLDEN)
def test_strata_of_wide_formats(unbuilt, name, fmt):
    inputs = strata(fmt, 100_000)
    got = VectorUnit(FlatUnit(unit(name, fmt)), optimize="-O1").run(inputs)["code"]
    np.testing.assert_array_equal(got, GOLDEN[name](fmt, inputs["a"], inputs["b"], inputs["c"]))


def test_strata_cancel_and_meet_every_special_result(unbuilt):
    inputs = strata(pc.PositFormat(16, 2), 100_000)
    code = pc.fma(pc.PositFormat(16, 2), inputs["a"], inputs["b"], inputs["c"])
    for special in (0, 0x8000, 1, 0xFFFF, 0x7FFF, 0x8001):
        assert (code == special).sum() > 100, hex(special)


@pytest.mark.slow
@pytest.mark.parametrize("name", GOLDEN)
def test_every_triple_of_bytes(unbuilt, name):
    native = VectorUnit(FlatUnit(unit(name, F8)), optimize="-O2")
    low = np.arange(1 << 16, dtype=np.uint32)
    for a in range(256):
        inputs = {"a": np.full(low.size, a, np.uint8), "b": (low >> 8).astype(np.uint8), "c": low.astype(np.uint8)}
        want = GOLDEN[name](F8, inputs["a"], inputs["b"], inputs["c"])
        np.testing.assert_array_equal(native.run(inputs)["code"], want, err_msg=f"a = {a}")


@pytest.mark.slow
@pytest.mark.parametrize("stages", some_depths(len(FusedMultiplyAdd.cuts(F8)))[1:])
@pytest.mark.parametrize("name", FMA_FIRST)
def test_depth_changes_no_bit(unbuilt, name, stages):
    inputs = strata(F8, 20_000)
    component = unit(name, F8, stages)
    assert component.latency == stages
    got = VectorUnit(FlatUnit(component), latency=stages, optimize="-O0").run(inputs)["code"]
    np.testing.assert_array_equal(got, GOLDEN[name](F8, inputs["a"], inputs["b"], inputs["c"]))


@pytest.mark.parametrize("name", GOLDEN)
def test_the_registry_knows_it(name):
    assert verify(name, pc.PositFormat(16, 2), vectors=100_000, waveforms=None, optimize="-O1").vectors == 100_000
    inputs = strata(F8, 5000)
    got = run_verilog(Design.of(name, F8, 6), inputs)["code"]
    np.testing.assert_array_equal(got, GOLDEN[name](F8, inputs["a"], inputs["b"], inputs["c"]))


# Tests of the tests ------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ordinary(["sticky", "guard", "zero"], "guard".__eq__))
def test_planted_faults_are_caught(monkeypatch, unbuilt, fault):
    """Sticky lost; a guard bit less; a product of 0 that keeps the larger scale of its operands."""
    if fault == "sticky":
        original = fma.shift_right_sticky

        def shift(*args, **names):
            return original(*args, **names)[0], Const(0, 1)

        monkeypatch.setattr(fma, "shift_right_sticky", shift)
    elif fault == "guard":
        monkeypatch.setattr(fma, "GUARD_BITS", 1)
    else:
        original = fma.Decoder.elaborate

        def elaborate(self, platform):
            m = original(self, platform)
            m.d.comb += self.raw.zero.eq(0)
            return m

        monkeypatch.setattr(fma.Decoder, "elaborate", elaborate)
    inputs = strata(F8, 100_000)
    got = VectorUnit(FlatUnit(FusedMultiplyAdd(F8)), optimize="-O0").run(inputs)["code"]
    assert (got != pc.fma(F8, inputs["a"], inputs["b"], inputs["c"])).any()


def test_parameters_are_checked(unbuilt):
    with pytest.raises(TypeError, match=r"FusedMultiplyAdd: fmt must be a PositFormat such as .* not '8,2'"):
        FusedMultiplyAdd("8,2")
    with pytest.raises(TypeError, match="FusedMultiplyAdd: subtract must be True or False, not 1"):
        FusedMultiplyAdd(F8, subtract=1)
    with pytest.raises(TypeError, match="FusedMultiplyAdd: dsp must be True or False, not 'no'"):
        FusedMultiplyAdd(F8, dsp="no")
    with pytest.raises(ValueError, match=r"FusedMultiplyAdd: stages must be an integer in 0..23 .*product, .*, not 24"):
        FusedMultiplyAdd(F8, stages=24)
