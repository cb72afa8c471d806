"""Matrix products on floats that hold posit values: one, or a stack of them, by the accumulator of a `MacSpec`."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import decode
from positcore.gemm.aligned import aligned_codes
from positcore.gemm.dots import row_norms
from positcore.gemm.doubt import Doubtful, settle
from positcore.gemm.fused import fused_codes
from positcore.gemm.quire import (
    Product,
    check_capacity,
    filtered_sums,
    part_of,
    product_sums,
    quire_codes,
    working_dtype,
)
from positcore.gemm.rounded import rounded_codes
from positcore.gemm.rowwise import row_dot_codes, row_dots_fit
from positcore.mac import Aligned, Fused, MacSpec, Quire, Rounded

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["matmul_codes", "matmul_values", "stacked_codes", "stacked_values", "value_dtype"]

_STEPWISE = {Fused: fused_codes, Rounded: rounded_codes, Aligned: aligned_codes}
_ALONE = 1 << 21  # products in a matrix from which on its own call costs nothing in comparison
_STACK = 1 << 19  # items of operands and results that are in memory for a stack at a time
_GATHERED = 1 << 20  # float64 items that one round on doubtful outputs may copy


def value_dtype(spec: MacSpec, length: int, outputs: int = 1) -> np.dtype[Any]:
    """The dtype in which the operands of so many dot products of `length` terms are best given."""
    quire = isinstance(spec.accumulator, Quire)
    return working_dtype(spec, length, part_of(length, outputs)) if quire else np.dtype(np.float64)


def matmul_codes(
    spec: MacSpec, a: NDArray[Any], b: NDArray[Any], bias: NDArray[Any] | None = None, product: Product | None = None
) -> NDArray[Any]:
    """The codes (M, N) of round(bias + A·B); a quire is proven from the matrix product `product`.

    Parameters
    ----------
    spec : MacSpec
    a, b : ndarray of float64 or float32, (M, K) and (K, N)
        Values of the input formats; nan is NaR.
    bias : ndarray that broadcasts to (M, N), optional
    product : callable, optional
        The matrix product of two arrays of float32 or of float64; NumPy's unless told.
    """
    if b.shape[1] == 1 and bias is None and row_dots_fit(spec, a, b.T):
        check_capacity(spec, a.shape[1])
        return row_dot_codes(spec, a, b.T)[:, None]
    if isinstance(spec.accumulator, Quire):
        return quire_codes(spec, a, b, bias, product)
    return _STEPWISE[type(spec.accumulator)](spec, a, b, bias)


def matmul_values(
    spec: MacSpec, a: NDArray[Any], b: NDArray[Any], bias: NDArray[Any] | None = None, product: Product | None = None
) -> NDArray[Any]:
    """As `matmul_codes`, with the results as values in `spec.out.tensor_dtype`."""
    return decode(spec.out, matmul_codes(spec, a, b, bias, product), spec.out.tensor_dtype)


def stacked_values(
    spec: MacSpec, a: NDArray[Any], b: NDArray[Any], bias: NDArray[Any] | None = None, product: Product | None = None
) -> NDArray[Any]:
    """As `stacked_codes`, with the results as values in `spec.out.tensor_dtype`."""
    return decode(spec.out, stacked_codes(spec, a, b, bias, product), spec.out.tensor_dtype)


def stacked_codes(
    spec: MacSpec, a: NDArray[Any], b: NDArray[Any], bias: NDArray[Any] | None = None, product: Product | None = None
) -> NDArray[Any]:
    """As `matmul_codes`, for stacks of matrices whose leading dimensions broadcast.

    A matrix that all others are multiplied with makes one product of them all. Stacks of dot products of long rows are
    summed where they lie. Stacks of small matrices are multiplied
    and proven together, large ones one by one.

    Parameters
    ----------
    spec : MacSpec
    a, b : ndarray of float64 or float32, (..., M, K) and (..., K, N)
    bias : ndarray that broadcasts to (..., M, N), optional
    product : callable, optional
        The matrix product of two arrays of float32 or of float64, and of two stacks of them; NumPy's unless told.

    Returns
    -------
    ndarray of `spec.out.dtype`, (..., M, N)
    """
    (m, k), n = a.shape[-2:], b.shape[-1]
    if a.ndim == b.ndim == 2 and (bias is None or bias.ndim <= 2):
        return matmul_codes(spec, a, b, bias, product)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    start = None if bias is None else np.broadcast_to(bias, (*batch, m, n))
    if prod(b.shape[:-2]) == 1 and 0 not in batch:
        rows = bias if bias is None or start is None or bias.ndim <= 1 else start.reshape(prod(batch) * m, n)
        return matmul_codes(spec, a.reshape(prod(batch) * m, k), b.reshape(k, n), rows, product).reshape(*batch, m, n)
    if prod(a.shape[:-2]) == 1 and 0 not in batch:
        columns = None if start is None else np.moveaxis(start, -2, 0).reshape(m, prod(batch) * n)
        codes = matmul_codes(spec, a.reshape(m, k), np.moveaxis(b, -2, 0).reshape(k, prod(batch) * n), columns, product)
        return np.ascontiguousarray(np.moveaxis(codes.reshape(m, *batch, n), 0, -2))
    length = k + (bias is not None)
    if isinstance(spec.accumulator, Quire):
        check_capacity(spec, length)
    if m == n == 1 and bias is None and a.shape[:-2] == b.shape[:-2] == batch:
        x, y = a.reshape(prod(batch), k), b.reshape(prod(batch), k)
        if row_dots_fit(spec, x, y):
            return row_dot_codes(spec, x, y).reshape(*batch, 1, 1)
    out = np.empty((prod(batch), m, n), spec.out.dtype)
    together = isinstance(spec.accumulator, Quire) and m * k * n < _ALONE
    step = max(1, _STACK // max(1, m * k + k * n + m * n)) if together else 1
    for i in range(0, len(out), step):
        j = min(i + step, len(out))
        x, y = _matrices(a, batch, i, j), _matrices(b, batch, i, j)
        z = None if start is None else _matrices(start, batch, i, j)
        if together:
            out[i:j] = _proven_together(spec, x, y, z, length, product)
        else:
            out[i] = matmul_codes(spec, x[0], y[0], None if z is None else z[0], product)
    return out.reshape(*batch, m, n)


def _matrices(x: NDArray[Any], batch: tuple[int, ...], start: int, stop: int) -> NDArray[Any]:
    """The matrices `start` … of a stack that broadcasts to `batch`, as a stack of one dimension."""
    if x.shape[:-2] == batch and x.flags.c_contiguous:
        return x.reshape(prod(batch), *x.shape[-2:])[start:stop]
    return np.broadcast_to(x, batch + x.shape[-2:])[np.unravel_index(np.arange(start, stop), batch)]


def _proven_together(
    spec: MacSpec, a: NDArray[Any], b: NDArray[Any], bias: NDArray[Any] | None, length: int, product: Product | None
) -> NDArray[Any]:
    """The quire's codes of a stack (S, M, K) times (S, K, N) plus (S, M, N): the steps of `positcore.gemm.quire`."""
    (m, k), n = a.shape[1:], b.shape[2]
    rows = row_norms(a.reshape(len(a) * m, k)).reshape(len(a), m, 1)
    sizes = (rows * np.sqrt(np.einsum("skn,skn->sn", b, b, dtype=np.float64))[:, None, :]).reshape(-1)
    one, reach = np.ones(1), sizes if bias is None else sizes + np.abs(bias).reshape(-1)

    def sums(dtype: np.dtype[Any]) -> NDArray[Any]:
        return product_sums(a, b, dtype, product=product or np.matmul, bias=bias).reshape(1, -1)

    codes, doubtful, computed, precise = filtered_sums(spec, sums, length, one, reach)
    step = max(1, _GATHERED // max(1, k))
    for start in range(0, doubtful.size, step):
        at = doubtful[start : start + step]
        s, i, j = np.unravel_index(at, (len(a), m, n))
        terms = np.zeros(at.size) if bias is None else bias[s, i, j].astype(np.float64)
        pair = np.arange(at.size)
        left = Doubtful(at, pair, pair, sizes[at], terms, computed[start : start + step])
        settle(spec, codes.reshape(-1), left, length, a[s, i], b[s, :, j], precise)
    return codes.reshape(len(a), m, n)
