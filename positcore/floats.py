"""Posits and binary floating-point formats: float16, bfloat16, float32, float64, each correctly rounded.

Every posit is exact in float64, and so are the narrower floats; each conversion therefore rounds once.
NumPy has no bfloat16: its numbers are passed as their 16 bits, in uint16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import decode, encode
from positcore.format import PositFormat

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["FLOAT_FORMATS", "from_float", "to_float"]

FLOAT_FORMATS = ("float16", "bfloat16", "float32", "float64")
_QUIET_NAN = 0x7FC0


def to_float(fmt: PositFormat, codes: ArrayLike, to: str = "float64") -> NDArray[Any]:
    """The float nearest to each code by IEEE 754's rule: ties to even, overflow to infinity, underflow to 0.

    NaR gives a quiet nan; float64 is exact (Posit Standard 2022, §6.5).

    Parameters
    ----------
    fmt : PositFormat
    codes : array_like of codes
    to : {"float64", "float32", "float16", "bfloat16"}

    Returns
    -------
    ndarray of that dtype (bfloat16: its bits in uint16), the shape of `codes`

    Raises
    ------
    TypeError, ValueError
        If `codes` is not an array of codes, or `to` is no such format.
    """
    _check_name("to_float", to)
    values = decode(fmt, codes)
    with np.errstate(over="ignore", under="ignore"):
        return _to_bfloat16(values) if to == "bfloat16" else values.astype(to)


def from_float(fmt: PositFormat, x: ArrayLike, of: str | None = None) -> NDArray[Any]:
    """Floats rounded to codes, each correctly; infinities and nan give NaR.

    Parameters
    ----------
    fmt : PositFormat
    x : array_like of float16, float32 or float64; for bfloat16, of its bits in uint16
    of : {"float64", "float32", "float16", "bfloat16"}, optional
        What `x` holds: that of its dtype unless told.

    Returns
    -------
    ndarray of `fmt.dtype`, the shape of `x`

    Raises
    ------
    TypeError, ValueError
        If `x` is not of the dtype that `of` says, or `of` is no such format.
    """
    array = np.asarray(x)
    if of is not None:
        _check_name("from_float", of)
        expected = "uint16" if of == "bfloat16" else of
        if array.dtype != expected:
            raise TypeError(f"from_float: x must be an array of {expected} to hold {of}, not {array.dtype}")
    elif array.dtype.name not in FLOAT_FORMATS:
        raise TypeError(f"from_float: x must be an array of float16, float32 or float64, not {array.dtype}")
    if of == "bfloat16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(invalid="ignore"):  # a signaling nan is NaR like the others
        return encode(fmt, array)


def _to_bfloat16(values: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Bits of bfloat16: float32 rounded to odd, of which the upper half is rounded to nearest."""
    single = values.astype(np.float32)
    bits = single.view(np.uint32)
    up = np.abs(values) > np.abs(single)  # away from zero; the bits of a float order by magnitude
    inexact = (values != single) & (bits & 1 == 0)
    odd = np.where(inexact, np.where(up, bits + np.uint32(1), bits - np.uint32(1)), bits)
    rounded = (odd + np.uint32(0x7FFF) + (odd >> 16 & 1)) >> 16
    return np.where(np.isnan(values), _QUIET_NAN, rounded).astype(np.uint16)


def _check_name(function: str, name: str) -> None:
    if name not in FLOAT_FORMATS:
        raise ValueError(f"{function}: the float format must be one of {', '.join(FLOAT_FORMATS)}, not {name!r}")
