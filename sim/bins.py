"""What an input and its result are, for coverage: regimes of codes, how a result was rounded, what cancelled.

Every class is decided exactly: exact results are float64 rounded to odd (`positcore.odd`), which equals a posit, or the
tie between two of them, only where the exact number does.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from positcore.codec import decode_into
from positcore.format import PositFormat
from positcore.jit import kernel

__all__ = [
    "CANCELLATIONS", "ROUNDINGS", "cancellation", "exponents", "float_rounding", "integer_rounding", "regime_classes",
    "regime_labels", "rounding",
]  # fmt: skip

# How a result came of the exact number, in magnitude. "saturated": from beyond maxpos, or from between 0 and minpos.
ROUNDINGS = ("exact", "down", "tie down", "tie up", "up", "saturated")
_EXACT, _DOWN, _TIE_DOWN, _TIE_UP, _UP, _SATURATED = range(6)

# How far a sum's scale is from that of its largest term.
CANCELLATIONS = ("carry", "none", "1 bit", "2 to 4 bits", "more bits", "all")
_TABLE_BITS = 16


def regime_labels(fmt: PositFormat) -> tuple[str, ...]:
    """The names of the classes of codes: 0, NaR, and sign and regime: `+ k=2` has a run of three ones."""
    most = fmt.n - 2
    return ("0", "NaR", *(f"{sign} k={k}" for sign in "+-" for k in range(-most, most + 1)))


def regime_classes(fmt: PositFormat, codes: NDArray[Any]) -> NDArray[np.intp]:
    """The class of each code, as an index of `regime_labels`; the ends of the range of k are ±minpos and ±maxpos."""
    if fmt.n <= _TABLE_BITS:
        return _regime_table(fmt)[codes]
    return _regimes(fmt, codes)


@lru_cache(maxsize=16)
def _regime_table(fmt: PositFormat) -> NDArray[np.intp]:
    return _regimes(fmt, np.arange(1 << fmt.n))


def _regimes(fmt: PositFormat, codes: NDArray[Any]) -> NDArray[np.intp]:
    codes = np.asarray(codes).astype(np.int64)
    magnitudes = np.minimum(codes, (1 << fmt.n) - codes)
    ones = magnitudes >> (fmt.n - 2)
    rest = np.where(ones == 1, ~magnitudes & fmt.maxpos_code, magnitudes)
    run = fmt.n - 1 - np.frexp(rest.astype(np.float64))[1]
    k = np.where(ones == 1, run - 1, -run)
    classes = 2 + k + (fmt.n - 2) + np.where(codes > fmt.nar, 2 * fmt.n - 3, 0)
    return np.select([codes == 0, codes == fmt.nar], [0, 1], classes).astype(np.intp)


def rounding(fmt: PositFormat, exact: NDArray[np.float64], codes: NDArray[Any]) -> NDArray[np.intp]:
    """How each code came of an exact number, as an index of ROUNDINGS.

    Parameters
    ----------
    fmt : PositFormat
        Of the codes.
    exact : ndarray of float64
        The exact numbers, rounded to odd; nan stands for NaR.
    codes : ndarray of codes
    """
    codes = np.asarray(codes).astype(np.int64)
    magnitudes = np.minimum(codes, (1 << fmt.n) - codes)
    if fmt.n <= _TABLE_BITS:
        table = _finer_values(fmt)
        value, below, above = (table.take(2 * magnitudes + step, mode="clip") for step in (0, -1, 1))
    else:
        value, below, above = (_decoded(fmt, 2 * magnitudes + step) for step in (0, -1, 1))
    out = np.empty(codes.size, np.intp)
    smallest = 0.0 if fmt.flushed else 2.0**-fmt.max_scale
    _classify(np.abs(exact), value, below, above, codes == fmt.nar, smallest, 2.0**fmt.max_scale, out)
    return out


@lru_cache(maxsize=16)
def _finer_values(fmt: PositFormat) -> NDArray[np.float64]:
    """The magnitudes of the format with a bit more, whose odd codes are the ties."""
    return _decoded(fmt, np.arange(1 << fmt.n))


def _decoded(fmt: PositFormat, codes: NDArray[np.int64]) -> NDArray[np.float64]:
    out = np.empty(codes.size)
    decode_into(codes, fmt.n + 1, fmt.es, out)
    return out


@kernel
def _classify(
    exact: Any, value: Any, below: Any, above: Any, nar: Any, smallest: float, largest: float, out: Any
) -> None:
    for i in range(out.size):
        x, v = exact[i], value[i]
        if nar[i] or x == v:
            out[i] = 0
        elif x > largest or x < smallest:
            out[i] = 5
        elif x > v:
            out[i] = 2 if x == above[i] else 1
        else:
            out[i] = 3 if x == below[i] else 4


def exponents(x: NDArray[np.float64]) -> NDArray[np.int64]:
    """The scale of each number: floor(log2 |x|); far below all others for 0 and nan."""
    none = (x == 0) | np.isnan(x)
    scale = np.frexp(np.where(none, 1.0, x))[1] - 1  # NumPy's frexp warns of nan on some processors
    return np.where(none, -4096, scale).astype(np.int64)


def cancellation(largest: NDArray[np.int64], exact: NDArray[np.float64]) -> NDArray[np.intp]:
    """What became of sums, as an index of CANCELLATIONS.

    Parameters
    ----------
    largest : ndarray of int64
        The scale of each sum's largest term, as `exponents` gives it.
    exact : ndarray of float64
        The exact sums, rounded to odd; nan stands for NaR, in which nothing cancels.
    """
    lost = largest - exponents(exact)
    kinds = 1 + np.searchsorted([1, 2, 5], lost, side="right")
    return np.select(
        [np.isnan(exact) | (largest == -4096), exact == 0, lost < 0], [1, 5, 0], kinds
    ).astype(np.intp)  # fmt: skip


def integer_rounding(exact: NDArray[np.float64], result: NDArray[np.float64], fits: NDArray[Any]) -> NDArray[np.intp]:
    """How integers came of exact numbers, as an index of ROUNDINGS; "saturated" where one does not fit."""
    distance = np.abs(np.abs(exact) - np.abs(result))
    down = np.abs(exact) > np.abs(result)
    inexact = np.where(distance == 0.5, np.where(down, _TIE_DOWN, _TIE_UP), np.where(down, _DOWN, _UP))
    return np.where(fits, np.where(distance == 0, _EXACT, inexact), _SATURATED).astype(np.intp)


def float_rounding(exact: NDArray[np.float64], result: NDArray[np.float64], step: Any) -> NDArray[np.intp]:
    """How floats came of exact numbers, as an index of ROUNDINGS; "saturated" where infinity did.

    `step` gives for magnitudes and +1 or −1 the next magnitude up or down.
    """
    x, r = np.abs(exact), np.abs(result)
    down = x > r
    with np.errstate(invalid="ignore"):
        middle = np.where(down, (r + step(r, 1)) / 2, (r + step(r, -1)) / 2)
    inexact = np.where(x == middle, np.where(down, _TIE_DOWN, _TIE_UP), np.where(down, _DOWN, _UP))
    kinds = np.where(x == r, _EXACT, np.where(np.isinf(r), _SATURATED, inexact))
    return np.where(np.isnan(exact), _EXACT, kinds).astype(np.intp)
