"""The accumulators that round at every step, on a device: a loop over K, each step on all outputs of a tile.

As `positcore.gemm.fused`, `rounded` and `aligned`. Operands are float64 matrices (M, K) and (K, N); `sums` are the
float64 values that the accumulators hold before, and what the functions return, those after the last step.
"""

from __future__ import annotations

import torch
from torch import Tensor

from positcore.mac import Aligned, Fused, MacSpec, Quire
from positcore.nn.device.aligned import aligned_sums, is_narrow
from positcore.nn.device.blocks import block_items
from positcore.nn.device.codec import round_float
from positcore.nn.device.limbs import LIMBS
from positcore.nn.device.odd import fma_to_odd, product_to_odd, sum_to_odd

__all__ = ["fused_sums", "rounded_sums", "stepwise_sums", "tile_items"]


def stepwise_sums(spec: MacSpec, a: Tensor, b: Tensor, sums: Tensor) -> Tensor:
    """The values (M, N) after all steps of the accumulator of `spec`, in index order."""
    unit = spec.accumulator
    assert not isinstance(unit, Quire)
    if isinstance(unit, Aligned):
        return aligned_sums(spec.out, unit, a, b, sums)
    return (fused_sums if isinstance(unit, Fused) else rounded_sums)(spec, a, b, sums)


def tile_items(spec: MacSpec, device: torch.device) -> int:
    """Outputs to work on at a time: fewer where each has limbs."""
    unit, items = spec.accumulator, block_items(device)
    return max(1, items // LIMBS) if isinstance(unit, Aligned) and not is_narrow(unit) else items


def fused_sums(spec: MacSpec, a: Tensor, b: Tensor, sums: Tensor) -> Tensor:
    """acc ← round(acc + a·b)."""
    exact = spec.a.significand_bits + spec.b.significand_bits <= 53
    for k in range(a.shape[1]):
        x, y = a[:, k, None], b[k]
        sums = round_float(spec.out, sum_to_odd(sums, x * y) if exact else fma_to_odd(x, y, sums))
    return sums


def rounded_sums(spec: MacSpec, a: Tensor, b: Tensor, sums: Tensor) -> Tensor:
    """acc ← round(acc + round(a·b))."""
    for k in range(a.shape[1]):
        term = round_float(spec.out, product_to_odd(a[:, k, None], b[k]))
        sums = round_float(spec.out, sum_to_odd(sums, term))
    return sums
