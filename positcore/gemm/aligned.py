"""The `Aligned` accumulator: a chunk of products and the sum so far, cut to one grid, added, rounded once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import round_value
from positcore.format import PositFormat
from positcore.gemm.stepwise import BLOCK, exact_products, stepwise_codes
from positcore.jit import float_bits, float_from_bits, kernel
from positcore.mac import Aligned, MacSpec
from positcore.odd import adjust_to_odd, two_product, two_sum
from positcore.superaccumulator import LIMBS, accumulate, read

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["aligned_codes"]

_NOTHING = -4000  # below every scale: the term is zero
_LEAST = 2.0**-480  # at most every power of a nonzero term
_WORD = 2.0**45  # 65 numbers below it have an exact sum
_TWO_WORDS = 53 + 45 - 2 - 7  # the widest grid whose terms, and 65 of them, are two words
_LOWEST = -1900  # below every scale, and 2^−scale is still a product of two float64s
_EXPONENT = 0x7FF
_FRACTION = (1 << 52) - 1


def aligned_codes(spec: MacSpec, a: NDArray[Any], b: NDArray[Any], bias: NDArray[Any] | None = None) -> NDArray[Any]:
    """The matrix product of float matrices that hold posit values, ⌈K / lanes⌉ roundings an output.

    Parameters and result as for `positcore.gemm.stepwise.stepwise_codes`.
    """
    unit = spec.accumulator
    assert isinstance(unit, Aligned)
    # Truncated terms are integers below 2^(width + 2) in units of the grid; float64 adds lanes + 1 of them exactly.
    narrow = unit.width + 2 + (unit.lanes + 1).bit_length() <= 53
    # Exact products within the square root of float64's range: one factor scales any of them, and none gets lost.
    near = exact_products(spec, np.float64) and max(spec.a.max_scale + spec.b.max_scale, spec.out.max_scale) <= 480

    def sum_rows(x: Any, y: Any, fmt: PositFormat, sums: Any) -> None:
        if near and unit.width <= _TWO_WORDS:
            run = _aligned_near if narrow else _aligned_near_wide
            run(x, y, unit.lanes, unit.width, fmt.n, fmt.es, fmt.flushed, sums)
        elif narrow:
            _aligned(x, y, unit.lanes, unit.width, fmt.n, fmt.es, fmt.flushed, sums)
        else:
            limbs = np.zeros(LIMBS, np.int64)
            _aligned_wide(x, y, unit.lanes, unit.width, fmt.n, fmt.es, fmt.flushed, sums, limbs)

    return stepwise_codes(spec, a, b, bias, sum_rows)


@kernel
def _scale(x: float) -> int:
    """⌊log2 |x|⌋ of a posit value; `_NOTHING` for zero."""
    exponent = (float_bits(x) >> 52) & _EXPONENT
    return exponent - 1023 if exponent != 0 else _NOTHING


@kernel
def _cut(x: float, grid: int) -> float:
    """x truncated toward −∞ to a multiple of 2^grid; x a float64 with neither overflow nor underflow."""
    bits = float_bits(x)
    exponent = ((bits >> 52) & _EXPONENT) - 1023
    if x == 0.0 or exponent - 52 >= grid or exponent == 1024:
        return x
    step = float_from_bits((grid + 1023) << 52)
    if exponent < grid:
        return -step if x < 0.0 else 0.0
    kept = float_from_bits(bits & ~((1 << (grid - exponent + 52)) - 1))
    return kept - step if x < 0.0 and kept != x else kept


@kernel
def _cut_product(x: float, y: float, grid: int) -> tuple[float, float]:
    """x·y truncated toward −∞ to a multiple of 2^grid, as the sum of two float64s."""
    p, e = two_product(x, y)
    top = _cut(p, grid)
    if top != p:
        return top, 0.0
    return top, _cut(e, grid)  # p lies on the grid, so the truncation is that of its error


@kernel
def _power(x: float) -> float:
    """2^scale of a posit value; 0 for zero."""
    return float_from_bits(float_bits(x) & (_EXPONENT << 52))


@kernel
def _find_factors(acc: Any, a: Any, b: Any, width: int, factors: Any) -> None:
    """factors[j] ← 2^width over the largest power of two in acc[j] and a chunk, so that it makes integers."""
    for j in range(acc.size):
        factors[j] = max(_power(acc[j]), _LEAST)
    for k in range(a.size):
        x, row = _power(a[k]), b[k]
        for j in range(acc.size):
            factors[j] = max(factors[j], x * _power(row[j]))
    for j in range(acc.size):
        factors[j] = float_from_bits(((2046 + width) << 52) - float_bits(factors[j]))


@kernel
def _grid(factor: float) -> float:
    """The weight of the grid's last bit, 1 / factor, for a power of two."""
    return float_from_bits((2046 << 52) - float_bits(factor))


@kernel
def _aligned_near(a: Any, b: Any, lanes: int, width: int, n: int, es: int, flushed: int, sums: Any) -> None:
    """The grid's integers in float64: exact products scaled by a power of two, floored, added exactly."""
    factors, total = np.empty(BLOCK), np.empty(BLOCK)
    for i in range(a.shape[0]):
        for start in range(0, b.shape[1], BLOCK):
            acc = sums[i, start : start + BLOCK].copy()
            for first in range(0, a.shape[1], lanes):
                chunk, rows = a[i, first : first + lanes], b[first : first + lanes, start : start + BLOCK]
                _find_factors(acc, chunk, rows, width, factors)
                for j in range(acc.size):
                    total[j] = np.floor(acc[j] * factors[j])
                for k in range(chunk.size):
                    x, row = chunk[k], rows[k]
                    for j in range(acc.size):
                        total[j] += np.floor(x * row[j] * factors[j])
                for j in range(acc.size):
                    acc[j] = round_value(total[j] * _grid(factors[j]), n, es, flushed)
            sums[i, start : start + BLOCK] = acc


@kernel
def _aligned_near_wide(a: Any, b: Any, lanes: int, width: int, n: int, es: int, flushed: int, sums: Any) -> None:
    """As `_aligned_near`, for grids that take two float64s: a term is a multiple of 2^45 and a rest below it."""
    factors, high, low = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    unit = 1.0 / _WORD
    for i in range(a.shape[0]):
        for start in range(0, b.shape[1], BLOCK):
            acc = sums[i, start : start + BLOCK].copy()
            for first in range(0, a.shape[1], lanes):
                chunk, rows = a[i, first : first + lanes], b[first : first + lanes, start : start + BLOCK]
                _find_factors(acc, chunk, rows, width, factors)
                for j in range(acc.size):
                    term = np.floor(acc[j] * factors[j])
                    high[j] = np.floor(term * unit) * _WORD
                    low[j] = term - high[j]
                for k in range(chunk.size):
                    x, row = chunk[k], rows[k]
                    for j in range(acc.size):
                        term = np.floor(x * row[j] * factors[j])
                        upper = np.floor(term * unit) * _WORD
                        high[j] += upper
                        low[j] += term - upper
                for j in range(acc.size):
                    s, e = two_sum(high[j], low[j])
                    acc[j] = round_value(adjust_to_odd(s, e) * _grid(factors[j]), n, es, flushed)
            sums[i, start : start + BLOCK] = acc


@kernel
def _powers(scale: int) -> tuple[float, float]:
    """Two powers of two whose product is 2^scale, which may lie outside float64's range."""
    half = scale >> 1
    return float_from_bits((half + 1023) << 52), float_from_bits((scale - half + 1023) << 52)


@kernel
def _floor(x: float, error: float, near: float, far: float) -> float:
    """⌊(x + error)·near·far⌋, where |error| is below half an ulp of x and x·near·far may underflow to zero."""
    scaled = x * near * far
    cut = np.floor(scaled)
    cut = cut - 1.0 if cut == scaled and error < 0.0 and scaled != 0.0 else cut
    return -1.0 if scaled == 0.0 and x < 0.0 else cut


@kernel
def _aligned(a: Any, b: Any, lanes: int, width: int, n: int, es: int, flushed: int, sums: Any) -> None:
    """The grid's integers in float64: scaled by a power of two, floored, added exactly."""
    top = np.empty(BLOCK, np.int64)
    total, near, far = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    for i in range(a.shape[0]):
        for start in range(0, b.shape[1], BLOCK):
            size = min(BLOCK, b.shape[1] - start)
            for first in range(0, a.shape[1], lanes):
                last = min(first + lanes, a.shape[1])
                for j in range(size):
                    top[j] = max(_scale(sums[i, start + j]), _LOWEST)
                for k in range(first, last):
                    scale = _scale(a[i, k])
                    for j in range(size):
                        top[j] = max(top[j], scale + _scale(b[k, start + j]))
                for j in range(size):
                    near[j], far[j] = _powers(width - top[j])
                    total[j] = _floor(sums[i, start + j], 0.0, near[j], far[j])
                for k in range(first, last):
                    x = a[i, k]
                    for j in range(size):
                        p, e = two_product(x, b[k, start + j])
                        total[j] += _floor(p, e, near[j], far[j])
                for j in range(size):
                    up, down = _powers(top[j] - width)
                    sums[i, start + j] = round_value(total[j] * up * down, n, es, flushed)


@kernel
def _aligned_wide(a: Any, b: Any, lanes: int, width: int, n: int, es: int, flushed: int, sums: Any, limbs: Any) -> None:
    """Any width: truncated terms are float64s and are summed in the integer quire."""
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            for first in range(0, a.shape[1], lanes):
                last = min(first + lanes, a.shape[1])
                top = _scale(sums[i, j])
                broken = np.isnan(sums[i, j])
                for k in range(first, last):
                    top = max(top, _scale(a[i, k]) + _scale(b[k, j]))
                    broken = broken or np.isnan(a[i, k]) or np.isnan(b[k, j])
                if broken:
                    sums[i, j] = np.nan
                    continue
                grid = max(top - width, -1022)  # no term reaches below 2^−1022
                limbs[:] = 0
                accumulate(limbs, _cut(sums[i, j], grid))
                for k in range(first, last):
                    p, e = _cut_product(a[i, k], b[k, j], grid)
                    accumulate(limbs, p)
                    accumulate(limbs, e)
                sums[i, j] = round_value(read(limbs), n, es, flushed)
