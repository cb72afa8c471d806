"""Golden convolutions on codes, in one and two dimensions, and their gradients, with PyTorch's shapes and parameters.

`spec.a` is the format of what takes the place of the weights in the matrix product, `spec.b` that of the images:

| function | `spec.a` | `spec.b` | an element's terms, in their order |
|---|---|---|---|
| `conv2d` | weight, bias | x | C / groups, kh, kw |
| `conv2d_input_gradient` | weight | gradient | O / groups, then the gradient's rows and columns, so kh, kw from the last to the first |
| `conv2d_weight_gradient` | gradient | x | N, OH, OW |

Through a `Quire` the order does not matter and each element is rounded once. For the other accumulators the terms
include the zeros of the padding and, in the input's gradient, those that a stride or a dilation puts between and around
the gradient's elements. A product by zero changes no sum of `Fused` or `Rounded`; in an `Aligned` chunk it takes a
lane. NaR times a padding's zero is NaR.
"""  # noqa: E501

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import check_codes, decode
from positcore.gemm.convolution import conv2d_codes, input_gradient_codes, weight_gradient_codes
from positcore.gemm.convolution_checks import ConvolutionChecks
from positcore.gemm.products import value_dtype
from positcore.mac import MacSpec

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "conv1d", "conv1d_input_gradient", "conv1d_weight_gradient", "conv2d", "conv2d_input_gradient",
    "conv2d_weight_gradient",
]  # fmt: skip

Size = int | tuple[int, int]


def conv2d(
    spec: MacSpec,
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> NDArray[Any]:
    """The 2-D convolution of codes (a cross-correlation, as in PyTorch), every output one dot product.

    Parameters
    ----------
    spec : MacSpec
    x : array_like of codes of `spec.b`, (N, C, H, W)
    weight : array_like of codes of `spec.a`, (O, C / groups, kh, kw)
    bias : array_like of codes of `spec.a`, (O,), optional
        What the accumulator holds before the first product.
    stride, dilation : int or pair of int, at least 1
    padding : int or pair of int, at least 0
        Zeros on each side.
    groups : int
        Divides C and O; each group of outputs sees its group of inputs.

    Returns
    -------
    ndarray of `spec.out.dtype`, (N, O, OH, OW)

    Raises
    ------
    TypeError, ValueError
        If an operand is not an array of codes, shapes or parameters do not fit, or a dot product exceeds the quire.
    """
    return _forward(ConvolutionChecks("conv2d", 2), spec, x, weight, bias, stride, padding, dilation, groups)


def conv2d_input_gradient(
    spec: MacSpec,
    gradient: ArrayLike,
    weight: ArrayLike,
    size: Size,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> NDArray[Any]:
    """The gradient of `conv2d` with respect to its x, every element one dot product.

    Parameters
    ----------
    spec : MacSpec
    gradient : array_like of codes of `spec.b`, (N, O, OH, OW)
        That with respect to the output.
    weight : array_like of codes of `spec.a`, (O, C / groups, kh, kw)
    size : int or pair of int
        The height and width of x.
    stride, padding, dilation, groups : as for `conv2d`

    Returns
    -------
    ndarray of `spec.out.dtype`, (N, C, H, W)

    Raises
    ------
    TypeError, ValueError
        As for `conv2d`, and if the gradient is not of the shape of the output.
    """
    return _input_gradient(
        ConvolutionChecks("conv2d_input_gradient", 2), spec, gradient, weight, size, stride, padding, dilation, groups
    )


def conv2d_weight_gradient(
    spec: MacSpec,
    gradient: ArrayLike,
    x: ArrayLike,
    kernel: Size,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> NDArray[Any]:
    """The gradient of `conv2d` with respect to its weight, every element one dot product over the whole batch.

    Parameters
    ----------
    spec : MacSpec
    gradient : array_like of codes of `spec.a`, (N, O, OH, OW)
        That with respect to the output.
    x : array_like of codes of `spec.b`, (N, C, H, W)
    kernel : int or pair of int
        The height and width of the kernel.
    stride, padding, dilation, groups : as for `conv2d`

    Returns
    -------
    ndarray of `spec.out.dtype`, (O, C / groups, kh, kw)

    Raises
    ------
    TypeError, ValueError
        As for `conv2d_input_gradient`.
    """
    return _weight_gradient(
        ConvolutionChecks("conv2d_weight_gradient", 2), spec, gradient, x, kernel, stride, padding, dilation, groups
    )


def conv1d(
    spec: MacSpec,
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> NDArray[Any]:
    """As `conv2d`, for x (N, C, W) and weight (O, C / groups, kw); (N, O, OW)."""
    return _forward(ConvolutionChecks("conv1d", 1), spec, x, weight, bias, stride, padding, dilation, groups)


def conv1d_input_gradient(
    spec: MacSpec,
    gradient: ArrayLike,
    weight: ArrayLike,
    size: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> NDArray[Any]:
    """As `conv2d_input_gradient`, for gradient (N, O, OW), weight (O, C / groups, kw) and the width of x; (N, C, W)."""
    return _input_gradient(
        ConvolutionChecks("conv1d_input_gradient", 1), spec, gradient, weight, size, stride, padding, dilation, groups
    )


def conv1d_weight_gradient(
    spec: MacSpec,
    gradient: ArrayLike,
    x: ArrayLike,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> NDArray[Any]:
    """As `conv2d_weight_gradient`, for gradient (N, O, OW), x (N, C, W) and the kernel's width; (O, C / groups, kw)."""
    return _weight_gradient(
        ConvolutionChecks("conv1d_weight_gradient", 1), spec, gradient, x, kernel, stride, padding, dilation, groups
    )


def _forward(
    check: ConvolutionChecks, spec: MacSpec, x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None, *options: Any
) -> NDArray[Any]:
    check.spec(spec)
    images, kernels = check.codes(spec.b, "x", x), check.codes(spec.a, "weight", weight)
    geometry, groups = check.geometry(kernels.shape[2:], images.shape[2:], *options)
    check.groups(groups, kernels.shape[0], images.shape[1], kernels.shape[1])
    start = None if bias is None else check_codes(spec.a, bias, f"{check.name}: bias")
    if start is not None and start.shape != kernels.shape[:1]:
        raise ValueError(
            f"{check.name}: bias must be of shape ({len(kernels)},), one for each kernel, not {start.shape}"
        )
    dtype = value_dtype(spec, kernels[0].size + 1)
    y, w = decode(spec.b, images, dtype), decode(spec.a, kernels, dtype)
    z = None if start is None else decode(spec.a, start, dtype)

    def part(g: int) -> NDArray[Any]:
        return conv2d_codes(spec, _cut(y, 1, g, groups), _cut(w, 0, g, groups), _cut(z, 0, g, groups), geometry)

    return check.joined([part(g) for g in range(groups)], 1)


def _input_gradient(
    check: ConvolutionChecks, spec: MacSpec, gradient: ArrayLike, weight: ArrayLike, size: Any, *options: Any
) -> NDArray[Any]:
    check.spec(spec)
    above, kernels = check.codes(spec.b, "gradient", gradient), check.codes(spec.a, "weight", weight)
    shape = check.numbers("size", size, 1)
    geometry, groups = check.geometry(kernels.shape[2:], shape, *options)
    check.groups(groups, kernels.shape[0])
    check.gradient(above, len(above), len(kernels), geometry.output_size(shape))
    dtype = value_dtype(spec, kernels[:, 0].size // groups)
    y, w = decode(spec.b, above, dtype), decode(spec.a, kernels, dtype)

    def part(g: int) -> NDArray[Any]:
        return input_gradient_codes(spec, _cut(y, 1, g, groups), _cut(w, 0, g, groups), geometry, shape)

    return check.joined([part(g) for g in range(groups)], 1)


def _weight_gradient(
    check: ConvolutionChecks, spec: MacSpec, gradient: ArrayLike, x: ArrayLike, kernel: Any, *options: Any
) -> NDArray[Any]:
    check.spec(spec)
    above, images = check.codes(spec.a, "gradient", gradient), check.codes(spec.b, "x", x)
    geometry, groups = check.geometry(check.numbers("kernel", kernel, 1), images.shape[2:], *options)
    check.groups(groups, above.shape[1], images.shape[1])
    check.gradient(above, len(images), above.shape[1], geometry.output_size(images.shape[2:]))
    dtype = value_dtype(spec, above[:, 0].size)
    y, v = decode(spec.a, above, dtype), decode(spec.b, images, dtype)

    def part(g: int) -> NDArray[Any]:
        return weight_gradient_codes(spec, _cut(y, 1, g, groups), _cut(v, 1, g, groups), geometry)

    return check.joined([part(g) for g in range(groups)], 0)


def _cut(x: Any, axis: int, group: int, groups: int) -> Any:
    """The group's part of an array along an axis; the array itself, and None, where there is nothing to cut."""
    if x is None or groups == 1:
        return x
    each = x.shape[axis] // groups
    return np.ascontiguousarray(np.take(x, range(group * each, (group + 1) * each), axis))
