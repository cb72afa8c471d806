"""Pooling: averages are sums of products with R_O(1 / count), maxima are exact; an input's gradient is one sum."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.mac import MacSpec
from positcore.nn import tensors
from positcore.nn.backends import current_backend
from positcore.nn.functional.operands import reader
from positcore.nn.functional.operation import carrier, operation, shaped
from positcore.nn.functional.statistics import accumulator_of, share_of
from positcore.nn.functional.windows import Sets, adaptive, blocks, reached, sliding, sliding_count
from positcore.nn.policy import Policy

__all__ = [
    "CALLS", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "avg_pool1d", "avg_pool2d", "max_pool1d", "max_pool2d",
]  # fmt: skip

Sizes = int | tuple[int, ...] | list[int]


@operation
def avg_pool2d(
    x: Tensor,
    kernel_size: Sizes,
    policy: Policy,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Averages of windows, R_F(Σ x·R_O(1/count)), each in one accumulator; a gradient is R_B(Σ g·R_O(1/count)).

    A count is that of PyTorch: of the window, with the padding in it or without, or `divisor_override`.

    Parameters
    ----------
    x : float tensor, (N, C, H, W) or (C, H, W)
        Rounded to F first.
    kernel_size : int or pair of int
    policy : Policy
    stride, padding : int or pair of int
        `stride` is that of the windows' size unless told.
    ceil_mode, count_include_pad : bool
    divisor_override : int, optional

    Returns
    -------
    tensor of F values, (N, C, OH, OW) or (C, OH, OW)

    Raises
    ------
    ValueError
        If shapes and sizes do not fit.
    """
    options = stride, padding, ceil_mode, count_include_pad, divisor_override
    return _avg_pool("avg_pool2d", x, 2, kernel_size, policy, *options)


@operation
def avg_pool1d(
    x: Tensor,
    kernel_size: Sizes,
    policy: Policy,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Averages of windows of (N, C, L) or (C, L); otherwise as `avg_pool2d`."""
    return _avg_pool("avg_pool1d", x, 1, kernel_size, policy, stride, padding, ceil_mode, count_include_pad, None)


@operation
def adaptive_avg_pool2d(x: Tensor, output_size: int | tuple[int | None, ...] | None, policy: Policy) -> Tensor:
    """Averages of as many windows as asked for: from ⌊i·H/OH⌋ to before ⌈(i + 1)·H/OH⌉; otherwise as `avg_pool2d`.

    `output_size` is an int or a pair; None in it keeps a size.
    """
    return _adaptive_avg_pool("adaptive_avg_pool2d", x, 2, output_size, policy)


@operation
def adaptive_avg_pool1d(x: Tensor, output_size: int | tuple[int | None, ...] | None, policy: Policy) -> Tensor:
    """As `adaptive_avg_pool2d`, of (N, C, L) or (C, L)."""
    return _adaptive_avg_pool("adaptive_avg_pool1d", x, 1, output_size, policy)


@operation
def max_pool2d(
    x: Tensor,
    kernel_size: Sizes,
    policy: Policy,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest value of each window, as it is; NaR if there is one.

    A gradient goes to the first of the largest. Where windows overlap an input may get several: R_B(Σ g), one sum.

    Parameters
    ----------
    x : float tensor, (N, C, H, W) or (C, H, W)
    kernel_size : int or pair of int
    policy : Policy
    stride, padding, dilation : int or pair of int
        `stride` is that of the windows' size unless told.
    ceil_mode : bool

    Returns
    -------
    tensor of values of `x`, (N, C, OH, OW) or (C, OH, OW)

    Raises
    ------
    ValueError
        If shapes and sizes do not fit.
    """
    return _max_pool("max_pool2d", x, 2, kernel_size, policy, stride, padding, dilation, ceil_mode)


@operation
def max_pool1d(
    x: Tensor,
    kernel_size: Sizes,
    policy: Policy,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest value of each window of (N, C, L) or (C, L); otherwise as `max_pool2d`."""
    return _max_pool("max_pool1d", x, 1, kernel_size, policy, stride, padding, dilation, ceil_mode)


# Averages --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Averages:
    """Which of the inputs (H, W) each average is of, along rows and columns, and what each window counts along both."""

    inputs: tuple[int, int]
    rows: Sets
    columns: Sets
    row_counts: tuple[int, ...]
    column_counts: tuple[int, ...]
    divisor: int | None = None

    @property
    def outputs(self) -> tuple[int, int]:
        """(OH, OW)."""
        return len(self.rows), len(self.columns)

    def shares(self, fmt: PositFormat, device: torch.device) -> Tensor:
        """R_O(1/count) of each window, (1, OH, OW)."""
        values = [[share_of(fmt, self.divisor or i * j) for j in self.column_counts] for i in self.row_counts]
        return torch.tensor([values], dtype=tensors.dtype_of(fmt), device=device)


def _avg_pool(
    name: str,
    x: Tensor,
    dims: int,
    kernel_size: Sizes,
    policy: Policy,
    stride: Sizes | None,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Tensor:
    if divisor is not None and divisor < 1:
        raise ValueError(f"{name}: divisor_override must be positive, not {divisor}")
    inputs = _inputs(name, x, dims)
    sets, counts = [], []
    for n, k, s, p, _ in zip(inputs, *_options(name, inputs, dims, kernel_size, stride, padding, 1), strict=True):
        windows = sliding(n, sliding_count(n, k, s, p, 1, ceil_mode), k, s, p)
        whole = tuple(min(k, n + 2 * p - i * s) for i in range(len(windows)))
        sets.append(windows)
        counts.append(whole if count_include_pad else tuple(map(len, windows)))
    return _averaged(x, dims, _Averages(inputs, sets[0], sets[1], counts[0], counts[1], divisor), policy)


def _adaptive_avg_pool(name: str, x: Tensor, dims: int, output_size: Any, policy: Policy) -> Tensor:
    inputs = _inputs(name, x, dims)
    asked = tuple(output_size) if isinstance(output_size, tuple | list) else (output_size,) * dims
    if len(asked) != dims or not all(n is None or (isinstance(n, int) and n > 0) for n in asked):
        raise ValueError(f"{name}: output_size must be positive, one for each of {dims} axes, not {output_size!r}")
    counts = (None,) * (2 - dims) + asked
    rows, columns = (adaptive(n, count or n) for n, count in zip(inputs, counts, strict=True))
    plan = _Averages(inputs, rows, columns, tuple(map(len, rows)), tuple(map(len, columns)))
    return _averaged(x, dims, plan, policy)


def _averaged(x: Tensor, dims: int, plan: _Averages, policy: Policy) -> Tensor:
    use = reader(x, policy)
    result: Tensor = _AveragePool.apply(x, dims, plan, policy, use)  # type: ignore[no-untyped-call]
    return result


class _AveragePool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dims: int, plan: _Averages, policy: Policy, use: Any) -> Tensor:
        fmt, large = policy.forward.format, policy.optimizer.format
        ctx.shape, ctx.plan, ctx.policy, ctx.use = x.shape, plan, policy, use
        mac = MacSpec((fmt, large), fmt, accumulator_of(policy.forward))
        planes = _planes(tensors.quantize(fmt, x), dims, plan.inputs)
        shares = plan.shares(large, x.device)
        y = _empty_planes(fmt, planes, plan.outputs)
        for block in blocks(plan.rows, plan.columns, x.device):
            block.put(y, _weighted(mac, block.take(planes), block.pick(shares)[0, :, :, None]))
        return shaped(y.to(carrier(policy)), (*x.shape[: x.ndim - dims], *plan.outputs[2 - dims :]))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        policy: Policy = ctx.policy
        plan: _Averages = ctx.plan
        fmt, large = policy.backward.format, policy.optimizer.format
        mac = MacSpec((fmt, large), fmt, accumulator_of(policy.backward))
        rows, columns = (reached(sets, n) for sets, n in zip((plan.rows, plan.columns), plan.inputs, strict=True))
        planes = _planes(tensors.quantize(fmt, gradient), 2, plan.outputs)
        shares = plan.shares(large, gradient.device)
        alone = all(len(windows) < 2 for windows in (*rows, *columns))  # one product for each output is enough
        products = _weighted(mac, planes[..., None], shares[0, :, :, None]) if alone and len(planes) else planes
        grad_x = _empty_planes(fmt, planes, plan.inputs)
        for block in blocks(rows, columns, gradient.device):
            terms = block.take(products)
            block.put(grad_x, terms[..., 0] if alone else _weighted(mac, terms, block.take(shares)[0]))
        return ctx.use(grad_x.reshape(ctx.shape)), None, None, None, None


def _weighted(mac: MacSpec, terms: Tensor, weights: Tensor) -> Tensor:
    """Σ terms·weights for terms (M, R, C, K) and weights (R, C, K) or (R, C, 1): (M, R, C), each in one accumulator."""
    m, r, c, k = terms.shape
    backend = current_backend()
    if bool((weights == weights[0, 0, 0]).all()):
        column = weights[0, 0, :1].expand(k)[:, None]
        return backend.matmul(mac, terms.reshape(m * r * c, k), column).reshape(m, r, c)
    stack = terms.permute(1, 2, 0, 3).reshape(r * c, m, k)
    sums = backend.matmul(mac, stack, weights.expand(r, c, k).reshape(r * c, k, 1))
    return sums.reshape(r, c, m).permute(2, 0, 1)


# Maxima ----------------------------------------------------------------------------------------------


def _max_pool(
    name: str,
    x: Tensor,
    dims: int,
    kernel_size: Sizes,
    policy: Policy,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
) -> Tensor:
    inputs = _inputs(name, x, dims)
    options = _options(name, inputs, dims, kernel_size, stride, padding, dilation)
    use = reader(x, policy)
    result: Tensor = _MaxPool.apply(x, dims, inputs, options, ceil_mode, policy, use)  # type: ignore[no-untyped-call]
    return result


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        dims: int,
        inputs: tuple[int, int],
        options: _Options,
        ceil_mode: bool,
        policy: Policy,
        use: Any,
    ) -> Tensor:
        planes = _planes(x, dims, inputs)
        y, places = torch.nn.functional.max_pool2d(planes[:, None], *options, ceil_mode, return_indices=True)
        ctx.save_for_backward(places[:, 0])
        ctx.shape, ctx.inputs, ctx.options, ctx.policy, ctx.use = x.shape, inputs, options, policy, use
        y = y.to(max(y.dtype, carrier(policy), key=lambda dtype: dtype.itemsize))
        return shaped(y, (*x.shape[: x.ndim - dims], *y.shape[4 - dims :]))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        planes = gradient.reshape(places.shape)
        kernel, stride, _, dilation = ctx.options
        if all(s > d * (k - 1) for k, s, d in zip(kernel, stride, dilation, strict=True)):  # windows do not overlap
            grad_x = planes.new_zeros(len(planes), math.prod(ctx.inputs))
            grad_x.scatter_(1, places.flatten(1), planes.flatten(1))
        else:
            grad_x = _summed(ctx, planes, places)
        return ctx.use(grad_x.reshape(ctx.shape)), None, None, None, None, None, None


def _summed(ctx: Any, gradient: Tensor, places: Tensor) -> Tensor:
    """R_B(Σ g) of the windows (M, OH, OW) in which an input (M, H, W) was the largest."""
    policy: Policy = ctx.policy
    fmt, device, (height, width) = policy.backward.format, gradient.device, ctx.inputs
    rows, columns = (
        reached(sliding(n, count, k, s, p, d), n)
        for n, count, k, s, p, d in zip(ctx.inputs, places.shape[1:], *ctx.options, strict=True)
    )
    gradient = tensors.quantize(fmt, gradient)
    own = torch.arange(height * width, device=device).reshape(1, height, width)
    grad_x = _empty_planes(fmt, gradient, ctx.inputs)
    for block in blocks(rows, columns, device):
        chosen = block.take(places) == block.pick(own)[..., None]
        terms = torch.where(chosen, block.take(gradient), 0.0)
        block.put(grad_x, _weighted(policy.backward_mac, terms, terms.new_ones(1, 1, 1)))
    return grad_x


# Shapes and options ----------------------------------------------------------------------------------


_Options = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]


def _inputs(name: str, x: Tensor, dims: int) -> tuple[int, int]:
    """The height and width of an activation; without the former, 1."""
    if x.ndim not in (dims + 1, dims + 2) or 0 in x.shape[-dims:]:
        axes = "H, W" if dims == 2 else "L"
        raise ValueError(f"{name}: x must be of shape (N, C, {axes}) or (C, {axes}), not {tuple(x.shape)}")
    return (x.shape[-2] if dims == 2 else 1), x.shape[-1]


def _planes(x: Tensor, dims: int, size: tuple[int, int]) -> Tensor:
    """An activation, or its gradient, as planes (M, H, W)."""
    return x.reshape(math.prod(x.shape) // math.prod(size), *size)


def _empty_planes(fmt: PositFormat, like: Tensor, size: tuple[int, int]) -> Tensor:
    return torch.zeros((len(like), *size), dtype=tensors.dtype_of(fmt), device=like.device)


def _options(
    name: str,
    inputs: tuple[int, int],
    dims: int,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
) -> _Options:
    """Kernel, stride, padding and dilation of both axes."""
    given = (kernel_size, kernel_size if stride is None or stride in ((), []) else stride, padding, dilation)
    kernel, steps, pads, dilations = (_pair(name, value, dims, i == 2) for i, value in enumerate(given))
    for n, k, p, d in zip(inputs, kernel, pads, dilations, strict=True):
        if 2 * p > k:
            raise ValueError(f"{name}: padding must be at most half of the window {k}, not {p}")
        if n + 2 * p < d * (k - 1) + 1:
            raise ValueError(f"{name}: an input of {inputs[0]}×{inputs[1]} is smaller than the window {kernel}")
    return kernel, steps, pads, dilations


def _pair(name: str, value: Sizes, dims: int, padding: bool) -> tuple[int, int]:
    """An option of both axes; the first is that of a single row where there is one axis."""
    values = (value,) * dims if isinstance(value, int) else tuple(value) * (dims if len(value) == 1 else 1)
    if len(values) != dims or not all(isinstance(v, int) and v >= (not padding) for v in values):
        least = "0 or more" if padding else "positive"
        raise ValueError(f"{name}: sizes must be {least}, one for each of {dims} axes, not {value!r}")
    first, last = (0 if padding else 1, *values) if dims == 1 else values
    return first, last


# As PyTorch's functions ------------------------------------------------------------------------------


def _call(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function of pooling that takes its arguments as PyTorch's does."""

    def call(policy: Policy, input: Tensor, size: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        for name in ("kernel_size", "output_size"):
            size = kwargs.pop(name, size)
        if not kwargs.get("return_indices"):
            kwargs.pop("return_indices", None)
        return function(input, size, policy, *args, **kwargs)

    return call


CALLS: dict[str, Callable[..., Any]] = {
    function.__name__: _call(function)
    for function in (adaptive_avg_pool1d, adaptive_avg_pool2d, avg_pool1d, avg_pool2d, max_pool1d, max_pool2d)
}
