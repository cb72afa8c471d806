"""Convolutions beside `conv2d`: along one axis, and transposed; and options of convolutions as PyTorch takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from positcore.gemm.patches import Geometry
from positcore.mac import MacSpec
from positcore.nn import tensors
from positcore.nn.backends import Sums, current_backend
from positcore.nn.functional.operands import reader
from positcore.nn.functional.operation import carrier, operation, shaped
from positcore.nn.functional.products import _Conv2d, conv2d
from positcore.nn.gradients import ConvolutionTerms, PlaneTerms, deliver, row_sums
from positcore.nn.policy import Policy

__all__ = ["CALLS", "conv1d", "conv_transpose2d", "geometry_of"]


@operation
def conv1d(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, groups: int, policy: Policy) -> Tensor:
    """1-D convolution: `conv2d` of images of one row, with one rounding per output.

    Parameters
    ----------
    x : float tensor, (N, C, L)
        Rounded to F first.
    weight : float tensor, (O, C / groups, k)
        Master weights in O.
    bias : float tensor, (O,), or None
        Preloaded into the accumulator.
    geometry : Geometry
        Stride, zero padding and dilation along the second axis, and a first axis of size 1; see `geometry_of`.
    groups : int
    policy : Policy

    Returns
    -------
    tensor of F values, (N, O, OL)

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    _check_weight("conv1d", weight, bias, geometry.kernel[1:], "O, C / groups", len(weight), groups)
    _check_input("conv1d", x, weight.shape[1] * groups, 1)
    if geometry.output_size((1, x.shape[2]))[1] < 1:
        raise ValueError(f"conv1d: an input of {x.shape[2]} is smaller than the kernel {geometry.kernel[1]}")
    use = reader(x, policy)
    result: Tensor = _Conv1d.apply(x, weight, bias, geometry, groups, policy, use)  # type: ignore[no-untyped-call]
    return result


@operation
def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
    groups: int,
    policy: Policy,
    output_padding: tuple[int, int] = (0, 0),
) -> Tensor:
    """Transposed 2-D convolution, R_F(b + Σ w·x) over all inputs that reach an output, with one rounding.

    It is the convolution, with the kernel turned by half a turn, of the input with zeros put in. Its terms come in the
    order of C and, row by row, of places in the input, so from the kernel's last tap to its first; the zeros are terms
    too.

    Parameters
    ----------
    x : float tensor, (N, C, H, W)
        Rounded to F first.
    weight : float tensor, (C, O / groups, kh, kw)
        Master weights in O.
    bias : float tensor, (O,), or None
        Preloaded into the accumulator.
    geometry : Geometry
        Stride, zero padding and dilation of the convolution whose transpose it is.
    groups : int
    policy : Policy
    output_padding : pair of int
        Rows and columns more, each fewer than the stride.

    Returns
    -------
    tensor of F values, (N, O, OH, OW), OH = (H − 1)·stride − 2·padding + dilation·(kernel − 1) + output_padding + 1

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    name = "conv_transpose2d"
    outputs = weight.shape[1] * groups if weight.ndim > 1 else 0
    _check_weight(name, weight, bias, geometry.kernel, "C, O / groups", outputs, groups)
    _check_input(name, x, len(weight), 2)
    if not all(0 <= more < step for more, step in zip(output_padding, geometry.stride, strict=True)):
        raise ValueError(
            f"{name}: output_padding must be smaller than the stride {geometry.stride}, not {tuple(output_padding)}"
        )
    size = _transposed_size(geometry, (x.shape[2], x.shape[3]), output_padding)
    if min(size) < 1:
        raise ValueError(f"{name}: an input of {x.shape[2]}×{x.shape[3]} gives an output of {size[0]}×{size[1]}")
    use = reader(x, policy)
    result: Tensor = _ConvTranspose2d.apply(  # type: ignore[no-untyped-call]
        x, weight, bias, geometry, size, groups, policy, use
    )
    return result


class _Conv1d(torch.autograd.Function):
    """`_Conv2d` with an axis put in."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, groups: int, policy: Policy,
        use: Any,
    ) -> Tensor:  # fmt: skip
        def use_row(gradient: Tensor | None) -> Tensor | None:
            return use(None if gradient is None else gradient[:, :, 0])

        y = _Conv2d.forward(ctx, x[:, :, None], weight[:, :, None], bias, geometry, groups, policy, use_row)
        ctx.weight = weight
        return shaped(y, (y.shape[0], y.shape[1], y.shape[3]))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _Conv2d.backward(ctx, gradient[:, :, None])


class _ConvTranspose2d(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, size: tuple[int, int],
        groups: int, policy: Policy, use: Any,
    ) -> Tensor:  # fmt: skip
        fmt, backend = policy.forward.format, current_backend()
        inputs, copy = tensors.quantize(fmt, x), tensors.quantize(fmt, weight)
        starts = [None] * groups if bias is None else tensors.quantize(fmt, bias).chunk(groups)
        ctx.save_for_backward(inputs, weight)
        ctx.geometry, ctx.groups, ctx.policy = geometry, groups, policy
        ctx.weight, ctx.bias, ctx.use = weight, bias, use
        turned = Geometry(geometry.kernel, dilation=geometry.dilation)
        spread = _spread(inputs, geometry, size).chunk(groups, dim=1)
        parts = [
            backend.conv2d(policy.forward_mac, image, kernel.flip(2, 3).transpose(0, 1).contiguous(), start, turned)
            for image, kernel, start in zip(spread, copy.chunk(groups), starts, strict=True)
        ]
        return torch.cat(parts, dim=1).to(carrier(policy))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        policy: Policy = ctx.policy
        fmt, backend = policy.backward.format, current_backend()
        g = tensors.quantize(fmt, gradient)
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            parts = zip(g.chunk(ctx.groups, dim=1), tensors.quantize(fmt, weight).chunk(ctx.groups), strict=True)
            grad_x = torch.cat(
                [backend.conv2d(policy.backward_mac, part, copy, None, ctx.geometry) for part, copy in parts], dim=1
            )
        if ctx.needs_input_grad[1]:
            grad_weight = deliver(ctx.weight, policy, _Swapped(ConvolutionTerms(inputs, g, ctx.geometry, ctx.groups)))
        if ctx.needs_input_grad[2]:
            rows = g.transpose(0, 1).reshape(g.shape[1], -1)
            terms = PlaneTerms(g) if policy.order == "positnn" else row_sums(rows)
            grad_bias = deliver(ctx.bias, policy, terms)
        return ctx.use(grad_x), grad_weight, grad_bias, None, None, None, None, None


@dataclass(frozen=True)
class _Swapped:
    """Terms whose first factors are values of F and whose second of B, where those of G are of B and F."""

    terms: ConvolutionTerms

    def rounded(self, mac: MacSpec) -> Tensor:
        """See `positcore.nn.gradients.Terms`."""
        return self.terms.rounded(_swapped(mac))

    def add_to(self, quires: Sums) -> None:
        """See `positcore.nn.gradients.Terms`."""
        part = tensors.quires(_swapped(quires.spec), quires.shape)
        self.terms.add_to(part)
        quires.add_quire(part)


def _swapped(mac: MacSpec) -> MacSpec:
    return MacSpec((mac.b, mac.a), mac.out, mac.accumulator)


def _transposed_size(geometry: Geometry, size: tuple[int, int], more: tuple[int, int]) -> tuple[int, int]:
    height, width = (
        (size[i] - 1) * geometry.stride[i]
        - 2 * geometry.padding[i]
        + geometry.dilation[i] * (geometry.kernel[i] - 1)
        + more[i]
        + 1
        for i in (0, 1)
    )
    return height, width


def _spread(x: Tensor, geometry: Geometry, size: tuple[int, int]) -> Tensor:
    """Images with zeros between and around their elements, whose patches make outputs of height and width `size`."""
    reach = [d * (k - 1) for d, k in zip(geometry.dilation, geometry.kernel, strict=True)]
    out = x.new_zeros(*x.shape[:2], size[0] + reach[0], size[1] + reach[1])
    to, source = [slice(None)] * 4, [slice(None)] * 4
    for i in (0, 1):
        step, first = geometry.stride[i], reach[i] - geometry.padding[i]  # where the first element goes
        inside = [j for j in range(x.shape[2 + i]) if 0 <= first + j * step < out.shape[2 + i]]
        if not inside:
            return out
        to[2 + i] = slice(first + inside[0] * step, first + inside[-1] * step + 1, step)
        source[2 + i] = slice(inside[0], inside[-1] + 1)
    out[tuple(to)] = x[tuple(source)]
    return out


# Checks and options ----------------------------------------------------------------------------------


def _check_weight(
    name: str,
    weight: Tensor,
    bias: Tensor | None,
    kernel: tuple[int, ...],
    channels: str,
    outputs: int,
    groups: int,
) -> None:
    fits = weight.ndim == 2 + len(kernel) and tuple(weight.shape[2:]) == kernel and not len(weight) % groups
    if not fits or (bias is not None and tuple(bias.shape) != (outputs,)):
        sizes = ", ".join(map(str, kernel))
        raise ValueError(
            f"{name}: weight and bias must be of shapes ({channels}, {sizes}) and (O,), where {groups} divides "
            f"the channels, not {tuple(weight.shape)} and {None if bias is None else tuple(bias.shape)}"
        )


def _check_input(name: str, x: Tensor, channels: int, dims: int) -> None:
    if x.ndim != 2 + dims or x.shape[1] != channels:
        axes = "H, W" if dims == 2 else "L"
        raise ValueError(f"{name}: x must be of shape (N, {channels}, {axes}), not {tuple(x.shape)}")


def geometry_of(name: str, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Geometry:
    """The geometry of a convolution along one axis or two, from options as PyTorch takes them.

    Parameters
    ----------
    name : str
        The function or layer, for messages.
    kernel : sequence of one or two int
    stride, dilation : int or sequence of int
    padding : int, sequence of int, "valid", or "same" where it is symmetric

    Raises
    ------
    ValueError
        If padding "same" is not symmetric, or strides are not 1 then, or an option is not of as many numbers.
    """
    kernel = tuple(kernel)
    steps, spacing = (
        _numbers(name, what, v, len(kernel), 1) for what, v in (("stride", stride), ("dilation", dilation))
    )
    if padding == "valid":
        padding = 0
    elif padding == "same":
        total = [d * (k - 1) for d, k in zip(spacing, kernel, strict=True)]
        if any(t % 2 for t in total) or any(step != 1 for step in steps):
            strided = "" if all(step == 1 for step in steps) else f" and stride {steps}"
            raise ValueError(f"{name}: padding='same' with kernel {kernel}{strided} is not symmetric; pad explicitly")
        padding = tuple(t // 2 for t in total)
    pads = _numbers(name, "padding", padding, len(kernel), 0)
    (kv, kh), (sv, sh), (pv, ph), (dv, dh) = (
        (one, *values)[-2:] for one, values in ((1, kernel), (1, steps), (0, pads), (1, spacing))
    )
    return Geometry((kv, kh), (sv, sh), (pv, ph), (dv, dh))


def _numbers(name: str, what: str, value: Any, count: int, least: int) -> tuple[int, ...]:
    values = (value,) * count if isinstance(value, int) else tuple(value)
    values = values * count if len(values) == 1 else values
    if len(values) != count or not all(isinstance(v, int) and v >= least for v in values):
        raise ValueError(f"{name}: {what} must be {count} number(s) from {least}, not {value!r}")
    return values


# As PyTorch's functions ------------------------------------------------------------------------------


def _conv(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(
        policy: Policy,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor:
        geometry = geometry_of(function.__name__, weight.shape[2:], stride, padding, dilation)
        return function(input, weight, bias, geometry, groups, policy)

    return call


def _conv_transpose2d(
    policy: Policy,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    geometry = geometry_of("conv_transpose2d", weight.shape[2:], stride, padding, dilation)
    more = _numbers("conv_transpose2d", "output_padding", output_padding, 2, 0)
    return conv_transpose2d(input, weight, bias, geometry, groups, policy, (more[0], more[1]))


CALLS: dict[str, Callable[..., Any]] = {
    "conv1d": _conv(conv1d),
    "conv2d": _conv(conv2d),
    "conv_transpose2d": _conv_transpose2d,
}
