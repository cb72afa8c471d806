"""`Posit`: one posit number in exact rational arithmetic; the readable reference for everything else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from positcore.format import PositFormat

__all__ = ["Fields", "Posit", "round_fraction", "split", "value_of"]


class Fields(NamedTuple):
    """The fields of a positive code, each with its width in bits."""

    k: int
    exponent: int
    fraction: int
    regime_bits: int
    exponent_bits: int
    fraction_bits: int


def split(fmt: PositFormat, code: int) -> Fields:
    """The fields of a positive code; exponent bits that do not fit read as zero."""
    body_bits = fmt.n - 1
    bits = [(code >> i) & 1 for i in reversed(range(body_bits))]
    run = next((i for i, bit in enumerate(bits) if bit != bits[0]), body_bits)
    k = run - 1 if bits[0] else -run
    regime_bits = min(run + 1, body_bits)
    left = body_bits - regime_bits
    exponent_bits = min(fmt.es, left)
    fraction_bits = left - exponent_bits
    exponent = (code >> fraction_bits) & ((1 << exponent_bits) - 1)
    return Fields(
        k=k,
        exponent=exponent << (fmt.es - exponent_bits),
        fraction=code & ((1 << fraction_bits) - 1),
        regime_bits=regime_bits,
        exponent_bits=exponent_bits,
        fraction_bits=fraction_bits,
    )


def value_of(fmt: PositFormat, code: int) -> Fraction | None:
    """The exact value of a code; None for NaR (Posit Standard 2022, §3.3)."""
    if code == 0:
        return Fraction(0)
    if code == fmt.nar:
        return None
    if code > fmt.nar:
        return -_positive_value(fmt, (1 << fmt.n) - code)
    return _positive_value(fmt, code)


def _positive_value(fmt: PositFormat, code: int) -> Fraction:
    fields = split(fmt, code)
    significand = 1 + Fraction(fields.fraction, 1 << fields.fraction_bits)
    return significand * Fraction(2) ** ((fields.k << fmt.es) + fields.exponent)


def round_fraction(fmt: PositFormat, x: Fraction | int) -> int:
    """The code nearest to x: its infinitely long encoding, rounded to n bits, ties to the even code.

    Saturates at minpos and maxpos; with `fmt.underflow`, |x| ≤ minpos / 2^(2^es) gives 0, and with `fmt.flush`
    |x| < minpos / 2^flush does.
    (Posit Standard 2022, §4.1; Raposo 2021, eq. 6.)
    """
    x = Fraction(x)
    if x == 0:
        return 0
    if x < 0:
        return (1 << fmt.n) - magnitude if (magnitude := round_fraction(fmt, -x)) else 0
    scale = _floor_log2(x)
    k, exponent = divmod(scale, 1 << fmt.es)
    regime, regime_bits = ((1 << (k + 2)) - 2, k + 2) if k >= 0 else (1, 1 - k)
    fraction = x / Fraction(2) ** scale - 1
    # The encoding of x as a number whose unit is the last of the n − 1 bits that follow the sign.
    body = ((regime << fmt.es) + exponent + fraction) * Fraction(2) ** (fmt.n - 1 - regime_bits - fmt.es)
    code = min(round(body), fmt.maxpos_code)  # round() of a Fraction takes ties to even
    if fmt.flush is not None and scale < -fmt.max_scale - fmt.flush:
        return 0
    return code if fmt.underflow else max(code, 1)


def _floor_log2(x: Fraction) -> int:
    """The largest s with 2^s ≤ x, for x > 0."""
    s = x.numerator.bit_length() - x.denominator.bit_length()
    return s if Fraction(2) ** s <= x else s - 1


def _root_to_odd(x: Fraction) -> Fraction:
    """√x for a posit's value x ≥ 0, or a number on the same side of every tie, with some hundred more bits."""
    scaled = int(x * (1 << 1024))  # exact: no posit of n ≤ 32 has a bit below 2^−1024
    root = math.isqrt(scaled)
    return Fraction(2 * root + (root * root != scaled), 1 << 513)


@dataclass(frozen=True)
class Posit:
    """One posit: a format and a code. Operations are exact, then rounded once.

    `a + b`, `a - b`, `a * b`, `a / b`, `-a`, `abs(a)` and comparisons take two posits of one format; NaR is
    absorbing, x / 0 is NaR, and NaR compares equal to itself and below everything.

    Parameters
    ----------
    fmt : PositFormat
    code : int
        The n-bit encoding as an unsigned integer.

    Raises
    ------
    ValueError
        If the code does not fit n bits.
    """

    fmt: PositFormat
    code: int

    def __post_init__(self) -> None:
        if not 0 <= self.code <= self.fmt.mask:
            raise ValueError(f"Posit: a code of {self.fmt} must be in 0..{self.fmt.mask}, not {self.code}")

    @classmethod
    def from_value(cls, fmt: PositFormat, x: Fraction | float) -> Posit:
        """The posit nearest to a rational number or a float; inf and nan give NaR."""
        if isinstance(x, float) and not math.isfinite(x):
            return cls(fmt, fmt.nar)
        return cls(fmt, round_fraction(fmt, Fraction(x)))

    @property
    def value(self) -> Fraction | None:
        """The exact value; None for NaR."""
        return value_of(self.fmt, self.code)

    @property
    def is_nar(self) -> bool:
        """Whether this is Not a Real."""
        return self.code == self.fmt.nar

    @property
    def signed(self) -> int:
        """The code read as a two's-complement integer, whose order is that of the posits."""
        return self.code - (self.code >> (self.fmt.n - 1) << self.fmt.n)

    def _rounded(self, x: Fraction | None) -> Posit:
        return Posit(self.fmt, self.fmt.nar if x is None else round_fraction(self.fmt, x))

    def _pair(self, other: Posit) -> tuple[Fraction, Fraction] | None:
        if self.fmt != other.fmt:
            raise ValueError(f"Posit: operands must have one format, not {self.fmt} and {other.fmt}")
        a, b = self.value, other.value
        return None if a is None or b is None else (a, b)

    def __add__(self, other: Posit) -> Posit:
        pair = self._pair(other)
        return self._rounded(pair and pair[0] + pair[1])

    def __sub__(self, other: Posit) -> Posit:
        pair = self._pair(other)
        return self._rounded(pair and pair[0] - pair[1])

    def __mul__(self, other: Posit) -> Posit:
        pair = self._pair(other)
        return self._rounded(pair and pair[0] * pair[1])

    def __truediv__(self, other: Posit) -> Posit:
        pair = self._pair(other)
        return self._rounded(pair[0] / pair[1] if pair and pair[1] else None)

    def fma(self, b: Posit, c: Posit) -> Posit:
        """`self * b + c` with one rounding."""
        product, sum_ = self._pair(b), self._pair(c)
        return self._rounded(product[0] * product[1] + sum_[1] if product and sum_ else None)

    def fms(self, b: Posit, c: Posit) -> Posit:
        """`self * b - c` with one rounding."""
        return self.fma(b, -c)

    def sqrt(self) -> Posit:
        """The square root, rounded once; NaR for a negative number."""
        x = self.value
        return self._rounded(None if x is None or x < 0 else _root_to_odd(x))

    def sign(self) -> Posit:
        """1, 0 or −1 as a posit; NaR stays NaR."""
        x = self.value
        return self._rounded(x and Fraction(1 if x > 0 else -1))

    def next_up(self) -> Posit:
        """The posit with the next code in two's complement, which wraps: maxpos, NaR, −maxpos."""
        return Posit(self.fmt, self.code + 1 & self.fmt.mask)

    def next_down(self) -> Posit:
        """The posit with the code before in two's complement, which wraps: −maxpos, NaR, maxpos."""
        return Posit(self.fmt, self.code - 1 & self.fmt.mask)

    def round_to_int(self) -> Posit:
        """The nearest integer, ties to even, which is a posit of the format; NaR stays NaR."""
        x = self.value
        return self._rounded(x if x is None else Fraction(round(x)))

    def to_int(self, bits: int, *, signed: bool = True) -> int:
        """The nearest integer, ties to even; NaR and what does not fit give the integer of the top bit alone."""
        top = 1 << (bits - 1)
        low, high = (-top, top - 1) if signed else (0, 2 * top - 1)
        nearest = None if self.value is None else round(self.value)
        return nearest if nearest is not None and low <= nearest <= high else -top if signed else top

    def convert(self, fmt: PositFormat) -> Posit:
        """This value rounded to another format."""
        return Posit(fmt, fmt.nar if self.value is None else round_fraction(fmt, self.value))

    def __neg__(self) -> Posit:
        return Posit(self.fmt, -self.code & self.fmt.mask)

    def __abs__(self) -> Posit:
        return -self if self.signed < 0 else self

    def __lt__(self, other: Posit) -> bool:
        self._pair(other)
        return self.signed < other.signed

    def __le__(self, other: Posit) -> bool:
        self._pair(other)
        return self.signed <= other.signed

    def __float__(self) -> float:
        return math.nan if self.value is None else float(self.value)

    def __str__(self) -> str:
        return "NaR" if self.is_nar else repr(float(self))
