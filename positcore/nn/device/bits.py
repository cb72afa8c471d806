"""The bits of float64 tensors: int64 views, and the counts and powers that PyTorch lacks."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "BIAS", "FRACTION", "INFINITY", "MAGNITUDE", "exponent_field", "float_bits", "float_from_bits", "leading_zeros",
    "ones_below", "power_of_two",
]  # fmt: skip

BIAS = 1023 << 52
FRACTION = (1 << 52) - 1
INFINITY = 0x7FF << 52
MAGNITUDE = (1 << 63) - 1


def float_bits(x: Tensor) -> Tensor:
    """The bits of a float64 tensor as int64, sharing its memory."""
    return x.view(torch.int64)


def float_from_bits(bits: Tensor) -> Tensor:
    """The float64 tensor of these bits, sharing their memory."""
    return bits.view(torch.float64)


def exponent_field(x: Tensor) -> Tensor:
    """The biased exponents, 0..2047, of a float64 tensor."""
    return (float_bits(x) >> 52) & 0x7FF


def leading_zeros(x: Tensor) -> Tensor:
    """Leading zero bits of nonnegative int64s; 64 for 0.

    The exponent of x as a float64, after the bit below the leading one is cleared so that the conversion cannot
    round up to the next power of two.
    """
    exponent = float_bits((x & ~(x >> 1)).double()) >> 52
    return torch.where(x == 0, 64, 1086 - exponent)


def ones_below(place: Tensor) -> Tensor:
    """2^place − 1 for int64 places 0..62."""
    return (torch.ones_like(place) << place) - 1


def power_of_two(scale: Tensor) -> Tensor:
    """2^scale as float64, for int64 scales −1022..1023."""
    return float_from_bits((scale + 1023) << 52)
