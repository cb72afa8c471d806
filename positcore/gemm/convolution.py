"""Golden 2-D convolution and its two gradients: every element is one quire dot product, rounded once.

The float64 sums come from matrix products over tiles of images; the gradient of the input is summed by
folding, which is one more order of summation and so falls under the same error bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import decode
from positcore.gemm.dots import column_norms, row_norms
from positcore.gemm.patches import Geometry, fold, gather_patches, gather_taps, spread, unfold
from positcore.gemm.quire import Gather, Product, check_capacity, product_sums, resolve, working_dtype
from positcore.mac import MacSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["conv2d_values", "flipped", "input_gradient_values", "weight_gradient_values"]

_TILE = 1 << 20  # float64 items of the unfolded patches that are in memory at a time


def conv2d_values(
    spec: MacSpec,
    x: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any] | None,
    geometry: Geometry,
    product: Product = np.matmul,
) -> NDArray[Any]:
    """round(bias + x ∗ weight) on floats that hold posit values.

    Parameters
    ----------
    spec : MacSpec
        a is the weights' format, b the images'.
    x : ndarray of float32 or float64, (N, C, H, W)
    weight : ndarray, (O, C, kh, kw)
    bias : ndarray, (O,), or None
    geometry : Geometry
    product : callable
        The matrix product of two arrays of float32 or of float64.

    Returns
    -------
    ndarray of `spec.out.tensor_dtype`, (N, O, OH, OW)

    Raises
    ------
    ValueError
        If the dot products exceed the capacity of the quire.
    """
    matrix = weight.reshape(len(weight), -1)
    start = None if bias is None else bias[:, None]
    length = matrix.shape[1] + (bias is not None)
    check_capacity(spec, length)
    size = geometry.output_size((x.shape[2], x.shape[3]))
    out = np.empty((len(x), len(weight), *size), spec.out.tensor_dtype)
    norms = row_norms(matrix)
    for i, j in _tiles(len(x), matrix.shape[1] * size[0] * size[1]):
        images = x[i:j]
        columns = unfold(images, geometry, working_dtype(spec, length))
        sums = partial(product_sums, matrix, columns, product=product, bias=start)
        patches = partial(gather_patches, images, geometry)
        codes = resolve(spec, sums, length, norms, column_norms(columns), matrix.__getitem__, patches, start)
        _place(spec, codes, out[i:j])
    return out


def input_gradient_values(
    spec: MacSpec,
    gradient: NDArray[Any],
    weight: NDArray[Any],
    geometry: Geometry,
    size: tuple[int, int],
    product: Product = np.matmul,
) -> NDArray[Any]:
    """The gradient of a convolution's input of height and width `size`, on floats that hold posit values.

    Parameters
    ----------
    spec : MacSpec
        a is the weights' format, b the gradient's.
    gradient : ndarray, (N, O, OH, OW)
    weight : ndarray, (O, C, kh, kw)
    geometry : Geometry
    size : pair of int
    product : callable

    Returns
    -------
    ndarray of `spec.out.tensor_dtype`, (N, C, H, W)
    """
    matrix = weight.reshape(len(weight), -1).T
    turned = flipped(weight)
    length = turned.shape[1]
    check_capacity(spec, length)
    out = np.empty((len(gradient), weight.shape[1], *size), spec.out.tensor_dtype)
    norms = row_norms(turned)
    for i, j in _tiles(len(gradient), matrix.shape[0] * gradient.shape[2] * gradient.shape[3]):
        part = gradient[i:j]
        rows = np.ascontiguousarray(part.transpose(1, 0, 2, 3)).reshape(len(weight), -1)

        def sums(dtype: np.dtype[Any], rows: NDArray[Any] = rows, images: int = j - i) -> NDArray[Any]:
            columns = product_sums(matrix, rows, dtype, product=product)
            return fold(columns, images, size, geometry).reshape(weight.shape[1], -1)

        squares = column_norms(rows) ** 2
        reached = np.ascontiguousarray(np.broadcast_to(squares, (geometry.taps, squares.size)))
        sizes = np.sqrt(fold(reached, j - i, size, geometry)).reshape(-1)
        patches = partial(gather_patches, *spread(part, geometry, size))
        codes = resolve(spec, sums, length, norms, sizes, turned.__getitem__, patches)
        _place(spec, codes, out[i:j])
    return out


def weight_gradient_values(
    spec: MacSpec, gradient: NDArray[Any], x: NDArray[Any], geometry: Geometry, product: Product = np.matmul
) -> NDArray[Any]:
    """The gradient of a convolution's weights, summed over the whole batch before its one rounding.

    Parameters
    ----------
    spec : MacSpec
        a is the gradient's format, b the images'.
    gradient : ndarray, (N, O, OH, OW)
    x : ndarray, (N, C, H, W)
    geometry : Geometry
    product : callable

    Returns
    -------
    ndarray of `spec.out.tensor_dtype`, (O, C, kh, kw)
    """
    n, channels, oh, ow = gradient.shape
    length = n * oh * ow
    check_capacity(spec, length)
    taps = x.shape[1] * geometry.taps
    rows = np.ascontiguousarray(gradient.transpose(1, 0, 2, 3)).reshape(channels, -1)
    gather: Gather = partial(gather_taps, x, geometry)

    def accumulate(dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """The sums over all tiles, and the sums of squares of the patches' elements."""
        nonlocal gather
        sums, squares = np.zeros((channels, taps), dtype), np.zeros(taps)
        for i, j in _tiles(n, taps * oh * ow):
            columns = unfold(x[i:j], geometry, dtype)
            sums = sums + product_sums(rows[:, i * oh * ow : j * oh * ow], columns.T, dtype, product=product)
            squares += row_norms(columns) ** 2
            if j - i == n:
                gather = columns.__getitem__
        return sums, squares

    first = working_dtype(spec, length)
    total, squares = accumulate(first)

    def sums(dtype: np.dtype[Any]) -> NDArray[Any]:
        return total if dtype == first else accumulate(dtype)[0]

    codes = resolve(spec, sums, length, row_norms(rows), np.sqrt(squares), rows.__getitem__, lambda at: gather(at))
    values = decode(spec.out, codes, spec.out.tensor_dtype)
    return values.reshape(channels, x.shape[1], *geometry.kernel)


def flipped(weight: NDArray[Any]) -> NDArray[Any]:
    """The kernel (O, C, kh, kw) turned by half a turn, as the matrix (C, O·kh·kw)."""
    return np.ascontiguousarray(weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)).reshape(weight.shape[1], -1)


def _tiles(images: int, each: int) -> Iterator[tuple[int, int]]:
    """Ranges of images whose patches take at most `_TILE` items together."""
    step = max(1, _TILE // max(1, each))
    for i in range(0, images, step):
        yield i, min(i + step, images)


def _place(spec: MacSpec, codes: NDArray[Any], out: NDArray[Any]) -> None:
    """Codes (channels, N·H·W) as values into images (N, channels, H, W)."""
    values = decode(spec.out, codes, out.dtype)
    out[:] = values.reshape(out.shape[1], out.shape[0], *out.shape[2:]).transpose(1, 0, 2, 3)
