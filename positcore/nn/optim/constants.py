"""Constants of an optimizer's step: exact numbers of its hyper-parameters, rounded once, as a host writes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

from positcore.format import PositFormat
from positcore.rational import round_fraction, value_of

__all__ = ["corrected_rate", "correction_root", "rounded"]

_BITS = 128  # of the first try; a posit of n ≤ 32 seldom needs more


def rounded(fmt: PositFormat, x: float | Fraction) -> float:
    """A number rounded to `fmt`, as a float; it must be finite."""
    return _value(fmt, round_fraction(fmt, Fraction(x)))


@lru_cache(maxsize=64)
def corrected_rate(fmt: PositFormat, rate: float, beta: float, step: int) -> float:
    """rate / (1 − beta^step), rounded once to `fmt`; 0 ≤ beta < 1 and step ≥ 1."""

    def bounds(bits: int) -> tuple[Fraction, Fraction]:
        low, high = _correction(beta, step, bits)
        return Fraction(rate) / high, Fraction(rate) / low

    return _settled(fmt, bounds)


@lru_cache(maxsize=64)
def correction_root(fmt: PositFormat, beta: float, step: int) -> float:
    """√(1 − beta^step), rounded once to `fmt`; 0 ≤ beta < 1 and step ≥ 1."""

    def bounds(bits: int) -> tuple[Fraction, Fraction]:
        low, high = (x * (1 << 2 * bits) for x in _correction(beta, step, bits))
        root = math.isqrt(math.ceil(high))
        above = root if root * root == high else root + 1
        return Fraction(math.isqrt(math.floor(low)), 1 << bits), Fraction(above, 1 << bits)

    return _settled(fmt, bounds)


def _correction(beta: float, step: int, bits: int) -> tuple[Fraction, Fraction]:
    """Bounds of 1 − beta^step: by squaring, in integers of so many bits after the point."""
    one, square = 1 << bits, Fraction(beta) * (1 << bits)
    low, high, square_low, square_high = one, one, math.floor(square), math.ceil(square)
    while step:
        if step & 1:
            low, high = low * square_low >> bits, -(-high * square_high >> bits)
        square_low, square_high = square_low * square_low >> bits, -(-square_high * square_high >> bits)
        step >>= 1
    return Fraction(one - high, one), Fraction(one - low, one)


def _settled(fmt: PositFormat, bounds: Callable[[int], tuple[Fraction, Fraction]]) -> float:
    """The value to which both bounds round, with as many bits as that takes.

    It ends: with enough bits for all of beta^step the bounds of a rational are one number, and so are those of a root
    that is rational; an irrational one is no tie.
    """
    bits = _BITS
    while True:
        low, high = (round_fraction(fmt, x) for x in bounds(bits))
        if low == high:
            return _value(fmt, low)
        bits *= 2


def _value(fmt: PositFormat, code: int) -> float:
    value = value_of(fmt, code)
    assert value is not None
    return float(value)
