"""The core of normalization: rows of values less their mean, by their scale, times γ and plus β; and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from positcore.mac import MacSpec
from positcore.nn import tensors
from positcore.nn.functional.operands import DotTerms, constant, reader
from positcore.nn.functional.operation import carrier, shaped
from positcore.nn.functional.statistics import Measure, accumulator_of, dots_of, mean_of
from positcore.nn.gradients import deliver, row_sums
from positcore.nn.policy import Policy

__all__ = ["Layout", "normalized"]


@dataclass(frozen=True)
class Layout:
    """How values (N, C, P), samples, channels and positions, are cut to rows with common statistics.

    In the shape `rows` statistics (·, 1) broadcast. In the shape `wide`, (N, C, P) or with `channels_first` (C, N·P),
    parameters (C, 1) do.
    """

    sizes: tuple[int, int, int]
    rows: tuple[int, ...]
    channels_first: bool

    @property
    def wide(self) -> tuple[int, ...]:
        """The shape in which parameters broadcast."""
        return self.rows if self.channels_first else self.sizes

    @property
    def by_channel(self) -> bool:
        """Whether a row has one channel, so that its parameters are common too."""
        return self.rows == self.wide

    def cut(self, x: Tensor) -> Tensor:
        """Rows of an activation."""
        images = x.reshape(self.sizes)
        return (images.transpose(0, 1) if self.channels_first else images).reshape(self.rows)

    def join(self, wide: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The activation of rows, or of wide rows."""
        if not self.channels_first:
            return wide.reshape(shape)
        samples, channels, positions = self.sizes
        return wide.reshape(channels, samples, positions).transpose(0, 1).reshape(shape)

    def channels(self, rows: Tensor) -> Tensor:
        """Rows as (C, N·P): all values that meet a parameter."""
        samples, channels, positions = self.sizes
        images = rows if self.channels_first else rows.reshape(self.sizes).transpose(0, 1)
        return images.reshape(channels, samples * positions)


def normalized(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, layout: Layout, policy: Policy, measure: Measure
) -> Tensor:
    """(x − μ)·r·γ + β, values of F in the shape of `x`; μ and r are those that `measure` finds of rows of `layout`."""
    use = reader(x, policy)
    result: Tensor = _Normalize.apply(x, weight, bias, layout, policy, measure, use)  # type: ignore[no-untyped-call]
    return result


class _Normalize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        layout: Layout,
        policy: Policy,
        measure: Measure,
        use: Any,
    ) -> Tensor:
        fmt = policy.forward.format
        statistics = measure(layout.cut(tensors.quantize(fmt, x)))
        standard = tensors.mul(fmt, statistics.centered, tensors.quantize(fmt, statistics.inverse))
        gamma, beta = (None if p is None else tensors.quantize(fmt, p).reshape(-1, 1) for p in (weight, bias))
        y = standard.reshape(layout.wide)
        if gamma is not None and beta is not None:
            y = tensors.fma(fmt, y, gamma, beta)
        elif gamma is not None:
            y = tensors.mul(fmt, y, gamma)
        elif beta is not None:
            y = tensors.add(fmt, y, beta)
        ctx.save_for_backward(standard, statistics.inverse, *(statistics.ends or ()))
        ctx.count, ctx.share = statistics.count, statistics.share
        ctx.layout, ctx.policy, ctx.weight, ctx.bias, ctx.use = layout, policy, weight, bias, use
        return shaped(layout.join(y, tuple(x.shape)).to(carrier(policy)), x.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        standard, inverse, *ends = ctx.saved_tensors
        policy: Policy = ctx.policy
        layout: Layout = ctx.layout
        g = layout.cut(tensors.quantize(policy.backward.format, gradient))
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[1]:
            terms = DotTerms(layout.channels(g), layout.channels(standard), tuple(ctx.weight.shape))
            grad_weight = deliver(ctx.weight, policy, terms)
        if ctx.needs_input_grad[2]:
            grad_bias = deliver(ctx.bias, policy, row_sums(layout.channels(g), tuple(ctx.bias.shape)))
        if ctx.needs_input_grad[0]:
            grad_x = _input_gradient(ctx, g, standard, inverse, ends)
            grad_x = layout.join(grad_x, tuple(gradient.shape))
        return ctx.use(grad_x), grad_weight, grad_bias, None, None, None, None


def _input_gradient(ctx: Any, g: Tensor, standard: Tensor, inverse: Tensor, ends: list[Tensor]) -> Tensor:
    """r·(γ·g − its mean − what it changes in the scale), in rows and in B."""
    policy: Policy = ctx.policy
    layout: Layout = ctx.layout
    fmt, large = policy.backward.format, policy.optimizer.format
    scale = tensors.quantize(fmt, inverse)
    if ctx.weight is not None:
        gamma = tensors.quantize(fmt, ctx.weight).reshape(-1, 1)
        if layout.by_channel:
            scale = tensors.mul(fmt, gamma, scale)
        else:
            g = tensors.mul(fmt, g.reshape(layout.wide), gamma).reshape(layout.rows)
    if ctx.count:
        shared, sums = layout.channels_first, accumulator_of(policy.backward)
        if fmt != policy.forward.format:
            standard = tensors.quantize(fmt, standard)
        mean = mean_of(MacSpec((fmt, large), large, sums), g, ctx.count, shared)
        slope = dots_of(MacSpec(fmt, large, sums), g, standard, shared)
        slope = tensors.quantize(fmt, tensors.mul(large, slope, constant(large, ctx.share)))
        g = tensors.sub(fmt, g, tensors.quantize(fmt, mean))
        if ends:
            for place, change in zip(ends, (slope.neg(), slope), strict=True):
                rows = (place[:, 0] >= 0).nonzero()[:, 0]
                at = rows, place[rows, 0]
                g[at] = tensors.add(fmt, g[at], change[rows, 0])
        else:
            g = tensors.fma(fmt, standard, slope.neg(), g)
    return tensors.mul(fmt, g, scale)
