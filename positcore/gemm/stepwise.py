"""What the accumulators that round at every step share: outputs in blocks that stay in the cache, rows over threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import encode, round_values
from positcore.format import PositFormat
from positcore.mac import MacSpec
from positcore.single import fits_single
from positcore.threads import run_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BLOCK", "GRAIN", "exact_products", "no_nar", "stepwise_codes", "width_for"]

BLOCK = 256  # outputs of a row that are summed together, in the first-level cache
GRAIN = 1 << 16  # products for which a thread is worth it


def width_for(spec: MacSpec) -> Any:
    """float32 where single products and sums, with their errors, are exact in it; else float64."""
    return np.float32 if fits_single(spec) else np.float64


def exact_products(spec: MacSpec, width: Any) -> bool:
    """Whether the product of two operands is a float of this width, float32 or float64."""
    return spec.a.significand_bits + spec.b.significand_bits <= np.finfo(width).nmant + 1


def no_nar(b: NDArray[Any]) -> bool:
    """Whether zeros of A can be left out, as many are in gradients below a ReLU: their products with `b` are 0."""
    return not np.isnan(b).any()


def stepwise_codes(
    spec: MacSpec,
    a: NDArray[Any],
    b: NDArray[Any],
    bias: NDArray[Any] | None,
    sum_rows: Callable[[Any, Any, PositFormat, Any], None],
    width: Any = np.float64,
) -> NDArray[Any]:
    """Run `sum_rows(a, b, fmt, sums)` on pieces of rows; it adds the products to `sums`, which hold the start.

    Parameters
    ----------
    spec : MacSpec
    a, b : ndarray of float64 or float32, (M, K) and (K, N)
        Values of the input formats; nan is NaR.
    bias : ndarray that broadcasts to (M, N), optional
        Where the sums start, rounded to the output's format.
    sum_rows : callable
    width : float64 or float32
        Of what `sum_rows` gets.

    Returns
    -------
    ndarray of `spec.out.dtype`, (M, N)
    """
    x, y = np.ascontiguousarray(a, width), np.ascontiguousarray(b, width)
    sums = np.zeros((len(x), y.shape[1]), width)
    if bias is not None:
        sums[:] = round_values(spec.out, np.asarray(bias, np.float64))
    grain = max(1, GRAIN // max(1, y.size))
    run_split(lambda i, j: sum_rows(x[i:j], y, spec.out, sums[i:j]), len(x), grain)
    return encode(spec.out, sums)
