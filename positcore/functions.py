"""Elementary functions on codes, correctly rounded by tables: exp and log for formats of n ≤ 16.

A table entry is proven: the function is evaluated in mpmath with an error bound, and where both ends of
the interval round to one code that code is right; else the precision is doubled (Ziv 1991). The search
ends because exp and log of a rational are transcendental but for exp(0) = 1 and log(1) = 0 (Lindemann).
The tables are what a hardware ROM holds.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import check_codes, decode, encode
from positcore.format import PositFormat

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["FUNCTIONS", "exp", "log", "table"]

_FIRST_PRECISION = 80
_EXP_LIMIT = 400.0  # beyond ±400, exp saturates in every format of n ≤ 16


def exp(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """e^a on codes of `fmt`, n ≤ 16, correctly rounded; NaR gives NaR.

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
        If `a` is not an array of codes, or n > 16.
    """
    return table(fmt, "exp")[check_codes(fmt, a, "exp")]


def log(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """The natural logarithm on codes of `fmt`, n ≤ 16, correctly rounded; a ≤ 0 and NaR give NaR.

    Parameters and errors as for `exp`.
    """
    return table(fmt, "log")[check_codes(fmt, a, "log")]


def _exp_inputs(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Arguments to evaluate (nan where there is nothing to do), and the results known without it."""
    known = np.where(x == 0, 1.0, np.nan)
    return np.where(x == 0, np.nan, np.clip(x, -_EXP_LIMIT, _EXP_LIMIT)), known


def _log_inputs(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    known = np.where(x == 1, 0.0, np.nan)
    return np.where((x > 0) & (x != 1), x, np.nan), known


FUNCTIONS = {"exp": _exp_inputs, "log": _log_inputs}


@lru_cache(maxsize=64)
def table(fmt: PositFormat, name: str) -> NDArray[Any]:
    """The code of the function for each of the 2^n codes, read-only.

    Raises
    ------
    ValueError
        If the function is unknown, or n > 16.
    """
    if name not in FUNCTIONS:
        raise ValueError(f"table: no function {name!r}; there are {', '.join(FUNCTIONS)}")
    if fmt.n > 16:
        raise ValueError(f"{name}: tables are built for formats of n ≤ 16, not {fmt}; convert to one first")
    arguments, known = FUNCTIONS[name](decode(fmt, np.arange(1 << fmt.n, dtype=fmt.dtype)))
    codes = encode(fmt, known)
    todo = np.flatnonzero(~np.isnan(arguments))
    precision = _FIRST_PRECISION
    while todo.size:
        low, high = _enclosures(name, arguments[todo], precision)
        below, above = encode(fmt, low), encode(fmt, high)
        codes[todo] = below
        todo = todo[below != above]
        precision *= 2
    codes.flags.writeable = False
    return codes


def _enclosures(name: str, x: NDArray[np.float64], precision: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds of the function at x, each rounded to odd in float64, from an evaluation in `precision` bits."""
    import mpmath

    low, high = np.empty(x.size), np.empty(x.size)
    with mpmath.workprec(precision):
        function = getattr(mpmath, name)
        slack = mpmath.ldexp(1, 8 - precision)  # far above mpmath's own error of an ulp or so
        for i, value in enumerate(x.tolist()):
            y = function(value)
            low[i], high[i] = _odd(y * (1 - slack)), _odd(y * (1 + slack))
    return low, high


def _odd(y: Any) -> float:
    """A nonzero mpmath number rounded to odd in float64."""
    sign, mantissa, exponent, bits = y._mpf_
    drop = max(0, bits - 53)
    kept = int(mantissa >> drop) | (1 if mantissa & ((1 << drop) - 1) else 0)
    return float(np.ldexp(-kept if sign else kept, exponent + drop))
