"""The integer quire: sums of float64 products kept as exact integers, in limbs of 32 bits.

A limb is an int64 that holds 32 bits of the sum and 31 bits of carries not yet passed on, so that adding
a number touches three limbs and no carry chain (Neal, "Fast exact summation using small and large
superaccumulators", 2015). Reading rounds to odd in float64.

Products go into bins first: float64 sums of numbers whose exponents agree but for their last four bits, which are
exact as long as the numbers are short and not too many. That is one addition for a product, where limbs take three.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from positcore.jit import count_leading_zeros, float_bits, float_from_bits, kernel
from positcore.odd import two_product

__all__ = ["BINS", "LIMBS", "accumulate", "add_dot", "exact_dots", "propagate", "read"]

_FRACTION = (1 << 52) - 1
_LOW = (1 << 32) - 1
LIMBS = 2046 // 32 + 4  # every float64 exponent, and headroom for 2^63 of the largest
BINS = 2048 // 16
_SHORT = 27  # bits that a number in a bin may have
_SAFE = 1 << (53 - 15 - _SHORT)  # of them fit a bin: they are multiples of 2^(least exponent − 26), below 2^(that + 16)
_UPPER = ~((1 << (53 - _SHORT)) - 1)  # the bits of a float64's first 27


@kernel
def accumulate(limbs: Any, x: float) -> None:
    """limbs ← limbs + x, exactly; x a normal float64 or zero. At most 2^30 times between two reads."""
    if x == 0.0:
        return
    bits = float_bits(x)
    significand = (bits & _FRACTION) | (1 << 52)
    position = (bits >> 52) & 0x7FF
    limb = position >> 5
    offset = position & 31
    low = (significand & _LOW) << offset
    high = (significand >> 32) << offset
    sign = bits >> 63  # 0 or −1: v ^ sign − sign is v or −v
    limbs[limb] += ((low & _LOW) ^ sign) - sign
    limbs[limb + 1] += (((low >> 32) + (high & _LOW)) ^ sign) - sign
    limbs[limb + 2] += ((high >> 32) ^ sign) - sign


@kernel
def propagate(limbs: Any) -> None:
    """Pass the carries on: all limbs but the last end in 0 … 2^32 − 1, the last holds the sign."""
    carry = 0
    for i in range(limbs.size - 1):
        total = limbs[i] + carry
        limbs[i] = total & _LOW
        carry = total >> 32
    limbs[limbs.size - 1] += carry


@kernel
def read(limbs: Any) -> float:
    """The sum rounded to odd in float64. Afterwards limbs hold its magnitude: clear them before reuse."""
    propagate(limbs)
    negative = limbs[limbs.size - 1] < 0
    if negative:
        for i in range(limbs.size):
            limbs[i] = -limbs[i]
        propagate(limbs)
    top = limbs.size - 1
    while top >= 0 and limbs[top] == 0:
        top -= 1
    if top < 0:
        return 0.0
    # The leading bit at place 62 of `word`, 62 bits of the sum below it, and the rest as a sticky bit.
    zeros = count_leading_zeros(limbs[top]) - 32
    below = limbs[top - 1] if top >= 1 else 0
    last = limbs[top - 2] if top >= 2 else 0
    word = (limbs[top] << (31 + zeros)) | ((below << zeros) >> 1) | (last >> (33 - zeros) if zeros else 0)
    sticky = (below << zeros) & 1 != 0 or last & ((1 << (33 - zeros)) - 1) != 0
    for i in range(top - 2):
        sticky = sticky or limbs[i] != 0
    fraction = (word >> 10) & _FRACTION
    if sticky or word & 1023:
        fraction |= 1
    exponent = 32 * top + 31 - zeros - 52
    value = float_from_bits((exponent << 52) | fraction)
    return -value if negative else value


@kernel
def _put(bins: Any, x: float) -> None:
    """bins ← bins + x, exactly, for x of at most 27 bits and at most `_SAFE` numbers in a bin."""
    bins[(float_bits(x) >> 56) & (BINS - 1)] += x


@kernel
def _put_product(bins: Any, x: float, y: float) -> None:
    """bins ← bins + x·y, exactly, for any x and y; up to two numbers of a bin."""
    p, e = two_product(x, y)
    upper = float_from_bits(float_bits(p) & _UPPER)
    _put(bins, upper)
    _put(bins, p - upper)
    if e != 0.0:
        upper = float_from_bits(float_bits(e) & _UPPER)
        _put(bins, upper)
        _put(bins, e - upper)


@kernel
def _empty(bins: Any, limbs: Any) -> None:
    """limbs ← limbs + all bins; bins ← 0."""
    for b in range(bins.size):
        accumulate(limbs, bins[b])
        bins[b] = 0.0


@kernel
def add_dot(limbs: Any, bins: Any, x: Any, y: Any, short: bool) -> None:
    """limbs ← limbs + Σ x[k]·y[k], exact; bins are zero before and after; `short` as in `exact_dots`."""
    for start in range(0, x.size, _SAFE):
        for k in range(start, min(start + _SAFE, x.size)):
            p, q = np.float64(x[k]), np.float64(y[k])
            if short:
                _put(bins, p * q)
            else:
                _put_product(bins, p, q)
        _empty(bins, limbs)


@kernel
def exact_dots(a: Any, bt: Any, bias: Any, rows: Any, columns: Any, short: bool, out: Any) -> None:
    """out[s] ← a[rows[s]] · bt[columns[s]] + bias[s], exact, rounded to odd.

    a (M, K) and bt (N, K) of floats; `short` where a product of two operands has at most 27 bits.
    """
    limbs, bins = np.zeros(LIMBS, np.int64), np.zeros(BINS)
    for s in range(out.size):
        limbs[:] = 0
        accumulate(limbs, bias[s])
        add_dot(limbs, bins, a[rows[s]], bt[columns[s]], short)
        out[s] = read(limbs)
