"""Exact operations on float64, rounded to odd: the step between decoding operands and encoding a result.

Rounding to odd keeps an inexact result inexact (its last bit is 1), so that rounding it again, to fewer
bits, gives what rounding the exact number would have given (Boldo and Melquiond 2008). The errors of float64 sums come
from TwoSum, those of products, quotients and roots from a fused multiply-add (Muller et al., Handbook of
Floating-Point Arithmetic, 2nd ed., §4.3 to §4.7); operands are posits of n ≤ 32 and es ≤ 4, whose products stay far
from overflow and underflow.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from positcore.jit import float_bits, float_from_bits, fused_multiply_add, kernel

__all__ = [
    "adjust_to_odd",
    "difference_into",
    "fma_into",
    "integers_into",
    "odd_difference",
    "odd_fma",
    "odd_product",
    "odd_quotient",
    "odd_root",
    "odd_sum",
    "product_into",
    "quotient_into",
    "root_into",
    "sum_into",
    "two_product",
    "two_sum",
]


@kernel
def two_sum(x: float, y: float) -> tuple[float, float]:
    """(s, e) with s the rounded sum and s + e = x + y exactly (Knuth)."""
    s = x + y
    t = s - x
    return s, (x - (s - t)) + (y - t)


@kernel
def two_product(x: float, y: float) -> tuple[float, float]:
    """(p, e) with p the rounded product and p + e = x·y exactly."""
    p = x * y
    return p, fused_multiply_add(x, y, -p)


@kernel
def adjust_to_odd(nearest: float, error: float) -> float:
    """The number `nearest + error` rounded to odd, where `nearest` is it rounded to nearest."""
    bits = float_bits(nearest)
    step = (float_bits(error) ^ bits) >> 63 | 1  # away from zero where the signs agree
    inexact = error != 0.0 and bits & 1 == 0
    return float_from_bits(bits + step if inexact else bits)


@kernel
def odd_sum(x: float, y: float) -> float:
    """x + y, rounded to odd."""
    s, e = two_sum(x, y)
    return adjust_to_odd(s, e)


@kernel
def odd_difference(x: float, y: float) -> float:
    """x − y, rounded to odd."""
    s, e = two_sum(x, -y)
    return adjust_to_odd(s, e)


@kernel
def odd_product(x: float, y: float) -> float:
    """x · y, rounded to odd."""
    p, e = two_product(x, y)
    return adjust_to_odd(p, e)


@kernel
def odd_quotient(x: float, y: float) -> float:
    """x / y, rounded to odd; nan where y is 0."""
    q = x / y
    remainder = fused_multiply_add(-q, y, x)
    error = remainder if y > 0.0 else -remainder
    return np.nan if y == 0.0 else adjust_to_odd(q, error)


@kernel
def odd_root(x: float) -> float:
    """√x, rounded to odd; nan where x < 0."""
    r = np.sqrt(x)
    return adjust_to_odd(r, fused_multiply_add(-r, r, x))


@kernel
def odd_fma(x: float, y: float, z: float) -> float:
    """x · y + z, rounded to odd once."""
    p, e = two_product(x, y)
    s, t = two_sum(p, z)
    u, v = two_sum(t, e)
    r, w = two_sum(s, u)
    return adjust_to_odd(r, w if w != 0.0 else v)


@kernel
def sum_into(x: Any, y: Any, out: Any) -> None:
    """out[i] ← x[i] + y[i], rounded to odd."""
    for i in range(out.size):
        out[i] = odd_sum(np.float64(x[i]), np.float64(y[i]))


@kernel
def difference_into(x: Any, y: Any, out: Any) -> None:
    """out[i] ← x[i] − y[i], rounded to odd."""
    for i in range(out.size):
        out[i] = odd_difference(np.float64(x[i]), np.float64(y[i]))


@kernel
def product_into(x: Any, y: Any, out: Any) -> None:
    """out[i] ← x[i] · y[i], rounded to odd."""
    for i in range(out.size):
        out[i] = odd_product(np.float64(x[i]), np.float64(y[i]))


@kernel
def quotient_into(x: Any, y: Any, out: Any) -> None:
    """out[i] ← x[i] / y[i], rounded to odd; nan where y[i] is 0."""
    for i in range(out.size):
        out[i] = odd_quotient(np.float64(x[i]), np.float64(y[i]))


@kernel
def root_into(x: Any, out: Any) -> None:
    """out[i] ← √x[i], rounded to odd; nan where x[i] < 0."""
    for i in range(out.size):
        out[i] = odd_root(np.float64(x[i]))


@kernel
def fma_into(x: Any, y: Any, z: Any, out: Any) -> None:
    """out[i] ← x[i] · y[i] + z[i], rounded to odd once."""
    for i in range(out.size):
        out[i] = odd_fma(np.float64(x[i]), np.float64(y[i]), np.float64(z[i]))


@kernel
def integers_into(negative: Any, magnitudes: Any, out: Any) -> None:
    """out[i] ← the integer of a sign and a magnitude (uint64), rounded to odd at its bit 11 if it has 53 bits or more.

    At least 42 bits remain, which is more than a posit's 30 and a guard bit.
    """
    for i in range(out.size):
        m = magnitudes[i]
        kept = m >> np.uint64(11)
        if m & np.uint64(0x7FF):
            kept |= np.uint64(1)
        value = np.float64(m) if m < np.uint64(1 << 53) else np.float64(kept) * 2048.0
        out[i] = -value if negative[i] else value
