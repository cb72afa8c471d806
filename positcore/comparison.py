"""What codes tell without decoding: comparisons, minimum, maximum, sign, magnitude, and neighbors.

Read as two's complement, codes order as their values do, NaR below everything and equal to itself
(Posit Standard 2022, §5.3); so all of this is integer arithmetic, and exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.arithmetic import neg
from positcore.codec import check_codes
from positcore.format import PositFormat

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["abs", "equal", "less", "less_equal", "maximum", "minimum", "next_down", "next_up", "sign"]


def equal(fmt: PositFormat, a: ArrayLike, b: ArrayLike) -> NDArray[np.bool_]:
    """Where a = b, as two's-complement integers: NaR equals NaR.

    Parameters
    ----------
    fmt : PositFormat
    a, b : array_like of codes
        Unsigned integers below 2^n, shapes that broadcast.

    Returns
    -------
    ndarray of bool, the broadcast shape

    Raises
    ------
    TypeError, ValueError
        If an operand is not an array of codes, or the shapes do not broadcast.
    """
    return np.equal(*_signed_pair(fmt, a, b, "equal"))


def less(fmt: PositFormat, a: ArrayLike, b: ArrayLike) -> NDArray[np.bool_]:
    """Where a < b, as two's-complement integers: NaR is below everything else; otherwise as `equal`."""
    return np.less(*_signed_pair(fmt, a, b, "less"))


def less_equal(fmt: PositFormat, a: ArrayLike, b: ArrayLike) -> NDArray[np.bool_]:
    """Where a ≤ b, as two's-complement integers: NaR is below everything else; otherwise as `equal`."""
    return np.less_equal(*_signed_pair(fmt, a, b, "less_equal"))


def minimum(fmt: PositFormat, a: ArrayLike, b: ArrayLike) -> NDArray[Any]:
    """The lesser of two codes in the order of `less`; NaR, the least, if an operand is NaR.

    Parameters and errors as for `equal`.

    Returns
    -------
    ndarray of `fmt.dtype`, the broadcast shape
    """
    return _unsigned(fmt, np.minimum(*_signed_pair(fmt, a, b, "minimum")))


def maximum(fmt: PositFormat, a: ArrayLike, b: ArrayLike) -> NDArray[Any]:
    """The greater of two codes in the order of `less`; the other operand if one is NaR; otherwise as `minimum`."""
    return _unsigned(fmt, np.maximum(*_signed_pair(fmt, a, b, "maximum")))


def abs(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """|a|, exact; NaR stays NaR.

    Parameters
    ----------
    fmt : PositFormat
    a : array_like of codes

    Returns
    -------
    ndarray of `fmt.dtype`, the shape of `a`

    Raises
    ------
    TypeError, ValueError
        If `a` is not an array of codes.
    """
    codes = check_codes(fmt, a, "abs")
    return np.where(codes > fmt.nar, neg(fmt, codes), codes)


def sign(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """The posits 1, −1 and 0 by the sign of a; NaR stays NaR (Posit Standard 2022, §5.2); otherwise as `abs`."""
    codes = check_codes(fmt, a, "sign")
    one = fmt.nar >> 1
    signs = np.where(codes < fmt.nar, one, -one & fmt.mask).astype(fmt.dtype)
    return np.where((codes == 0) | (codes == fmt.nar), codes, signs)


def next_up(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """The code after a in two's complement, which wraps: maxpos gives NaR, NaR gives −maxpos.

    This is `next` of the Posit Standard (2022, §5.2), which does not keep NaR; otherwise as `abs`.
    """
    codes = check_codes(fmt, a, "next_up")
    return (codes + codes.dtype.type(1)) & codes.dtype.type(fmt.mask)


def next_down(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """The code before a in two's complement, which wraps: −maxpos gives NaR, NaR gives maxpos; see `next_up`."""
    codes = check_codes(fmt, a, "next_down")
    return (codes - codes.dtype.type(1)) & codes.dtype.type(fmt.mask)


def _signed_pair(fmt: PositFormat, a: ArrayLike, b: ArrayLike, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Operands as two's-complement integers in the order of the posits, moved to the top of their dtype."""
    x, y = check_codes(fmt, a, name), check_codes(fmt, b, name)
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        raise ValueError(f"{name}: operands of shapes {x.shape} and {y.shape} do not broadcast") from None
    shift = fmt.dtype.type(_unused_bits(fmt))
    signed = np.dtype(f"i{fmt.dtype.itemsize}")
    return (x << shift).view(signed), (y << shift).view(signed)


def _unsigned(fmt: PositFormat, signed: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(signed).view(fmt.dtype) >> fmt.dtype.type(_unused_bits(fmt))


def _unused_bits(fmt: PositFormat) -> int:
    return 8 * fmt.dtype.itemsize - fmt.n
