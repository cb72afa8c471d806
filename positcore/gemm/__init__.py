"""Golden matrix products on codes: `matmul` and `dot`, by the accumulator of a `MacSpec`."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import check_codes, decode
from positcore.gemm.products import matmul_codes, stacked_codes, value_dtype
from positcore.mac import MacSpec

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["check_operands", "dot", "matmul", "matmul_codes"]


def matmul(spec: MacSpec, a: ArrayLike, b: ArrayLike, bias: ArrayLike | None = None) -> NDArray[Any]:
    """The matrix product of codes, bit for bit what the unit described by `spec` computes.

    Shapes are those of `numpy.matmul`: stacks of matrices broadcast in their leading dimensions; a vector is a row on
    the left and a column on the right, and the result lacks that dimension. Neither threads nor memory layout nor how
    a stack is cut change a bit.

    Parameters
    ----------
    spec : MacSpec
    a : array_like of codes of `spec.a`, (..., M, K) or (K,)
    b : array_like of codes of `spec.b`, (..., K, N) or (K,)
    bias : array_like of codes of `spec.a` that broadcasts to the result, optional
        What the accumulator holds before the first product.

    Returns
    -------
    ndarray of `spec.out.dtype`, (..., M, N); one code for two vectors

    Raises
    ------
    TypeError, ValueError
        If an operand is not an array of codes, shapes do not fit, or a dot product exceeds the quire.
    """
    a, b = _check_codes(spec, a, b)
    shape = _result_shape(a.shape, b.shape)
    start = None if bias is None else _check_bias(spec, bias, shape)
    dtype = value_dtype(spec, a.shape[-1] + 1, prod(shape) if a.ndim == b.ndim == 2 else 1)
    x, y = decode(spec.a, a, dtype), decode(spec.b, b, dtype)
    z = None if start is None else decode(spec.a, start, dtype)
    if a.ndim == b.ndim == 2:
        return matmul_codes(spec, x, y, z)
    if a.ndim == 1:
        x = x[None, :]
        z = z[..., None, :] if z is not None and z.ndim and b.ndim > 1 else z
    if b.ndim == 1:
        y = y[:, None]
        z = z[..., None] if z is not None and z.ndim else z
    return stacked_codes(spec, x, y, z).reshape(shape)[()]


def dot(spec: MacSpec, a: ArrayLike, b: ArrayLike) -> Any:
    """The dot product of two vectors of codes (K,); one code. Parameters and errors as for `matmul`."""
    a, b = check_codes(spec.a, a, "dot"), check_codes(spec.b, b, "dot")
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"dot: a and b must be vectors of one length, not of shapes {a.shape} and {b.shape}")
    return matmul(spec, a, b)


def check_operands(
    spec: MacSpec, a: ArrayLike, b: ArrayLike, bias: ArrayLike | None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """The operands of a product of two matrices as arrays of codes, checked in kind, range and shape."""
    a, b = _check_codes(spec, a, b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"matmul: a and b must be of shapes (M, K) and (K, N), not {a.shape} and {b.shape}")
    return a, b, None if bias is None else _check_bias(spec, bias, (a.shape[0], b.shape[1]))


def _check_codes(spec: MacSpec, a: ArrayLike, b: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    if not isinstance(spec, MacSpec):
        raise TypeError(f"matmul: spec must be a MacSpec, not {spec!r}")
    return check_codes(spec.a, a, "matmul: a"), check_codes(spec.b, b, "matmul: b")


def _check_bias(spec: MacSpec, bias: ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
    codes = check_codes(spec.a, bias, "matmul: bias")
    if codes.ndim > len(shape) or any(s not in (1, t) for s, t in zip(codes.shape[::-1], shape[::-1], strict=False)):
        raise ValueError(f"matmul: bias of shape {codes.shape} does not broadcast to the result's {shape}")
    return codes


def _result_shape(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the product of arrays of these shapes."""
    if not a or not b or a[-1] != (b[-2] if len(b) > 1 else b[0]):
        raise ValueError(f"matmul: a and b must be vectors, or matrices of shapes (M, K) and (K, N), not {a} and {b}")
    rows, columns = a[-2:-1], b[-1:] if len(b) > 1 else ()
    if len(a) <= 2 and len(b) <= 2:
        return rows + columns
    try:
        return np.broadcast_shapes(a[:-2], b[:-2]) + rows + columns
    except ValueError:
        raise ValueError(
            f"matmul: a and b are stacks of matrices of shapes {a} and {b}, whose leading dimensions {a[:-2]} and "
            f"{b[:-2]} do not broadcast"
        ) from None
