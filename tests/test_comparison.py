from fractions import Fraction

import numpy as np
import pytest

import positcore as pc
from tests.reference import BYTE_FORMATS, LARGE_FORMATS, SMALL_FORMATS, all_pairs, format_id, some_pairs

FORMATS = SMALL_FORMATS + BYTE_FORMATS + LARGE_FORMATS


def codes_of(fmt):
    return np.arange(1 << fmt.n, dtype=fmt.dtype) if fmt.n <= 10 else some_pairs_of(fmt)[0]


def some_pairs_of(fmt):
    return tuple(some_pairs(fmt, np.random.default_rng(9), 500))


@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_comparisons_follow_the_values(fmt):
    a, b = all_pairs(fmt) if fmt.n <= 6 else some_pairs_of(fmt)
    bottom = -(Fraction(2) ** 2000)

    def place(code):
        return bottom if code == fmt.nar else pc.Posit(fmt, code).value

    x, y = ([place(c) for c in codes.tolist()] for codes in (a, b))
    assert pc.less(fmt, a, b).tolist() == [p < q for p, q in zip(x, y, strict=True)]
    assert pc.less_equal(fmt, a, b).tolist() == [p <= q for p, q in zip(x, y, strict=True)]
    assert pc.equal(fmt, a, b).tolist() == [p == q for p, q in zip(x, y, strict=True)]
    least = [c if p <= q else d for c, d, p, q in zip(a.tolist(), b.tolist(), x, y, strict=True)]
    greatest = [d if p <= q else c for c, d, p, q in zip(a.tolist(), b.tolist(), x, y, strict=True)]
    assert pc.minimum(fmt, a, b).tolist() == least
    assert pc.maximum(fmt, a, b).tolist() == greatest
    assert pc.minimum(fmt, a, b).dtype == pc.maximum(fmt, a, b).dtype == fmt.dtype


@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_abs_and_sign(fmt):
    codes = codes_of(fmt)
    for code, magnitude, sign in zip(
        codes.tolist(), pc.abs(fmt, codes).tolist(), pc.sign(fmt, codes).tolist(), strict=True
    ):
        posit = pc.Posit(fmt, code)
        assert magnitude == abs(posit).code
        assert sign == posit.sign().code
        if code != fmt.nar:
            assert pc.Posit(fmt, magnitude).value == abs(posit.value)
            assert pc.Posit(fmt, sign).value == (posit.value > 0) - (posit.value < 0)
    assert pc.abs(fmt, codes).dtype == pc.sign(fmt, codes).dtype == fmt.dtype


@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_neighbors(fmt):
    codes = codes_of(fmt)
    up, down = pc.next_up(fmt, codes), pc.next_down(fmt, codes)
    assert up.dtype == down.dtype == fmt.dtype
    assert np.array_equal(pc.next_down(fmt, up), codes)
    for code, above, below in zip(codes.tolist(), up.tolist(), down.tolist(), strict=True):
        posit = pc.Posit(fmt, code)
        assert (above, below) == (posit.next_up().code, posit.next_down().code)
        assert pc.Posit(fmt, above).signed == posit.signed + 1 or code == fmt.maxpos_code


def test_neighbors_wrap_at_nar():
    for f in (pc.PositFormat(2), pc.PositFormat(5, 1), pc.posit8, pc.PositFormat(12, 2), pc.posit32):
        assert pc.next_up(f, f.maxpos_code) == f.nar
        assert pc.next_up(f, f.nar) == f.nar + 1
        assert pc.next_down(f, f.nar) == f.maxpos_code
        assert pc.next_down(f, f.nar + 1) == f.nar


def test_nar_is_the_least():
    f = pc.PositFormat(12, 2)
    assert pc.minimum(f, f.nar, [0, f.nar, f.nar + 1]).tolist() == [f.nar] * 3
    assert pc.maximum(f, f.nar, [0, f.nar, f.nar + 1]).tolist() == [0, f.nar, f.nar + 1]


def test_broadcasting_and_errors():
    f = pc.posit8
    a = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert pc.maximum(f, a, 5).shape == (3, 4)
    assert pc.less(f, a, a[:, :1]).shape == (3, 4)
    assert pc.abs(f, np.zeros((0, 3), np.uint8)).shape == (0, 3)
    with pytest.raises(ValueError, match=r"minimum: operands of shapes \(2,\) and \(3,\) do not broadcast"):
        pc.minimum(f, [1, 2], [1, 2, 3])
    with pytest.raises(TypeError, match="abs: codes of posit<8,2> must be unsigned integers"):
        pc.abs(f, [0.5])
    with pytest.raises(ValueError, match=r"next_up: codes of posit<8,2> must be in 0\.\.255, not 256"):
        pc.next_up(f, [256])
