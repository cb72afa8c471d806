"""What the dot products of a campaign are, for coverage: exact sums, their largest terms and their lengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from positcore.codec import decode
from positcore.jit import kernel
from positcore.mac import MacSpec
from positcore.sim.bins import exponents
from positcore.superaccumulator import exact_dots

__all__ = ["Sums", "exact_sums", "length_classes"]


class Sums(NamedTuple):
    """Dot products: exact sums, rounded to odd (nan for NaR), the scales of their largest products, their items."""

    exact: NDArray[np.float64]
    largest: NDArray[np.int64]
    lengths: NDArray[np.int64]


def exact_sums(spec: MacSpec, inputs: Mapping[str, NDArray[Any]]) -> Sums:
    """The dot products of a stream, which `last` ends, or without `last` of the rows of a and the columns of b."""
    a = decode(spec.a, np.asarray(inputs["a"]).astype(spec.a.dtype))
    b = decode(spec.b, np.asarray(inputs["b"]).astype(spec.b.dtype))
    if "last" not in inputs:
        (m, k), n = a.shape, b.shape[1]
        rows, columns = (part.reshape(-1) for part in np.indices((m, n)))
        return _sums(a, np.ascontiguousarray(b.T), rows, columns, np.full(m * n, k, np.int64))
    ends = np.flatnonzero(inputs["last"]) + 1
    lengths = np.diff(ends, prepend=0)
    a, b = (x[: ends[-1]].reshape(ends[-1], -1) for x in (a, b))
    at = np.arange(lengths.max())
    inside = np.less(at, lengths[:, None])
    index = np.where(inside, (ends - lengths)[:, None] + at, 0)
    shown = np.expand_dims(inside, -1)
    padded = [np.where(shown, x[index], 0.0).reshape(lengths.size, -1) for x in (a, b)]
    places = np.arange(lengths.size)
    return _sums(padded[0], padded[1], places, places, lengths)


def _sums(
    a: NDArray[np.float64],
    bt: NDArray[np.float64],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    lengths: NDArray[np.int64],
) -> Sums:
    nar = np.asarray(np.isnan(a).any(axis=1))[rows] | np.asarray(np.isnan(bt).any(axis=1))[columns]
    a, bt = np.nan_to_num(a), np.nan_to_num(bt)
    exact = np.empty(rows.size)
    exact_dots(a, bt, np.zeros(rows.size), rows, columns, False, exact)
    products = np.empty(rows.size)
    _largest(a, bt, rows, columns, products)
    return Sums(np.where(nar, np.nan, exact), exponents(products), lengths)


@kernel
def _largest(a: Any, bt: Any, rows: Any, columns: Any, out: Any) -> None:
    """out[s] ← the largest of |a[rows[s], k] · bt[columns[s], k]|, each rounded to nearest."""
    for s in range(out.size):
        out[s] = 0.0
        for k in range(a.shape[1]):
            out[s] = max(out[s], abs(a[rows[s], k] * bt[columns[s], k]))


def length_classes(lengths: NDArray[np.int64]) -> NDArray[np.intp]:
    """1, 2 to 7, 8 to 31, 32 items and more: 0 to 3."""
    return np.searchsorted([2, 8, 32], lengths, side="right").astype(np.intp)
