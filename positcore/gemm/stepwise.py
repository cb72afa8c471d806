"""What the accumulators that round at every step share: outputs in blocks that stay in the cache, rows over threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import encode, round_values
from positcore.format import PositFormat
from positcore.mac import MacSpec
from positcore.threads import run_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BLOCK", "exact_in_float64", "stepwise_codes"]

BLOCK = 256  # outputs of a row that are summed together, in the first-level cache
_GRAIN = 1 << 16


def exact_in_float64(spec: MacSpec) -> bool:
    """Whether a product of two operands has at most 53 bits."""
    return spec.a.significand_bits + spec.b.significand_bits <= 53


def stepwise_codes(
    spec: MacSpec,
    a: NDArray[Any],
    b: NDArray[Any],
    bias: NDArray[Any] | None,
    sum_rows: Callable[[Any, Any, PositFormat, Any], None],
) -> NDArray[Any]:
    """Run `sum_rows(a, b, fmt, sums)` on pieces of rows; it adds the products to `sums`, which hold the start.

    Parameters
    ----------
    spec : MacSpec
    a, b : ndarray of float64 or float32, (M, K) and (K, N)
        Values of the input formats; nan is NaR.
    bias : ndarray that broadcasts to (M, N), optional
        Where the sums start, rounded to the output's format.
    sum_rows : callable

    Returns
    -------
    ndarray of `spec.out.dtype`, (M, N)
    """
    x, y = np.ascontiguousarray(a, np.float64), np.ascontiguousarray(b, np.float64)
    sums = np.zeros((len(x), y.shape[1]))
    if bias is not None:
        sums[:] = round_values(spec.out, np.asarray(bias, np.float64))
    grain = max(1, _GRAIN // max(1, y.size))
    run_split(lambda i, j: sum_rows(x[i:j], y, spec.out, sums[i:j]), len(x), grain)
    return encode(spec.out, sums)
