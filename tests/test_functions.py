import mpmath
import numpy as np
import pytest

import positcore as pc
from positcore import functions
from tests.reference import format_id, rounded, value

FORMATS = [pc.PositFormat(n, es) for n in (2, 3, 5, 8) for es in range(5)] + [
    pc.PositFormat(8, 2, underflow=True), pc.PositFormat(12, 2),
]  # fmt: skip


def exact_code(fmt, function, x):
    """The code of f(x), from an evaluation in 400 digits' worth of bits as a rational."""
    from fractions import Fraction

    with mpmath.workprec(1400):
        sign, mantissa, exponent, _ = function(mpmath.mpf(x.numerator) / x.denominator)._mpf_
    return rounded(fmt, (-1) ** sign * Fraction(int(mantissa)) * Fraction(2) ** exponent)


@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_exp(fmt):
    codes = np.arange(1 << fmt.n, dtype=fmt.dtype)
    for code, got in zip(codes.tolist(), pc.exp(fmt, codes).tolist(), strict=True):
        x = value(fmt, code)
        if x is None:
            assert got == fmt.nar
        elif abs(x) > 500:  # saturates
            assert got == (fmt.maxpos_code if x > 0 else 0 if fmt.underflow else 1)
        else:
            assert got == exact_code(fmt, mpmath.exp, x)


@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_log(fmt):
    codes = np.arange(1 << fmt.n, dtype=fmt.dtype)
    for code, got in zip(codes.tolist(), pc.log(fmt, codes).tolist(), strict=True):
        x = value(fmt, code)
        if x is None or x <= 0:
            assert got == fmt.nar
        else:
            assert got == exact_code(fmt, mpmath.log, x)


def test_precision_is_raised_until_a_code_is_proven(monkeypatch):
    """From 12 bits, most entries need another round (Ziv); the table is the same."""
    f = pc.PositFormat(12, 2)
    expected = functions.table(f, "exp")
    functions.table.cache_clear()
    monkeypatch.setattr(functions, "_FIRST_PRECISION", 12)
    assert np.array_equal(functions.table(f, "exp"), expected)
    functions.table.cache_clear()


def test_errors():
    with pytest.raises(ValueError, match="exp: tables are built for formats of n ≤ 16, not posit<32,2>"):
        pc.exp(pc.posit32, [0])
    with pytest.raises(ValueError, match="no function 'sine'; there are exp, log"):
        functions.table(pc.posit8, "sine")
    with pytest.raises(TypeError, match="log: codes of posit<8,2> must be unsigned integers"):
        pc.log(pc.posit8, [1.0])
