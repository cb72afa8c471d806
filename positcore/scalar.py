"""`Posit`: one posit number in exact rational arithmetic; the readable reference for everything else."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from importlib import import_module
from numbers import Integral, Rational, Real
from typing import Any

import numpy as np

from positcore.format import PositFormat
from positcore.rational import floor_log2, round_fraction, value_of

__all__ = ["Posit", "exact_value"]


def _root_to_odd(x: Fraction) -> Fraction:
    """√x for a posit's value x ≥ 0, or a number on the same side of every tie, with some hundred more bits."""
    scaled = int(x * (1 << 1024))  # exact: no posit of n ≤ 32 has a bit below 2^−1024
    root = math.isqrt(scaled)
    return Fraction(2 * root + (root * root != scaled), 1 << 513)


def exact_value(x: object) -> Fraction | None:
    """The exact value of a number of any real kind; None for NaR, infinities and nan.

    Integers, fractions, floats of Python and of NumPy, `decimal.Decimal` and `Posit` are real.

    Raises
    ------
    TypeError
        If `x` is not a real number.
    """
    if isinstance(x, Posit):
        return x.value
    if isinstance(x, Rational):
        return Fraction(int(x.numerator), int(x.denominator))
    if isinstance(x, np.bool_):
        return Fraction(int(x))
    if isinstance(x, Real | Decimal) and hasattr(x, "as_integer_ratio"):
        try:
            return Fraction(*x.as_integer_ratio())
        except (OverflowError, ValueError):  # infinite, nan
            return None
    raise TypeError(f"Posit: {x!r} is not a real number")


@dataclass(frozen=True, eq=False, repr=False)
class Posit(Real):
    """One posit, a real number: a format and a code. Operations are exact, then rounded once.

    `+ - * / // % divmod` take a posit of the same format, or an integer, float or fraction, which is first rounded
    to the format; `**` takes an integer exponent. NaR is absorbing, and x / 0, x // 0 and x % 0 are NaR.

    Comparisons round nothing: they are those of exact values, for operands of any format and kind, and equal numbers
    have equal hashes. NaR compares equal to NaR and below everything else; a float nan is unordered.

    NumPy's ufuncs take posits too: see `positcore.PositArray`.

    Parameters
    ----------
    fmt : PositFormat
    code : int
        The n-bit encoding as an unsigned integer.

    Raises
    ------
    TypeError, ValueError
        If the code is not an integer, or does not fit n bits.
    """

    fmt: PositFormat
    code: int

    def __post_init__(self) -> None:
        if isinstance(self.code, bool) or not hasattr(self.code, "__index__"):
            raise TypeError(f"Posit: a code is an integer, not {self.code!r}; Posit.from_value rounds a number")
        object.__setattr__(self, "code", operator.index(self.code))
        if not 0 <= self.code <= self.fmt.mask:
            raise ValueError(f"Posit: a code of {self.fmt} must be in 0..{self.fmt.mask}, not {self.code}")

    @classmethod
    def from_value(cls, fmt: PositFormat, x: Any) -> Posit:
        """The posit nearest to a real number of any kind, a posit of another format too; inf and nan give NaR."""
        return cls._of(fmt, exact_value(x))

    @classmethod
    def _of(cls, fmt: PositFormat, x: Fraction | None) -> Posit:
        return cls(fmt, fmt.nar if x is None else round_fraction(fmt, x))

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

    # Arithmetic ----------------------------------------------------------------------------------

    def _rounded(self, x: Fraction | None) -> Posit:
        return self._of(self.fmt, x)

    def _operand(self, x: Any) -> Posit:
        """`x` as a posit of this format; a number that is not a posit is rounded to it."""
        if isinstance(x, Posit) and x.fmt != self.fmt:
            raise ValueError(
                f"Posit: operands must have one format, not {self.fmt} and {x.fmt}; `convert` rounds to another"
            )
        return x if isinstance(x, Posit) else self.from_value(self.fmt, x)

    def _apply(self, function: Callable[[Fraction, Fraction], Fraction | None], a: Any, b: Any) -> Any:
        try:
            x, y = self._operand(a).value, self._operand(b).value
        except TypeError:
            return NotImplemented
        return self._rounded(None if x is None or y is None else function(x, y))

    def __add__(self, other: Any) -> Any:
        return self._apply(operator.add, self, other)

    def __radd__(self, other: Any) -> Any:
        return self._apply(operator.add, other, self)

    def __sub__(self, other: Any) -> Any:
        return self._apply(operator.sub, self, other)

    def __rsub__(self, other: Any) -> Any:
        return self._apply(operator.sub, other, self)

    def __mul__(self, other: Any) -> Any:
        return self._apply(operator.mul, self, other)

    def __rmul__(self, other: Any) -> Any:
        return self._apply(operator.mul, other, self)

    def __truediv__(self, other: Any) -> Any:
        return self._apply(_quotient, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._apply(_quotient, other, self)

    def __floordiv__(self, other: Any) -> Any:
        return self._apply(_floor_quotient, self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._apply(_floor_quotient, other, self)

    def __mod__(self, other: Any) -> Any:
        return self._apply(_remainder, self, other)

    def __rmod__(self, other: Any) -> Any:
        return self._apply(_remainder, other, self)

    def __pow__(self, exponent: Any) -> Posit:
        """The exact power, rounded once; 0 to a negative power is NaR, x ** 0 is 1 unless x is NaR."""
        if not isinstance(exponent, Integral):
            raise TypeError(
                f"Posit: the exponent of ** must be an integer, not {exponent!r}; other powers have no proven rounding"
            )
        x, power = self.value, int(exponent)
        if not -_LARGEST_EXPONENT <= power <= _LARGEST_EXPONENT:
            raise ValueError(f"Posit: the exponent of ** must be in ±{_LARGEST_EXPONENT}, not {power}")
        return self._rounded(None if x is None else _power(x, power))

    def __rpow__(self, base: Any) -> Any:
        raise TypeError(f"Posit: the exponent of ** must be an integer, not {self!r}")

    def __neg__(self) -> Posit:
        return Posit(self.fmt, -self.code & self.fmt.mask)

    def __pos__(self) -> Posit:
        return self

    def __abs__(self) -> Posit:
        return -self if self.signed < 0 else self

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return import_module("positcore.ufuncs").apply(ufunc, method, inputs, kwargs)

    def fma(self, b: Any, c: Any) -> Posit:
        """`self * b + c` with one rounding."""
        x, y, z = self.value, self._operand(b).value, self._operand(c).value
        return self._rounded(None if x is None or y is None or z is None else x * y + z)

    def fms(self, b: Any, c: Any) -> Posit:
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

    def convert(self, fmt: PositFormat) -> Posit:
        """This value rounded to another format."""
        return self._of(fmt, self.value)

    # Comparison ----------------------------------------------------------------------------------

    def _compare(self, other: Any, holds: Callable[[Any, Any], bool]) -> Any:
        if isinstance(other, complex) and holds is operator.eq:
            return other.imag == 0 and self == other.real
        try:
            y = exact_value(other)
        except TypeError:
            return NotImplemented
        if y is None and not isinstance(other, Posit):
            if math.isnan(other):
                return False
            y = _BEYOND if other > 0 else -_BEYOND
        # Pairs order NaR below every number.
        return holds(*((0, Fraction(0)) if v is None else (1, v) for v in (self.value, y)))

    def __eq__(self, other: object) -> Any:
        return self._compare(other, operator.eq)

    def __lt__(self, other: Any) -> Any:
        return self._compare(other, operator.lt)

    def __le__(self, other: Any) -> Any:
        return self._compare(other, operator.le)

    def __gt__(self, other: Any) -> Any:
        return self._compare(other, operator.gt)

    def __ge__(self, other: Any) -> Any:
        return self._compare(other, operator.ge)

    def __hash__(self) -> int:  # type: ignore[override]  # typeshed: numbers are unhashable
        return hash(self.value)

    # Integers, floats, text ----------------------------------------------------------------------

    def _number(self) -> Fraction:
        x = self.value
        if x is None:
            raise ValueError("Posit: NaR is not a number, and has no integer")
        return x

    def as_integer_ratio(self) -> tuple[int, int]:
        """The value as a fraction in lowest terms; ValueError for NaR."""
        return self._number().as_integer_ratio()

    def __int__(self) -> int:
        return int(self._number())

    __trunc__ = __int__

    def __floor__(self) -> int:
        return math.floor(self._number())

    def __ceil__(self) -> int:
        return math.ceil(self._number())

    def __round__(self, ndigits: int | None = None) -> Any:
        """The nearest integer, ties to even; or the posit nearest to the value rounded to `ndigits` decimals."""
        if ndigits is None:
            return round(self._number())
        return self._rounded(None if self.value is None else Fraction(round(self.value, ndigits)))

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

    def __float__(self) -> float:
        return math.nan if self.value is None else float(self.value)

    def __str__(self) -> str:
        return "NaR" if self.is_nar else repr(float(self))

    def __repr__(self) -> str:
        return f"Posit({import_module('positcore.text').to_text(self.fmt, self.code)}, {self.fmt})"

    def __format__(self, spec: str) -> str:
        return format(float(self), spec).replace("nan", "NaR") if spec else str(self)


_LARGEST_EXPONENT = 1 << 16
_BEYOND = Fraction(2) ** 2000  # beyond every posit and every float, as its inverse is below every one but 0


def _quotient(x: Fraction, y: Fraction) -> Fraction | None:
    return x / y if y else None


def _floor_quotient(x: Fraction, y: Fraction) -> Fraction | None:
    return Fraction(x // y) if y else None


def _remainder(x: Fraction, y: Fraction) -> Fraction | None:
    return x % y if y else None


def _power(x: Fraction, exponent: int) -> Fraction | None:
    """x^exponent, or where that is beyond every posit (or below, but not 0) a number of its sign that is so too."""
    if x == 0:
        return None if exponent < 0 else Fraction(exponent == 0)
    scale = floor_log2(abs(x))
    power = (scale if scale >= 0 else scale + 1) * exponent  # the result's scale, or nearer to 0
    if abs(power) < _BEYOND.numerator.bit_length():
        return x**exponent
    return (-1 if x < 0 and exponent % 2 else 1) * (_BEYOND if power > 0 else 1 / _BEYOND)
