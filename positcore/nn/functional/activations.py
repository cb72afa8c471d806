"""Activation functions and dropout: forward in F, their derivatives by golden operations in B.

Tables are correctly rounded (`positcore.functions`) and are for formats of n ≤ 16. Constants are rounded to the format
of the operation that they are in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.nn import tensors
from positcore.nn.functional.elementwise import map_elements, result
from positcore.nn.functional.operands import Operand, constant
from positcore.nn.functional.operation import carrier, operation
from positcore.nn.policy import Policy

__all__ = ["CALLS", "check_tables", "dropout", "gelu", "hardtanh", "leaky_relu", "relu6", "sigmoid", "silu", "tanh"]


def check_tables(name: str, **formats: PositFormat) -> None:
    """Refuse formats that there are no tables for.

    Raises
    ------
    ValueError
        If a format has n > 16; the message names the stage that it was given as.
    """
    for stage, fmt in formats.items():
        if fmt.n > 16:
            raise ValueError(
                f"{name} needs tables in {stage}, which are built for n ≤ 16, not {fmt}; take {stage}16 or less"
            )


@operation
def leaky_relu(x: Tensor, slope: float, policy: Policy) -> Tensor:
    """x where x > 0, else R_F(R_F(slope)·x); gradient g, or R_B(R_B(slope)·g)."""

    def forward(fmt: PositFormat, a: Tensor) -> Tensor:
        return torch.where(a > 0, a, tensors.mul(fmt, constant(fmt, slope), a))

    def gradient(fmt: PositFormat, g: Tensor, rising: Tensor) -> Tensor:
        below = tensors.mul(fmt, constant(fmt, slope), g)
        return torch.where(rising > 0, g, below).where(~rising.isnan(), rising)

    def rising(a: Tensor, y: Tensor) -> Tensor:
        return _flags(a > 0, a)

    return map_elements("leaky_relu", x, policy, forward, gradient, keep=rising)


@operation
def hardtanh(x: Tensor, low: float, high: float, policy: Policy) -> Tensor:
    """x between R_F(low) and R_F(high), else these, exact; gradient g strictly between them, else 0, exact."""

    def forward(fmt: PositFormat, a: Tensor) -> Tensor:
        return a.clamp(*_bounds(fmt))

    def gradient(fmt: PositFormat, g: Tensor, inside: Tensor) -> Tensor:
        return torch.where(inside > 0, g, inside)

    def inside(a: Tensor, y: Tensor) -> Tensor:
        least, most = _bounds(policy.forward.format)
        return _flags((a > least) & (a < most), a)

    def _bounds(fmt: PositFormat) -> tuple[float, float]:
        return constant(fmt, low).item(), constant(fmt, high).item()

    return map_elements("hardtanh", x, policy, forward, gradient, keep=inside)


@operation
def relu6(x: Tensor, policy: Policy) -> Tensor:
    """x between 0 and R_F(6), as `hardtanh`."""
    return hardtanh(x, 0.0, 6.0, policy)


def _flags(condition: Tensor, a: Tensor) -> Tensor:
    """1 where a condition holds, else 0, and NaR where `a` is: exact in every format."""
    return torch.where(a.isnan(), a, condition.to(a.dtype))


# Sigmoid and tanh ------------------------------------------------------------------------------------


@operation
def sigmoid(x: Tensor, policy: Policy, approximate: str = "none") -> Tensor:
    """y = R_F(1 / (1 + e^−x)) by a table; gradient R_B(g·d) with d = R_B(y − y·y).

    Parameters
    ----------
    x : float tensor
    policy : Policy
    approximate : "none" or "fast"
        "fast": y by the bit trick of es = 0 posits (`positcore.approximations`), in place of the table.

    Raises
    ------
    ValueError
        If F has n > 16, or "fast" is asked for and F has es ≠ 0.
    """

    def gradient(fmt: PositFormat, g: Tensor, y: Tensor) -> Tensor:
        return tensors.mul(fmt, g, tensors.fma(fmt, y.neg(), y, y))

    forward = _way("sigmoid", policy, approximate)
    return map_elements("sigmoid", x, policy, forward, gradient, keep=result)


@operation
def tanh(x: Tensor, policy: Policy, approximate: str = "none") -> Tensor:
    """y = R_F(tanh x) by a table; gradient R_B(g·d) with d = R_B(1 − y·y); "fast" as for `sigmoid`."""

    def gradient(fmt: PositFormat, g: Tensor, y: Tensor) -> Tensor:
        return tensors.mul(fmt, g, tensors.fma(fmt, y.neg(), y, constant(fmt, 1.0)))

    forward = _way("tanh", policy, approximate)
    return map_elements("tanh", x, policy, forward, gradient, keep=result)


def _way(name: str, policy: Policy, approximate: str) -> Callable[[PositFormat, Tensor], Tensor]:
    """The function by its table, or by its bit trick."""
    if approximate not in ("none", "fast"):
        raise ValueError(f"{name}: approximate must be 'none' or 'fast', not {approximate!r}")
    if approximate == "none":
        check_tables(name, F=policy.forward.format)
        return lambda fmt, a: tensors.look_up(fmt, name, a)
    if policy.forward.format.es:
        raise ValueError(
            f"{name}: approximate='fast' is the bit trick of formats with es = 0, and F is {policy.forward.format}; "
            "take F8/0 or the like"
        )
    return lambda fmt, a: tensors.bit_trick(fmt, name, a)


# SiLU and GELU ---------------------------------------------------------------------------------------


@operation
def silu(x: Tensor, policy: Policy) -> Tensor:
    """R_F(x·σ) with σ = sigmoid(x) by a table.

    Gradient R_B(g·d), in B from x_B: s = sigmoid(x) by a table, t = 1 − s, u = fma(x, t, 1), d = s·u.

    Raises
    ------
    ValueError
        If F or B has n > 16.
    """
    check_tables("silu", F=policy.forward.format, B=policy.backward.format)

    def forward(fmt: PositFormat, a: Tensor) -> Tensor:
        return tensors.mul(fmt, a, tensors.look_up(fmt, "sigmoid", a))

    def gradient(fmt: PositFormat, g: Tensor, a: Tensor) -> Tensor:
        s, one = tensors.look_up(fmt, "sigmoid", a), constant(fmt, 1.0)
        u = tensors.fma(fmt, a, tensors.sub(fmt, one, s), one)
        return tensors.mul(fmt, g, tensors.mul(fmt, s, u))

    return map_elements("silu", x, policy, forward, gradient)


@operation
def gelu(x: Tensor, policy: Policy, approximate: str = "none") -> Tensor:
    """R_F(x·Φ(x)) by a table, or its approximation by tanh.

    Gradient R_B(g·d), in B from x_B. For the exact function Φ = fma(erf(x·√½), ½, ½), erf by a table;
    p = exp(x·x·−½), the products from the left, exp by a table; d = fma(x·(1/√2π), p, Φ).

    With "tanh": q = x·x, u = x·√(2/π), t = tanh(u·fma(c, q, 1)) by a table, with c = 0.044715; h = x·½ and
    y = fma(h, t, h). Its d = fma(w, fma(−t, t, 1), fma(t, ½, ½)) with w = u·½·fma(3c, q, 1), from the left.

    Parameters
    ----------
    x : float tensor
    policy : Policy
    approximate : "none" or "tanh"

    Raises
    ------
    ValueError
        If F or B has n > 16, or `approximate` is another.
    """
    check_tables("gelu", F=policy.forward.format, B=policy.backward.format)
    if approximate == "none":
        return map_elements("gelu", x, policy, lambda fmt, a: tensors.look_up(fmt, "gelu", a), _gelu_gradient)
    if approximate != "tanh":
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', not {approximate!r}")
    return map_elements("gelu", x, policy, _gelu_by_tanh, _gelu_by_tanh_gradient)


def _gelu_gradient(fmt: PositFormat, g: Tensor, a: Tensor) -> Tensor:
    half = constant(fmt, 0.5)
    error = tensors.look_up(fmt, "erf", tensors.mul(fmt, a, constant(fmt, math.sqrt(0.5))))
    below = tensors.fma(fmt, error, half, half)
    density = tensors.exp(fmt, tensors.mul(fmt, tensors.mul(fmt, a, a), half.neg()))
    weight = tensors.mul(fmt, a, constant(fmt, 1 / math.sqrt(2 * math.pi)))
    return tensors.mul(fmt, g, tensors.fma(fmt, weight, density, below))


_CUBIC = 0.044715  # of the approximation by tanh (Hendrycks and Gimpel 2016)


def _curve(fmt: PositFormat, a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """q, u and t of `gelu`."""
    q = tensors.mul(fmt, a, a)
    u = tensors.mul(fmt, a, constant(fmt, math.sqrt(2 / math.pi)))
    inner = tensors.mul(fmt, u, tensors.fma(fmt, constant(fmt, _CUBIC), q, constant(fmt, 1.0)))
    return q, u, tensors.look_up(fmt, "tanh", inner)


def _gelu_by_tanh(fmt: PositFormat, a: Tensor) -> Tensor:
    _, _, t = _curve(fmt, a)
    h = tensors.mul(fmt, a, constant(fmt, 0.5))
    return tensors.fma(fmt, h, t, h)


def _gelu_by_tanh_gradient(fmt: PositFormat, g: Tensor, a: Tensor) -> Tensor:
    q, u, t = _curve(fmt, a)
    half, one = constant(fmt, 0.5), constant(fmt, 1.0)
    w = tensors.mul(fmt, tensors.mul(fmt, u, half), tensors.fma(fmt, constant(fmt, 3 * _CUBIC), q, one))
    d = tensors.fma(fmt, w, tensors.fma(fmt, t.neg(), t, one), tensors.fma(fmt, t, half, half))
    return tensors.mul(fmt, g, d)


# Dropout ---------------------------------------------------------------------------------------------


@operation
def dropout(x: Tensor, p: float, training: bool, policy: Policy) -> Tensor:
    """R_F(x·m) with m = R_F(1 / (1 − p)) for what is kept, 0 for what is not; gradient R_B(g·m) with m of B.

    The mask is that of `torch.nn.functional.dropout` for the same state of PyTorch's generator. `x` itself where
    nothing can be dropped.

    Parameters
    ----------
    x : float tensor
    p : float
        Probability of an element to be dropped, 0..1.
    training : bool
    policy : Policy

    Raises
    ------
    ValueError
        If `p` is no probability.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p must be a probability, 0..1, not {p}")
    if not training or p == 0 or not x.numel():
        return x
    kept = torch.zeros_like(x, dtype=torch.bool) if p == 1 else torch.empty_like(x).bernoulli_(1 - p) > 0
    y: Tensor = _Dropout.apply(x, kept, 1 / (1 - p) if p < 1 else 1.0, policy, Operand(x, policy))  # type: ignore[no-untyped-call]
    return y


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor, scale: float, policy: Policy, operand: Operand) -> Tensor:
        fmt = policy.forward.format
        ctx.save_for_backward(kept)
        ctx.scale, ctx.policy, ctx.operand = scale, policy, operand
        return _scaled(fmt, tensors.quantize(fmt, x), kept, scale).to(carrier(policy))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        fmt: PositFormat = ctx.policy.backward.format
        g = _scaled(fmt, tensors.quantize(fmt, gradient), ctx.saved_tensors[0], ctx.scale)
        return ctx.operand.send(g), None, None, None, None


def _scaled(fmt: PositFormat, x: Tensor, kept: Tensor, scale: float) -> Tensor:
    factor = constant(fmt, scale).to(x.device)
    return tensors.mul(fmt, x, torch.where(kept, factor, factor.new_zeros(())))


# As PyTorch's functions -------------------------------------------------------------------------------


def _leaky_relu(policy: Policy, input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    return leaky_relu(input, negative_slope, policy)


def _hardtanh(
    policy: Policy, input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    return hardtanh(input, min_val, max_val, policy)


def _dropout(policy: Policy, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    return dropout(input, p, training, policy)


CALLS: dict[str, Callable[..., Any]] = {
    "leaky_relu": _leaky_relu,
    "hardtanh": _hardtanh,
    "relu6": lambda policy, input, inplace=False: relu6(input, policy),
    "sigmoid": lambda policy, input: sigmoid(input, policy),
    "tanh": lambda policy, input: tanh(input, policy),
    "silu": lambda policy, input, inplace=False: silu(input, policy),
    "gelu": lambda policy, input, approximate="none": gelu(input, policy, approximate),
    "dropout": _dropout,
}
