"""Golden 2-D convolution and its two gradients on floats that hold posit values: every element is one dot product.

Through a quire every element is rounded once. Where float32 proves most elements they are summed without unfolding
(`positcore.gemm.direct`). Else patches of the images are unfolded a tile at a time, whole images or some output rows of
one, and the gradient of the input is summed by folding: one more order of summation, under the same error bound. The
other accumulators take the terms in the order that the functions state.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import decode
from positcore.gemm.direct import correlation_codes, correlation_fits, weight_gradient_fits, weight_sums_codes
from positcore.gemm.dots import row_norms
from positcore.gemm.doubt import Gather
from positcore.gemm.patches import (
    Geometry,
    add_folded,
    gather_patches,
    gather_taps,
    patch_norms,
    reached_norms,
    spread,
    unfold,
)
from positcore.gemm.products import matmul_codes, value_dtype
from positcore.gemm.quire import Product, check_capacity, product_sums, resolve, working_dtype
from positcore.mac import Aligned, Fused, MacSpec, Quire, Rounded

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "conv2d_codes", "conv2d_values", "flipped", "input_gradient_codes", "input_gradient_values",
    "weight_gradient_codes", "weight_gradient_values",
]  # fmt: skip

_TILE = 1 << 20  # float64 items of the unfolded patches that are in memory at a time


def conv2d_codes(
    spec: MacSpec,
    x: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any] | None,
    geometry: Geometry,
    product: Product = np.matmul,
    direct: bool = True,
) -> NDArray[Any]:
    """round(bias + x ∗ weight); the terms of an element in the order of weight's C, kh, kw, padding among them.

    Parameters
    ----------
    spec : MacSpec
        a is the weights' format, b the images'.
    x : ndarray of float32 or float64, (N, C, H, W)
    weight : ndarray, (O, C, kh, kw)
    bias : ndarray, (O,), or None
    geometry : Geometry
    product : callable
        The matrix product of two arrays of float32 or of float64, where patches are unfolded.
    direct : bool
        Whether they need not be, where that is faster.

    Returns
    -------
    ndarray of `spec.out.dtype`, (N, O, OH, OW)

    Raises
    ------
    ValueError
        If the dot products exceed the capacity of the quire.
    """
    matrix = weight.reshape(len(weight), -1)
    length = matrix.shape[1] + (bias is not None)
    if direct and correlation_fits(spec, matrix, x, geometry):
        check_capacity(spec, length)
        return correlation_codes(spec, matrix, x, bias, geometry)
    start = None if bias is None else bias[:, None]
    return _correlate(spec, matrix, x, start, geometry, product)


def input_gradient_codes(
    spec: MacSpec,
    gradient: NDArray[Any],
    weight: NDArray[Any],
    geometry: Geometry,
    size: tuple[int, int],
    product: Product = np.matmul,
    direct: bool = True,
) -> NDArray[Any]:
    """The gradient of a convolution's input of height and width `size`.

    An element is the dot product of the kernel turned by half a turn and a patch of `spread`: its terms come in the
    order of O and, row by row, of the places in the output's gradient, so from the kernel's last tap to its first.
    The zeros between and around the gradient's elements are terms too.

    Parameters
    ----------
    spec : MacSpec
        a is the weights' format, b the gradient's.
    gradient : ndarray, (N, O, OH, OW)
    weight : ndarray, (O, C, kh, kw)
    geometry : Geometry
    size : pair of int
    product, direct : as for `conv2d_codes`

    Returns
    -------
    ndarray of `spec.out.dtype`, (N, C, H, W)
    """
    if gradient.shape[2:] == (1, 1) and isinstance(spec.accumulator, Fused | Rounded) and not np.isnan(weight).any():
        return _gradient_from_one_place(spec, gradient, weight, geometry, size)
    turned = flipped(weight)
    if not isinstance(spec.accumulator, Quire):
        patches, around = spread(gradient, geometry, size)
        return _correlate(spec, turned, patches, None, around, product)
    check_capacity(spec, turned.shape[1])
    if direct:
        patches, around = spread(gradient, geometry, size)
        if correlation_fits(spec, turned, patches, around, gradient.shape[2] * gradient.shape[3]):
            return correlation_codes(spec, turned, patches, None, around)
    _, channels, oh, ow = gradient.shape
    out = np.empty((len(gradient), weight.shape[1], *size), spec.out.dtype)
    operands = weight.reshape(channels, -1).T, turned, row_norms(turned)
    for i, j, blocks in _tiles(len(gradient), oh, weight.shape[1] * geometry.taps * ow):
        _place(_folded_tile(spec, gradient[i:j], *operands, blocks, geometry, size, product), out[i:j])
    return out


def weight_gradient_codes(
    spec: MacSpec,
    gradient: NDArray[Any],
    x: NDArray[Any],
    geometry: Geometry,
    product: Product = np.matmul,
    direct: bool = True,
) -> NDArray[Any]:
    """The gradient of a convolution's weights, one dot product over the whole batch in the order N, OH, OW.

    Parameters
    ----------
    spec : MacSpec
        a is the gradient's format, b the images'.
    gradient : ndarray, (N, O, OH, OW)
    x : ndarray, (N, C, H, W)
    geometry : Geometry
    product, direct : as for `conv2d_codes`

    Returns
    -------
    ndarray of `spec.out.dtype`, (O, C, kh, kw)
    """
    channels = gradient.shape[1]
    rows = np.ascontiguousarray(gradient.transpose(1, 0, 2, 3)).reshape(channels, -1)
    codes = None
    if direct and weight_gradient_fits(spec, rows, x, geometry):
        check_capacity(spec, rows.shape[1])
        codes = weight_sums_codes(spec, rows, x, geometry)
    if codes is None:
        accumulate = _exact_over_batch if isinstance(spec.accumulator, Quire) else _stepwise_over_batch
        codes = accumulate(spec, rows, x, geometry, product)
    return codes.reshape(channels, x.shape[1], *geometry.kernel)


def conv2d_values(spec: MacSpec, *operands: Any, **options: Any) -> NDArray[Any]:
    """`conv2d_codes` as values, in `spec.out.tensor_dtype`."""
    return decode(spec.out, conv2d_codes(spec, *operands, **options), spec.out.tensor_dtype)


def input_gradient_values(spec: MacSpec, *operands: Any, **options: Any) -> NDArray[Any]:
    """`input_gradient_codes` as values, in `spec.out.tensor_dtype`."""
    return decode(spec.out, input_gradient_codes(spec, *operands, **options), spec.out.tensor_dtype)


def weight_gradient_values(spec: MacSpec, *operands: Any, **options: Any) -> NDArray[Any]:
    """`weight_gradient_codes` as values, in `spec.out.tensor_dtype`."""
    return decode(spec.out, weight_gradient_codes(spec, *operands, **options), spec.out.tensor_dtype)


def flipped(weight: NDArray[Any]) -> NDArray[Any]:
    """The kernel (O, C, kh, kw) turned by half a turn, as the matrix (C, O·kh·kw)."""
    return np.ascontiguousarray(weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)).reshape(weight.shape[1], -1)


def _correlate(
    spec: MacSpec,
    matrix: NDArray[Any],
    x: NDArray[Any],
    start: NDArray[Any] | None,
    geometry: Geometry,
    product: Product,
) -> NDArray[Any]:
    """The codes of a matrix (O, C·kh·kw) times the patches of images, plus `start` (O, 1), as images (N, O, OH, OW)."""
    length = matrix.shape[1] + (start is not None)
    quire = isinstance(spec.accumulator, Quire)
    if quire:
        check_capacity(spec, length)
        norms = row_norms(matrix)
    dtype = value_dtype(spec, length)
    oh, ow = geometry.output_size((x.shape[2], x.shape[3]))
    out = np.empty((len(x), len(matrix), oh, ow), spec.out.dtype)
    for i, j, blocks in _tiles(len(x), oh, matrix.shape[1] * ow):
        images = x[i:j]
        for block in blocks:
            columns = unfold(images, geometry, dtype, block)
            if quire:
                sums = partial(product_sums, matrix, columns, product=product, bias=start)
                patches = partial(gather_patches, images, geometry, rows=block)
                sizes = patch_norms(images, geometry, block)
                codes = resolve(spec, sums, length, norms, sizes, matrix.__getitem__, patches, start)
            else:
                codes = matmul_codes(spec, matrix, columns, start)
            _place(codes, out[i:j, :, block[0] : block[1]])
    return out


def _gradient_from_one_place(
    spec: MacSpec, gradient: NDArray[Any], weight: NDArray[Any], geometry: Geometry, size: tuple[int, int]
) -> NDArray[Any]:
    """The input gradient of a kernel that was put in one place only, without NaR among the weights.

    Of all terms of an element those of one tap are no products by zero, which change no sum that is rounded at each
    step.
    """
    images, channels = gradient.shape[:2]
    codes = matmul_codes(spec, weight.reshape(channels, -1).T, gradient.reshape(images, channels).T)
    taps = codes.reshape(weight.shape[1], *geometry.kernel, images).transpose(3, 0, 1, 2)
    out = np.zeros((images, weight.shape[1], *size), spec.out.dtype)
    places = [np.arange(geometry.kernel[i]) * geometry.dilation[i] - geometry.padding[i] for i in (0, 1)]
    inside = [(place >= 0) & (place < size[i]) for i, place in enumerate(places)]
    rows, columns = (place[within] for place, within in zip(places, inside, strict=True))
    out[:, :, rows[:, None], columns] = taps[:, :, inside[0]][:, :, :, inside[1]]
    return out


def _folded_tile(
    spec: MacSpec,
    gradient: NDArray[Any],
    matrix: NDArray[Any],
    turned: NDArray[Any],
    norms: NDArray[np.float64],
    blocks: list[tuple[int, int]],
    geometry: Geometry,
    size: tuple[int, int],
    product: Product,
) -> NDArray[Any]:
    """The codes (C, N·H·W) of the input gradient of some images, summed by folding the blocks of their output rows."""
    n, channels = gradient.shape[:2]
    across = gradient.transpose(1, 0, 2, 3)
    parts = [np.ascontiguousarray(across[:, :, first:last]).reshape(channels, -1) for first, last in blocks]

    def sums(dtype: np.dtype[Any]) -> NDArray[Any]:
        total: NDArray[Any] | None = None
        for (first, _), part in zip(blocks, parts, strict=True):
            columns = product_sums(matrix, part, dtype, product=product)
            if total is None:
                total = np.zeros((len(turned), n, *size), columns.dtype)
            add_folded(columns, geometry, total, first)
        assert total is not None
        return total.reshape(len(turned), -1)

    def patches(columns: NDArray[np.intp]) -> NDArray[np.float64]:
        return gather_patches(*spread(gradient, geometry, size), columns)

    sizes = reached_norms(gradient, geometry, size)
    return resolve(spec, sums, turned.shape[1], norms, sizes, turned.__getitem__, patches)


def _exact_over_batch(
    spec: MacSpec, rows: NDArray[Any], x: NDArray[Any], geometry: Geometry, product: Product
) -> NDArray[Any]:
    """The codes (O, C·kh·kw) of rows (O, N·OH·OW) times the patches of images, through a quire."""
    length = rows.shape[1]
    check_capacity(spec, length)
    taps = x.shape[1] * geometry.taps
    oh, ow = geometry.output_size((x.shape[2], x.shape[3]))
    gather: Gather = partial(gather_taps, x, geometry)

    def accumulate(dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """The sums over all tiles, and the sums of squares of the patches' elements."""
        nonlocal gather
        sums, squares = np.zeros((taps, len(rows)), dtype), np.zeros(taps)
        for i, j, blocks in _tiles(len(x), oh, taps * ow):
            for first, last in blocks:
                columns = unfold(x[i:j], geometry, dtype, (first, last))
                part = rows[:, (i * oh + first) * ow : ((j - 1) * oh + last) * ow]
                sums = sums + product_sums(
                    columns, part.T, dtype, product=product
                )  # BLAS is slower with the few rows on the left
                squares += np.square(row_norms(columns))
                if columns.shape[1] == length:
                    gather = columns.__getitem__
        return np.ascontiguousarray(sums.T), squares

    first = working_dtype(spec, length)
    total, squares = accumulate(first)

    def sums(dtype: np.dtype[Any]) -> NDArray[Any]:
        return total if dtype == first else accumulate(dtype)[0]

    return resolve(spec, sums, length, row_norms(rows), np.sqrt(squares), rows.__getitem__, lambda at: gather(at))


def _stepwise_over_batch(
    spec: MacSpec, rows: NDArray[Any], x: NDArray[Any], geometry: Geometry, product: Product
) -> NDArray[Any]:
    """As `_exact_over_batch`, with rounding in between: where a tile ends is where the next one starts."""
    taps = x.shape[1] * geometry.taps
    lanes = spec.accumulator.lanes if isinstance(spec.accumulator, Aligned) else 1
    step = max(1, _TILE // max(1, taps * lanes)) * lanes
    codes, sums = np.zeros((len(rows), taps), spec.out.dtype), None
    for start in range(0, rows.shape[1], step):
        stop = min(start + step, rows.shape[1])
        patches = gather_patches(x, geometry, np.arange(start, stop))
        codes = matmul_codes(spec, rows[:, start:stop], patches, sums)
        sums = decode(spec.out, codes)
    return codes


def _tiles(images: int, height: int, row: int) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Ranges of images, and blocks of their output rows, whose patches take at most `_TILE` items together.

    `row` is the number of items in the patches of one output row, which is the least that a block has.
    """
    together = max(1, _TILE // max(1, row * height))
    rows = max(1, _TILE // max(1, row))
    blocks = [(first, min(first + rows, height)) for first in range(0, height, rows)]
    for i in range(0, images, together):
        yield i, min(i + together, images), blocks


def _place(codes: NDArray[Any], out: NDArray[Any]) -> None:
    """Codes (channels, N·H·W) into images (N, channels, H, W)."""
    out[:] = codes.reshape(out.shape[1], out.shape[0], *out.shape[2:]).transpose(1, 0, 2, 3)
