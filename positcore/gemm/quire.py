"""The golden quire: float64 dot products, each proven right or computed again in integers.

1. The sums in float64, by the platform's DGEMM, in whatever order and with or without FMA.
2. Filter (`positcore.gemm.filter`): an error bound proves most codes.
3. Certificate (`positcore.gemm.certificate`): proves that a doubtful sum was never rounded.
4. Exact path (`positcore.superaccumulator`): what remains, true ties and deep cancellation, in integers.

The idea is that of adaptive predicates (Shewchuk 1997). DGEMM must be an ordinary one: no Strassen-like
product and no reduced precision, whose errors exceed the bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import decode, encode_into
from positcore.gemm.certificate import certified, smallest_lsb
from positcore.gemm.filter import column_norms, filter_codes, row_norms
from positcore.mac import MacSpec
from positcore.superaccumulator import LIMBS, exact_dots
from positcore.threads import run_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Gather", "Product", "check_capacity", "exact_codes", "quire_codes", "quire_values", "resolve"]

Product = Callable[[Any, Any], Any]
Gather = Callable[[Any], Any]

_GATHERED = 1 << 23  # float64 items that one round of the exact path may copy
_GRAIN = 1 << 14


def quire_codes(
    spec: MacSpec,
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    bias: NDArray[np.float64] | None = None,
    product: Product = np.matmul,
) -> NDArray[Any]:
    """round(bias + A·B) for float64 matrices that hold posit values, each output rounded once.

    Parameters
    ----------
    spec : MacSpec
        With a `Quire` accumulator.
    a, b : ndarray of float64, (M, K) and (K, N)
        Values of the input formats; nan is NaR.
    bias : ndarray of float64 that broadcasts to (M, N), optional
        Values of the first input format, preloaded into the quire.
    product : callable
        The float64 matrix product.

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
    sums = np.asarray(product(a, b))
    if bias is not None:
        sums = sums + bias
    return resolve(
        spec, sums, length, row_norms(a), column_norms(b), lambda i: a[i], lambda j: b[:, j].T, bias
    )  # fmt: skip


def quire_values(
    spec: MacSpec,
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    bias: NDArray[np.float64] | None = None,
    product: Product = np.matmul,
) -> NDArray[Any]:
    """As `quire_codes`, with the results as values in `spec.out.tensor_dtype`."""
    return decode(spec.out, quire_codes(spec, a, b, bias, product), spec.out.tensor_dtype)


def check_capacity(spec: MacSpec, length: int) -> None:
    """Raise a ValueError if a dot product of `length` terms could overflow the quire."""
    if length > spec.accumulator.capacity:
        raise ValueError(
            f"a dot product of {length} terms exceeds the {spec.accumulator.capacity} that a quire with "
            f"{spec.accumulator.carry_bits} carry bits holds; take more carry bits or split the sum"
        )


def resolve(
    spec: MacSpec,
    sums: NDArray[np.float64],
    length: int,
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    gather_rows: Gather,
    gather_columns: Gather,
    bias: NDArray[np.float64] | None = None,
) -> NDArray[Any]:
    """The codes of float64 dot products (M, N): proven by filter or certificate, else summed again in integers.

    Parameters
    ----------
    spec : MacSpec
    sums : ndarray of float64, (M, N)
        The computed dot products, `bias` included.
    length : int
        The most terms that a dot product has, the bias counted.
    rows, columns : ndarray of float64, (M,) and (N,)
        Norms of the operands.
    gather_rows, gather_columns : callable
        From indices of rows (of columns) to the operands, (indices, K).
    bias : ndarray of float64 that broadcasts to (M, N), optional

    Returns
    -------
    ndarray of `spec.out.dtype`, (M, N)
    """
    codes, doubtful = filter_codes(spec.out, sums, length, rows, columns, bias)
    if not doubtful.size:
        return codes
    flat, offsets = codes.reshape(-1), np.broadcast_to(np.zeros(()) if bias is None else bias, sums.shape)
    step = max(1, _GATHERED // max(1, length))
    for start in range(0, doubtful.size, step):
        chosen = doubtful[start : start + step]
        i, j = np.divmod(chosen, sums.shape[1])
        used_i, at_i = np.unique(i, return_inverse=True)
        used_j, at_j = np.unique(j, return_inverse=True)
        a, bt = np.ascontiguousarray(gather_rows(used_i)), np.ascontiguousarray(gather_columns(used_j))
        terms = offsets[i, j]
        lsb = smallest_lsb(a)[at_i] * smallest_lsb(bt)[at_j]
        sure = certified(lsb, rows[i] * columns[j], None if bias is None else terms)
        flat[chosen[sure]] = spec.out.encode(sums[i[sure], j[sure]])
        rest = ~sure
        flat[chosen[rest]] = exact_codes(spec, a, bt, at_i[rest], at_j[rest], terms[rest])
    return codes


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
        encode_into(sums[i:j], out.n, out.es, out.underflow, codes[i:j])

    run_split(work, rows.size, max(1, _GRAIN // max(1, a.shape[1])))
    return codes
