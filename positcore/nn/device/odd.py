"""Exact operations on float64 tensors, rounded to odd: `positcore.odd` as tensor code.

This needs of a device what IEEE 754 says of float64: add, subtract, multiply, divide and square root are correctly
rounded, and no two of them are contracted to an FMA. Eager PyTorch runs each as a kernel of its own, on the CPU and on
CUDA devices; `torch.compile`, which fuses them, must not be used on these functions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from positcore.nn.device.bits import float_bits, float_from_bits

__all__ = [
    "adjust_to_odd", "fma_to_odd", "product_to_odd", "quotient_to_odd", "root_to_odd", "sum_to_odd", "two_product",
    "two_sum",
]  # fmt: skip

_SPLITTER = 134217729.0  # 2^27 + 1


def two_sum(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(s, e) with s the rounded sum and s + e = x + y exactly (Knuth)."""
    s = x + y
    t = s - x
    return s, (x - (s - t)) + (y - t)


def two_product(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(p, e) with p the rounded product and p + e = x·y exactly (Veltkamp, Dekker)."""
    p = x * y
    xh, xl = _halves(x)
    yh, yl = _halves(y)
    return p, ((xh * yh - p) + xh * yl + xl * yh) + xl * yl


def _halves(x: Tensor) -> tuple[Tensor, Tensor]:
    t = _SPLITTER * x
    high = t - (t - x)
    return high, x - high


def adjust_to_odd(nearest: Tensor, error: Tensor) -> Tensor:
    """The numbers `nearest + error` rounded to odd, where `nearest` is them rounded to nearest."""
    bits = float_bits(nearest)
    step = torch.where((error > 0.0) == (nearest > 0.0), 1, -1)
    inexact = (error != 0.0) & (bits & 1 == 0)
    return float_from_bits(torch.where(inexact, bits + step, bits))


def sum_to_odd(x: Tensor, y: Tensor) -> Tensor:
    """x + y, rounded to odd."""
    return adjust_to_odd(*two_sum(x, y))


def product_to_odd(x: Tensor, y: Tensor) -> Tensor:
    """x · y, rounded to odd."""
    return adjust_to_odd(*two_product(x, y))


def quotient_to_odd(x: Tensor, y: Tensor) -> Tensor:
    """x / y, rounded to odd; nan where y is 0."""
    q = x / y
    p, e = two_product(q, y)
    remainder = (x - p) - e
    error = torch.where(y > 0.0, remainder, -remainder)
    return torch.where(y == 0.0, torch.nan, adjust_to_odd(q, error))


def root_to_odd(x: Tensor) -> Tensor:
    """√x, rounded to odd; nan where x < 0."""
    r = torch.sqrt(x)
    p, e = two_product(r, r)
    return adjust_to_odd(r, (x - p) - e)


def fma_to_odd(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """x · y + z, rounded to odd once."""
    p, e = two_product(x, y)
    s, t = two_sum(p, z)
    u, v = two_sum(t, e)
    r, w = two_sum(s, u)
    return adjust_to_odd(r, torch.where(w != 0.0, w, v))
