"""Elementary functions on codes, correctly rounded: exp, log, tanh, sigmoid, … for formats of n ≤ 16, by tables.

A table entry is proven (`positcore.elementary`), computed once and kept (`positcore.tables`); the tables are
what a hardware ROM holds. `reciprocal` is a division, for any format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from positcore.arithmetic import div
from positcore.codec import check_codes
from positcore.format import PositFormat
from positcore.tables import table

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "cos", "erf", "exp", "exp2", "expm1", "gelu", "log", "log1p", "log2", "reciprocal", "rsqrt", "sigmoid", "sin",
    "softplus", "table", "tanh",
]  # fmt: skip


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
    MissingToolError
        If the table must be computed and mpmath is not installed.
    """
    return _look_up(fmt, "exp", a)


def exp2(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """2^a, correctly rounded; otherwise as `exp`."""
    return _look_up(fmt, "exp2", a)


def expm1(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """e^a − 1, rounded once; otherwise as `exp`."""
    return _look_up(fmt, "expm1", a)


def log(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """The natural logarithm, correctly rounded; a ≤ 0 gives NaR; otherwise as `exp`."""
    return _look_up(fmt, "log", a)


def log2(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """The logarithm to base 2, correctly rounded; a ≤ 0 gives NaR; otherwise as `exp`."""
    return _look_up(fmt, "log2", a)


def log1p(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """log(1 + a), rounded once; a ≤ −1 gives NaR; otherwise as `exp`."""
    return _look_up(fmt, "log1p", a)


def tanh(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """The hyperbolic tangent, correctly rounded; otherwise as `exp`."""
    return _look_up(fmt, "tanh", a)


def sigmoid(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """1 / (1 + e^−a), rounded once; otherwise as `exp`."""
    return _look_up(fmt, "sigmoid", a)


def softplus(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """log(1 + e^a), rounded once; otherwise as `exp`."""
    return _look_up(fmt, "softplus", a)


def sin(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """The sine of a in radians, correctly rounded for any a; otherwise as `exp`."""
    return _look_up(fmt, "sin", a)


def cos(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """The cosine of a in radians, correctly rounded for any a; otherwise as `exp`."""
    return _look_up(fmt, "cos", a)


def erf(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """The error function 2/√π · ∫₀^a e^(−t²) dt, correctly rounded; otherwise as `exp`."""
    return _look_up(fmt, "erf", a)


def gelu(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """a·Φ(a) = a/2 · (1 + erf(a/√2)), the exact GELU (Hendrycks and Gimpel 2016), rounded once; otherwise as `exp`."""
    return _look_up(fmt, "gelu", a)


def rsqrt(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """1/√a, rounded once; a ≤ 0 gives NaR; otherwise as `exp`."""
    return _look_up(fmt, "rsqrt", a)


def reciprocal(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """1/a on codes of `fmt`, any n, rounded once; 0 and NaR give NaR; errors as for `positcore.div`."""
    return div(fmt, fmt.nar >> 1, check_codes(fmt, a, "reciprocal"))


def _look_up(fmt: PositFormat, name: str, a: ArrayLike) -> NDArray[Any]:
    return table(fmt, name)[check_codes(fmt, a, name)]
