"""The golden quire matmul: a float64 product proven right element by element, or computed in integers.

1. C = A·B in float64, by the platform's DGEMM in whatever order and with or without FMA.
2. Filter: |C − exact| ≤ γ·‖a‖·‖b‖ (Higham 2002, §3.1; Cauchy–Schwarz). Where both ends of that interval round to one
   code, the code is proven.
3. Certificate, for the others: all partial sums are multiples of the product of the smallest LSB
   weights in a row of A and a column of B, and none exceeds ‖a‖·‖b‖. If that takes at most 53 bits, C is exact.
4. Exact path: what remains (true ties, deep cancellation) is summed in an integer quire.

The idea is that of adaptive predicates (Shewchuk 1997). The filter goes first because it costs less than
the certificate; either order gives the same codes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import encode_bits, encode_into
from positcore.jit import count_trailing_zeros, float_bits, float_from_bits, kernel
from positcore.mac import MacSpec
from positcore.superaccumulator import exact_dots, limb_count
from positcore.threads import run_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Product", "certified", "exact_path", "filter_codes", "norms", "quire_codes", "smallest_lsb"]

Product = Callable[[Any, Any], Any]

_UNIT_ROUNDOFF = 2.0**-53
_SLACK = 1.0 + 2.0**-18  # covers the roundings of the norms and of the bounds themselves
_EXACT_PATH_BLOCK = 1 << 16
_GRAIN_EXACT = 1 << 14
_GRAIN_FILTER = 1 << 14


def quire_codes(
    spec: MacSpec,
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    bias: NDArray[np.float64] | None = None,
    product: Product = np.matmul,
) -> NDArray[Any]:
    """round(bias + A·B) for float64 arrays that hold posit values, each output rounded once.

    Parameters
    ----------
    spec : MacSpec
        With a `Quire` accumulator.
    a, b : ndarray of float64, (M, K) and (K, N)
        Values of the input formats; nan is NaR.
    bias : ndarray of float64 that broadcasts to (M, N), optional
        Values of the first input format, preloaded into the quire.
    product : callable
        The float64 matrix product: any that sums each dot product in float64 in some order. Not a
        fast (Strassen-like) or reduced-precision one, whose error exceeds the bound.

    Returns
    -------
    ndarray of `spec.out.dtype`, (M, N)

    Raises
    ------
    ValueError
        If K (and a bias) exceeds the capacity of the quire.
    """
    length = a.shape[1] + (bias is not None)
    if length > spec.accumulator.capacity:
        raise ValueError(
            f"matmul: a dot product of {length} terms exceeds the capacity of {spec.accumulator}, "
            f"{spec.accumulator.capacity}; take more carry bits or split the sum"
        )
    sums = np.asarray(product(a, b))
    if bias is not None:
        bias = np.broadcast_to(bias, sums.shape)
        sums = sums + bias
    row_norms, column_norms = norms(a, axis=1), norms(b, axis=0)
    codes, doubtful = filter_codes(spec, sums, length, row_norms, column_norms, bias)
    if not doubtful.size:
        return codes
    rows, columns = np.divmod(doubtful, sums.shape[1])
    terms = np.zeros(doubtful.size) if bias is None else bias[rows, columns]
    if doubtful.size * a.shape[1] > a.size + b.size:
        sure = certified(a, b, rows, columns, row_norms, column_norms, terms)
        values = sums[rows, columns]
        codes.reshape(-1)[doubtful[sure]] = spec.out.encode(values[sure])
        rows, columns, terms, doubtful = rows[~sure], columns[~sure], terms[~sure], doubtful[~sure]
    if doubtful.size:
        codes.reshape(-1)[doubtful] = exact_path(spec, a, b, rows, columns, terms)
    return codes


def norms(x: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Euclidean norms along `axis`, within a relative 2^-20; nan where an element is."""
    return np.sqrt(np.einsum("ij,ij->i" if axis == 1 else "ij,ij->j", x, x))


def filter_codes(
    spec: MacSpec,
    sums: NDArray[np.float64],
    length: int,
    row_norms: NDArray[np.float64],
    column_norms: NDArray[np.float64],
    bias: NDArray[np.float64] | None,
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Codes of float64 sums, and the flat indices of those that the error bound does not prove.

    `sums` (M, N) are computed dot products of `length` terms, `bias` included.
    """
    roundings = (length + 2) * _UNIT_ROUNDOFF
    relative = (roundings / (1 - roundings) + 4 * _UNIT_ROUNDOFF) * _SLACK
    out = spec.out
    codes = np.empty(sums.shape, out.dtype)
    doubt = np.empty(sums.shape, np.bool_)
    no_bias = np.zeros((1, 1)) if bias is None else np.zeros((0, 0))

    def work(start: int, stop: int) -> None:
        _filter(
            sums[start:stop], row_norms[start:stop], column_norms,
            no_bias if bias is None else bias[start:stop], relative,
            out.n, out.es, out.underflow, codes[start:stop], doubt[start:stop],
        )  # fmt: skip

    run_split(work, sums.shape[0], max(1, _GRAIN_FILTER // max(1, sums.shape[1])))
    return codes, np.flatnonzero(doubt)


@kernel
def _filter(
    sums: Any, row_norms: Any, column_norms: Any, bias: Any, relative: float,
    n: int, es: int, underflow: bool, codes: Any, doubt: Any,
) -> None:  # fmt: skip
    mask = (1 << n) - 1
    with_bias = bias.shape[0] == sums.shape[0] and bias.shape[1] == sums.shape[1]
    for i in range(sums.shape[0]):
        bound = row_norms[i] * relative
        for j in range(sums.shape[1]):
            size = bound * column_norms[j]
            if with_bias:
                size += relative * abs(bias[i, j])
            low = encode_bits(float_bits(sums[i, j] - size), n, es, underflow)
            high = encode_bits(float_bits(sums[i, j] + size), n, es, underflow)
            codes[i, j] = low & mask
            doubt[i, j] = low != high


def smallest_lsb(x: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The weight of the smallest least significant bit along `axis`; inf where all are zero."""
    out = np.empty(x.shape[1 - axis])
    rows = x if axis == 1 else np.ascontiguousarray(x.T)
    run_split(
        lambda i, j: _smallest_lsb(rows[i:j], out[i:j]),
        out.size,
        max(1, _GRAIN_FILTER // max(1, rows.shape[1])),
    )
    return out


@kernel
def _smallest_lsb(rows: Any, out: Any) -> None:
    for i in range(rows.shape[0]):
        least = 3000
        for k in range(rows.shape[1]):
            bits = float_bits(rows[i, k])
            weight = ((bits >> 52) & 0x7FF) + count_trailing_zeros(bits | (1 << 52))
            least = min(least, weight if bits & 0x7FFFFFFFFFFFFFFF else 3000)
        out[i] = np.inf if least == 3000 else float_from_bits((least - 52) << 52)


def certified(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    row_norms: NDArray[np.float64],
    column_norms: NDArray[np.float64],
    bias: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Which of the dot products a[rows]·b[:, columns] + bias are exact in float64, in any order of summation.

    All partial sums are multiples of one power of two and stay below 2^53 times it.
    """
    lsb = smallest_lsb(a, axis=1)[rows] * smallest_lsb(b, axis=0)[columns]
    lsb = np.minimum(lsb, smallest_lsb(bias[:, None], axis=1))
    size = row_norms[rows] * column_norms[columns] + np.abs(bias)
    return np.asarray(size * _SLACK <= lsb * 2.0**53)


def exact_path(
    spec: MacSpec,
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    bias: NDArray[np.float64],
) -> NDArray[Any]:
    """Codes of the dot products a[rows]·b[:, columns] + bias, summed in integers and rounded once."""
    used, columns = np.unique(columns, return_inverse=True)
    bt = np.ascontiguousarray(b[:, used].T)
    split = spec.a.significand_bits + spec.b.significand_bits > 53
    out = spec.out
    codes = np.empty(rows.size, out.dtype)

    def work(start: int, stop: int) -> None:
        limbs = np.empty(limb_count, np.int64)
        sums = np.empty(min(stop - start, _EXACT_PATH_BLOCK))
        for i in range(start, stop, _EXACT_PATH_BLOCK):
            j = min(i + _EXACT_PATH_BLOCK, stop)
            exact_dots(a, bt, bias[i:j], rows[i:j], columns[i:j], split, limbs, sums[: j - i])
            encode_into(sums[: j - i], out.n, out.es, out.underflow, codes[i:j])

    run_split(work, rows.size, max(1, _GRAIN_EXACT // max(1, a.shape[1])))
    return codes
