"""The golden quire: dot products in floats, each proven right or computed again more exactly.

1. The sums in float32 where that leaves few outputs in doubt, else in float64, by the platform's matrix product, in
   whatever order and with or without FMA.
2. Filter (`positcore.gemm.filter`): an error bound proves most codes. Doubtful sums in float32 are
   computed and filtered again in float64.
3. Certificate (`positcore.gemm.certificate`), where many are in doubt: proves that a sum was never rounded.
4. Compensated sums (`positcore.gemm.compensated`): the same with twice the digits.
5. Exact path (`positcore.superaccumulator`): what remains, true ties and deep cancellation, in integers.

The idea is that of adaptive predicates (Shewchuk 1997). The matrix product must be an ordinary one: no
Strassen-like algorithm and no reduced precision, whose errors exceed the bound. The bound is that of the dtype
that it returns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.gemm.blas import has_control, one_thread
from positcore.gemm.dots import column_norms, gathered_columns, row_norms
from positcore.gemm.doubt import Filtered, Gather, settle_all
from positcore.gemm.filter import bias_sizes, filter_codes, filter_into, relative_bound
from positcore.mac import MacSpec
from positcore.threads import run_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Product", "check_capacity", "filtered_sums", "part_of", "pays_in_float32", "product_sums", "quire_codes",
    "resolve", "working_dtype",
]  # fmt: skip

Product = Callable[[Any, Any], Any]

_PART = 256  # terms that are at least summed at a time, before they are added in float64
_PARTS = 16  # parts of a dot product, at most
_BLOCK = 1 << 21  # sums of parts that a thread has in memory at a time
_OWN_THREADS = 1 << 22  # products from which a matrix product pays for being split over our own threads
_LITTLE_DOUBT = 0.04  # shares of the outputs: up to this, float32 pays; above the next, sums in parts do
_MUCH_DOUBT = 0.001
_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)


@lru_cache(maxsize=1024)
def working_dtype(spec: MacSpec, length: int, part: int | None = None) -> np.dtype[Any]:
    """The dtype in which dot products of `length` terms are best summed first: float32 or float64.

    float32 where it holds the operands, no product or sum leaves its range, and the bound leaves few outputs
    in doubt, when `part` terms are summed at a time (all, unless told).
    """
    return _FLOAT32 if pays_in_float32(spec, length, part or length) else _FLOAT64


def pays_in_float32(spec: MacSpec, length: int, roundings: int) -> bool:
    """Whether float32 proves most dot products of `length` terms, where a term goes through so many roundings."""
    a, b = spec.a, spec.b
    held = a.tensor_dtype == b.tensor_dtype == _FLOAT32 and a.max_scale + b.max_scale <= 80
    return held and _doubt(spec, length, roundings, _FLOAT32) <= _LITTLE_DOUBT


def part_of(length: int, outputs: int) -> int:
    """The terms that are summed at a time in float32: all, or where so many dot products are blocks' work, some."""
    return length if outputs * length < _OWN_THREADS else max(_PART, -(-length // _PARTS))


def _doubt(spec: MacSpec, length: int, part: int, dtype: np.dtype[Any]) -> float:
    """About the share of outputs left in doubt, for terms of random signs and sums of `part` terms at a time."""
    exponent = spec.out.significand_bits + (2 if dtype == _FLOAT32 else -27)
    return float(min(part, length) * length**0.5 * 2.0 ** (exponent - 24))


def quire_codes(
    spec: MacSpec,
    a: NDArray[Any],
    b: NDArray[Any],
    bias: NDArray[Any] | None = None,
    product: Product | None = None,
) -> NDArray[Any]:
    """round(bias + A·B) for float matrices that hold posit values, each output rounded once.

    Parameters
    ----------
    spec : MacSpec
        With a `Quire` accumulator.
    a, b : ndarray of float64 or float32, (M, K) and (K, N)
        Values of the input formats; nan is NaR.
    bias : ndarray that broadcasts to (M, N), optional
        Values of the first input format, preloaded into the quire.
    product : callable, optional
        The matrix product of two arrays of float32 or of float64; NumPy's unless told.

    Returns
    -------
    ndarray of `spec.out.dtype`, (M, N)

    Raises
    ------
    ValueError
        If K (and a bias) exceeds the capacity of the quire.
    """
    length = a.shape[1] + (bias is not None)
    check_capacity(spec, length)
    rows, columns = row_norms(a), column_norms(b)
    first = _filtered_product(spec, a, b, bias, rows, columns, length, product)

    def gather_rows(indices: NDArray[np.intp]) -> NDArray[Any]:
        every = indices.size == len(a) and bool((indices == np.arange(len(a))).all())
        return a if every and a.flags.c_contiguous else a[indices]

    return settle_all(spec, first, length, rows, columns, gather_rows, lambda j: gathered_columns(b, j), bias)


def product_sums(
    a: NDArray[Any], b: NDArray[Any], dtype: np.dtype[Any], *, product: Product, bias: NDArray[Any] | None = None
) -> NDArray[Any]:
    """bias + A·B computed in `dtype`, or in what `product` makes of it."""
    sums = np.asarray(product(a.astype(dtype, copy=False), b.astype(dtype, copy=False)))
    return sums if bias is None else sums + bias.astype(sums.dtype, copy=False)


def check_capacity(spec: MacSpec, length: int) -> None:
    """Raise a ValueError if a dot product of `length` terms could overflow the quire."""
    if length > spec.quire.capacity:
        raise ValueError(
            f"a dot product of {length} terms exceeds the {spec.quire.capacity} that a quire with "
            f"{spec.quire.carry_bits} carry bits holds; take more carry bits or split the sum"
        )


def _filtered_product(
    spec: MacSpec,
    a: NDArray[Any],
    b: NDArray[Any],
    bias: NDArray[Any] | None,
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    length: int,
    product: Product | None,
) -> Filtered:
    """The first sums and what the filter says of them; large ones in blocks of rows, each on one thread."""
    if product is not None or a.shape[0] * a.shape[1] * b.shape[1] < _OWN_THREADS or not has_control():

        def sums(dtype: np.dtype[Any]) -> NDArray[Any]:
            return product_sums(a, b, dtype, product=product or np.matmul, bias=bias)

        return filtered_sums(spec, sums, length, rows, columns, bias)
    dtype = working_dtype(spec, length, part_of(length, a.shape[0] * b.shape[1]))
    first = _filtered_blocks(spec, a, b, bias, rows, columns, length, dtype)
    if dtype == _FLOAT32 and 8 * first.doubtful.size > first.codes.size:
        first = _filtered_blocks(spec, a, b, bias, rows, columns, length, _FLOAT64)
    return first


def filtered_sums(
    spec: MacSpec,
    sums: Callable[[np.dtype[Any]], NDArray[Any]],
    length: int,
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    bias: NDArray[Any] | None = None,
) -> Filtered:
    """The first sums and what the filter says of them: in float64, where float32 leaves too many in doubt.

    Parameters as for `resolve`.
    """
    computed = sums(working_dtype(spec, length))
    codes, doubtful = filter_codes(spec.out, computed, length, rows, columns, bias)
    if computed.dtype == _FLOAT32 and 8 * doubtful.size > codes.size:
        computed = sums(_FLOAT64)
        codes, doubtful = filter_codes(spec.out, computed, length, rows, columns, bias)
    values = computed.reshape(-1)[doubtful].astype(np.float64)
    return Filtered(codes, doubtful, values, computed.dtype == _FLOAT64)


def _filtered_blocks(
    spec: MacSpec,
    a: NDArray[Any],
    b: NDArray[Any],
    bias: NDArray[Any] | None,
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    length: int,
    dtype: np.dtype[Any],
) -> Filtered:
    """Sums in `dtype`, in parts where that spares much doubt; a thread holds those of `_BLOCK` outputs at a time."""
    x, y = a.astype(dtype, copy=False), b.astype(dtype, copy=False)
    in_parts = dtype == _FLOAT32 or _doubt(spec, length, length, dtype) > _MUCH_DOUBT
    shape = (len(x), y.shape[1])
    part = part_of(length, shape[0] * shape[1]) if in_parts else x.shape[1]
    codes = np.empty(shape, spec.out.dtype)
    sizes, start = bias_sizes(bias, shape), None if bias is None else np.broadcast_to(bias, shape)
    bounds = [*range(0, x.shape[1], part), x.shape[1]]
    relative = relative_bound(dtype, min(part, x.shape[1]) + (bias is not None) + len(bounds))
    height = max(1, _BLOCK // (shape[1] * (len(bounds) - 1)))
    found: list[tuple[int, NDArray[np.intp], NDArray[np.float64]]] = []

    def work(first: int, last: int) -> None:
        tall = min(height, last - first)
        parts, doubt = np.empty((len(bounds) - 1, tall, shape[1]), dtype), np.empty((tall, shape[1]), np.bool_)
        for i in range(first, last, tall):
            j = min(i + tall, last)
            sums, unsure = parts[:, : j - i], doubt[: j - i]
            for p, (k, end) in enumerate(pairwise(bounds)):
                np.matmul(x[i:j, k:end], y[k:end], out=sums[p])
            if start is not None:
                sums[0] += start[i:j]
            filter_into(spec.out, sums, relative, rows[i:j], columns, sizes[i:j], codes[i:j], unsure)
            at = np.flatnonzero(unsure)
            values = sums.reshape(len(sums), -1)[:, at].astype(np.float64).sum(axis=0)
            found.append((i, at + i * shape[1], values))

    with one_thread():
        run_split(work, shape[0], max(1, _OWN_THREADS // (x.shape[1] * shape[1])))
    found.sort(key=lambda item: item[0])
    doubtful, values = (np.concatenate(items) for items in list(zip(*found, strict=True))[1:])
    return Filtered(codes, doubtful, values, dtype == _FLOAT64)


def resolve(
    spec: MacSpec,
    sums: Callable[[np.dtype[Any]], NDArray[Any]],
    length: int,
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    gather_rows: Gather,
    gather_columns: Gather,
    bias: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """The codes of dot products (M, N): proven from their sums in floats, else summed again more exactly.

    Parameters
    ----------
    spec : MacSpec
    sums : callable
        From float32 or float64 to the dot products computed in it, (M, N), `bias` included; in the dtype of the
        result they were summed.
    length : int
        The most terms that a dot product has, the bias counted.
    rows, columns : ndarray of float64, (M,) and (N,)
        Norms of the operands.
    gather_rows, gather_columns : callable
        From indices of rows (of columns) to the operands as floats, (indices, K).
    bias : ndarray that broadcasts to (M, N), optional

    Returns
    -------
    ndarray of `spec.out.dtype`, (M, N)
    """
    first = filtered_sums(spec, sums, length, rows, columns, bias)
    return settle_all(spec, first, length, rows, columns, gather_rows, gather_columns, bias)
