"""The filter: which computed dot products round to the right code, proven by an error bound.

For a dot product of K terms summed in floats in any order, with or without FMA, without overflow or underflow,
|computed − exact| ≤ γ·‖a‖·‖b‖ with γ = K·u / (1 − K·u), u = 2^−53 for float64 and 2^−24 for float32 (Higham,
Accuracy and Stability of Numerical Algorithms, 2nd ed., §3.1, with Cauchy–Schwarz). Where both ends of that
interval round to one code, the code is right.

A dot product may come in parts, each summed by itself: then K is the length of a part, as by Cauchy–Schwarz the
products of the parts' norms add up to no more than ‖a‖·‖b‖. The parts are added in float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import encode_bits
from positcore.format import PositFormat
from positcore.jit import float_bits, kernel
from positcore.threads import run_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["bias_sizes", "filter_codes", "filter_into", "relative_bound"]

_SLACK = 1.0 + 2.0**-18  # covers the roundings of the norms and of the bounds themselves
_GRAIN = 1 << 14


def filter_codes(
    fmt: PositFormat,
    sums: NDArray[Any],
    length: int,
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    bias: NDArray[Any] | None = None,
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Codes of computed sums, and the flat indices of those that the error bound does not prove.

    Parameters
    ----------
    fmt : PositFormat
        The format of the codes.
    sums : ndarray of float64 or float32, (M, N)
        Computed dot products, `bias` included, in the precision in which they were summed.
    length : int
        Terms of a dot product, the bias counted.
    rows, columns : ndarray of float64, (M,) and (N,)
        Norms of the operands.
    bias : ndarray that broadcasts to (M, N), optional

    Returns
    -------
    codes : ndarray of `fmt.dtype`, (M, N)
    doubtful : ndarray of intp
        Flat indices of codes that may be wrong.
    """
    codes = np.empty(sums.shape, fmt.dtype)
    doubt = np.empty(sums.shape, np.bool_)
    found = []
    sizes = bias_sizes(bias, sums.shape)
    relative = relative_bound(sums.dtype, length)

    def work(i: int, j: int) -> None:
        parts = sums[None, i:j]
        found.append(filter_into(fmt, parts, relative, rows[i:j], columns, sizes[i:j], codes[i:j], doubt[i:j]))

    run_split(work, sums.shape[0], max(1, _GRAIN // max(1, sums.shape[1])))
    return codes, doubt.reshape(-1).nonzero()[0] if any(found) else np.zeros(0, np.intp)


def relative_bound(dtype: np.dtype[Any], length: int) -> float:
    """γ for sums of `length` terms in `dtype`, with what covers the rounding of the bound itself."""
    roundings = (length + 2) * float(np.finfo(dtype).eps) / 2
    assert roundings < 0.5
    return (roundings / (1 - roundings) + 2.0**-47) * _SLACK


def filter_into(
    fmt: PositFormat,
    parts: NDArray[Any],
    relative: float,
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    sizes: NDArray[np.float64],
    codes: NDArray[Any],
    doubt: NDArray[np.bool_],
) -> bool:
    """Fill `codes` and `doubt` (M, N) from at most 32 parts of sums (P, M, N), on this thread; whether any is in doubt.

    `sizes` (M,) are bounds on |bias|, `relative` is that of `relative_bound`; the rest as for `filter_codes`.
    """
    return _filter(parts, rows, columns, sizes, relative, fmt.n, fmt.es, fmt.flushed, codes, doubt)


def bias_sizes(bias: NDArray[Any] | None, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The largest |bias| of each row; NaR does not count, it shows in the sum itself."""
    if bias is None or 0 in shape:
        return np.zeros(shape[0])
    by_rows = np.atleast_2d(bias)
    sizes = np.empty(len(by_rows))
    _largest_sizes(by_rows, sizes)
    return sizes if sizes.size == shape[0] else np.full(shape[0], sizes[0])


@kernel
def _largest_sizes(rows: Any, out: Any) -> None:
    for i in range(rows.shape[0]):
        largest = 0.0
        for j in range(rows.shape[1]):
            size = abs(np.float64(rows[i, j]))
            largest = size if size > largest else largest
        out[i] = largest


@kernel
def _filter(
    parts: Any, rows: Any, columns: Any, sizes: Any, relative: float,
    n: int, es: int, flushed: int, codes: Any, doubt: Any,
) -> bool:  # fmt: skip
    found = False
    mask = (1 << n) - 1
    values = np.empty(parts.shape[2])
    for i in range(parts.shape[1]):
        row, size = rows[i], sizes[i]
        for j in range(values.size):
            values[j] = parts[0, i, j]
        for p in range(1, parts.shape[0]):
            for j in range(values.size):
                values[j] += np.float64(parts[p, i, j])
        for j in range(values.size):
            bound = relative * (row * columns[j] + size)
            low = encode_bits(float_bits(values[j] - bound), n, es, flushed)
            high = encode_bits(float_bits(values[j] + bound), n, es, flushed)
            codes[i, j] = low & mask
            doubt[i, j] = low != high
        found = found or doubt[i].any()
    return found
