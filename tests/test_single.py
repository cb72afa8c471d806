"""Rounding in float32 lanes against the same rounding in float64, which `test_codec.py` compares with rationals."""

import numpy as np
import pytest
from numba import njit

from positcore import PositFormat
from positcore.codec import round_values
from positcore.mac import MacSpec, Rounded
from positcore.odd import two_sum
from positcore.single import fits_single, flushed_for, nearest, to_odd

VARIANTS = [{}, {"underflow": True}, {"flush": 3}]
FORMATS = [PositFormat(n, es, **more) for n in range(2, 17) for es in range(3) for more in VARIANTS]


@njit  # uncached: kernels of tests would outlive a change of those that they call
def rounded(x, n, es, flushed, out):
    for i in range(x.size):
        out[i] = nearest(x[i], n, es, flushed)


@njit  # uncached: kernels of tests would outlive a change of those that they call
def sums(x, y, n, es, flushed, out):
    for i in range(x.size):
        s, e = two_sum(x[i], y[i])
        out[i] = nearest(to_odd(s, e), n, es, flushed)


def interesting():
    """Every sign, exponent and leading fraction bits of a float32, with nothing, little, a half or all below them."""
    top = np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)
    low = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    return (top[:, None] | low).reshape(-1).view(np.float32)


def equal(got, wanted):
    return np.array_equal(got.astype(np.float64), wanted.astype(np.float64), equal_nan=True)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_nearest_of_float32_is_that_of_float64(fmt):
    x = interesting()
    out = np.empty_like(x)
    assert fits_single(MacSpec(fmt, fmt, Rounded())) == (fmt.max_scale <= 63)
    rounded(x, fmt.n, fmt.es, flushed_for(fmt, x.dtype), out)
    with np.errstate(invalid="ignore"):  # signalling nans are NaR too
        assert equal(out, round_values(fmt, x.astype(np.float64)))


@pytest.mark.parametrize("fmt", [f for f in FORMATS if f.n in (5, 8, 12, 16)], ids=str)
def test_sums_rounded_to_odd_in_float32(fmt):
    """Sums of posits, and of posits and of what lies far below them, against sums that float64 holds exactly."""
    rng = np.random.default_rng(fmt.n * 8 + fmt.es)
    x = fmt.decode(rng.integers(0, 1 << fmt.n, 200_000).astype(fmt.dtype))
    y = fmt.decode(rng.integers(0, 1 << fmt.n, 200_000).astype(fmt.dtype))
    keep = np.abs(np.log2(np.abs(np.where(x == 0, 1, x)) / np.abs(np.where(y == 0, 1, y)))) < 30
    x, y = x[keep].astype(np.float32), y[keep].astype(np.float32)
    out = np.empty_like(x)
    sums(x, y, fmt.n, fmt.es, flushed_for(fmt, x.dtype), out)
    assert equal(out, round_values(fmt, x.astype(np.float64) + y.astype(np.float64)))


def test_an_error_decides_a_tie():
    """1 + 2⁻¹² is a tie of posit<16,2>; 2⁻³⁰ more or less, which float32 cannot add, decides it."""
    fmt = PositFormat(16, 2)
    tie = np.full(3, 1 + 2.0**-12, np.float32)
    out = np.empty(3, np.float32)
    sums(tie, np.array([-(2.0**-30), 0.0, 2.0**-30], np.float32), fmt.n, fmt.es, fmt.flushed, out)
    assert out.tolist() == [1.0, 1.0, 1 + 2.0**-11]


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        (MacSpec(PositFormat(16, 2), PositFormat(16, 2), Rounded()), True),
        (MacSpec(PositFormat(17, 2), PositFormat(17, 2), Rounded()), True),
        (MacSpec(PositFormat(18, 2), PositFormat(18, 2), Rounded()), False),  # products of 2¹²⁸
        (MacSpec(PositFormat(16, 3), PositFormat(16, 3), Rounded()), False),
        (MacSpec(PositFormat(8, 2), PositFormat(8, 4), Rounded()), True),
        (MacSpec(PositFormat(8, 2), PositFormat(32, 0), Rounded()), False),  # 31 significand bits
        (MacSpec(PositFormat(16, 2), PositFormat(16, 2, flush=60), Rounded()), True),
    ],
    ids=lambda x: x if isinstance(x, bool) else str(x),
)
def test_where_float32_is_taken(spec, fits):
    assert fits_single(spec) is fits


def test_the_names_are_for_kernels():
    for function, arguments in ((nearest, (1.0, 8, 2, 0)), (to_odd, (1.0, 0.0))):
        with pytest.raises(NotImplementedError, match="is for compiled kernels"):
            function(*arguments)
