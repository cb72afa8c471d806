"""The rational reference for whole arrays: rounding of exact integers by tables of values and ties, no float anywhere.

A number is an integer times 2^−bits, in NumPy arrays of Python integers. A format of n bits is known by the values
of its codes (`positcore.rational.value_of`) and by its ties, which are the values of the odd codes of n + 1 bits.
"""

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np
import pytest

import positcore as pc
from positcore.rational import value_of


def integers(numbers):
    """An array of Python integers."""
    out = np.empty(len(numbers), object)
    out[:] = numbers
    return out


class Table:
    """The values of a format's codes, as multiples of 2^−bits, and where rounding goes from one code to the next."""

    def __init__(self, fmt):
        self.fmt = fmt
        self.bits = max((fmt.n - 1) << fmt.es, fmt.max_scale + (fmt.flush or 0))
        unit = 1 << self.bits
        positive = [int(value_of(fmt, c) * unit) for c in range(fmt.nar)]
        self.values = integers([*positive, 0, *[-x for x in positive[:0:-1]]])  # that of NaR is unused
        longer = pc.PositFormat(fmt.n + 1, fmt.es)
        self.ties = integers([int(value_of(longer, 2 * c + 1) * unit) for c in range(fmt.maxpos_code)])
        if fmt.flush is not None:
            self.ties[0] = unit >> (fmt.max_scale + fmt.flush)
        elif not fmt.underflow:
            self.ties[0] = 0

    def round(self, numbers, bits, more=0):
        """Codes of numbers · 2^−bits; where `more`, of something between that and the next integer, away from 0."""
        magnitudes = 2 * np.abs(numbers) + more
        thresholds = self.ties << (bits + 1 - self.bits)
        if self.fmt.flush is not None:
            thresholds[0] -= 1  # the threshold itself is not flushed
        low = np.searchsorted(thresholds, magnitudes)
        at_tie = thresholds[np.minimum(low, thresholds.size - 1)] == magnitudes
        codes = low + (at_tie & (low % 2 == 1))
        return (np.where(numbers < 0, -codes, codes) & self.fmt.mask).astype(self.fmt.dtype)

    def apply(self, function, *codes):
        """The codes that `function` of the operands' values gives: (numbers, bits, more), and which are NaR."""
        operands = [self.values[c] for c in codes]
        numbers, bits, more, not_real = function(self.bits, *operands)
        for c in codes:
            not_real = not_real | (c == self.fmt.nar)
        return np.where(not_real, self.fmt.dtype.type(self.fmt.nar), self.round(numbers, bits, more))


table = lru_cache(maxsize=None)(Table)


def add(bits, x, y):
    return x + y, bits, 0, False


def sub(bits, x, y):
    return x - y, bits, 0, False


def mul(bits, x, y):
    return x * y, 2 * bits, 0, False


def fma(bits, x, y, z):
    return x * y + (z << bits), 2 * bits, 0, False


def fms(bits, x, y, z):
    return x * y - (z << bits), 2 * bits, 0, False


def div(bits, x, y):
    zero = (y == 0).astype(bool)
    divisor = np.where(zero, 1, np.abs(y))
    dividend = np.abs(x) << (bits + 1)
    quotient = dividend // divisor
    more = (quotient * divisor != dividend).astype(int)
    negative = ((x < 0) != (y < 0)).astype(bool)
    # Zero has no sign: below half a unit, where there is no tie and no threshold but zero, half a unit does as well.
    quotient, more = np.where((quotient == 0) & (more == 1), 1, quotient), np.where(quotient == 0, 0, more)
    return np.where(negative, -quotient, quotient), bits + 1, more, zero


def sqrt(bits, x):
    negative = (x < 0).astype(bool)
    squares = np.where(negative, 0, x) << (bits + 2)  # the root in units of 2^−(bits + 1)
    roots = integers([math.isqrt(s) for s in squares])
    return roots, bits + 1, (roots * roots != squares).astype(int), negative


def nearest(numbers, bits):
    """The integers nearest to numbers · 2^−bits, ties to even."""
    whole = numbers >> bits
    rest = numbers - (whole << bits)
    half = 1 << (bits - 1)
    return whole + ((rest > half) | ((rest == half) & (whole % 2 == 1))).astype(int)


def nearest_float(number, bits, precision, low, high):
    """number · 2^−bits rounded to a binary float of `precision` bits with scales low..high, by IEEE 754."""
    magnitude = abs(number)
    unit = max(magnitude.bit_length() - 1 - bits, low) - precision + 1
    drop = unit + bits
    if drop > 0:
        whole, rest = magnitude >> drop, magnitude & ((1 << drop) - 1)
        whole += rest > 1 << (drop - 1) or (rest == 1 << (drop - 1) and whole % 2)
    else:
        whole = magnitude << -drop
    result = math.inf if whole.bit_length() + unit > high + 1 else math.ldexp(whole, unit)
    return -result if number < 0 else result


def place(fmt, x):
    """The encoding of x > 0 as a rational number of units of the last place: the code, and what is cut off."""
    scale = x.numerator.bit_length() - x.denominator.bit_length()
    scale -= Fraction(2) ** scale > x
    k, exponent = divmod(scale, 1 << fmt.es)
    regime, regime_bits = ((1 << (k + 2)) - 2, k + 2) if k >= 0 else (1, 1 - k)
    fraction = x / Fraction(2) ** scale - 1
    return ((regime << fmt.es) + exponent + fraction) * Fraction(2) ** (fmt.n - 1 - regime_bits - fmt.es)


def same(name, fmt, got, expected, *operands):
    """Arrays are equal; else the first difference, in a line that can be typed in."""
    assert got.size == expected.size > 0
    assert got.dtype == expected.dtype
    wrong = np.flatnonzero(got != expected)
    if wrong.size:
        i = wrong[0]
        codes = ", ".join(hex(int(a[i])) for a in operands)
        pytest.fail(f"{wrong.size} of {got.size}: pc.{name}({fmt!r}, {codes}) is {got[i]!r}, not {expected[i]!r}")
