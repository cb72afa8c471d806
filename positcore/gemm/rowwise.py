"""Dot products of long rows through a quire: two matrices row by row, or all rows with one vector.

A row is read once for its sum in float64 and for the norms that its error bound is made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.gemm.doubt import Doubtful, settle_precise
from positcore.gemm.filter import filter_codes
from positcore.jit import any_order_kernel
from positcore.mac import MacSpec, Quire
from positcore.threads import run_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["row_dot_codes", "row_dots_fit"]

_GRAIN = 1 << 15
_SHORT = 64  # terms below which a call for each row costs more than it saves


def row_dots_fit(spec: MacSpec, a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether `row_dot_codes` takes matrices of rows (M, K) and (M or 1, K), and is worth it."""
    along = all(x.ndim == 2 and x.strides[1] == x.itemsize for x in (a, b))
    return along and isinstance(spec.accumulator, Quire) and a.shape[1] >= _SHORT and len(b) in (1, len(a))


def row_dot_codes(spec: MacSpec, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """The codes (M,) of the sums a[i]·b[i], or a[i]·b[0] where `b` has one row; `row_dots_fit`.

    Parameters
    ----------
    spec : MacSpec
        With a quire that holds K products.
    a, b : ndarray of float32 or float64, (M, K) and (M or 1, K)
        Values of the input formats; nan is NaR.
    """
    rows, length = a.shape
    sums, sizes = np.empty(rows), np.empty(rows)
    run_split(lambda i, j: _sum_rows(a, b, i, sums[i:j], sizes[i:j]), rows, max(1, _GRAIN // length))
    codes, doubtful = filter_codes(spec.out, sums[None], length, np.ones(1), sizes)
    column = doubtful if len(b) > 1 else np.zeros_like(doubtful)
    left = Doubtful(doubtful, doubtful, column, sizes[doubtful], np.zeros(doubtful.size), sums[doubtful])
    settle_precise(spec, codes[0], left, length, a.__getitem__, b.__getitem__)
    return np.asarray(codes[0])


@any_order_kernel
def _sum_rows(a: Any, b: Any, first: int, sums: Any, sizes: Any) -> None:
    """Of the rows from `first` on: the dot products, and the products of the norms."""
    for i in range(sums.size):
        x, y = a[first + i], b[first + i if b.shape[0] > 1 else 0]
        total, left, right = 0.0, 0.0, 0.0
        for k in range(x.size):
            p, q = np.float64(x[k]), np.float64(y[k])
            total += p * q
            left += p * p
            right += q * q
        sums[i] = total
        sizes[i] = np.sqrt(left) * np.sqrt(right)
