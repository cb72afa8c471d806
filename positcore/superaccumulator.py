"""The integer quire: sums of float64 products kept as exact integers, in limbs of 32 bits.

A limb is an int64 that holds 32 bits of the sum and 31 bits of carries not yet passed on, so that adding
a number touches three limbs and no carry chain (Neal, "Fast exact summation using small and large
superaccumulators", 2015). Reading rounds to odd in float64.
"""

from __future__ import annotations

from typing import Any

from positcore.jit import count_leading_zeros, float_bits, float_from_bits, kernel
from positcore.odd import two_product

__all__ = ["LIMBS", "accumulate", "exact_dots", "read"]

_FRACTION = (1 << 52) - 1
_LOW = (1 << 32) - 1
LIMBS = 2046 // 32 + 4  # every float64 exponent, and headroom for 2^63 of the largest


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
def _propagate(limbs: Any) -> None:
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
    _propagate(limbs)
    negative = limbs[limbs.size - 1] < 0
    if negative:
        for i in range(limbs.size):
            limbs[i] = -limbs[i]
        _propagate(limbs)
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
def exact_dots(a: Any, bt: Any, bias: Any, rows: Any, columns: Any, split: bool, limbs: Any, out: Any) -> None:
    """out[s] ← a[rows[s]] · bt[columns[s]] + bias[s], exact, rounded to odd.

    a (M, K) and bt (N, K) float64; `split` where a product of two operands needs more than 53 bits.
    """
    for s in range(out.size):
        limbs[:] = 0
        i, j = rows[s], columns[s]
        accumulate(limbs, bias[s])
        for k in range(a.shape[1]):
            if split:
                p, e = two_product(a[i, k], bt[j, k])
                accumulate(limbs, p)
                accumulate(limbs, e)
            else:
                accumulate(limbs, a[i, k] * bt[j, k])
            if k & 0x1FFFFFFF == 0x1FFFFFFF:
                _propagate(limbs)
        out[s] = read(limbs)
