"""The `Rounded` accumulator of formats of at most 8 bits: each product and each sum is read from a table of codes."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import decode, encode
from positcore.format import PositFormat
from positcore.gemm.stepwise import BLOCK, GRAIN
from positcore.jit import kernel
from positcore.mac import MacSpec
from positcore.threads import run_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fits_tables", "tabled_codes"]

_MOST = 8  # bits of a code: a table of sums of 64 KiB stays in the second-level cache


def fits_tables(spec: MacSpec) -> bool:
    """Whether all formats have at most 8 bits."""
    return max(spec.a.n, spec.b.n, spec.out.n) <= _MOST


def tabled_codes(spec: MacSpec, a: NDArray[Any], b: NDArray[Any], bias: NDArray[Any] | None = None) -> NDArray[Any]:
    """As `positcore.gemm.rounded.rounded_codes`, the same bits, of a `spec` that `fits_tables`.

    Products by a zero of A are left out, if B has no NaR: their term is 0.
    """
    x, y = encode(spec.a, a), np.ascontiguousarray(encode(spec.b, b))
    acc = np.zeros((len(x), y.shape[1]), spec.out.dtype)
    if bias is not None:
        acc[:] = encode(spec.out, np.asarray(bias, np.float64))
    products, sums, skips = _products(spec.a, spec.b, spec.out), _sums(spec.out), not (y == spec.b.nar).any()
    grain = max(1, GRAIN // max(1, y.size))
    run_split(lambda i, j: _look_up(x[i:j], y, products, sums, skips, acc[i:j]), len(x), grain)
    return acc


@lru_cache(maxsize=32)
def _products(a: PositFormat, b: PositFormat, out: PositFormat) -> NDArray[np.uint8]:
    """The code of round(x·y) for each pair of codes, (2^n_a, 256); a product of 8-bit posits is a float64."""
    table = np.zeros((1 << a.n, 1 << _MOST), np.uint8)
    x, y = (decode(fmt, np.arange(1 << fmt.n, dtype=fmt.dtype)) for fmt in (a, b))
    table[:, : y.size] = encode(out, x[:, None] * y)
    return table


@lru_cache(maxsize=16)
def _sums(fmt: PositFormat) -> NDArray[np.uint8]:
    """The code of round(x + y) at 256·x + y."""
    from positcore.arithmetic import add

    codes, table = np.arange(1 << fmt.n, dtype=fmt.dtype), np.zeros((1 << fmt.n, 1 << _MOST), np.uint8)
    table[:, : codes.size] = add(fmt, codes[:, None], codes)
    return table.reshape(-1)


@kernel
def _look_up(a: Any, b: Any, products: Any, sums: Any, skips: bool, acc: Any) -> None:
    for i in range(a.shape[0]):
        for start in range(0, b.shape[1], BLOCK):
            row = acc[i, start : start + BLOCK]
            for k in range(a.shape[1]):
                if skips and a[i, k] == 0:
                    continue
                terms, codes = products[a[i, k]], b[k, start : start + BLOCK]
                for j in range(row.size):
                    row[j] = sums[(np.uint64(row[j]) << np.uint64(8)) | np.uint64(terms[np.uint64(codes[j])])]
