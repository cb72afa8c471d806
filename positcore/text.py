"""Posits and decimal text: parsing that rounds once, and the shortest decimal that reads back."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import check_codes
from positcore.format import PositFormat
from positcore.rational import round_fraction, split, value_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["code_text", "from_text", "to_text"]

_DECIMAL = re.compile(r"([+-]?)(?=\.?[0-9])([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]+))?")
_NOT_REAL = re.compile(r"nar|[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_FAR = 400  # a decimal exponent beyond every posit (2^480 < 10^145): it saturates, or rounds to 0 with underflow
_POSITIONAL = range(-4, 16)  # decimal exponents that are printed without an exponent


def from_text(fmt: PositFormat, text: ArrayLike) -> NDArray[Any]:
    """Decimal numbers (`-1.25`, `6.02e23`, `NaR`) as codes, each the exact decimal rounded once.

    `NaR`, `nan` and `inf` in any case give NaR; white space around a number is ignored.

    Parameters
    ----------
    fmt : PositFormat
    text : str, or array_like of str

    Returns
    -------
    ndarray of `fmt.dtype`, the shape of `text`

    Raises
    ------
    TypeError, ValueError
        If an item is not text, or not a decimal number.
    """
    array = np.asarray(text)
    if array.dtype.kind not in "UT" and array.size:
        raise TypeError(f"from_text: numbers must be given as text, not as an array of {array.dtype}")
    codes = [_parse(fmt, str(item)) for item in array.reshape(-1).tolist()]
    return np.array(codes, fmt.dtype).reshape(array.shape)


def to_text(fmt: PositFormat, codes: ArrayLike) -> NDArray[np.str_]:
    """The decimal of fewest significant digits that `from_text` reads as the same code; NaR gives `NaR`.

    Of several with as few digits it is the one nearest to the value. A decimal need not be close to the value
    where posits are sparse: maxpos is printed with one digit, as everything beyond it rounds to it.

    Parameters
    ----------
    fmt : PositFormat
    codes : array_like of codes

    Returns
    -------
    ndarray of str, the shape of `codes`

    Raises
    ------
    TypeError, ValueError
        If `codes` is not an array of codes.
    """
    array = check_codes(fmt, codes, "to_text")
    distinct, places = np.unique(array, return_inverse=True)
    texts = np.array([_shortest(fmt, code) for code in distinct.tolist()], np.str_)
    return texts[places.reshape(array.shape)]


def _parse(fmt: PositFormat, text: str) -> int:
    stripped = text.strip()
    if _NOT_REAL.fullmatch(stripped):
        return fmt.nar
    found = _DECIMAL.fullmatch(stripped)
    if not found:
        raise ValueError(f"from_text: a number is written as -1.25, 6.02e23 or NaR, not {text!r}")
    sign, whole, part, exponent = found.groups(default="")
    digits = (whole + part).lstrip("0")
    if not digits:
        return 0
    power = int(exponent or 0) - len(part)
    leading = power + len(digits)
    if abs(leading) > _FAR:
        magnitude = Fraction(10) ** (_FAR if leading > 0 else -_FAR)
    else:
        magnitude = int(digits) * Fraction(10) ** power
    return round_fraction(fmt, -magnitude if sign == "-" else magnitude)


def _shortest(fmt: PositFormat, code: int) -> str:
    value = value_of(fmt, code)
    if value is None:
        return "NaR"
    if value == 0:
        return "0.0"
    sign, magnitude = ("-", -value) if value < 0 else ("", value)
    target = round_fraction(fmt, magnitude)
    exponent = _floor_log10(magnitude)
    count = 1
    while True:
        unit = Fraction(10) ** (exponent + 1 - count)
        below = magnitude // unit
        candidates = [d for d in (below, below + 1) if d and round_fraction(fmt, d * unit) == target]
        if candidates:
            digits = min(candidates, key=lambda d: abs(d * unit - magnitude))
            return sign + _written(str(digits), exponent + 1 - count)
        count += 1


def _floor_log10(x: Fraction) -> int:
    """The largest p with 10^p ≤ x, for x > 0."""
    power = len(str(x.numerator)) - len(str(x.denominator))
    return power if Fraction(10) ** power <= x else power - 1


def _written(digits: str, power: int) -> str:
    """digits · 10^power as Python writes floats: positional near 1, with an exponent elsewhere."""
    exponent = power + len(digits) - 1
    digits = digits.rstrip("0")
    if exponent not in _POSITIONAL:
        return digits[0] + ("." + digits[1:] if len(digits) > 1 else "") + f"e{exponent:+03d}"
    if exponent < 0:
        return "0." + "0" * (-exponent - 1) + digits
    return digits[: exponent + 1].ljust(exponent + 1, "0") + "." + (digits[exponent + 1 :] or "0")


def code_text(fmt: PositFormat, code: int) -> str:
    """A code with its fields and value: `0b01011010 = 0|10|11|010 = 10.0`."""
    from positcore.scalar import Posit

    posit = Posit(fmt, code)
    bits = f"{code:0{fmt.n}b}"
    if code in (0, fmt.nar):
        return f"0b{bits} = {posit}"
    fields = split(fmt, code if code < fmt.nar else code & fmt.maxpos_code)
    cuts = (1, fields.regime_bits, fields.exponent_bits, fields.fraction_bits)
    parts, at = [], 0
    for width in cuts:
        if width:
            parts.append(bits[at : at + width])
        at += width
    return f"0b{bits} = {'|'.join(parts)} = {posit}"
