"""The bit-trick sigmoid and tanh of es = 0 posits, as PositNN computes them: approximations, not rounded functions.

For es = 0, flipping a code's first bit and shifting it right by two is close to the sigmoid
(Gustafson and Yonemoto, "Beating Floating Point at its Own Game", 2017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.arithmetic import mul, sub
from positcore.codec import check_codes
from positcore.format import PositFormat

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["bit_trick_sigmoid", "bit_trick_tanh"]


def bit_trick_sigmoid(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """An approximation of the sigmoid: the code with its first bit flipped, shifted right by two.

    NaR gives NaR, where the bare trick (and PositNN) gives 0.

    Parameters
    ----------
    fmt : PositFormat
        With es = 0.
    a : array_like of codes

    Returns
    -------
    ndarray of `fmt.dtype`, the shape of `a`

    Raises
    ------
    TypeError, ValueError
        If `a` is not an array of codes, or es is not 0.
    """
    codes = _checked(fmt, a, "bit_trick_sigmoid")
    flipped = (codes ^ fmt.dtype.type(fmt.nar)) >> fmt.dtype.type(2)
    return np.where(codes == fmt.nar, codes, flipped)


def bit_trick_tanh(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """An approximation of tanh: 2·s(2·a) − 1 with s of `bit_trick_sigmoid`, each operation rounded.

    Parameters and errors as for `bit_trick_sigmoid`.
    """
    codes = _checked(fmt, a, "bit_trick_tanh")
    two, one = fmt.encode(2.0), fmt.nar >> 1
    return sub(fmt, mul(fmt, two, bit_trick_sigmoid(fmt, mul(fmt, two, codes))), one)


def _checked(fmt: PositFormat, a: ArrayLike, name: str) -> NDArray[Any]:
    if fmt.es != 0:
        raise ValueError(f"{name}: the bit trick is for formats of es = 0, not {fmt}")
    return check_codes(fmt, a, name)
