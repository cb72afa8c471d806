"""`wide_format`: the format in which a quotient is rounded first, where that is not seen in the second rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from positcore.codec import exact_codes
from positcore.format import PositFormat

__all__ = ["wide_format"]

_MOST = 32


def wide_format(fmt: PositFormat, x: NDArray[Any], y: NDArray[Any]) -> PositFormat | None:
    """A format W with R_fmt(R_W(x / y)) = R_fmt(x / y) for all of these dividends and divisors; None if none is known.

    Where x / y is not a boundary t at which the rounding to `fmt` turns, it is away from it by |x − t·y| / y, and
    x − t·y is a multiple of the last place of x or of t·y. With p bits in the significands of t, and q in those of y,
    that is at least 2^−(p + q) of the quotient: W with so many fraction bits wherever `fmt` has boundaries rounds no
    quotient to or across t, which is a value of W.

    Parameters
    ----------
    fmt : PositFormat
        Of the result.
    x, y : ndarray of float
        Dividends and divisors; what `fmt` and W have no values for is no operand.
    """
    needed = max(fmt.fraction_bits + 2 + _significand_bits(y), _significand_bits(x))
    top = fmt.max_scale + 1 + max(1 << fmt.es, fmt.flush or 0)  # of the scales of boundaries, above and below 1
    regime = (top >> fmt.es) + 2
    for n in range(fmt.n + 1, _MOST + 1):
        if n - 1 - regime - fmt.es >= needed:
            wide = PositFormat(n, fmt.es)
            return wide if all(exact_codes(wide, operand) is not None for operand in (x, y)) else None
    return None


def _significand_bits(values: NDArray[Any]) -> int:
    """The most bits that a finite value of these has from its first one to its last one; at least 1."""
    finite = np.asarray(values, np.float64)
    whole = np.abs(np.ldexp(np.frexp(finite[np.isfinite(finite) & (finite != 0)])[0], 53)).astype(np.int64)
    last = whole & -whole
    return max((53 - int(bit).bit_length() + 1 for bit in np.unique(last)), default=1)
