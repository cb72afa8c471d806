"""Powers of two as factors of gradients: between layers, and of those of parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.nn import tensors
from positcore.nn.functional.operation import operation
from positcore.nn.policy import Policy
from positcore.nn.uses import enter
from positcore.rational import round_fraction, value_of

__all__ = ["GradientScale", "largest_exponent", "pass_gradient", "power", "scale_gradient", "scale_gradients_"]


def scale_gradient(x: Tensor, exponent: int, policy: Policy) -> Tensor:
    """`x` itself; in the backward pass its gradient g becomes R_B(g · 2^exponent), one golden multiplication.

    Parameters
    ----------
    x : Tensor
        An activation.
    exponent : int
        2^exponent must be a value of B.
    policy : Policy

    Raises
    ------
    TypeError, ValueError
        If the exponent is not an integer, or too large for B.
    """
    fmt = policy.backward.format
    if isinstance(exponent, bool) or not isinstance(exponent, int):
        raise TypeError(f"scale_gradient: exponent must be an integer, not {exponent!r}")
    if abs(exponent) > largest_exponent(fmt):
        raise ValueError(
            f"scale_gradient: exponent must be in −{largest_exponent(fmt)}..{largest_exponent(fmt)} for the backward "
            f"format {fmt}, not {exponent}"
        )
    return pass_gradient(x, lambda gradient: tensors.mul(fmt, gradient, power(exponent)), fmt)


class GradientScale(torch.nn.Module):
    """`scale_gradient` as a module: its input is its output, and gradients are multiplied by 2^exponent.

    Parameters
    ----------
    exponent : int
    policy : Policy
    """

    def __init__(self, exponent: int, policy: Policy) -> None:
        super().__init__()
        self.exponent, self.policy = exponent, policy

    def forward(self, x: Tensor) -> Tensor:
        """The input."""
        return scale_gradient(x, self.exponent, self.policy)

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"{self.exponent}, policy={self.policy}"


@torch.no_grad()
def scale_gradients_(parameters: Iterable[Tensor], exponent: int, policy: Policy) -> None:
    """Multiply the gradients of parameters, in place: g ← R_O(g · 2^exponent); nothing is done for an exponent of 0."""
    given = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if exponent and given:
        vector = torch.cat([gradient.reshape(-1) for gradient in given])
        scaled = tensors.mul(policy.optimizer.format, vector, power(exponent))
        for gradient, part in zip(given, torch.split_with_sizes(scaled, [g.numel() for g in given]), strict=True):
            gradient.copy_(part.view_as(gradient))


@lru_cache
def largest_exponent(fmt: PositFormat) -> int:
    """The largest e for which all of 2^−e … 2^e are values of `fmt`; beyond, exponent bits are cut off."""
    e = 0
    while value_of(fmt, round_fraction(fmt, Fraction(2) ** (e + 1))) == Fraction(2) ** (e + 1):
        e += 1
    return e


def power(exponent: int) -> Tensor:
    """2^exponent."""
    return torch.tensor(math.ldexp(1.0, exponent), dtype=torch.float64)


@operation
def pass_gradient(x: Tensor, change: Callable[[Tensor], Tensor], fmt: PositFormat) -> Tensor:
    """`x` itself; in the backward pass `change` is applied to its gradient, a value of `fmt` where several meet."""
    result: Tensor = _Passed.apply(x, change, enter(x, fmt))  # type: ignore[no-untyped-call]
    return result


class _Passed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, change: Any, use: Any) -> Tensor:
        ctx.change, ctx.use = change, use
        return x.clone()  # no view, so that a layer behind it may work in place

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.use(ctx.change(gradient)), None, None
