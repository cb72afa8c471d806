"""Posit operations with gradients: linear, conv2d, cross_entropy.

Below a mean over N samples, gradients carry the factor N (`positcore.nn.batch_factor`): a parameter's gradient
is summed over the batch in one accumulator, rounded in G, then divided by N in G. So small formats see
gradients of one sample's size, as in PositNN.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.gemm.patches import Geometry
from positcore.nn import tensors
from positcore.nn.backends import current_backend
from positcore.nn.batch_factor import current_factor, declare_factor
from positcore.nn.policy import Policy

__all__ = ["conv2d", "cross_entropy", "linear"]


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
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    result: Tensor = _Linear.apply(rows, weight, bias, policy)  # type: ignore[no-untyped-call]
    return result.reshape(*x.shape[:-1], weight.shape[0])


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
    result: Tensor = _Conv2d.apply(x, weight, bias, geometry, groups, policy)  # type: ignore[no-untyped-call]
    return result


def cross_entropy(logits: Tensor, target: Tensor, policy: Policy, reduction: str = "mean") -> Tensor:
    """Cross-entropy of logits with class indices, computed in L.

    Each step is one golden operation: z − max, exp, the sum of a row in a quire, log and division, then
    the sum over the batch in a quire.

    Parameters
    ----------
    logits : float tensor, (N, classes)
        Rounded to L first.
    target : int64 tensor, (N,)
    policy : Policy
    reduction : "mean" or "sum"

    Returns
    -------
    tensor of one L value

    Raises
    ------
    TypeError, ValueError
        If the target is not int64, the shapes do not fit, or a target is no class.
    """
    if target.dtype != torch.int64:
        raise TypeError(f"cross_entropy: target must be int64 class indices, not {target.dtype}; call .long() on it")
    if logits.ndim != 2 or target.shape != logits.shape[:1]:
        raise ValueError(
            f"cross_entropy: logits must be (N, classes) and target (N,), not {tuple(logits.shape)} "
            f"and {tuple(target.shape)}"
        )
    if target.numel() and not 0 <= int(target.min()) <= int(target.max()) < logits.shape[1]:
        raise ValueError(f"cross_entropy: targets must be classes 0..{logits.shape[1] - 1}")
    if reduction not in ("mean", "sum"):
        raise ValueError(f"cross_entropy: reduction must be 'mean' or 'sum', not {reduction!r}")
    result: Tensor = _CrossEntropy.apply(logits, target, policy, reduction)  # type: ignore[no-untyped-call]
    return result


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, policy: Policy) -> Tensor:
        fmt = policy.forward.format
        inputs = tensors.quantize(fmt, x)
        y = current_backend().matmul(
            policy.forward_mac,
            inputs,
            tensors.quantize(fmt, weight).T,
            None if bias is None else tensors.quantize(fmt, bias),
        )
        ctx.save_for_backward(inputs, weight)
        ctx.policy, ctx.has_bias = policy, bias is not None
        return y.to(_carrier(policy))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        policy: Policy = ctx.policy
        gradient = tensors.quantize(policy.backward.format, gradient)
        backend = current_backend()
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            copy = tensors.quantize(policy.backward.format, weight)
            grad_x = backend.matmul(policy.backward_mac, gradient, copy)
        if ctx.needs_input_grad[1]:
            total = backend.matmul(policy.gradient_mac, gradient.T, inputs)
            grad_weight = _parameter_gradient(policy, total)
        if ctx.has_bias and ctx.needs_input_grad[2]:
            grad_bias = _bias_gradient(policy, gradient.T)
        return grad_x, grad_weight, grad_bias, None


class _Conv2d(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, groups: int, policy: Policy
    ) -> Tensor:
        fmt, backend = policy.forward.format, current_backend()
        inputs = tensors.quantize(fmt, x)
        copy = tensors.quantize(fmt, weight)
        start = None if bias is None else tensors.quantize(fmt, bias)
        ctx.save_for_backward(inputs, weight)
        ctx.policy, ctx.geometry, ctx.groups, ctx.has_bias = policy, geometry, groups, bias is not None
        starts = [None] * groups if start is None else start.chunk(groups)
        parts = zip(inputs.chunk(groups, dim=1), copy.chunk(groups), starts, strict=True)
        y = _join([backend.conv2d(policy.forward_mac, *part, geometry) for part in parts], dim=1)
        return y.to(_carrier(policy))

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
            parts = zip(gradients, inputs.chunk(ctx.groups, dim=1), strict=True)
            total = _join([backend.conv2d_weight_gradient(policy.gradient_mac, *part, geometry) for part in parts])
            grad_weight = _parameter_gradient(policy, total)
        if ctx.has_bias and ctx.needs_input_grad[2]:
            rows = gradient.transpose(0, 1).reshape(gradient.shape[1], -1)
            grad_bias = _bias_gradient(policy, rows)
        return grad_x, grad_weight, grad_bias, None, None, None


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, policy: Policy, reduction: str) -> Tensor:
        fmt, mac, backend = policy.loss.format, policy.loss_mac, current_backend()
        z = tensors.quantize(fmt, logits)
        shifted = tensors.sub(fmt, z, z.amax(dim=1, keepdim=True))
        powers = tensors.exp(fmt, shifted)
        sums = backend.matmul(mac, powers, powers.new_ones(z.shape[1], 1))
        chosen = shifted.gather(1, target[:, None])
        losses = tensors.sub(fmt, tensors.log(fmt, sums), chosen)
        total = backend.matmul(mac, losses.T, losses.new_ones(z.shape[0], 1)).reshape(())
        probabilities = tensors.div(fmt, powers, sums)
        ctx.save_for_backward(probabilities, target)
        ctx.fmt, ctx.factor = fmt, z.shape[0] if reduction == "mean" else 1
        return _divided(fmt, total, z.shape[0], fmt) if reduction == "mean" else total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        probabilities, target = ctx.saved_tensors
        fmt: PositFormat = ctx.fmt
        one_hot = torch.zeros_like(probabilities).scatter_(1, target[:, None], 1.0)
        result = tensors.sub(fmt, probabilities, one_hot)
        if float(gradient) != 1.0:
            result = tensors.mul(fmt, result, tensors.quantize(fmt, gradient))
        declare_factor(ctx.factor)
        return result, None, None, None


def _join(parts: list[Tensor], dim: int = 0) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


def _bias_gradient(policy: Policy, rows: Tensor) -> Tensor:
    """Row sums of the output gradient (channels, ·), each in one accumulator, divided by the batch size in G."""
    total = current_backend().matmul(policy.gradient_mac, rows, rows.new_ones(rows.shape[1], 1))
    return _parameter_gradient(policy, total.reshape(-1))


def _parameter_gradient(policy: Policy, total: Tensor) -> Tensor:
    """A sum over the batch divided by the factor that it carries; in O at once where O's dtype is too small for G."""
    factor, master, fmt = current_factor(), policy.optimizer.format, policy.gradient.format
    mean = total if factor == 1 else _divided(fmt, total, factor, master)
    return mean if mean.dtype in (torch.float32, tensors.dtype_of(master)) else tensors.quantize(master, mean)


def _carrier(policy: Policy) -> torch.dtype:
    """The dtype of activations: PyTorch gives gradients the dtype of what they belong to, so it holds F, B and L."""
    formats = (policy.forward.format, policy.backward.format, policy.loss.format)
    return max((tensors.dtype_of(fmt) for fmt in formats), key=lambda dtype: dtype.itemsize)


def _divided(fmt: PositFormat, total: Tensor, count: int, count_format: PositFormat) -> Tensor:
    """total / count in `fmt`, the count being a value of `count_format`."""
    return tensors.div(fmt, total, tensors.quantize(count_format, torch.tensor(float(count))))
