"""Sums and means of codes along axes of an array: exact, and rounded once.

A block of values is split into slices that float64 sums exactly in any order: with 2^e above the block's largest
magnitude, the parts of its values that are multiples of 2^(e + 11 − 53) sum to at most 53 bits, 2^11 the size of a
block; what is left is split again until it is zero (Rump, Ogita and Oishi, "Accurate floating-point summation,
part I", 2008). Where a sum takes more than one slice, they are added in integers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from positcore.codec import check_codes, decode_into
from positcore.format import PositFormat
from positcore.jit import any_order_kernel, float_bits, float_from_bits, kernel
from positcore.mac import Quire
from positcore.odd import adjust_to_odd, two_product
from positcore.superaccumulator import LIMBS, accumulate, read
from positcore.threads import run_split

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["mean", "sum"]

_BLOCK_BITS = 11
_BLOCK = 1 << _BLOCK_BITS
_GRAIN = 1 << 16
_TILE = 16
_LOW = (1 << 32) - 1
_MAGNITUDE = (1 << 63) - 1
_INFINITY = 0x7FF << 52


def sum(
    fmt: PositFormat, codes: ArrayLike, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> NDArray[Any]:
    """The sums of codes along axes, each exact and rounded once; NaR if a code is.

    An empty sum is 0. Order, layout and the number of threads do not matter: this is what a quire gives.

    Parameters
    ----------
    fmt : PositFormat
    codes : array_like of codes
        Unsigned integers below 2^n.
    axis : int or tuple of int, optional
        As for `numpy.sum`; all axes unless told.
    keepdims : bool
        Whether the axes summed over stay, with length 1.

    Returns
    -------
    ndarray of `fmt.dtype`

    Raises
    ------
    TypeError, ValueError
        If `codes` are not codes of the format, an axis is none of theirs, or a sum has more terms than the standard's
        quire holds, 2^31 − 1.
    """
    return _reduced("sum", fmt, codes, axis, keepdims)


def mean(
    fmt: PositFormat, codes: ArrayLike, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> NDArray[Any]:
    """The means of codes along axes: the exact sum by the count, rounded once; the mean of nothing is NaR.

    Parameters, result and errors as for `sum`.
    """
    return _reduced("mean", fmt, codes, axis, keepdims)


def _reduced(
    name: str, fmt: PositFormat, codes: ArrayLike, axis: int | tuple[int, ...] | None, keepdims: bool
) -> NDArray[Any]:
    array = np.asarray(codes)
    try:
        axes = normalize_axis_tuple(range(array.ndim) if axis is None else axis, array.ndim, f"{name}: axis")
    except TypeError:
        raise TypeError(f"{name}: axis must be None, an integer or a tuple of integers, not {axis!r}") from None
    count = math.prod(array.shape[i] for i in axes)
    if count > Quire().capacity:
        raise ValueError(f"{name}: {count} terms exceed the {Quire().capacity} that a quire holds; split the array")
    kept = tuple(i for i in range(array.ndim) if i not in axes)
    shape = tuple(array.shape[i] for i in kept)
    checked = check_codes(fmt, array, name)
    rows = _contiguous(checked.transpose(kept + axes).reshape(math.prod(shape), count))
    sums = _sums(fmt, rows, count if name == "mean" else 1)
    final = tuple(1 if i in axes else n for i, n in enumerate(array.shape)) if keepdims else shape
    return fmt.encode(sums.reshape(final))


def _sums(fmt: PositFormat, rows: NDArray[Any], divisor: int) -> NDArray[np.float64]:
    """The sum of each row of codes by `divisor`, rounded to odd; nan for NaR, and for a divisor of 0."""
    out = np.full(len(rows), 0.0 if divisor else np.nan)
    if not rows.size:
        return out
    if rows.shape[1] < 4 * _GRAIN:
        grain = max(1, _GRAIN // rows.shape[1])
        run_split(lambda i, j: _row_sums(rows[i:j], fmt.n, fmt.es, divisor, out[i:j]), len(rows), grain)
        return out
    for row, codes in enumerate(rows):
        parts: list[NDArray[np.int64]] = []

        def work(i: int, j: int, codes: NDArray[Any] = codes, parts: list[NDArray[np.int64]] = parts) -> None:
            limbs = np.zeros(LIMBS + 1, np.int64)
            limbs[LIMBS] = _add_codes(codes[i:j], fmt.n, fmt.es, limbs[:LIMBS])
            parts.append(limbs)

        run_split(work, codes.size, _GRAIN)
        limbs = np.add.reduce(parts)
        out[row] = np.nan if limbs[LIMBS] else _quotient(limbs[:LIMBS], divisor)
    return out


def _contiguous(rows: NDArray[Any]) -> NDArray[Any]:
    """A matrix, in C order."""
    if rows.flags.c_contiguous:
        return rows
    out = np.empty(rows.shape, rows.dtype)
    run_split(lambda i, j: _copy_tiles(rows[i:j], out[i:j]), len(rows), max(_TILE, _GRAIN // max(1, rows.shape[1])))
    return out


@kernel
def _copy_tiles(rows: Any, out: Any) -> None:
    """out ← rows, a transposed array, by tiles that fit the cache."""
    for i in range(0, rows.shape[0], _TILE):
        for j in range(0, rows.shape[1], _TILE):
            for k in range(i, min(i + _TILE, rows.shape[0])):
                for m in range(j, min(j + _TILE, rows.shape[1])):
                    out[k, m] = rows[k, m]


@kernel
def _largest(block: Any) -> int:
    """The bits of the largest magnitude in a block; at least those of infinity where one is nan."""
    largest = 0
    for i in range(block.size):
        largest = max(largest, float_bits(block[i]) & _MAGNITUDE)
    return largest


@kernel
def _split(largest: int, block: Any, slices: Any) -> int:
    """slices[i] ← block[i] to the grid whose sums are exact, block[i] ← the rest; the bits of the largest rest."""
    grid = float_from_bits((largest >> 52 << 52) + ((_BLOCK_BITS + 1 - 53) << 52))
    offset = 1.5 * 2.0**52 * grid
    rest = 0
    for i in range(block.size):
        x = block[i]
        slices[i] = (x + offset) - offset
        block[i] = x - slices[i]
        rest = max(rest, float_bits(block[i]) & _MAGNITUDE)
    return rest


@any_order_kernel
def _total(slices: Any) -> float:
    total = 0.0
    for i in range(slices.size):
        total += slices[i]
    return total


@kernel
def _add_codes(codes: Any, n: int, es: int, limbs: Any) -> bool:
    """limbs ← limbs + the codes' values; True at the first NaR."""
    block, slices = np.empty(_BLOCK), np.empty(_BLOCK)
    for start in range(0, codes.size, _BLOCK):
        size = min(_BLOCK, codes.size - start)
        decode_into(codes[start : start + size], n, es, block[:size])
        largest = _largest(block[:size])
        if largest >= _INFINITY:
            return True
        while largest:
            largest = _split(largest, block[:size], slices[:size])
            accumulate(limbs, _total(slices[:size]))
    return False


@kernel
def _row_sums(rows: Any, n: int, es: int, divisor: int, out: Any) -> None:
    """out[i] ← the sum of rows[i] by the divisor, rounded to odd; nan for NaR."""
    limbs = np.empty(LIMBS, np.int64)
    size = min(_BLOCK, rows.shape[1])
    block, slices = np.empty(size), np.empty(size)
    for i in range(out.size):
        if rows.shape[1] == size:
            decode_into(rows[i], n, es, block)
            largest = _largest(block)
            if largest >= _INFINITY:
                out[i] = np.nan
                continue
            rest = _split(largest, block, slices) if largest else 0
            total = _total(slices) if largest else 0.0
            if rest == 0:
                quotient = total / divisor
                p, e = two_product(quotient, np.float64(divisor))
                out[i] = adjust_to_odd(quotient, (total - p) - e)
                continue
        limbs[:] = 0
        nar = _add_codes(rows[i], n, es, limbs)
        out[i] = np.nan if nar else _quotient(limbs, divisor)


@kernel
def _quotient(limbs: Any, divisor: int) -> float:
    """limbs / divisor rounded to odd, the divisor in 1 … 2^31 − 1; clear the limbs before reuse.

    Carries are passed on, then the limbs are divided toward −∞ from the top; a last bit set where there is a remainder
    makes that rounding to odd, far below every posit's.
    """
    top = limbs.size - 1
    for i in range(top):
        limbs[i + 1] += limbs[i] >> 32
        limbs[i] &= _LOW
    remainder = 0
    for i in range(top, -1, -1):
        total = (remainder << 32) + limbs[i]
        limbs[i] = total // divisor
        remainder = total - limbs[i] * divisor
    if remainder:
        limbs[0] |= 1
    return read(limbs)
