"""Sums and means over dimensions: one accumulator each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from positcore.nn import tensors
from positcore.nn.functional.operands import Operand, row_dots, rows_of
from positcore.nn.functional.operation import carrier, operation, shaped
from positcore.nn.policy import Policy

__all__ = ["CALLS", "mean", "sum"]

Dims = int | Sequence[int] | None


@operation
def sum(x: Tensor, dim: Dims, policy: Policy, keepdim: bool = False) -> Tensor:  # named as in torch
    """R_F(Σ x) in the accumulator of F; the gradient of an element is that of its sum.

    Parameters
    ----------
    x : float tensor
        Rounded to F first.
    dim : int, tuple of int, or None
        None: all dimensions.
    policy : Policy
    keepdim : bool

    Returns
    -------
    tensor of F values

    Raises
    ------
    ValueError
        If there is no such dimension, or it is named twice.
    """
    return _reduced("sum", x, dim, keepdim, policy)


@operation
def mean(x: Tensor, dim: Dims, policy: Policy, keepdim: bool = False) -> Tensor:
    """R_F(R_F(Σ x) / R_F(N)) over N elements; the gradient of each is R_B(g / R_B(N)). Otherwise as `sum`."""
    return _reduced("mean", x, dim, keepdim, policy)


def _reduced(name: str, x: Tensor, dim: Dims, keepdim: bool, policy: Policy) -> Tensor:
    given = [dim] if isinstance(dim, int) else list(dim or ())
    low, high = -max(1, x.ndim), max(1, x.ndim) - 1
    dims = sorted(d % max(1, x.ndim) for d in given if low <= d <= high) or list(range(x.ndim))
    if not all(low <= d <= high for d in given) or len(set(dims)) < len(dims):
        raise ValueError(f"{name}: dim must be different dimensions in {low}..{high}, not {dim}")
    shape = torch.Size(1 if i in dims else size for i, size in enumerate(x.shape))
    result = shape if keepdim else torch.Size(size for i, size in enumerate(x.shape) if i not in dims)
    y: Tensor = _Reduction.apply(x, shape, result, name == "mean", policy, Operand(x, policy))  # type: ignore[no-untyped-call]
    return y


class _Reduction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, shape: torch.Size, result: torch.Size, mean: bool, policy: Policy, operand: Operand
    ) -> Tensor:
        fmt = policy.forward.format
        count = math.prod(x.shape) // max(1, math.prod(shape)) if x.numel() else 0
        y = row_dots(policy.forward_mac, rows_of(tensors.quantize(fmt, x), shape))
        ctx.policy, ctx.operand, ctx.shapes, ctx.count = policy, operand, (x.shape, shape), count if mean else 1
        return shaped((tensors.div_by_count(fmt, y, count, fmt) if mean else y).to(carrier(policy)), result)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        fmt = ctx.policy.backward.format
        full, shape = ctx.shapes
        g = tensors.quantize(fmt, gradient).reshape(shape)
        if ctx.count != 1:
            g = tensors.div_by_count(fmt, g, ctx.count, fmt)
        return ctx.operand.send(g.expand(full)), None, None, None, None, None


# As PyTorch's functions -------------------------------------------------------------------------------


def _call(policy: Policy, function: Callable[..., Tensor], x: Tensor, dims: tuple[Any, ...], **options: Any) -> Tensor:
    """A reduction with the dimensions given as PyTorch takes them: one after another, in a tuple, or as `axis`."""
    keepdim = options.pop("keepdim", False)
    dim = options.pop("dim", options.pop("axis", None))
    dtype = options.pop("dtype", None)
    if options or dtype not in (None, x.dtype):
        raise ValueError(f"{function.__name__}: the options are dim and keepdim, not {', '.join(options) or 'dtype'}")
    if dims and isinstance(dims[-1], bool):
        dims, keepdim = dims[:-1], dims[-1]
    if dims:
        dim = dims[0] if len(dims) == 1 else dims
    return function(x, dim, policy, keepdim)


CALLS: dict[str, Callable[..., Any]] = {
    "sum": lambda policy, input, *dims, **options: _call(policy, sum, input, dims, **options),
    "mean": lambda policy, input, *dims, **options: _call(policy, mean, input, dims, **options),
}
