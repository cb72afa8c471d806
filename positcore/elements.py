"""Element operations on floats that hold posit values, each with its one rounding in the same pass.

They are the operations of `positcore.odd`, then `round_value`: what computing a block of float64s rounded to odd
and rounding that would give, without the block.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from positcore.codec import round_value
from positcore.jit import kernel
from positcore.odd import odd_difference, odd_fma, odd_product, odd_quotient, odd_root, odd_sum

__all__ = [
    "difference_rounded", "fma_rounded", "product_rounded", "quotient_rounded", "root_rounded", "sum_rounded",
]  # fmt: skip


@kernel
def sum_rounded(x: Any, y: Any, n: int, es: int, flushed: int, out: Any) -> None:
    """out[i] ← x[i] + y[i], rounded to posit<n,es>."""
    for i in range(out.size):
        out[i] = round_value(odd_sum(np.float64(x[i]), np.float64(y[i])), n, es, flushed)


@kernel
def difference_rounded(x: Any, y: Any, n: int, es: int, flushed: int, out: Any) -> None:
    """out[i] ← x[i] − y[i], rounded to posit<n,es>."""
    for i in range(out.size):
        out[i] = round_value(odd_difference(np.float64(x[i]), np.float64(y[i])), n, es, flushed)


@kernel
def product_rounded(x: Any, y: Any, n: int, es: int, flushed: int, out: Any) -> None:
    """out[i] ← x[i] · y[i], rounded to posit<n,es>."""
    for i in range(out.size):
        out[i] = round_value(odd_product(np.float64(x[i]), np.float64(y[i])), n, es, flushed)


@kernel
def quotient_rounded(x: Any, y: Any, n: int, es: int, flushed: int, out: Any) -> None:
    """out[i] ← x[i] / y[i], rounded to posit<n,es>; nan where y[i] is 0."""
    for i in range(out.size):
        out[i] = round_value(odd_quotient(np.float64(x[i]), np.float64(y[i])), n, es, flushed)


@kernel
def root_rounded(x: Any, n: int, es: int, flushed: int, out: Any) -> None:
    """out[i] ← √x[i], rounded to posit<n,es>; nan where x[i] < 0."""
    for i in range(out.size):
        out[i] = round_value(odd_root(np.float64(x[i])), n, es, flushed)


@kernel
def fma_rounded(x: Any, y: Any, z: Any, n: int, es: int, flushed: int, out: Any) -> None:
    """out[i] ← x[i] · y[i] + z[i], rounded to posit<n,es>."""
    for i in range(out.size):
        out[i] = round_value(odd_fma(np.float64(x[i]), np.float64(y[i]), np.float64(z[i])), n, es, flushed)
