"""Softmax and its logarithm in F: the largest is subtracted, then powers, their sum and a division or a logarithm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.nn import tensors
from positcore.nn.functional.activations import check_tables
from positcore.nn.functional.operands import Operand, row_dots
from positcore.nn.functional.operation import carrier, operation
from positcore.nn.policy import Policy

__all__ = ["CALLS", "log_softmax", "softmax"]


@operation
def softmax(x: Tensor, dim: int, policy: Policy) -> Tensor:
    """y = R_F(p / S) over a dimension: s = R_F(x − max x), p = R_F(e^s) by a table, S = R_F(Σ p).

    Gradient: c = R_B(Σ g·y), then R_B(y·R_B(g − c)). Elements of −inf, as PyTorch's masks write them, take no part:
    their p is 0.

    Parameters
    ----------
    x : float tensor of at least one dimension
        Rounded to F first.
    dim : int
    policy : Policy
        With F of n ≤ 16.

    Returns
    -------
    tensor of F values, the shape of `x`

    Raises
    ------
    ValueError
        If there is no such dimension, or F has n > 16.
    """
    return _apply("softmax", x, dim, policy)


@operation
def log_softmax(x: Tensor, dim: int, policy: Policy) -> Tensor:
    """R_F(s − R_F(ln S)), with s and S of `softmax`; the logarithm by a table.

    Gradient: G = R_B(Σ g), then R_B(g − q·G) with q = R_F(p / S). Otherwise as `softmax`, but −inf is NaR.
    """
    return _apply("log_softmax", x, dim, policy)


def _apply(name: str, x: Tensor, dim: int, policy: Policy) -> Tensor:
    check_tables(name, F=policy.forward.format)
    if not isinstance(dim, int) or not -x.ndim <= dim < x.ndim:
        raise ValueError(f"{name}: dim must be a dimension in {-x.ndim}..{x.ndim - 1}, not {dim!r}")
    y: Tensor = _Softmax.apply(x, dim, name == "log_softmax", policy, Operand(x, policy))  # type: ignore[no-untyped-call]
    return y


class _Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int, log: bool, policy: Policy, operand: Operand) -> Tensor:
        fmt = policy.forward.format
        moved = x.movedim(dim, -1)
        rows = moved.reshape(-1, x.shape[dim]) if x.numel() else moved.reshape(0, max(1, x.shape[dim]))
        absent = torch.zeros_like(rows, dtype=torch.bool) if log else rows == -torch.inf
        z = tensors.quantize(fmt, rows.masked_fill(absent, 0.0))
        top = z.masked_fill(absent, -torch.inf).amax(1, keepdim=True)
        shifted = tensors.sub(fmt, z, top.masked_fill(top == -torch.inf, torch.nan))
        powers = tensors.exp(fmt, shifted).masked_fill(absent, 0.0)
        sums = row_dots(policy.forward_mac, powers)[:, None]
        shares = tensors.div(fmt, powers, sums)
        y = tensors.sub(fmt, shifted, tensors.log(fmt, sums)) if log else shares
        ctx.save_for_backward(shares)
        ctx.dim, ctx.log, ctx.policy, ctx.operand, ctx.shape = dim, log, policy, operand, moved.shape
        return y.to(carrier(policy)).reshape(moved.shape).movedim(-1, dim).clone(memory_format=torch.contiguous_format)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        policy: Policy = ctx.policy
        fmt: PositFormat = policy.backward.format
        shares = tensors.quantize(fmt, ctx.saved_tensors[0])
        g = tensors.quantize(fmt, gradient).movedim(ctx.dim, -1).reshape(shares.shape)
        if ctx.log:
            total = row_dots(policy.backward_mac, g)[:, None]
            grad_x = tensors.fma(fmt, shares.neg(), total, g)
        else:
            common = row_dots(policy.backward_mac, g, shares)[:, None]
            grad_x = tensors.mul(fmt, shares, tensors.sub(fmt, g, common))
        return ctx.operand.send(grad_x.reshape(ctx.shape).movedim(-1, ctx.dim)), None, None, None, None


# As PyTorch's functions -------------------------------------------------------------------------------


def _call(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(
        policy: Policy, input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None
    ) -> Tensor:
        if dtype not in (None, input.dtype):
            raise ValueError(f"{function.__name__}: dtype must be left out, not {dtype}")
        return function(input, dim, policy)

    return call


CALLS: dict[str, Callable[..., Any]] = {"softmax": _call(softmax), "log_softmax": _call(log_softmax)}
