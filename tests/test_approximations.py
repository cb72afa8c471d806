from fractions import Fraction

import numpy as np
import pytest

import positcore as pc
from tests.reference import format_id, rounded, value

FORMATS = [pc.PositFormat(n, 0) for n in range(2, 10)] + [pc.PositFormat(8, 0, True), pc.PositFormat(12, 0)]


def trick(fmt, code):
    return (code ^ fmt.nar) >> 2


@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_sigmoid(fmt):
    codes = np.arange(1 << fmt.n, dtype=fmt.dtype)
    got = pc.bit_trick_sigmoid(fmt, codes)
    assert got.dtype == fmt.dtype
    assert got.tolist() == [c if c == fmt.nar else trick(fmt, c) for c in codes.tolist()]


@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_tanh(fmt):
    codes = np.arange(1 << fmt.n, dtype=fmt.dtype)
    for code, got in zip(codes.tolist(), pc.bit_trick_tanh(fmt, codes).tolist(), strict=True):
        if code == fmt.nar:
            assert got == fmt.nar
            continue
        two = value(fmt, rounded(fmt, Fraction(2)))
        inner = trick(fmt, rounded(fmt, two * value(fmt, code)))
        doubled = rounded(fmt, two * value(fmt, inner))
        assert got == rounded(fmt, value(fmt, doubled) - 1)


def test_they_are_close():
    """An approximation: within 0.07 for posit<8,0>, and not correctly rounded."""
    f = pc.PositFormat(8, 0)
    codes = np.delete(np.arange(256), f.nar)
    error = np.abs(f.decode(pc.bit_trick_sigmoid(f, codes)) - 1 / (1 + np.exp(-f.decode(codes))))
    assert 0.02 < error.max() < 0.07


def test_errors():
    for function in (pc.bit_trick_sigmoid, pc.bit_trick_tanh):
        with pytest.raises(
            ValueError, match=f"{function.__name__}: the bit trick is for formats of es = 0, not posit<8,2"
        ):
            function(pc.posit8, [0])
        with pytest.raises(TypeError, match=f"{function.__name__}: codes of posit<8,0> must be unsigned integers"):
            function(pc.PositFormat(8, 0), [0.5])
