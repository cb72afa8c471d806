"""Comparison, minimum, maximum and sign operations: every operand of every width up to 8, wider ones by campaign."""

from functools import lru_cache

import numpy as np
import pytest

import positcore as pc
from positcore.hw.order import Comparator, Negator
from positcore.hw.units import Design
from positcore.rational import round_fraction, value_of
from positcore.sim.campaign import verify
from positcore.sim.verilog import run_verilog
from tests.hw.bundle import run_bundle
from tests.reference import all_pairs, format_id

pytestmark = pytest.mark.rtl

PAIRS, SINGLES = ("compare", "min", "max"), ("neg", "abs", "sign")
# Exponent bits and underflow change no bit of these units: the text is the same.
WIDTHS = [pc.PositFormat(n, es) for n, es in ((2, 4), (3, 0), (4, 1), (5, 3), (6, 2), (7, 0), (8, 2))]
WIDE_FORMATS = [pc.PositFormat(16, 2), pc.PositFormat(32, 2)]


def ordered(fmt, code):
    """The value, NaR below everything."""
    x = value_of(fmt, code)
    return (False, 0) if x is None else (True, x)


@lru_cache
def results_of(n):
    (fmt,) = [fmt for fmt in WIDTHS if fmt.n == n]
    a, b = all_pairs(fmt)
    return a, b, run_bundle({name: Design.of(name, fmt) for name in (*PAIRS, *SINGLES)}, {"a": a, "b": b})


@pytest.mark.parametrize("fmt", WIDTHS, ids=format_id)
def test_all_pairs(fmt):
    a, b, results = results_of(fmt.n)
    assert a.size == 1 << 2 * fmt.n
    values = [ordered(fmt, code) for code in range(1 << fmt.n)]
    columns = [results["compare"][port] for port in ("lt", "le", "eq")]
    columns += [results[name]["code"] for name in ("min", "max")]
    for x, y, lt, le, eq, least, greatest in zip(a, b, *columns, strict=True):
        left, right = values[x], values[y]
        assert (lt, le, eq) == (left < right, left <= right, left == right), (x, y)
        assert values[least] == min(left, right), (x, y)
        assert values[greatest] == max(left, right), (x, y)


@pytest.mark.parametrize("fmt", WIDTHS, ids=format_id)
def test_all_codes(fmt):
    a, _, results = results_of(fmt.n)
    for x, negated, magnitude, sign in zip(a, *(results[name]["code"] for name in SINGLES), strict=True):
        value = value_of(fmt, int(x))
        if value is None:
            assert (negated, magnitude, sign) == (fmt.nar, fmt.nar, fmt.nar)
        else:
            assert value_of(fmt, int(negated)) == -value
            assert value_of(fmt, int(magnitude)) == abs(value)
            assert sign == round_fraction(fmt, (value > 0) - (value < 0))


@pytest.mark.parametrize("fmt", WIDE_FORMATS, ids=format_id)
@pytest.mark.parametrize("name", [*PAIRS, *SINGLES])
def test_wide_formats(name, fmt):
    assert verify(name, fmt, vectors=100_000, seed=1, waveforms=None, optimize="-O1").vectors == 100_000


@pytest.mark.parametrize("name", [*PAIRS, *SINGLES])
def test_verilog_with_a_register(name):
    fmt = pc.PositFormat(6, 1)
    a, b = all_pairs(fmt)
    inputs = {"a": a, "b": b} if name in PAIRS else {"a": a}
    design = Design.of(name, fmt, 1)
    assert design.latency == 1
    got, want = run_verilog(design, inputs), design.golden(inputs)
    for port, column in want.items():
        np.testing.assert_array_equal(got[port], column)


def test_parameters_are_checked(unbuilt):
    with pytest.raises(TypeError, match=r"Comparator: fmt must be a PositFormat such as .* not 8"):
        Comparator(8)
    with pytest.raises(ValueError, match=r"Negator: stages must be an integer in 0\.\.1 .*cut after: result.*, not 2"):
        Negator(pc.PositFormat(8), stages=2)
