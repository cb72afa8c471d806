"""Dot products and norms in float64, summed in whatever order the compiler finds fastest; columns made into rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.jit import any_order_kernel, kernel
from positcore.threads import run_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["column_norms", "gathered_columns", "paired_dots", "row_norms"]

_GRAIN = 1 << 15
_STRIP = 1 << 11
_WIDE, _TALL = 64, 8  # columns and rows of a tile that is turned


def row_norms(x: NDArray[Any]) -> NDArray[np.float64]:
    """Euclidean norms of the rows of a matrix, within a relative 2^−20; nan where an element is."""
    if x.strides[0] < x.strides[1]:
        return column_norms(x.T)
    squares = np.empty(len(x))
    run_split(lambda i, j: _row_squares(x[i:j], squares[i:j]), len(x), max(1, _GRAIN // max(1, x.shape[1])))
    return np.sqrt(squares)


def column_norms(x: NDArray[Any]) -> NDArray[np.float64]:
    """Euclidean norms of the columns of a matrix, within a relative 2^−20; nan where an element is."""
    if x.strides[0] < x.strides[1]:
        return row_norms(x.T)
    squares = np.zeros(x.shape[1])
    run_split(lambda i, j: _add_squares(x[:, i:j], squares[i:j]), x.shape[1], max(_STRIP, _GRAIN // max(1, len(x))))
    return np.sqrt(squares)


def paired_dots(
    a: NDArray[Any], bt: NDArray[Any], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[np.float64]:
    """The dot products a[rows[s]] · bt[columns[s]]."""
    out = np.empty(rows.size)
    run_split(
        lambda i, j: _paired_dots(a, bt, rows[i:j], columns[i:j], out[i:j]),
        rows.size,
        max(1, _GRAIN // max(1, a.shape[1])),
    )
    return out


def gathered_columns(b: NDArray[Any], columns: NDArray[np.intp]) -> NDArray[Any]:
    """Chosen columns of a matrix (K, N) as rows (columns, K), contiguous."""
    if b.strides[0] < b.strides[1]:
        return np.ascontiguousarray(b.T[columns])
    out = np.empty((columns.size, len(b)), b.dtype)
    run_split(lambda i, j: _gather_columns(b, columns[i:j], out[i:j]), columns.size, max(1, _GRAIN // max(1, len(b))))
    return out


@any_order_kernel
def _row_squares(x: Any, squares: Any) -> None:
    for i in range(x.shape[0]):
        total = 0.0
        for j in range(x.shape[1]):
            total += np.float64(x[i, j]) * np.float64(x[i, j])
        squares[i] = total


@kernel
def _add_squares(x: Any, squares: Any) -> None:
    for start in range(0, x.shape[1], _STRIP):
        sums = squares[start : start + _STRIP]
        for i in range(x.shape[0]):
            row = x[i, start : start + _STRIP]
            for j in range(sums.size):
                sums[j] += np.float64(row[j]) * np.float64(row[j])


@any_order_kernel
def _paired_dots(a: Any, bt: Any, rows: Any, columns: Any, out: Any) -> None:
    for s in range(out.size):
        i, j = rows[s], columns[s]
        total = 0.0
        for k in range(a.shape[1]):
            total += np.float64(a[i, k]) * np.float64(bt[j, k])
        out[s] = total


@kernel
def _gather_columns(b: Any, columns: Any, out: Any) -> None:
    """By tiles that are turned in a buffer, so that each line of the cache is read and written once."""
    tile = np.empty((_WIDE, _TALL), b.dtype)
    for start in range(0, b.shape[0], _TALL):
        for first in range(0, out.shape[0], _WIDE):
            chosen = columns[first : first + _WIDE]
            for k in range(min(_TALL, b.shape[0] - start)):
                row = b[start + k]
                for s in range(chosen.size):
                    tile[s, k] = row[chosen[s]]
            for s in range(chosen.size):
                part, turned = out[first + s, start : start + _TALL], tile[s]
                for k in range(part.size):
                    part[k] = turned[k]
