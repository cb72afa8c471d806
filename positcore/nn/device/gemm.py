"""Matrix products on a device: `matmul` and `dot` on codes, `values_matmul` on float tensors that hold posit values.

By the accumulator of a `MacSpec`, bit for bit as `positcore.matmul`. Operands are held in float64, eight bytes an
element; outputs are worked on tile by tile.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
import torch
from torch import Tensor

from positcore.gemm.quire import check_capacity
from positcore.mac import MacSpec, Quire
from positcore.nn.device.blocks import tiles
from positcore.nn.device.codec import decode_signed, decode_stored, encode_signed, round_float
from positcore.nn.device.codes import as_codes, check_codes, check_floats, check_one_device, packed, stored_dtype
from positcore.nn.device.quire import quire_signed
from positcore.nn.device.stepwise import stepwise_sums, tile_items
from positcore.nn.tensors import dtype_of

__all__ = ["check_length", "dot", "matmul", "values_matmul"]

Store = Callable[[Tensor], Tensor]


def matmul(spec: MacSpec, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """The matrix product of codes, bit for bit what the unit described by `spec` computes.

    Shapes are those of `torch.matmul`: stacks of matrices broadcast in their leading dimensions; a vector is a row on
    the left and a column on the right, and the result lacks that dimension.

    Parameters
    ----------
    spec : MacSpec
    a : integer tensor of codes of `spec.a`, (..., M, K) or (K,)
    b : integer tensor of codes of `spec.b`, (..., K, N) or (K,)
    bias : integer tensor of codes of `spec.a` that broadcasts to the result, optional
        What the accumulator holds before the first product.

    Returns
    -------
    tensor of PyTorch's twin of `spec.out.dtype`, on the operands' device

    Raises
    ------
    TypeError, ValueError
        If an operand is not a tensor of codes, shapes or devices do not fit, or a dot product exceeds the quire.
    RuntimeError
        If the device's float64 matrix product is not an ordinary one.
    """
    if not isinstance(spec, MacSpec):
        raise TypeError(f"matmul: spec must be a MacSpec, not {spec!r}")
    operands = [check_codes(spec.a, a, "matmul: a"), check_codes(spec.b, b, "matmul: b")]
    if bias is not None:
        operands.append(check_codes(spec.a, bias, "matmul: bias"))
    check_one_device("matmul", *operands)
    formats = (spec.a, spec.b, spec.a)
    floats = [decode_stored(fmt, codes) for fmt, codes in zip(formats, operands, strict=False)]

    def store(codes: Tensor) -> Tensor:
        return packed(spec.out, codes)

    with torch.no_grad():
        return as_codes(spec.out, _product(spec, stored_dtype(spec.out), store, *floats))


def dot(spec: MacSpec, a: Tensor, b: Tensor) -> Tensor:
    """The dot product of two vectors of codes (K,); a tensor of one code. Parameters and errors as for `matmul`."""
    x, y = check_codes(spec.a, a, "dot"), check_codes(spec.b, b, "dot")
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(
            f"dot: a and b must be vectors of one length, not of shapes {tuple(a.shape)} and {tuple(b.shape)}"
        )
    return matmul(spec, a, b)


def values_matmul(spec: MacSpec, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """As `matmul`, on float tensors that hold posit values.

    Returns
    -------
    tensor of `spec.out.tensor_dtype`, on the operands' device

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As for `matmul`, but operands must be tensors of floats.
    """
    operands = [a, b] if bias is None else [a, b, bias]
    check_floats("matmul", *operands)
    dtype = dtype_of(spec.out)

    def store(codes: Tensor) -> Tensor:
        return decode_signed(spec.out, codes).to(dtype)

    with torch.no_grad():
        return _product(spec, dtype, store, *[x.detach().double() for x in operands])


def check_length(spec: MacSpec, length: int) -> None:
    """Raise a ValueError if dot products of `length` terms could overflow the quire, where `spec` has one."""
    if isinstance(spec.accumulator, Quire):
        check_capacity(spec, length)


def _product(
    spec: MacSpec, dtype: torch.dtype, store: Store, a: Tensor, b: Tensor, bias: Tensor | None = None
) -> Tensor:
    """The product of float64 vectors, matrices or stacks of them; `store` makes `dtype` of sign-extended codes."""
    shape = _result_shape(tuple(a.shape), tuple(b.shape))
    if bias is not None and (
        bias.ndim > len(shape) or any(s not in (1, t) for s, t in zip(bias.shape[::-1], shape[::-1], strict=False))
    ):
        raise ValueError(f"matmul: bias of shape {tuple(bias.shape)} does not broadcast to the result's {shape}")
    start = None if bias is None else bias.expand(shape)
    if a.ndim == 1:
        a = a[None]
        start = start if start is None else start.unsqueeze(-2 if b.ndim > 1 else -1)
    if b.ndim == 1:
        b = b[:, None]
        start = start if start is None else start.unsqueeze(-1)
    check_length(spec, a.shape[-1] + (bias is not None))
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    full = (*stack, a.shape[-2], b.shape[-1])
    out = torch.empty(full, dtype=dtype, device=a.device)
    if out.numel():
        for at in product(*map(range, stack)):
            x, y = a.expand(*stack, *a.shape[-2:])[at], b.expand(*stack, *b.shape[-2:])[at]
            _matrix_product(spec, x, y, None if start is None else start[at], store, out[at])
    return out.view(shape)


def _matrix_product(spec: MacSpec, a: Tensor, b: Tensor, bias: Tensor | None, store: Store, out: Tensor) -> None:
    """Fill `out` (M, N), tile by tile."""
    length = a.shape[1] + (bias is not None)
    for i, j in tiles(out.shape[0], out.shape[1], tile_items(spec, a.device)):
        x, y, start = a[i], b[:, j], None if bias is None else bias[i, j]
        sums = torch.zeros(x.shape[0], y.shape[1], dtype=torch.float64, device=a.device)
        if isinstance(spec.accumulator, Quire):
            codes = quire_signed(spec, partial(_once, x, y), sums, length, start)
        else:
            sums = sums if start is None else round_float(spec.out, start)
            codes = encode_signed(spec.out, stepwise_sums(spec, x, y, sums))
        out[i, j] = store(codes)


def _once(a: Tensor, b: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(a, b)]


def _result_shape(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the product of tensors of these shapes."""
    if not a or not b or a[-1] != (b[-2] if len(b) > 1 else b[0]):
        raise ValueError(f"matmul: a and b must be vectors, or matrices of shapes (M, K) and (K, N), not {a} and {b}")
    try:
        stack = np.broadcast_shapes(a[:-2], b[:-2])
    except ValueError:
        raise ValueError(
            f"matmul: a and b are stacks of matrices of shapes {a} and {b}, whose leading dimensions {a[:-2]} and "
            f"{b[:-2]} do not broadcast"
        ) from None
    return stack + a[-2:-1] + (b[-1:] if len(b) > 1 else ())
