"""2-D convolution and its two gradients on a device, on float tensors that hold posit values.

Bit for bit `positcore.gemm.convolution`: every element is one dot product of the accumulator of a `MacSpec`, its
terms in the order stated there. Patches are gathered a tile at a time, whole images or some output rows of one, and
multiplied as matrices; no library's convolution is involved, which might be of Winograd's or an FFT's kind.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from positcore.gemm.patches import Geometry
from positcore.mac import Aligned, MacSpec, Quire
from positcore.nn.device.blocks import block_items
from positcore.nn.device.codec import decode_signed
from positcore.nn.device.codes import check_floats
from positcore.nn.device.gemm import check_length, values_matmul
from positcore.nn.device.quire import quire_signed
from positcore.nn.device.stepwise import stepwise_sums
from positcore.nn.tensors import dtype_of

__all__ = ["conv2d_values", "input_gradient_values", "patches", "weight_gradient_values"]


def conv2d_values(spec: MacSpec, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """round(bias + x ∗ weight); the terms of an element in the order of weight's C, kh, kw, padding among them.

    Parameters
    ----------
    spec : MacSpec
        a is the weights' format, b the images'.
    x : float tensor, (N, C, H, W)
    weight : float tensor, (O, C, kh, kw)
    bias : float tensor, (O,), or None
    geometry : Geometry

    Returns
    -------
    tensor of `spec.out.tensor_dtype`, (N, O, OH, OW)

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As for `positcore.nn.device.matmul`.
    """
    check_floats("conv2d", x, weight, *([] if bias is None else [bias]))
    return _correlate(spec, weight.reshape(len(weight), -1), x, None if bias is None else bias[:, None], geometry)


def input_gradient_values(
    spec: MacSpec, gradient: Tensor, weight: Tensor, geometry: Geometry, size: tuple[int, int]
) -> Tensor:
    """The gradient (N, C, H, W) of a convolution's input of height and width `size`.

    An element is the dot product of the kernel turned by half a turn and a patch of the gradient with zeros put in,
    which are terms too.

    Parameters
    ----------
    spec : MacSpec
        a is the weights' format, b the gradient's.
    gradient : float tensor, (N, O, OH, OW)
    weight : float tensor, (O, C, kh, kw)
    geometry : Geometry
    size : pair of int

    Returns
    -------
    tensor of `spec.out.tensor_dtype`, (N, C, H, W)

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As for `positcore.nn.device.matmul`.
    """
    check_floats("conv2d_input_gradient", gradient, weight)
    turned = weight.flip(2, 3).transpose(0, 1).reshape(weight.shape[1], -1)
    apart, around = _spread(gradient, geometry, size)
    return _correlate(spec, turned, apart, None, around)


def weight_gradient_values(spec: MacSpec, gradient: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
    """The gradient (O, C, kh, kw) of a convolution's weights, dot products over the batch in the order N, OH, OW.

    Parameters
    ----------
    spec : MacSpec
        a is the gradient's format, b the images'.
    gradient : float tensor, (N, O, OH, OW)
    x : float tensor, (N, C, H, W)
    geometry : Geometry

    Returns
    -------
    tensor of `spec.out.tensor_dtype`, (O, C, kh, kw)

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As for `positcore.nn.device.matmul`.
    """
    check_floats("conv2d_weight_gradient", gradient, x)
    n, channels, oh, ow = gradient.shape
    length = n * oh * ow
    taps = x.shape[1] * geometry.taps
    check_length(spec, length)

    def pieces() -> Iterator[tuple[Tensor, Tensor]]:
        for images, rows in _tiles(n, oh, taps * ow, block_items(x.device)):
            part = gradient[images, :, rows].detach().double().transpose(0, 1).reshape(channels, -1)
            yield part, patches(x[images], geometry, rows).T

    with torch.no_grad():
        values = torch.zeros(channels, taps, dtype=torch.float64, device=x.device)
        if isinstance(spec.accumulator, Quire):
            values = decode_signed(spec.out, quire_signed(spec, pieces, values, length, None))
        else:
            for a, b in _whole_chunks(pieces(), spec.accumulator.lanes if isinstance(spec.accumulator, Aligned) else 1):
                values = stepwise_sums(spec, a, b, values)
        return values.to(dtype_of(spec.out)).view(channels, x.shape[1], *geometry.kernel)


def patches(x: Tensor, geometry: Geometry, rows: slice = slice(None)) -> Tensor:
    """The patches of images (N, C, H, W) as float64 columns (C·kh·kw, N·rows·OW), zero where the padding is.

    `rows` are those of the output.
    """
    (pv, ph), (sv, sh), (dv, dh) = geometry.padding, geometry.stride, geometry.dilation
    n, c, h, w = x.shape
    oh, ow = geometry.output_size((h, w))
    padded = torch.nn.functional.pad(x.detach().double(), (ph, ph, pv, pv)).contiguous()
    per_image, per_channel, per_row, _ = padded.stride()
    strides = (per_channel, dv * per_row, dh, per_image, sv * per_row, sh)
    view = padded.as_strided((c, *geometry.kernel, n, oh, ow), strides)
    return view[:, :, :, :, rows].reshape(c * geometry.taps, -1)


def _correlate(spec: MacSpec, matrix: Tensor, x: Tensor, start: Tensor | None, geometry: Geometry) -> Tensor:
    """A matrix (O, C·kh·kw) times the patches of images, plus `start` (O, 1), as images (N, O, OH, OW)."""
    check_length(spec, matrix.shape[1] + (start is not None))
    oh, ow = geometry.output_size((x.shape[2], x.shape[3]))
    out = torch.empty((len(x), len(matrix), oh, ow), dtype=dtype_of(spec.out), device=x.device)
    for images, rows in _tiles(len(x), oh, matrix.shape[1] * ow, block_items(x.device)):
        into = out[images, :, rows].transpose(0, 1)
        values = values_matmul(spec, matrix, patches(x[images], geometry, rows), start)
        into.copy_(values.view(into.shape))
    return out


def _tiles(images: int, height: int, row: int, items: int) -> Iterator[tuple[slice, slice]]:
    """Slices of images and of their output rows, whose patches take at most `items`; `row` is what one row takes.

    In the order of images, then rows.
    """
    together = max(1, items // max(1, row * height))
    rows = max(1, items // max(1, row))
    for i in range(0, images, together):
        for first in range(0, height, rows):
            yield slice(i, min(i + together, images)), slice(first, min(first + rows, height))


def _spread(gradient: Tensor, geometry: Geometry, size: tuple[int, int]) -> tuple[Tensor, Geometry]:
    """The gradient with zeros put in, and how its patches meet the turned kernel: `positcore.gemm.patches.spread`."""
    n, channels, oh, ow = gradient.shape
    (sv, sh), (pv, ph), (dv, dh), (kh, kw) = geometry.stride, geometry.padding, geometry.dilation, geometry.kernel
    out = gradient.new_zeros((n, channels, size[0] + 2 * pv - dv * (kh - 1), size[1] + 2 * ph - dh * (kw - 1)))
    out[:, :, ::sv, ::sh][:, :, :oh, :ow] = gradient.detach()
    margin = (dv * (kh - 1) - pv, dh * (kw - 1) - ph)
    return out, Geometry(geometry.kernel, (1, 1), margin, geometry.dilation)


def _whole_chunks(pieces: Iterator[tuple[Tensor, Tensor]], lanes: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The same sums in pieces whose lengths are multiples of `lanes`, all but the last."""
    rest: tuple[Tensor, Tensor] | None = None
    for a, b in pieces:
        if rest is not None:
            a, b = torch.cat([rest[0], a], 1), torch.cat([rest[1], b], 0)
        whole = a.shape[1] - a.shape[1] % lanes
        rest = a[:, whole:], b[whole:]
        if whole:
            yield a[:, :whole], b[:whole]
    if rest is not None and rest[0].shape[1]:
        yield rest
