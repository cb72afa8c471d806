"""Integer quires in a tensor: exact sums of float64s, many at a time, in limbs of 32 bits.

As `positcore.superaccumulator` does (Neal 2015): a limb is an int64 that holds 32 bits of a sum and the carries not yet
passed on. Numbers are added by an integer scatter, whose order cannot matter.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from positcore.nn.device.bits import FRACTION, float_bits, float_from_bits, leading_zeros, ones_below

__all__ = ["LIMBS", "accumulate", "new_limbs", "propagate", "read"]

_LOW = (1 << 32) - 1
LIMBS = 2046 // 32 + 4  # every float64 exponent, and headroom for 2^63 of the largest


def new_limbs(count: int, device: torch.device) -> Tensor:
    """Limbs of `count` sums, all zero: (count, LIMBS) int64."""
    return torch.zeros(count, LIMBS, dtype=torch.int64, device=device)


def accumulate(limbs: Tensor, x: Tensor) -> None:
    """limbs[s] ← limbs[s] + Σ x[s], exactly; x (S, T) of normal float64s and zeros.

    At most 2^30 numbers may be added to a sum between two calls of `propagate`.
    """
    bits = float_bits(x)
    significand = torch.where(x == 0.0, 0, (bits & FRACTION) | (1 << 52))
    position = (bits >> 52) & 0x7FF
    offset = position & 31
    low = (significand & _LOW) << offset
    high = (significand >> 32) << offset
    sign = bits >> 63  # 0 or −1: (v ^ sign) − sign is v or −v
    first = torch.arange(len(limbs), device=limbs.device)[:, None] * LIMBS + (position >> 5)
    flat = limbs.view(-1)  # one-dimensional, as PyTorch's deterministic mode wants it
    for place, part in enumerate((low & _LOW, (low >> 32) + (high & _LOW), high >> 32)):
        flat.scatter_add_(0, (first + place).reshape(-1), ((part ^ sign) - sign).reshape(-1))


def propagate(limbs: Tensor) -> None:
    """Pass the carries on: all limbs but the last end in 0 … 2^32 − 1, the last holds the sign."""
    for here, above in pairwise(limbs.unbind(1)):
        above += here >> 32
        here &= _LOW


def read(limbs: Tensor) -> Tensor:
    """The sums rounded to odd in float64, (S,). Afterwards limbs hold their magnitudes."""
    propagate(limbs)
    negative = limbs[:, -1] < 0
    limbs.copy_(torch.where(negative[:, None], -limbs, limbs))
    propagate(limbs)
    places = torch.arange(LIMBS, device=limbs.device)
    nonzero = limbs != 0
    top = torch.where(nonzero, places, -1).amax(1)
    # The leading bit at place 62 of `word`, 62 bits of the sum below it, and the rest as a sticky bit.
    head, below, last = (_limb(limbs, top - i) for i in range(3))
    zeros = (leading_zeros(head) - 32).clamp_(0, 31)
    lowered = below << zeros
    word = (head << (31 + zeros)) | (lowered >> 1) | (last >> (33 - zeros))
    sticky = (lowered & 1 != 0) | (last & ones_below(33 - zeros) != 0)
    sticky |= (nonzero & (places < top[:, None] - 2)).any(1)
    fraction = (word >> 10) & FRACTION | (sticky | (word & 1023 != 0))
    exponent = 32 * top + (31 - 52) - zeros
    value = float_from_bits((exponent << 52) | fraction)
    value = torch.where(negative, -value, value)
    return torch.where(top < 0, 0.0, value)


def _limb(limbs: Tensor, place: Tensor) -> Tensor:
    """limbs[s, place[s]], and 0 for places below 0."""
    found = limbs.gather(1, place.clamp(min=0)[:, None])[:, 0]
    return torch.where(place < 0, 0, found)
