"""The certificate: which float64 dot products are exact, whatever the order of summation.

All partial sums of Σ aₖ·bₖ are multiples of lsb(a)·lsb(b), the weights of the smallest least significant bits among the
operands, and none exceeds ‖a‖·‖b‖. If 53 bits reach from the one to the other, nothing was ever rounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.jit import count_trailing_zeros, float_bits, float_from_bits, kernel
from positcore.threads import run_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["certified", "smallest_lsb"]

_GRAIN = 1 << 15
_NONE = 3000  # above every exponent: the row is all zeros


def smallest_lsb(rows: NDArray[Any]) -> NDArray[np.float64]:
    """The weight of the smallest least significant bit in each row of a matrix; inf for a row of zeros."""
    out = np.empty(rows.shape[0])
    grain = max(1, _GRAIN // max(1, rows.shape[1]))
    run_split(lambda i, j: _smallest_lsb(rows[i:j], out[i:j]), rows.shape[0], grain)
    return out


@kernel
def _smallest_lsb(rows: Any, out: Any) -> None:
    for i in range(rows.shape[0]):
        least = _NONE
        for k in range(rows.shape[1]):
            bits = float_bits(np.float64(rows[i, k]))
            weight = ((bits >> 52) & 0x7FF) + count_trailing_zeros(bits | (1 << 52))
            least = min(least, weight if bits & 0x7FFFFFFFFFFFFFFF else _NONE)
        out[i] = np.inf if least == _NONE else float_from_bits((least - 52) << 52)


def certified(
    lsb: NDArray[np.float64], size: NDArray[np.float64], bias: NDArray[np.float64] | None = None
) -> NDArray[np.bool_]:
    """Whether dot products are exact: `size`, a bound on Σ|aₖ·bₖ|, takes at most 53 bits above `lsb`.

    Parameters
    ----------
    lsb, size : ndarray of float64
        The product of the operands' smallest LSB weights, and that of their norms (within 2^−19).
    bias : ndarray of float64, optional
        An addend of each.
    """
    if bias is not None:
        lsb = np.minimum(lsb, smallest_lsb(bias[:, None]))
        size = size + np.abs(bias)
    return np.asarray(size * (1 + 2.0**-18) <= lsb * 2.0**53)
