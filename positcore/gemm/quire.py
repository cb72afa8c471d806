"""The golden quire: dot products in floats, each proven right or computed again in integers.

1. The sums in float32 where that leaves few outputs in doubt, else in float64, by the platform's matrix product, in
   whatever order and with or without FMA.
2. Filter (`positcore.gemm.filter`): an error bound proves most codes. Doubtful sums in float32 are
   computed and filtered again in float64.
3. Certificate (`positcore.gemm.certificate`): proves that a doubtful sum was never rounded.
4. Exact path (`positcore.superaccumulator`): what remains, true ties and deep cancellation, in integers.

The idea is that of adaptive predicates (Shewchuk 1997). The matrix product must be an ordinary one: no
Strassen-like algorithm and no reduced precision, whose errors exceed the bound. The bound is that of the dtype
that it returns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import decode, encode_into
from positcore.gemm.certificate import certified, smallest_lsb
from positcore.gemm.dots import column_norms, paired_dots, row_norms
from positcore.gemm.filter import filter_codes
from positcore.mac import MacSpec
from positcore.superaccumulator import LIMBS, exact_dots
from positcore.threads import run_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Gather", "Product", "check_capacity", "exact_codes", "product_sums", "quire_codes", "quire_values", "resolve",
    "working_dtype",
]  # fmt: skip

Product = Callable[[Any, Any], Any]
Gather = Callable[[Any], Any]

_GATHERED = 1 << 23  # float64 items that one round on doubtful outputs may copy
_GRAIN = 1 << 14
_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)


def working_dtype(spec: MacSpec, length: int) -> np.dtype[Any]:
    """The dtype in which dot products of `length` terms are best summed first: float32 or float64.

    float32 where it holds the operands, no product or sum leaves its range, and the bound leaves few outputs
    in doubt: a share of about length^1.5 · 2^(significand bits of the output − 22), for random signs.
    """
    a, b, out = spec.a, spec.b, spec.out
    held = a.tensor_dtype == b.tensor_dtype == _FLOAT32 and a.max_scale + b.max_scale <= 80
    return _FLOAT32 if held and length**1.5 * 2.0**out.significand_bits <= 2.0**17 else _FLOAT64


def quire_codes(
    spec: MacSpec,
    a: NDArray[Any],
    b: NDArray[Any],
    bias: NDArray[Any] | None = None,
    product: Product = np.matmul,
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
    product : callable
        The matrix product of two arrays of float32 or of float64.

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
    sums = partial(product_sums, a, b, product=product, bias=bias)
    return resolve(spec, sums, length, row_norms(a), column_norms(b), lambda i: a[i], lambda j: b[:, j].T, bias)


def quire_values(
    spec: MacSpec,
    a: NDArray[Any],
    b: NDArray[Any],
    bias: NDArray[Any] | None = None,
    product: Product = np.matmul,
) -> NDArray[Any]:
    """As `quire_codes`, with the results as values in `spec.out.tensor_dtype`."""
    return decode(spec.out, quire_codes(spec, a, b, bias, product), spec.out.tensor_dtype)


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
    """The codes of dot products (M, N): proven by filter or certificate, else summed again in integers.

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
        From indices of rows (of columns) to the operands, (indices, K).
    bias : ndarray that broadcasts to (M, N), optional

    Returns
    -------
    ndarray of `spec.out.dtype`, (M, N)
    """
    computed = sums(working_dtype(spec, length))
    codes, doubtful = filter_codes(spec.out, computed, length, rows, columns, bias)
    if computed.dtype == _FLOAT32 and 8 * doubtful.size > computed.size:
        computed = sums(_FLOAT64)
        codes, doubtful = filter_codes(spec.out, computed, length, rows, columns, bias)
    flat, offsets = codes.reshape(-1), np.broadcast_to(np.zeros(()) if bias is None else bias, codes.shape)
    most = max(1, _GATHERED // max(1, length))
    step = max(1, doubtful.size if sum(codes.shape) <= most else most // 2)
    for start in range(0, doubtful.size, step):
        chosen = doubtful[start : start + step]
        i, j = np.divmod(chosen, codes.shape[1])
        size, terms, values = rows[i] * columns[j], offsets[i, j].astype(np.float64), computed[i, j]
        (a, at_a), (bt, at_b) = _gathered(gather_rows, i, codes.shape[0]), _gathered(gather_columns, j, codes.shape[1])
        if computed.dtype == _FLOAT32:
            values = paired_dots(a, bt, at_a, at_b) + terms
            again, left = filter_codes(spec.out, values[:, None], length, size, np.ones(1), terms[:, None])
            flat[chosen] = again[:, 0]
            chosen, size, terms, values = chosen[left], size[left], terms[left], values[left]
            at_a, at_b = at_a[left], at_b[left]
        if chosen.size:
            lsb = _smallest_lsb(a, at_a) * _smallest_lsb(bt, at_b)
            sure = certified(lsb, size, None if bias is None else terms)
            flat[chosen[sure]] = spec.out.encode(values[sure])
            rest = ~sure
            flat[chosen[rest]] = exact_codes(spec, a, bt, at_a[rest], at_b[rest], terms[rest])
    return codes


def _gathered(gather: Gather, indices: NDArray[np.intp], count: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The operands that `indices` name, each once, and where each index finds its own among them."""
    used, at = _compact(indices, count)
    return np.ascontiguousarray(gather(used), np.float64), at


def _smallest_lsb(operands: NDArray[np.float64], at: NDArray[np.intp]) -> NDArray[np.float64]:
    used, place = _compact(at, len(operands))
    return smallest_lsb(operands[used])[place]


def _compact(indices: NDArray[np.intp], count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The distinct indices below `count`, in order, and the place of each given index among them."""
    place = np.zeros(count, np.intp)
    place[indices] = 1
    used = np.flatnonzero(place)
    place[used] = np.arange(used.size)
    return used, place[indices]


def exact_codes(
    spec: MacSpec,
    a: NDArray[np.float64],
    bt: NDArray[np.float64],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    bias: NDArray[np.float64],
) -> NDArray[Any]:
    """Codes of the dot products a[rows[s]]·bt[columns[s]] + bias[s], summed in integers and rounded once."""
    split = spec.a.significand_bits + spec.b.significand_bits > 53
    out = spec.out
    sums = np.empty(rows.size)
    codes = np.empty(rows.size, out.dtype)

    def work(i: int, j: int) -> None:
        exact_dots(a, bt, bias[i:j], rows[i:j], columns[i:j], split, np.empty(LIMBS, np.int64), sums[i:j])
        encode_into(sums[i:j], out.n, out.es, out.flushed, codes[i:j])

    run_split(work, rows.size, max(1, _GRAIN // max(1, a.shape[1])))
    return codes
