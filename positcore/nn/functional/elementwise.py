"""Sums, differences, products and quotients of tensors that broadcast, and functions of single elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.nn import tensors
from positcore.nn.functional.operands import Operand, constant, tensor_of
from positcore.nn.functional.operation import carrier, operation
from positcore.nn.policy import Policy

__all__ = [
    "CALLS",
    "abs",
    "add",
    "argument",
    "div",
    "exp",
    "log",
    "map_elements",
    "mul",
    "pow",
    "result",
    "sqrt",
    "square",
    "sub",
]

Number = int | float


@operation
def add(x: Tensor | Number, y: Tensor | Number, policy: Policy) -> Tensor:
    """R_F(x + y); operands broadcast.

    Gradients: g for either, summed exactly over what an operand was broadcast to and rounded once, in B for activations
    and in G for parameters.

    Parameters
    ----------
    x, y : tensors or numbers
        Rounded to F first; numbers and integers from their exact value.
    policy : Policy

    Returns
    -------
    tensor of F values, the broadcast shape

    Raises
    ------
    TypeError, ValueError
        If an operand is no real number or tensor of such, or the shapes do not fit.
    """
    return _binary("add", x, y, policy)


@operation
def sub(x: Tensor | Number, y: Tensor | Number, policy: Policy) -> Tensor:
    """R_F(x − y); gradients g and −g; otherwise as `add`."""
    return _binary("sub", x, y, policy)


@operation
def mul(x: Tensor | Number, y: Tensor | Number, policy: Policy) -> Tensor:
    """R_F(x · y); gradients Σ g·y and Σ g·x, each rounded once; otherwise as `add`."""
    return _binary("mul", x, y, policy)


@operation
def div(x: Tensor | Number, y: Tensor | Number, policy: Policy) -> Tensor:
    """z = R_F(x / y), NaR for y = 0; otherwise as `add`.

    Gradients: t = R_B(g / y), then Σ t for x and Σ −t·z for y, each rounded once.
    """
    return _binary("div", x, y, policy)


def _binary(name: str, x: Any, y: Any, policy: Policy) -> Tensor:
    x, y = tensor_of(name, x), tensor_of(name, y)
    try:
        torch.broadcast_shapes(x.shape, y.shape)  # type: ignore[no-untyped-call]
    except RuntimeError:
        raise ValueError(f"{name}: shapes {tuple(x.shape)} and {tuple(y.shape)} do not broadcast") from None
    operands = Operand(x, policy, follow=True), Operand(y, policy, follow=True)
    result: Tensor = _Binary.apply(*[operand.source for operand in operands], name, policy, *operands)  # type: ignore[no-untyped-call]
    return result


class _Binary(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, name: str, policy: Policy, *operands: Operand) -> Tensor:
        fmt = policy.forward.format
        a, b = (tensors.quantize(fmt, o.read(source)) for o, source in zip(operands, (x, y), strict=True))
        z: Tensor = getattr(tensors, name)(fmt, a, b)
        ctx.name, ctx.policy, ctx.operands = name, policy, operands
        if name == "mul":
            ctx.save_for_backward(b if ctx.needs_input_grad[0] else None, a if ctx.needs_input_grad[1] else None)
        elif name == "div":
            ctx.save_for_backward(b, z if ctx.needs_input_grad[1] else None)
        return z.to(carrier(policy))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        fmt: PositFormat = ctx.policy.backward.format
        g = tensors.quantize(fmt, gradient)
        left, right = ctx.operands
        wanted = ctx.needs_input_grad
        first: Callable[[], Tensor | None]
        second: Callable[[], Tensor | None]
        if ctx.name == "mul":
            b, a = ctx.saved_tensors
            first, second = lambda: left.send(g, b), lambda: right.send(g, a)
        elif ctx.name == "div":
            b, z = ctx.saved_tensors
            t = tensors.div(fmt, g, tensors.quantize(fmt, b))
            first, second = lambda: left.send(t), lambda: right.send(t.neg(), z)
        else:
            first, second = lambda: left.send(g), lambda: right.send(g.neg() if ctx.name == "sub" else g)
        return first() if wanted[0] else None, second() if wanted[1] else None, None, None, None, None


# Functions of single elements ------------------------------------------------------------------------


def argument(a: Tensor, y: Tensor) -> Tensor:
    """For `map_elements`: keep the argument."""
    return a


def result(a: Tensor, y: Tensor) -> Tensor:
    """For `map_elements`: keep the result."""
    return y


def _sign(a: Tensor, y: Tensor) -> Tensor:
    """−1, 0, 1 or NaR: exact in every format."""
    return torch.where(a > 0, 1.0, torch.where(a < 0, -1.0, a))


@operation
def sqrt(x: Tensor, policy: Policy) -> Tensor:
    """y = R_F(√x), NaR below 0; gradient R_B(R_B(g / y)·½)."""

    def gradient(fmt: PositFormat, g: Tensor, y: Tensor) -> Tensor:
        return tensors.mul(fmt, tensors.div(fmt, g, y), constant(fmt, 0.5))

    return map_elements("sqrt", x, policy, tensors.sqrt, gradient, keep=result)


@operation
def square(x: Tensor, policy: Policy) -> Tensor:
    """R_F(x·x); gradient R_B(g·R_B(2·x))."""

    def forward(fmt: PositFormat, a: Tensor) -> Tensor:
        return tensors.mul(fmt, a, a)

    def gradient(fmt: PositFormat, g: Tensor, a: Tensor) -> Tensor:
        return tensors.mul(fmt, g, tensors.mul(fmt, constant(fmt, 2.0), a))

    return map_elements("square", x, policy, forward, gradient)


@operation
def exp(x: Tensor, policy: Policy) -> Tensor:
    """y = R_F(e^x) by a table, n ≤ 16; gradient R_B(g·y)."""
    return map_elements("exp", x, policy, tensors.exp, tensors.mul, keep=result)


@operation
def log(x: Tensor, policy: Policy) -> Tensor:
    """R_F(ln x) by a table, n ≤ 16, NaR for x ≤ 0; gradient R_B(g / x)."""
    return map_elements("log", x, policy, tensors.log, tensors.div)


@operation
def abs(x: Tensor, policy: Policy) -> Tensor:  # named as in torch
    """|x|, exact but for R_F(x); gradient g, or −g for x < 0, or 0 for x = 0."""

    def gradient(fmt: PositFormat, g: Tensor, sign: Tensor) -> Tensor:
        return torch.where(sign < 0, g.neg(), g).where((sign == 1) | (sign == -1), sign)

    return map_elements("abs", x, policy, lambda fmt, a: a.abs(), gradient, keep=_sign)


@operation
def pow(x: Tensor, exponent: Any, policy: Policy) -> Tensor:  # named as in torch
    """x to the power −1 (1 / x), ½ (`sqrt`), 1, 2 (`square`), 3 (x²·x) or 4 ((x²)²), by these operations.

    Raises
    ------
    ValueError
        If the exponent is another.
    """
    powers: dict[Any, Callable[[], Tensor]] = {
        -1: lambda: div(1, x, policy),
        0.5: lambda: sqrt(x, policy),
        1: lambda: mul(x, 1, policy),
        2: lambda: square(x, policy),
        3: lambda: mul(square(x, policy), x, policy),
        4: lambda: square(square(x, policy), policy),
    }
    if isinstance(exponent, Tensor) or exponent not in powers:
        raise ValueError(f"pow: the exponent must be one of -1, 0.5, 1, 2, 3, 4, not {exponent!r}")
    return powers[exponent]()


def map_elements(
    name: str,
    x: Tensor,
    policy: Policy,
    forward: Callable[[PositFormat, Tensor], Tensor],
    gradient: Callable[[PositFormat, Tensor, Tensor], Tensor],
    keep: Callable[[Tensor, Tensor], Tensor] = argument,
) -> Tensor:
    """A function of single elements, with its gradient.

    Parameters
    ----------
    name : str
        For messages.
    x : float tensor
        An activation or a parameter, rounded to F first.
    policy : Policy
    forward : callable
        (F, values of F) → values of F, made of golden operations.
    gradient : callable
        (B, output gradient in B, what is kept, rounded to B) → gradient in B.
    keep : callable
        (argument in F, result in F) → what to keep for the gradient, such as `argument` or `result`.

    Raises
    ------
    TypeError
        If `x` is no tensor of floats.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError(f"{name}: x must be a tensor of floats, not {x.dtype if isinstance(x, Tensor) else repr(x)}")
    operand = Operand(x, policy)
    y: Tensor = _Map.apply(x, policy, forward, gradient, keep, operand)  # type: ignore[no-untyped-call]
    return y


class _Map(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, policy: Policy, forward: Any, gradient: Any, keep: Any, operand: Operand
    ) -> Tensor:
        a = tensors.quantize(policy.forward.format, x)
        y: Tensor = forward(policy.forward.format, a)
        ctx.save_for_backward(keep(a, y))
        ctx.policy, ctx.gradient, ctx.operand = policy, gradient, operand
        return y.to(carrier(policy))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        fmt: PositFormat = ctx.policy.backward.format
        kept = tensors.quantize(fmt, ctx.saved_tensors[0])
        slope = ctx.gradient(fmt, tensors.quantize(fmt, gradient), kept)
        return ctx.operand.send(slope), None, None, None, None, None


# As PyTorch's functions -------------------------------------------------------------------------------


def _plain(name: str, alpha: Number, rounding_mode: str | None = None) -> None:
    """Refuse the options of PyTorch's functions that would be more than one operation."""
    if alpha != 1:
        raise ValueError(f"{name}: alpha must be 1, not {alpha}; write the product as an operation of its own")
    if rounding_mode is not None:
        raise ValueError(f"{name}: rounding_mode must be None, not {rounding_mode!r}")


def _add(policy: Policy, input: Any, other: Any, *, alpha: Number = 1) -> Tensor:
    _plain("add", alpha)
    return add(input, other, policy)


def _sub(policy: Policy, input: Any, other: Any, *, alpha: Number = 1) -> Tensor:
    _plain("sub", alpha)
    return sub(input, other, policy)


def _rsub(policy: Policy, input: Any, other: Any, *, alpha: Number = 1) -> Tensor:
    _plain("rsub", alpha)
    return sub(other, input, policy)


def _mul(policy: Policy, input: Any, other: Any) -> Tensor:
    return mul(input, other, policy)


def _div(policy: Policy, input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    _plain("div", 1, rounding_mode)
    return div(input, other, policy)


def _rdiv(policy: Policy, input: Any, other: Any) -> Tensor:
    return div(other, input, policy)


CALLS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("add", "__add__", "__radd__", "__iadd__"), _add),
    **dict.fromkeys(("sub", "subtract", "__sub__", "__isub__"), _sub),
    **dict.fromkeys(("rsub", "__rsub__"), _rsub),
    **dict.fromkeys(("mul", "multiply", "__mul__", "__rmul__", "__imul__"), _mul),
    **dict.fromkeys(("div", "divide", "true_divide", "__truediv__", "__div__", "__idiv__", "__itruediv__"), _div),
    **dict.fromkeys(("__rtruediv__", "__rdiv__"), _rdiv),
    **dict.fromkeys(("pow", "__pow__"), lambda policy, input, exponent: pow(input, exponent, policy)),
    **dict.fromkeys(("abs", "absolute", "__abs__"), lambda policy, input: abs(input, policy)),
    "sqrt": lambda policy, input: sqrt(input, policy),
    "square": lambda policy, input: square(input, policy),
    "exp": lambda policy, input: exp(input, policy),
    "log": lambda policy, input: log(input, policy),
    "reciprocal": lambda policy, input: div(1, input, policy),
}
