import math
from fractions import Fraction

import numpy as np
import pytest

import positcore as pc
from positcore import integers
from tests.reference import BYTE_FORMATS, LARGE_FORMATS, SMALL_FORMATS, format_id, rounded, some_pairs, value

FORMATS = SMALL_FORMATS + BYTE_FORMATS + LARGE_FORMATS
ROUNDINGS = {"round_to_int": round, "floor": math.floor, "ceil": math.ceil, "trunc": math.trunc}
DTYPES = [np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)]


def codes_of(fmt):
    """All codes, or special, random, and those next to integers and halves."""
    if fmt.n <= 10 or fmt == pc.posit16:
        return np.arange(1 << fmt.n, dtype=fmt.dtype)
    rng = np.random.default_rng(20)
    codes, _ = some_pairs(fmt, rng, 300)
    halves = fmt.encode(np.concatenate([np.arange(-40, 41) / 2, rng.integers(-(2**20), 2**20, 100) / 2]))
    edges = fmt.encode(np.array([s * 2.0**k for s in (-1, 1) for k in (7, 8, 15, 16, 31, 32, 63, 64)]))
    near = np.concatenate([halves, edges]).astype(np.int64)[:, None] + [-1, 0, 1]
    return np.concatenate([codes, near.ravel() & fmt.mask]).astype(fmt.dtype)


@pytest.mark.parametrize("name", ROUNDINGS)
@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_integral_posits(fmt, name):
    codes = codes_of(fmt)
    got = getattr(pc, name)(fmt, codes)
    assert got.dtype == fmt.dtype
    for code, result in zip(codes.tolist(), got.tolist(), strict=True):
        if code == fmt.nar:
            assert result == fmt.nar
        else:
            assert value(fmt, result) == ROUNDINGS[name](value(fmt, code)), f"{name} {fmt}: {code:#x}"
        if name == "round_to_int" and (code % 16 == 0 or fmt.n <= 10):
            assert result == pc.Posit(fmt, code).round_to_int().code


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("fmt", FORMATS[::3] + LARGE_FORMATS[-3:], ids=format_id)
def test_to_int(fmt, dtype):
    bits, signed, codes = 8 * dtype.itemsize, dtype.kind == "i", codes_of(fmt)
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    got = pc.to_int(fmt, codes, bits, signed=signed)
    assert got.dtype == dtype
    for code, result in zip(codes.tolist(), got.tolist(), strict=True):
        x = value(fmt, code)
        nearest = high + 1 if x is None else round(x)
        fits = low <= nearest <= high
        expected = nearest if fits else -(2 ** (bits - 1)) if signed else 2 ** (bits - 1)
        assert result == expected, f"to_int {fmt}: {code:#x}"
        if code % 16 == 0 or fmt.n <= 10:
            assert result == pc.Posit(fmt, code).to_int(bits, signed=signed)


def integers_of(fmt, dtype):
    """All of 8 bits; else ends, powers of two, random ones of every length, ties of the format and their neighbors."""
    limits = np.iinfo(dtype)
    if dtype.itemsize == 1:
        return np.arange(limits.min, limits.max + 1).astype(dtype)
    rng = np.random.default_rng(21)
    some = {limits.min, limits.min + 1, limits.max, limits.max - 1, 0}
    wider = pc.PositFormat(min(fmt.n + 1, 32), fmt.es)  # its odd codes are the ties
    ties = [value(wider, int(c)) for c in rng.integers(1 << (wider.n - 2), wider.nar, 200) | 1]
    for x in [2**k for k in range(64)] + [int(x) for x in ties] + [int(rng.integers(2**k)) for k in range(1, 63)] * 2:
        some |= {s * (x + d) for s in (-1, 1) for d in (-1, 0, 1)}
    return np.array(sorted(x for x in some if limits.min <= x <= limits.max), dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("fmt", FORMATS[::5] + LARGE_FORMATS[-3:], ids=format_id)
def test_from_int(fmt, dtype):
    numbers = integers_of(fmt, dtype)
    got = pc.from_int(fmt, numbers)
    assert got.dtype == fmt.dtype
    for number, code in zip(numbers.tolist(), got.tolist(), strict=True):
        if dtype.kind == "i" and number == np.iinfo(dtype).min:
            assert code == fmt.nar
        else:
            assert code == rounded(fmt, Fraction(number)), f"from_int {fmt}: {number}"


def test_the_most_negative_integer_is_that_of_the_dtype():
    f = pc.posit16
    assert pc.from_int(f, np.int8(-128)) == f.nar
    assert pc.from_int(f, -128) == f.encode(-128.0)
    assert pc.from_int(f, 1 << 63) == f.encode(2.0**63)
    assert pc.to_int(f, f.nar, 8) == -128


def test_shapes():
    f = pc.posit8
    assert pc.from_int(f, np.zeros((2, 0, 3), int)).shape == (2, 0, 3)
    assert pc.from_int(f, np.arange(6).reshape(2, 3).T).tolist() == f.encode(np.arange(6.0).reshape(2, 3).T).tolist()
    assert pc.to_int(f, np.full((2, 3), 64)).tolist() == [[1] * 3] * 2
    assert pc.round_to_int(f, 64).shape == ()


def test_a_second_rounding_is_caught(monkeypatch):
    """A planted fault: float64 loses the last bit of an integer, which breaks a tie."""
    f, number = pc.posit32, 2**62 + 2**49 + 1
    expected = rounded(f, Fraction(number))
    assert pc.from_int(f, number) == expected

    def naive(negative, magnitudes, out):
        out[:] = magnitudes

    monkeypatch.setattr(integers, "integers_into", naive)
    assert pc.from_int(f, number) != expected


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: pc.from_int(f, [0.5]), TypeError, "from_int: integers must be of int8..int64 or uint8..uint64"),
        (lambda f: pc.from_int(f, [1 << 64]), TypeError, "from_int: integers must be .* not object"),
        (lambda f: pc.to_int(f, [1], 12), ValueError, "to_int: bits must be 8, 16, 32 or 64, not 12"),
        (lambda f: pc.to_int(f, [256], 8), ValueError, "codes of posit<8,2> must be in"),
        (lambda f: pc.floor(f, [0.5]), TypeError, "codes of posit<8,2> must be unsigned integers"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(pc.posit8)
