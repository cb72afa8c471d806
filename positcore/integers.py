"""Posits and integers: rounding to integral posits, and conversions from and to 8 to 64 bits.

An integer of 64 bits does not fit a float64; it is rounded to odd first (`positcore.odd`), which keeps the
one rounding to a posit correct. The other way a posit is exact in float64, and so is its nearest integer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import decode, encode
from positcore.format import PositFormat
from positcore.odd import integers_into

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["ceil", "floor", "from_int", "round_to_int", "to_int", "trunc"]


def round_to_int(fmt: PositFormat, codes: ArrayLike) -> NDArray[Any]:
    """The integral posit nearest to each code, ties to the even integer; NaR stays NaR.

    The nearest integer is always a posit of the format, so nothing is rounded twice (Posit Standard 2022,
    §5.2, `nearestInt`).

    Parameters
    ----------
    fmt : PositFormat
    codes : array_like of codes

    Returns
    -------
    ndarray of `fmt.dtype`, the shape of `codes`

    Raises
    ------
    TypeError, ValueError
        If `codes` is not an array of codes.
    """
    return _integral(fmt, np.rint, codes)


def floor(fmt: PositFormat, codes: ArrayLike) -> NDArray[Any]:
    """The greatest integral posit not above each code; otherwise as `round_to_int`."""
    return _integral(fmt, np.floor, codes)


def ceil(fmt: PositFormat, codes: ArrayLike) -> NDArray[Any]:
    """The least integral posit not below each code; otherwise as `round_to_int`."""
    return _integral(fmt, np.ceil, codes)


def trunc(fmt: PositFormat, codes: ArrayLike) -> NDArray[Any]:
    """Each code's integer part, toward zero; otherwise as `round_to_int`."""
    return _integral(fmt, np.trunc, codes)


def to_int(fmt: PositFormat, codes: ArrayLike, bits: int = 64, *, signed: bool = True) -> NDArray[Any]:
    """The nearest integer of each code, ties to even, in `bits` bits.

    NaR and what does not fit after rounding give the integer whose only set bit is the most significant one:
    the most negative integer, or 2^(bits − 1) if unsigned (Posit Standard 2022, §6).

    Parameters
    ----------
    fmt : PositFormat
    codes : array_like of codes
    bits : 8, 16, 32 or 64
    signed : bool

    Returns
    -------
    ndarray of int8..int64 or uint8..uint64, the shape of `codes`

    Raises
    ------
    TypeError, ValueError
        If `codes` is not an array of codes, or `bits` is another number.
    """
    if isinstance(bits, bool) or bits not in (8, 16, 32, 64):
        raise ValueError(f"to_int: bits must be 8, 16, 32 or 64, not {bits!r}")
    dtype = np.dtype(f"{'i' if signed else 'u'}{bits // 8}")
    nearest = np.rint(decode(fmt, codes))
    low, end = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1)) if signed else (0.0, 2.0**bits)
    fits = (nearest >= low) & (nearest < end)
    top_bit = -(1 << (bits - 1)) if signed else 1 << (bits - 1)
    return np.where(fits, np.where(fits, nearest, 0.0).astype(dtype), dtype.type(top_bit))


def from_int(fmt: PositFormat, integers: ArrayLike) -> NDArray[Any]:
    """Integers rounded to codes, each correctly; the most negative integer of a signed dtype gives NaR.

    Which integer that is depends on the dtype of `integers`: −128 is NaR as an int8, and a number as an int64
    (Posit Standard 2022, §6). Every unsigned integer is a number. Python integers are taken as int64, or
    as uint64 where only that holds them.

    Parameters
    ----------
    fmt : PositFormat
    integers : array_like of int8..int64 or uint8..uint64

    Returns
    -------
    ndarray of `fmt.dtype`, the shape of `integers`

    Raises
    ------
    TypeError
        If `integers` is of another kind, or beyond 64 bits.
    """
    array = np.asarray(integers)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"from_int: integers must be of int8..int64 or uint8..uint64, not {array.dtype}")
    wide = np.ascontiguousarray(array, np.uint64 if array.dtype.kind == "u" else np.int64).reshape(-1)
    negative = wide < 0
    bits = wide.view(np.uint64)
    magnitudes = np.where(negative, ~bits + np.uint64(1), bits)
    values = np.empty(array.size)
    integers_into(negative, magnitudes, values)
    if array.dtype.kind == "i":
        values[wide == np.iinfo(array.dtype).min] = np.nan
    return encode(fmt, values).reshape(array.shape)


def _integral(fmt: PositFormat, function: Callable[..., Any], codes: ArrayLike) -> NDArray[Any]:
    return encode(fmt, function(decode(fmt, codes)))
