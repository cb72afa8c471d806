"""The `Rounded` accumulator: acc ← round(acc + round(a·b)) at every step, in index order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from positcore.format import PositFormat
from positcore.gemm.stepwise import BLOCK, exact_products, no_nar, stepwise_codes, width_for
from positcore.gemm.tabled import fits_tables, tabled_codes
from positcore.jit import kernel
from positcore.mac import MacSpec
from positcore.odd import two_product, two_sum
from positcore.single import flushed_for, nearest, to_odd

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["rounded_codes"]


def rounded_codes(spec: MacSpec, a: NDArray[Any], b: NDArray[Any], bias: NDArray[Any] | None = None) -> NDArray[Any]:
    """The matrix product of float matrices that hold posit values, 2·K roundings an output.

    Parameters and result as for `positcore.gemm.stepwise.stepwise_codes`.
    """
    if fits_tables(spec):
        return tabled_codes(spec, a, b, bias)
    width = width_for(spec)
    split, skips = not exact_products(spec, width), no_nar(b)

    def sum_rows(x: Any, y: Any, fmt: PositFormat, sums: Any) -> None:
        (_rounded_wide if split else _rounded)(x, y, fmt.n, fmt.es, flushed_for(fmt, sums.dtype), skips, sums)

    return stepwise_codes(spec, a, b, bias, sum_rows, width)


@kernel
def _rounded(a: Any, b: Any, n: int, es: int, flushed: int, skips: bool, sums: Any) -> None:
    """Products are exact."""
    for i in range(a.shape[0]):
        for start in range(0, b.shape[1], BLOCK):
            acc = sums[i, start : start + BLOCK].copy()  # a buffer of its own, so that the inner loop vectorises
            for k in range(a.shape[1]):
                x, row = a[i, k], b[k, start : start + BLOCK]
                if skips and x == 0.0:
                    continue
                for j in range(acc.size):
                    s, e = two_sum(acc[j], nearest(x * row[j], n, es, flushed))
                    acc[j] = nearest(to_odd(s, e), n, es, flushed)
            sums[i, start : start + BLOCK] = acc


@kernel
def _rounded_wide(a: Any, b: Any, n: int, es: int, flushed: int, skips: bool, sums: Any) -> None:
    """Products of up to 60 bits: each is rounded to odd, then to the format."""
    for i in range(a.shape[0]):
        for start in range(0, b.shape[1], BLOCK):
            acc = sums[i, start : start + BLOCK].copy()  # a buffer of its own, so that the inner loop vectorises
            for k in range(a.shape[1]):
                x, row = a[i, k], b[k, start : start + BLOCK]
                if skips and x == 0.0:
                    continue
                for j in range(acc.size):
                    p, e = two_product(x, row[j])
                    term = nearest(to_odd(p, e), n, es, flushed)
                    s, e = two_sum(acc[j], term)
                    acc[j] = nearest(to_odd(s, e), n, es, flushed)
            sums[i, start : start + BLOCK] = acc
