"""Dot products with twice the digits of float64, and a proof of their codes: for sums too close to a tie to tell.

Every product and every addition hands its rounding error to a second sum: hi + lo differs from the exact sum by some
K²·u²·‖a‖·‖b‖, u = 2^−53 (Ogita, Rump and Oishi, "Accurate sum and dot product", 2005, Dot2). 64 sums run side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import encode_bits
from positcore.format import PositFormat
from positcore.jit import float_bits, kernel
from positcore.odd import adjust_to_odd, two_product, two_sum
from positcore.threads import run_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["compensated_codes"]

_LANES = 64
_GRAIN = 1 << 15


def compensated_codes(
    fmt: PositFormat,
    a: NDArray[Any],
    bt: NDArray[Any],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    bias: NDArray[np.float64],
    sizes: NDArray[np.float64],
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Codes of the dot products a[rows[s]] · bt[columns[s]] + bias[s], and which of them stay unproven.

    Parameters
    ----------
    fmt : PositFormat
    a, bt : ndarray of floats, (M, K) and (N, K)
    rows, columns : ndarray of intp, (S,)
    bias : ndarray of float64, (S,)
    sizes : ndarray of float64, (S,)
        The products of the operands' norms.

    Returns
    -------
    codes : ndarray of `fmt.dtype`, (S,)
    doubt : ndarray of bool, (S,)
    """
    # The second sum has 2 additions a term, a lane and the bias, of errors that are each at most u·(size + |bias|).
    additions = 2.0 * (a.shape[1] + 2 * _LANES + 4)
    relative = additions**2 * 2.0**-106
    codes = np.empty(rows.size, fmt.dtype)
    doubt = np.empty(rows.size, np.bool_)

    def work(i: int, j: int) -> None:
        _compensated(
            a, bt, rows[i:j], columns[i:j], bias[i:j], sizes[i:j], relative,
            fmt.n, fmt.es, fmt.flushed, codes[i:j], doubt[i:j],
        )  # fmt: skip

    run_split(work, rows.size, max(1, _GRAIN // max(1, a.shape[1])))
    return codes, doubt


@kernel
def _compensated(
    a: Any, bt: Any, rows: Any, columns: Any, bias: Any, sizes: Any, relative: float,
    n: int, es: int, flushed: int, codes: Any, doubt: Any,
) -> None:  # fmt: skip
    mask = (1 << n) - 1
    sums, errors = np.empty(_LANES), np.empty(_LANES)
    for s in range(rows.size):
        x, y = a[rows[s]], bt[columns[s]]
        sums[:] = 0.0
        errors[:] = 0.0
        for start in range(0, x.size, _LANES):
            _add_products(x[start : start + _LANES], y[start : start + _LANES], sums, errors)
        width = _LANES // 2
        while width > 0:
            for lane in range(width):
                sums[lane], e = two_sum(sums[lane], sums[width + lane])
                errors[lane] += errors[width + lane] + e
            width //= 2
        total, e = two_sum(sums[0], bias[s])
        hi, lo = two_sum(total, errors[0] + e)
        bound = relative * (sizes[s] + abs(bias[s]))
        # Rounded to odd, hi + lo keeps its side of every tie; where even its last bit is in doubt, so is the code.
        low = encode_bits(float_bits(adjust_to_odd(hi, lo - bound)), n, es, flushed)
        high = encode_bits(float_bits(adjust_to_odd(hi, lo + bound)), n, es, flushed)
        codes[s] = low & mask
        doubt[s] = low != high or bound > abs(hi) * 2.0**-56


@kernel
def _add_products(x: Any, y: Any, sums: Any, errors: Any) -> None:
    for lane in range(x.size):
        p, e = two_product(np.float64(x[lane]), np.float64(y[lane]))
        sums[lane], f = two_sum(sums[lane], p)
        errors[lane] += e + f
