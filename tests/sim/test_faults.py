"""Tests of the tests: each planted fault must be caught by the campaign that is meant for its unit."""

import re

import pytest

import positcore as pc
from positcore.hw import adder, encode, multiplier, quire_rounder
from positcore.hw.decode import Decoder
from positcore.hw.mac import QuireMac
from positcore.hw.quire_path import QuirePath
from positcore.hw.quire_rounder import QuireRounder
from positcore.sim.campaign import verify
from positcore.sim.stream import StreamError

pytestmark = pytest.mark.rtl

F8 = pc.PositFormat(8, 2)
F6 = pc.PositFormat(6, 1)


def caught(unit, spec=F8, error=pc.MismatchError, **options):
    """The campaign finds the fault."""
    if unit == "mac":
        options = {"vectors": 5000} | options
    with pytest.raises(error):
        verify(unit, spec, waveforms=None, optimize="-O0", **options)


def override(monkeypatch, component, statement):
    """Append a statement to a component's logic, where it wins over what stands before it."""
    original = component.elaborate

    def elaborate(self, platform):
        m = original(self, platform)
        m.d.comb += statement(self)
        return m

    monkeypatch.setattr(component, "elaborate", elaborate)


def rewire(monkeypatch, component, statement):
    """Append a statement about the submodules of a component to its logic."""
    original = component.elaborate

    def elaborate(self, platform):
        m = original(self, platform)
        m.d.comb += statement(m)
        return m

    monkeypatch.setattr(component, "elaborate", elaborate)


def text_fault(pattern, replacement):
    """An alteration of the RTLIL that must find its place."""

    def alter(rtlil):
        changed, count = re.subn(pattern, replacement, rtlil)
        assert count, f"the fault found no place: {pattern}"
        return changed

    return alter


@pytest.mark.parametrize(("module", "unit"), [(adder, "add"), (adder, "sub"), (encode, "encode")])
def test_dropped_sticky(monkeypatch, module, unit):
    original = module.shift_right_sticky
    monkeypatch.setattr(
        module, "shift_right_sticky", lambda *args, **names: (original(*args, **names)[0], args[1][0] & 0)
    )
    caught(unit)


def test_run_length_off_by_one(monkeypatch):
    original = adder.normalize_at

    def normalize_at(*args, **names):
        shifted, run, sign = original(*args, **names)
        return shifted, run | 1, sign

    monkeypatch.setattr(adder, "normalize_at", normalize_at)
    caught("add")


def test_run_length_of_a_sum_off_by_one(monkeypatch):
    original = quire_rounder.normalize_sticky

    def normalize_sticky(*args, **names):
        shifted, run, sticky = original(*args, **names)
        return shifted, run | 1, sticky

    monkeypatch.setattr(quire_rounder, "normalize_sticky", normalize_sticky)
    caught("mac")


@pytest.mark.parametrize("unit", ["decode", "add", "mac"])
def test_missing_nar(monkeypatch, unit):
    override(monkeypatch, Decoder, lambda self: self.raw.nar.eq(0))
    caught(unit, F6)


@pytest.mark.parametrize("unit", ["decode", "mul"])
def test_missing_zero(monkeypatch, unit):
    override(monkeypatch, Decoder, lambda self: self.raw.zero.eq(0))
    caught(unit, F6)


def test_swapped_operands():
    caught(
        "sub",
        F6,
        alter=text_fault(r"(cell \\unit_core \\core\s+connect \S+) \\a( \S+\s+connect \S+) \S+", r"\1 \\b\2 \\a"),
    )


@pytest.mark.parametrize("unit", ["encode", "add"])
def test_truncation_for_rounding(monkeypatch, unit):
    monkeypatch.setattr(encode, "increment", lambda m, value, by, *, name: value)
    caught(unit)


def test_accumulator_does_not_restart(monkeypatch):
    rewire(monkeypatch, QuirePath, lambda m: m.submodules.accumulator.clear.eq(0))
    caught("mac")


def test_sum_is_read_where_it_is_not_cleared(monkeypatch):
    """Results from terms that are not the last of their dot products."""
    rewire(monkeypatch, QuirePath, lambda m: m.submodules.accumulator.read.eq(1))
    caught("mac", error=(StreamError, pc.MismatchError))


def test_nar_is_forgotten_before_last(monkeypatch):
    rewire(
        monkeypatch, QuirePath,
        lambda m: m.submodules.accumulator.nar.eq(m.submodules.term_0.nar & m.submodules.accumulator.read),
    )  # fmt: skip
    caught("mac")


def test_result_overwritten_while_it_waits(monkeypatch):
    """The MAC accepts terms although its results were not taken."""
    rewire(monkeypatch, QuireMac, lambda m: m.submodules.path.enable.eq(1))
    caught("mac", error=(StreamError, pc.MismatchError), vectors=20_000)


def test_rounder_forgets_what_is_below_its_window(monkeypatch):
    override(monkeypatch, QuireRounder, lambda self: self.raw.sticky.eq(0))
    caught("mac")


def test_rounder_forgets_overflow(monkeypatch):
    monkeypatch.setattr(QuireRounder, "_has_overflow", property(lambda self: False))
    caught("mac")


def test_outlying_products(monkeypatch):
    """(−2)·(−2) = 4 taken for a product of the common kind."""
    monkeypatch.setattr(multiplier, "_is_four", lambda a, b: 0)
    caught("mul")
