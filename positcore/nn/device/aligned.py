"""The `Aligned` accumulator on a device: a chunk of products and the sum so far, cut to one grid, rounded once."""

from __future__ import annotations

import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.mac import Aligned
from positcore.nn.device.bits import exponent_field, float_bits, float_from_bits, power_of_two
from positcore.nn.device.codec import round_float
from positcore.nn.device.limbs import accumulate, new_limbs, read
from positcore.nn.device.odd import two_product

__all__ = ["aligned_sums", "is_narrow"]

_NOTHING = -4000  # below every scale: the term is zero
_LOWEST = -1900  # below every scale, and 2^−scale is still a product of two float64s


def is_narrow(unit: Aligned) -> bool:
    """Whether float64 adds a chunk's truncated terms exactly: integers below 2^(width + 2), lanes + 1 of them."""
    return unit.width + 2 + (unit.lanes + 1).bit_length() <= 53


def aligned_sums(fmt: PositFormat, unit: Aligned, a: Tensor, b: Tensor, sums: Tensor) -> Tensor:
    """acc ← round(Σ of acc and a chunk's products, each cut to the chunk's grid), chunk by chunk.

    Parameters
    ----------
    fmt : PositFormat
        Of the sums.
    unit : Aligned
    a, b : float64 tensors, (M, K) and (K, N)
    sums : float64 tensor, (M, N)
        What the accumulators hold before.

    Returns
    -------
    float64 tensor, (M, N)
    """
    chunk = _narrow_chunk if is_narrow(unit) else _wide_chunk
    for first in range(0, a.shape[1], unit.lanes):
        last = first + unit.lanes
        sums = round_float(fmt, chunk(unit.width, a[:, first:last], b[first:last], sums))
    return sums


def _scale(x: Tensor) -> Tensor:
    """⌊log2 |x|⌋ of posit values; `_NOTHING` for zero, 1024 for NaR."""
    field = exponent_field(x)
    return torch.where(field == 0, _NOTHING, field - 1023)


def _top(a: Tensor, b: Tensor, sums: Tensor) -> Tensor:
    """The largest scale among the terms of a chunk, at least `_LOWEST`."""
    top = _scale(sums).clamp_(min=_LOWEST)
    across, down = _scale(a), _scale(b)
    for k in range(a.shape[1]):
        top = torch.maximum(top, across[:, k, None] + down[k])
    return top


def _narrow_chunk(width: int, a: Tensor, b: Tensor, sums: Tensor) -> Tensor:
    """The grid's integers in float64: scaled by a power of two, floored, added exactly."""
    top = _top(a, b, sums)
    near, far = _powers(width - top)
    total = _floor(sums, None, near, far)
    for k in range(a.shape[1]):
        total += _floor(*two_product(a[:, k, None], b[k]), near, far)
    up, down = _powers(top - width)
    return total * up * down


def _powers(scale: Tensor) -> tuple[Tensor, Tensor]:
    """Two powers of two whose product is 2^scale, which may lie outside float64's range."""
    half = scale >> 1
    return power_of_two(half), power_of_two(scale - half)


def _floor(x: Tensor, error: Tensor | None, near: Tensor, far: Tensor) -> Tensor:
    """⌊(x + error)·near·far⌋, where |error| is below half an ulp of x and x·near·far may underflow to zero."""
    scaled = x * near * far
    cut = torch.floor(scaled)
    if error is not None:
        cut = torch.where((cut == scaled) & (error < 0.0) & (scaled != 0.0), cut - 1.0, cut)
    return torch.where((scaled == 0.0) & (x < 0.0), -1.0, cut)


def _wide_chunk(width: int, a: Tensor, b: Tensor, sums: Tensor) -> Tensor:
    """Any width: truncated terms are float64s and are summed in the integer quire."""
    grid = (_top(a, b, sums) - width).clamp_(min=-1022)  # no term reaches below 2^−1022
    limbs = new_limbs(sums.numel(), sums.device)
    broken = sums.isnan() | a.isnan().any(1)[:, None] | b.isnan().any(0)
    accumulate(limbs, _cut(sums, grid).view(-1, 1))
    for k in range(a.shape[1]):
        p, e = two_product(a[:, k, None], b[k])
        high = _cut(p, grid)
        # Where p lies on the grid, the truncation is that of its error.
        low = torch.where(high == p, _cut(e, grid), 0.0)
        accumulate(limbs, torch.stack([high.view(-1), low.view(-1)], 1))
    return torch.where(broken, torch.nan, read(limbs).view(sums.shape))


def _cut(x: Tensor, grid: Tensor) -> Tensor:
    """x truncated toward −∞ to multiples of 2^grid; float64s with neither overflow nor underflow."""
    bits = float_bits(x)
    exponent = exponent_field(x) - 1023
    step = power_of_two(grid)
    lost = (grid - exponent + 52).clamp_(0, 52)
    kept = float_from_bits(bits & (torch.full_like(lost, -1) << lost))
    kept = torch.where((x < 0.0) & (kept != x), kept - step, kept)
    kept = torch.where(exponent < grid, torch.where(x < 0.0, -step, 0.0), kept)
    return torch.where((x == 0.0) | (exponent - 52 >= grid), x, kept)
