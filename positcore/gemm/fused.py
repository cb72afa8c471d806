"""The `Fused` accumulator: acc ← round(acc + a·b) at every step, in index order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from positcore.format import PositFormat
from positcore.gemm.stepwise import BLOCK, exact_products, no_nar, stepwise_codes, width_for
from positcore.jit import kernel
from positcore.mac import MacSpec
from positcore.odd import two_product, two_sum
from positcore.single import flushed_for, nearest, to_odd

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fused_codes"]


def fused_codes(spec: MacSpec, a: NDArray[Any], b: NDArray[Any], bias: NDArray[Any] | None = None) -> NDArray[Any]:
    """The matrix product of float matrices that hold posit values, K roundings an output.

    Parameters and result as for `positcore.gemm.stepwise.stepwise_codes`.
    """
    width = width_for(spec)
    split, skips = not exact_products(spec, width), no_nar(b)

    def sum_rows(x: Any, y: Any, fmt: PositFormat, sums: Any) -> None:
        (_fused_wide if split else _fused)(x, y, fmt.n, fmt.es, flushed_for(fmt, sums.dtype), skips, sums)

    return stepwise_codes(spec, a, b, bias, sum_rows, width)


@kernel
def _fused(a: Any, b: Any, n: int, es: int, flushed: int, skips: bool, sums: Any) -> None:
    """Products are exact; a sum is rounded to odd, then to the format."""
    for i in range(a.shape[0]):
        for start in range(0, b.shape[1], BLOCK):
            acc = sums[i, start : start + BLOCK].copy()  # a buffer of its own, so that the inner loop vectorises
            for k in range(a.shape[1]):
                x, row = a[i, k], b[k, start : start + BLOCK]
                if skips and x == 0.0:
                    continue
                for j in range(acc.size):
                    s, e = two_sum(acc[j], x * row[j])
                    acc[j] = nearest(to_odd(s, e), n, es, flushed)
            sums[i, start : start + BLOCK] = acc


@kernel
def _fused_wide(a: Any, b: Any, n: int, es: int, flushed: int, skips: bool, sums: Any) -> None:
    """Products of up to 60 bits: each is a float and its error."""
    for i in range(a.shape[0]):
        for start in range(0, b.shape[1], BLOCK):
            acc = sums[i, start : start + BLOCK].copy()  # a buffer of its own, so that the inner loop vectorises
            for k in range(a.shape[1]):
                x, row = a[i, k], b[k, start : start + BLOCK]
                if skips and x == 0.0:
                    continue
                for j in range(acc.size):
                    p, e = two_product(x, row[j])
                    s, t = two_sum(p, acc[j])
                    u, v = two_sum(t, e)
                    r, w = two_sum(s, u)
                    acc[j] = nearest(to_odd(r, w if w != 0.0 else v), n, es, flushed)
            sums[i, start : start + BLOCK] = acc
