"""Golden matrix products on codes: `matmul` and `dot`, by the accumulator of a `MacSpec`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import check_codes, decode
from positcore.gemm.aligned import aligned_codes
from positcore.gemm.fused import fused_codes
from positcore.gemm.quire import Product, quire_codes, working_dtype
from positcore.gemm.rounded import rounded_codes
from positcore.mac import Aligned, Fused, MacSpec, Quire, Rounded

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["check_operands", "dot", "matmul", "matmul_codes"]

_STEPWISE = {Fused: fused_codes, Rounded: rounded_codes, Aligned: aligned_codes}


def matmul(spec: MacSpec, a: ArrayLike, b: ArrayLike, bias: ArrayLike | None = None) -> NDArray[Any]:
    """The matrix product of codes, bit for bit what the unit described by `spec` computes.

    Parameters
    ----------
    spec : MacSpec
    a : array_like of codes of `spec.a`, (M, K)
    b : array_like of codes of `spec.b`, (K, N)
    bias : array_like of codes of `spec.a` that broadcasts to (M, N), optional
        What the accumulator holds before the first product.

    Returns
    -------
    ndarray of `spec.out.dtype`, (M, N)

    Raises
    ------
    TypeError, ValueError
        If an operand is not an array of codes, shapes do not fit, or a dot product exceeds the quire.
    """
    a, b, bias = check_operands(spec, a, b, bias)
    quire = isinstance(spec.accumulator, Quire)
    dtype = working_dtype(spec, a.shape[1] + 1) if quire else np.dtype(np.float64)
    start = None if bias is None else decode(spec.a, bias, dtype)
    return matmul_codes(spec, decode(spec.a, a, dtype), decode(spec.b, b, dtype), start)


def matmul_codes(
    spec: MacSpec, a: NDArray[Any], b: NDArray[Any], bias: NDArray[Any] | None = None, product: Product = np.matmul
) -> NDArray[Any]:
    """`matmul` on float matrices that hold posit values; a quire is proven from the matrix product `product`."""
    if isinstance(spec.accumulator, Quire):
        return quire_codes(spec, a, b, bias, product)
    return _STEPWISE[type(spec.accumulator)](spec, a, b, bias)


def dot(spec: MacSpec, a: ArrayLike, b: ArrayLike) -> Any:
    """The dot product of two vectors of codes (K,); one code. Parameters and errors as for `matmul`."""
    a, b = check_codes(spec.a, a, "dot"), check_codes(spec.b, b, "dot")
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"dot: a and b must be vectors of one length, not of shapes {a.shape} and {b.shape}")
    return matmul(spec, a[None, :], b[:, None])[0, 0]


def check_operands(
    spec: MacSpec, a: ArrayLike, b: ArrayLike, bias: ArrayLike | None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """The operands of a matmul as arrays of codes, checked in kind, range and shape."""
    if not isinstance(spec, MacSpec):
        raise TypeError(f"matmul: spec must be a MacSpec, not {spec!r}")
    a, b = check_codes(spec.a, a, "matmul: a"), check_codes(spec.b, b, "matmul: b")
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"matmul: a and b must be of shapes (M, K) and (K, N), not {a.shape} and {b.shape}")
    if bias is None:
        return a, b, None
    bias = check_codes(spec.a, bias, "matmul: bias")
    shape = (a.shape[0], b.shape[1])
    if bias.ndim > 2 or any(s not in (1, t) for s, t in zip(bias.shape[::-1], shape[::-1], strict=False)):
        raise ValueError(f"matmul: bias of shape {bias.shape} does not broadcast to the result's {shape}")
    return a, b, bias
