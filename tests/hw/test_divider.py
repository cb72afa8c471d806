"""Dividers: every pair of small formats against exact rationals, and of byte formats; wide formats by strata."""

from functools import lru_cache
from types import SimpleNamespace

import numpy as np
import pytest

import positcore as pc
from positcore.hw import divider
from positcore.hw.divider import Divider, IterativeDivider
from positcore.hw.emit import FlatUnit
from positcore.hw.units import Design
from positcore.sim.campaign import verify
from positcore.sim.directed import directed_codes
from positcore.sim.vectors import VectorUnit
from positcore.sim.verilog import run_verilog
from tests.hw.bundle import Bundle, run_bundle
from tests.hw.iterative import NativeStream
from tests.hw.tails import ends, ordinary
from tests.reference import BYTE_FORMATS, SMALL_FORMATS, all_pairs, exact, format_id, some_pairs

pytestmark = pytest.mark.rtl

F8 = pc.PositFormat(8, 2)
WIDE_FORMATS = [pc.PositFormat(12, 1), pc.PositFormat(16, 2), pc.PositFormat(32, 2), pc.PositFormat(32, 0)]
# Shares of 256 cycles in which the producer offers, the consumer takes, and (half as often) reset is given.
PACES = [(256, 256, 0), (128, 256, 0), (256, 20, 0), (90, 40, 3), (256, 256, 9)]
KINDS = {"array": Divider, "iterative": IterativeDivider}


def quotient(x, y):
    return x / y if y else None


def design(component, *args, **options):
    return SimpleNamespace(component=lambda: component(*args, **options))


def strata(fmt, count, seed=1):
    """Every regime length, special pairs, quotients next to 1, and products: exact quotients and ties."""
    rng = np.random.default_rng(seed)
    directed = directed_codes(fmt, count, rng), directed_codes(fmt, count, rng)
    a, b = (np.concatenate([x, y]) for x, y in zip(directed, some_pairs(fmt, rng, count // 4), strict=True))
    return np.concatenate([a, pc.mul(fmt, a, b)]), np.concatenate([b, b])


@lru_cache
def results_of_all_pairs(n):
    a, b = all_pairs(pc.PositFormat(n, 0))
    designs = {f"div_{fmt.tag}": design(Divider, fmt) for fmt in SMALL_FORMATS if fmt.n == n}
    return a, b, run_bundle(designs, {"a": a, "b": b})


@pytest.mark.slow
@pytest.mark.parametrize("fmt", SMALL_FORMATS, ids=format_id)
def test_all_pairs_of_small_formats(fmt):
    a, b, results = results_of_all_pairs(fmt.n)
    assert a.size == 1 << 2 * fmt.n
    for x, y, code in zip(a, b, results[f"div_{fmt.tag}"]["code"], strict=True):
        assert code == exact(fmt, quotient, x, y), f"div({fmt}, {x}, {y})"


@pytest.mark.slow
def test_all_pairs_of_byte_formats(unbuilt):
    a, b = all_pairs(BYTE_FORMATS[0])
    unit = VectorUnit(Bundle({f"div_{fmt.tag}": design(Divider, fmt) for fmt in BYTE_FORMATS}), optimize="-O1")
    results = unit.run({"a": a, "b": b})
    for fmt in BYTE_FORMATS:
        np.testing.assert_array_equal(results[f"div_{fmt.tag}_code"], pc.div(fmt, a, b), err_msg=str(fmt))


@pytest.mark.parametrize("fmt", ordinary(WIDE_FORMATS, lambda fmt: fmt.n <= 16), ids=format_id)
def test_strata_of_wide_formats(unbuilt, fmt):
    a, b = strata(fmt, 50_000)
    got = VectorUnit(FlatUnit(Divider(fmt)), optimize="-O1").run({"a": a, "b": b})["code"]
    np.testing.assert_array_equal(got, pc.div(fmt, a, b))


@pytest.mark.slow
@pytest.mark.parametrize("stages", ends(range(1, len(Divider.cuts(F8)) + 1)))
def test_depth_changes_no_bit(unbuilt, stages):
    a, b = all_pairs(F8)
    component = Divider(F8, stages=stages)
    assert component.latency == stages
    got = VectorUnit(FlatUnit(component), latency=stages, optimize="-O0").run({"a": a, "b": b})["code"]
    np.testing.assert_array_equal(got, pc.div(F8, a, b))


def test_the_registry_knows_it(unbuilt):
    assert verify("div", F8, exhaustive=True, waveforms=None, optimize="-O1").vectors == 1 << 16
    design = Design.of("div", F8, len(Divider.cuts(F8)))
    assert design.component().latency == design.latency == 8
    with pytest.raises(ValueError, match=r"div: stages must be an integer in 0..8 .*row_5\), not 9"):
        Design.of("div", F8, 9)


def test_verilog_of_a_deep_pipeline():
    a, b = all_pairs(F8)
    got = run_verilog(Design.of("div", F8, 8), {"a": a, "b": b})["code"]
    np.testing.assert_array_equal(got, pc.div(F8, a, b))


# One row or two in each cycle ------------------------------------------------------------------------


@pytest.mark.parametrize("radix", [2, 4])
@pytest.mark.parametrize(
    "fmt",
    ordinary([pc.PositFormat(2, 0), pc.PositFormat(5, 3), F8, *BYTE_FORMATS[3:]], lambda fmt: fmt.n < 8 or fmt == F8),
    ids=format_id,
)
def test_iterative_divider_of_all_pairs(fmt, radix):
    a, b = all_pairs(fmt)
    unit = IterativeDivider(fmt, radix=radix)
    codes, kept, cycles = NativeStream(unit).run({"a": a, "b": b})
    assert kept.all()
    np.testing.assert_array_equal(codes, pc.div(fmt, a, b))
    assert unit.latency == 1 + -(-(fmt.fraction_bits + 3) // (radix // 2))
    assert a.size * unit.latency <= cycles <= a.size * unit.latency + 32  # and the while in which it listens


@pytest.mark.parametrize("radix", [2, 4])
@pytest.mark.parametrize("fmt", [pc.PositFormat(16, 2), pc.PositFormat(32, 2)], ids=format_id)
def test_iterative_divider_under_stalls_and_resets(unbuilt, fmt, radix):
    a, b = strata(fmt, 4000)
    native = NativeStream(IterativeDivider(fmt, radix=radix))
    want = pc.div(fmt, a, b)
    for seed, (valid, ready, reset) in enumerate(
        [(256, 256, 0), (128, 256, 0), (256, 20, 0), (90, 40, 3), (256, 256, 9)]
    ):
        codes, kept, _ = native.run(
            {"a": a, "b": b}, seed=seed, valid_share=valid, ready_share=ready, reset_share=reset
        )  # fmt: skip
        np.testing.assert_array_equal(codes[kept], want[kept])
        assert kept.all() == (reset == 0)
        assert kept.mean() > 0.25


# Tests of the tests ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["sticky", "sign", "unit"])
def test_planted_faults_are_caught(monkeypatch, unbuilt, kind, fault):
    """Sticky lost; the remainder's sign wrong for a negative divisor; remainders of negative divisors not lowered."""
    if fault == "sticky":
        original = divider._unrounded
        monkeypatch.setattr(divider, "_unrounded", lambda m, raw, *rest: [*original(m, raw, *rest), raw.sticky.eq(0)])
    elif fault == "sign":
        original = divider._row

        def row(m, remainder, divisor, *, name):
            following, digit = original(m, remainder, divisor, name=name)
            return following, digit ^ divisor[-1]

        monkeypatch.setattr(divider, "_row", row)
    else:
        original = divider._first_row

        def first(m, dividend, divisor):
            remainder, digit = original(m, dividend, divisor)
            return (remainder + divisor[-1])[: len(divisor)].as_signed(), digit

        monkeypatch.setattr(divider, "_first_row", first)
    a, b = all_pairs(F8)
    if kind == "array":
        got = VectorUnit(FlatUnit(Divider(F8)), optimize="-O1").run({"a": a, "b": b})["code"]
    else:
        got = NativeStream(IterativeDivider(F8)).run({"a": a, "b": b})[0]
    assert (got != pc.div(F8, a, b)).any()


def test_planted_protocol_faults_are_caught(monkeypatch, unbuilt):
    """A divider that takes a pair although its result was not taken."""
    original = IterativeDivider.elaborate

    def elaborate(self, platform):
        m = original(self, platform)
        m.d.comb += self.i.ready.eq(self.o.valid)
        return m

    monkeypatch.setattr(IterativeDivider, "elaborate", elaborate)
    a, b = all_pairs(pc.PositFormat(4, 0))
    with pytest.raises(AssertionError, match=r"stuck|a result too many|changed"):
        NativeStream(IterativeDivider(pc.PositFormat(4, 0))).run({"a": a, "b": b}, ready_share=64)


def test_parameters_are_checked(unbuilt):
    for unit in (Divider, IterativeDivider):
        with pytest.raises(TypeError, match=rf"{unit.__name__}: fmt must be a PositFormat such as .* not 8"):
            unit(8)
    with pytest.raises(ValueError, match=r"Divider: stages must be an integer in 0..8 \(.*computed, .*row_5\), not 9"):
        Divider(F8, stages=9)
    with pytest.raises(ValueError, match=r"IterativeDivider: radix must be 2 or 4 \(one or two .*\), not 8"):
        IterativeDivider(F8, radix=8)
    with pytest.raises(TypeError, match="IterativeDivider: radix must be 2 or 4, not True"):
        IterativeDivider(F8, radix=True)
