"""Sums of products with gradients: linear, matmul, conv2d.

Below a mean over N samples, gradients carry the factor N (`positcore.nn.batch_factor`): a parameter's gradient
is summed over the batch in one accumulator, rounded in G, then divided by N in G. So small formats see
gradients of one sample's size, as in PositNN.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from positcore.gemm.patches import Geometry
from positcore.nn import tensors
from positcore.nn.backends import current_backend
from positcore.nn.functional.operands import Operand, StackTerms, reader
from positcore.nn.functional.operation import carrier, operation, shaped
from positcore.nn.gradients import ConvolutionTerms, MatmulTerms, PlaneTerms, deliver, row_sums
from positcore.nn.policy import Policy

__all__ = ["conv2d", "linear", "matmul"]


@operation
def linear(x: Tensor, weight: Tensor, bias: Tensor | None, policy: Policy) -> Tensor:
    """x·Wᵀ + b with one rounding per output, in the formats of `policy`.

    Parameters
    ----------
    x : float tensor, (..., in)
        Rounded to F first.
    weight : float tensor, (out, in)
        Master weights in O; F and B copies are rounded from them.
    bias : float tensor, (out,), or None
        Preloaded into the accumulator.
    policy : Policy

    Returns
    -------
    tensor of F values, (..., out)

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    if weight.ndim != 2 or (bias is not None and bias.shape != weight.shape[:1]):
        raise ValueError(
            "linear: weight and bias must be of shapes (out, in) and (out,), not "
            f"{tuple(weight.shape)} and {None if bias is None else tuple(bias.shape)}"
        )
    if x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise ValueError(f"linear: x must be of shape (..., {weight.shape[1]}), not {tuple(x.shape)}")
    use = reader(x, policy)
    result: Tensor = _Linear.apply(x, weight, bias, policy, use)  # type: ignore[no-untyped-call]
    return result


@operation
def matmul(x: Tensor, y: Tensor, policy: Policy) -> Tensor:
    """x·y with one rounding per output; stacks of matrices broadcast as in `torch.matmul`.

    Parameters
    ----------
    x, y : float tensors, (..., M, K) and (..., K, N)
        Activations or parameters, of at least one dimension each, as `torch.matmul` takes them; rounded to F first.
    policy : Policy

    Returns
    -------
    tensor of F values, (..., M, N)

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    if not x.ndim or not y.ndim or x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
        raise ValueError(
            f"matmul: x and y must be of shapes (..., M, K) and (..., K, N), not {tuple(x.shape)} and {tuple(y.shape)}"
        )
    operands = Operand(x, policy, follow=True), Operand(y, policy, follow=True)
    result: Tensor = _Matmul.apply(*[operand.source for operand in operands], policy, *operands)  # type: ignore[no-untyped-call]
    return result


@operation
def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, groups: int, policy: Policy) -> Tensor:
    """2-D convolution with one rounding per output, in the formats of `policy`.

    Parameters
    ----------
    x : float tensor, (N, C, H, W)
        Rounded to F first.
    weight : float tensor, (O, C / groups, kh, kw)
        Master weights in O.
    bias : float tensor, (O,), or None
        Preloaded into the accumulator.
    geometry : Geometry
        Stride, zero padding, dilation.
    groups : int
    policy : Policy

    Returns
    -------
    tensor of F values, (N, O, OH, OW)

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    fits = weight.ndim == 4 and tuple(weight.shape[2:]) == geometry.kernel and not weight.shape[0] % groups
    if not fits or (bias is not None and bias.shape != weight.shape[:1]):
        raise ValueError(
            f"conv2d: weight and bias must be of shapes (O, C / groups, {geometry.kernel[0]}, {geometry.kernel[1]}) "
            f"and (O,), where {groups} divides O, not {tuple(weight.shape)} and "
            f"{None if bias is None else tuple(bias.shape)}"
        )
    if x.ndim != 4 or x.shape[1] != weight.shape[1] * groups:
        raise ValueError(f"conv2d: x must be of shape (N, {weight.shape[1] * groups}, H, W), not {tuple(x.shape)}")
    if min(geometry.output_size((x.shape[2], x.shape[3]))) < 1:
        raise ValueError(f"conv2d: an input of {x.shape[2]}×{x.shape[3]} is smaller than the kernel {geometry.kernel}")
    use = reader(x, policy)
    result: Tensor = _Conv2d.apply(x, weight, bias, geometry, groups, policy, use)  # type: ignore[no-untyped-call]
    return result


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, policy: Policy, use: Any) -> Tensor:
        fmt = policy.forward.format
        inputs = tensors.quantize(fmt, x).reshape(math.prod(x.shape[:-1]), x.shape[-1])
        copy = tensors.quantize(fmt, weight)
        start = None if bias is None else tensors.quantize(fmt, bias)
        y = current_backend().matmul(policy.forward_mac, inputs, copy.T, start)
        ctx.save_for_backward(inputs, weight)
        ctx.policy, ctx.weight, ctx.bias, ctx.use = policy, weight, bias, use
        ctx.shape = x.shape
        return shaped(y.to(carrier(policy)), (*x.shape[:-1], weight.shape[0]))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        policy: Policy = ctx.policy
        gradient = tensors.quantize(policy.backward.format, gradient).reshape(len(inputs), len(weight))
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            copy = tensors.quantize(policy.backward.format, weight)
            grad_x = current_backend().matmul(policy.backward_mac, gradient, copy).reshape(ctx.shape)
        if ctx.needs_input_grad[1]:
            grad_weight = deliver(ctx.weight, policy, MatmulTerms(gradient.T, inputs, tuple(weight.shape)))
        if ctx.needs_input_grad[2]:
            grad_bias = deliver(ctx.bias, policy, row_sums(gradient.T))
        return ctx.use(grad_x), grad_weight, grad_bias, None, None


class _Matmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, policy: Policy, *operands: Operand) -> Tensor:
        fmt = policy.forward.format
        left, right = (tensors.quantize(fmt, o.read(source)) for o, source in zip(operands, (x, y), strict=True))
        ctx.save_for_backward(left, right)
        ctx.policy, ctx.operands = policy, operands
        a, b = _matrices(left, right)
        product = current_backend().matmul(policy.forward_mac, a, b)
        shape = list(product.shape)
        if right.ndim == 1:
            del shape[-1]
        if left.ndim == 1:
            del shape[-2 if right.ndim > 1 else -1]
        return shaped(product.to(carrier(policy)), shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        left, right = ctx.saved_tensors
        g = tensors.quantize(ctx.policy.backward.format, gradient)
        g = g.unsqueeze(-2 if right.ndim > 1 else -1) if left.ndim == 1 else g
        g = g.unsqueeze(-1) if right.ndim == 1 else g
        a, b = _matrices(left, right)
        grad_x = grad_y = None
        if ctx.needs_input_grad[0]:
            grad_x = _sent(ctx.operands[0], g, b.transpose(-1, -2), a.shape)
        if ctx.needs_input_grad[1]:
            turned = torch.Size((*b.shape[:-2], b.shape[-1], b.shape[-2]))
            grad_y = _sent(ctx.operands[1], g.transpose(-1, -2), a, turned, transposed=True)
        return grad_x, grad_y, None, None, None


def _matrices(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Operands of `torch.matmul` as stacks of matrices: a vector is a row on the left, a column on the right."""
    return x if x.ndim > 1 else x[None], y if y.ndim > 1 else y[:, None]


def _sent(operand: Operand, g: Tensor, other: Tensor, shape: torch.Size, transposed: bool = False) -> Tensor | None:
    """The gradient g·other of an operand, as matrices of `shape`; one rounding, in B, or in G for a parameter."""
    policy, target = operand.policy, tuple(operand.shape)
    if operand.parameter is not None:
        return operand.deliver(StackTerms(*_joined(g, other, shape), target, transposed))
    other = tensors.quantize(policy.backward.format, other)
    product = current_backend().matmul(policy.backward_mac, *_joined(g, other, shape)).reshape(shape)
    return operand.send((product.transpose(-1, -2) if transposed else product).reshape(target))


def _joined(a: Tensor, b: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Stacks whose products are of `shape`: where that was broadcast over a stack, the sum runs over that too."""
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    shape = torch.Size((1,) * (len(stack) + 2 - len(shape)) + tuple(shape))
    spread = [i for i, size in enumerate(stack) if size != shape[i]]
    if spread:  # (…, M, K)·(…, K, N) with some dimensions of the stack joined to K
        kept = [i for i in range(len(stack)) if i not in spread]
        rows, columns = a.shape[-2], b.shape[-1]
        a = a.expand(*stack, *a.shape[-2:]).permute(*kept, -2, *spread, -1).reshape(*[stack[i] for i in kept], rows, -1)
        b = b.expand(*stack, *b.shape[-2:]).permute(*kept, *spread, -2, -1)
        b = b.reshape(*[stack[i] for i in kept], -1, columns)
    return a, b


class _Conv2d(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, groups: int, policy: Policy,
        use: Any,
    ) -> Tensor:  # fmt: skip
        fmt, backend = policy.forward.format, current_backend()
        inputs = tensors.quantize(fmt, x)
        copy = tensors.quantize(fmt, weight)
        start = None if bias is None else tensors.quantize(fmt, bias)
        ctx.save_for_backward(inputs, weight)
        ctx.policy, ctx.geometry, ctx.groups = policy, geometry, groups
        ctx.weight, ctx.bias, ctx.use = weight, bias, use
        starts = [None] * groups if start is None else start.chunk(groups)
        parts = zip(inputs.chunk(groups, dim=1), copy.chunk(groups), starts, strict=True)
        y = _join([backend.conv2d(policy.forward_mac, *part, geometry) for part in parts], dim=1)
        return y.to(carrier(policy))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        policy: Policy = ctx.policy
        geometry: Geometry = ctx.geometry
        gradient = tensors.quantize(policy.backward.format, gradient)
        gradients = gradient.chunk(ctx.groups, dim=1)
        backend = current_backend()
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            size = (inputs.shape[2], inputs.shape[3])
            copies = tensors.quantize(policy.backward.format, weight).chunk(ctx.groups)
            parts = zip(gradients, copies, strict=True)
            grad_x = _join(
                [backend.conv2d_input_gradient(policy.backward_mac, *part, geometry, size) for part in parts], dim=1
            )
        if ctx.needs_input_grad[1]:
            terms = ConvolutionTerms(gradient, inputs, geometry, ctx.groups)
            grad_weight = deliver(ctx.weight, policy, terms)
        if ctx.needs_input_grad[2]:
            rows = gradient.transpose(0, 1).reshape(gradient.shape[1], -1)
            positnn = policy.order == "positnn"
            grad_bias = deliver(ctx.bias, policy, PlaneTerms(gradient) if positnn else row_sums(rows))
        return ctx.use(grad_x), grad_weight, grad_bias, None, None, None, None


def _join(parts: list[Tensor], dim: int = 0) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)
