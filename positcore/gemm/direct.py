"""Convolutions summed in float32 where the images lie, without unfolding them, and proven as they are summed.

An image is laid out in planes (`positcore.gemm.planes`), in which every tap of a kernel is a distance; its sums, their
error bound and their codes are made while it lies in the cache. Of K products `_CHUNK` at a time are summed by
themselves, so that the bound is that of some _CHUNK + K / _CHUNK roundings, and few outputs stay in doubt. Those are
summed again in float64; what that does not prove is left to `positcore.gemm.quire`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import encode_bits
from positcore.gemm.blocks import LANES, PAIRINGS, ROWS, TALL, TAPS, add_dots, add_products, padded
from positcore.gemm.dots import row_norms
from positcore.gemm.doubt import Doubtful, settle_precise
from positcore.gemm.filter import relative_bound
from positcore.gemm.patches import Geometry, gather_patches, gather_taps
from positcore.gemm.planes import Planes, add_squares, fill, planes_of
from positcore.gemm.quire import pays_in_float32
from positcore.jit import any_order_kernel, float_bits, kernel
from positcore.mac import MacSpec, Quire
from positcore.threads import run_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["correlation_codes", "correlation_fits", "weight_gradient_fits", "weight_sums_codes"]

_CHUNK = 48  # products that are summed by themselves
_STRIP = 512  # places of an image whose products a lane sums its share of
_WASTE = 5  # places summed for each that is needed, up to which that takes less than unfolding
_LEAST = 4  # places that a lane sums, from which that pays for adding up the lanes
_GRAIN = 1 << 20  # products that pay for a thread
_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def correlation_fits(
    spec: MacSpec, matrix: NDArray[Any], x: NDArray[Any], geometry: Geometry, places: int | None = None
) -> bool:
    """Whether `correlation_codes` of these operands pays: float32 proves most of it, and little of it is in vain.

    `places` is the number of places in an image that products are needed for, where that is not the output's: in the
    gradient of an input the places of the gradient above, as the zeros put around those take their share of the time.
    """
    length = matrix.shape[1]
    if not _fits(spec, x, geometry, places) or not min(matrix.shape):
        return False
    return pays_in_float32(spec, length, _roundings(length))


def weight_gradient_fits(spec: MacSpec, rows: NDArray[Any], x: NDArray[Any], geometry: Geometry) -> bool:
    """Whether `weight_sums_codes` of these operands pays: as `correlation_fits`, and a lane has some places to sum."""
    if not _fits(spec, x, geometry) or Planes(geometry, (x.shape[2], x.shape[3])).length < _LEAST * LANES:
        return False
    return pays_in_float32(spec, rows.shape[1], _STRIP // LANES + PAIRINGS)


def _fits(spec: MacSpec, x: NDArray[Any], geometry: Geometry, places: int | None = None) -> bool:
    planes = Planes(geometry, (x.shape[2], x.shape[3]))
    if not isinstance(spec.accumulator, Quire) or not x.size or min(planes.output) < 1:
        return False
    return planes.length <= _WASTE * (planes.output[0] * planes.output[1] if places is None else places)


def _chunk(length: int) -> int:
    """Products that are summed by themselves: equal shares of all, `_CHUNK` at most."""
    return max(1, -(-length // max(1, -(-length // _CHUNK))))


def _roundings(length: int) -> int:
    """The most roundings that a product and sums with it go through."""
    return _chunk(length) + -(-length // _chunk(length))


def correlation_codes(
    spec: MacSpec, matrix: NDArray[Any], x: NDArray[Any], bias: NDArray[Any] | None, geometry: Geometry
) -> NDArray[Any]:
    """The codes of a matrix (O, C·kh·kw) times the patches of images, plus a bias (O,), as images (N, O, OH, OW).

    Parameters
    ----------
    spec : MacSpec
        With a quire; `correlation_fits`.
    matrix : ndarray of float32 or float64
    x : ndarray, (N, C, H, W)
    bias : ndarray, (O,), or None
    geometry : Geometry
    """
    images, channels, height, width = x.shape
    planes, places = planes_of(geometry, (height, width), channels)
    outputs, length = matrix.shape
    factors = padded(matrix, ROWS).reshape(-1, ROWS, length).transpose(0, 2, 1).reshape(-1)
    start = np.zeros(outputs, np.float32) if bias is None else bias.astype(np.float32)
    norms = row_norms(matrix)
    codes = np.empty((images, outputs, *planes.output), spec.out.dtype)
    near = relative_bound(_FLOAT32, _roundings(length) + (bias is not None))
    far = relative_bound(_FLOAT64, length + (bias is not None))
    weights, out = matrix.astype(np.float64, copy=False), spec.out
    left: list[tuple[int, NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]] = []

    def work(i: int, j: int) -> None:
        at, sizes, values = _correlate(
            x[i:j], planes.numbers(), planes.phases, planes.items, planes.length, planes.total(channels), places,
            geometry.taps, factors, _chunk(length), weights, start, norms, near, far,
            out.n, out.es, out.flushed, codes[i:j],
        )  # fmt: skip
        left.append((i, at + i * codes[0].size, sizes, values))

    run_split(work, images, max(1, _GRAIN // max(1, codes[0].size * length)))
    left.sort(key=lambda item: item[0])
    at, sizes, values = (np.concatenate(items) for items in list(zip(*left, strict=True))[1:])
    each = planes.output[0] * planes.output[1]
    m, row, place = np.unravel_index(at, (images, outputs, each))
    doubtful = Doubtful(at, row, m * each + place, sizes, start[row].astype(np.float64), values)
    settle_precise(
        spec, codes.reshape(-1), doubtful, length + (bias is not None), matrix.__getitem__,
        partial(gather_patches, x, geometry),
    )  # fmt: skip
    return codes


@kernel
def _correlate(
    x: Any, numbers: Any, phases: int, items: int, length: int, total: int, places: Any, taps: int, factors: Any,
    chunk: int, weights: Any, start: Any, norms: Any, near: float, far: float, n: int, es: int, flushed: int,
    codes: Any,
) -> Any:  # fmt: skip
    """Fill codes (N, O, OH, OW); where they are not proven: flat indices, products of norms, sums in float64."""
    outputs, terms = weights.shape
    sv, sh, pv, ph, rows, columns, width = numbers
    oh, ow = codes.shape[2], codes.shape[3]
    groups = (outputs + ROWS - 1) // ROWS
    planes, squares = np.zeros(total, np.float32), np.zeros(total - (x.shape[1] - 1) * phases * items)
    sums, sizes = np.empty(groups * ROWS * length, np.float32), np.empty(length)
    doubt = np.empty(ow, np.bool_)
    at, at_sizes, values, count = np.empty(64, np.intp), np.empty(64), np.empty(64), 0
    for m in range(x.shape[0]):
        fill(x[m], sv, sh, pv, ph, rows, columns, width, planes)
        for o in range(groups * ROWS):
            sums[o * length : (o + 1) * length] = start[o] if o < outputs else np.float32(0.0)
        for g in range(groups):
            part = factors[g * terms * ROWS : (g + 1) * terms * ROWS]
            for k in range(0, terms, chunk):
                for p in range(0, length, LANES):
                    add_products(planes, places, part, k, min(k + chunk, terms), p, sums, g * ROWS * length + p, length)
        add_squares(planes, x.shape[1], phases * items, squares)
        sizes[:] = 0.0
        for t in range(taps):
            shifted = squares[places[t] :]
            for p in range(length):
                sizes[p] += shifted[p]
        for p in range(length):
            sizes[p] = np.sqrt(sizes[p])
        for o in range(outputs):
            norm, added = norms[o], abs(np.float64(start[o]))
            for i in range(oh):
                first = i * width
                row = sums[o * length + first : o * length + first + ow]
                unsure = _encode_row(row, sizes[first:], near, norm, added, n, es, flushed, codes[m, o, i], doubt)
                if not unsure:
                    continue
                for j in range(ow):
                    if not doubt[j]:
                        continue
                    p = first + j
                    value = np.float64(start[o])
                    for k in range(terms):
                        value += weights[o, k] * np.float64(planes[places[k] + p])
                    bound = far * (norm * sizes[p] + added)
                    low = encode_bits(float_bits(value - bound), n, es, flushed)
                    high = encode_bits(float_bits(value + bound), n, es, flushed)
                    codes[m, o, i, j] = low & ((1 << n) - 1)
                    if low != high:
                        if count == at.size:
                            at, at_sizes, values = _grown(at), _grown(at_sizes), _grown(values)
                        at[count] = ((m * outputs + o) * oh + i) * ow + j
                        at_sizes[count], values[count] = norm * sizes[p], value
                        count += 1
    return at[:count], at_sizes[:count], values[:count]


@kernel
def _encode_row(
    sums: Any, sizes: Any, relative: float, norm: float, added: float, n: int, es: int, flushed: int, codes: Any,
    doubt: Any,
) -> bool:  # fmt: skip
    """Codes of a row of sums, and which of them the bound relative·(norm·size + added) does not prove."""
    mask = (1 << n) - 1
    for j in range(sums.size):
        value, bound = np.float64(sums[j]), relative * (norm * sizes[j] + added)
        low = encode_bits(float_bits(value - bound), n, es, flushed)
        high = encode_bits(float_bits(value + bound), n, es, flushed)
        codes[j] = low & mask
        doubt[j] = low != high
    return doubt.any()


@kernel
def _grown(x: Any) -> Any:
    """An array of twice the size that begins with `x`."""
    out = np.empty(2 * x.size, x.dtype)
    out[: x.size] = x
    return out


def weight_sums_codes(spec: MacSpec, rows: NDArray[Any], x: NDArray[Any], geometry: Geometry) -> NDArray[Any] | None:
    """The codes (O, C·kh·kw) of the gradient's rows (O, N·OH·OW) times the patches of images; None if one holds nan.

    Parameters
    ----------
    spec : MacSpec
        With a quire; `weight_gradient_fits`.
    rows : ndarray
    x : ndarray, (N, C, H, W)
    geometry : Geometry
    """
    images, channels, height, width = x.shape
    planes, places = planes_of(geometry, (height, width), channels)
    shape, length = (len(rows), places.size), rows.shape[1]
    taps = np.zeros(-(-places.size // TAPS) * TAPS, np.intp)
    taps[: places.size] = places
    layout = planes.numbers(), planes.phases, planes.items, planes.length, planes.total(channels), planes.output
    sums, squares = np.zeros((-(-len(rows) // TALL) * TALL, taps.size)), np.zeros((channels, planes.phases))
    found: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    each = length // images

    def work(i: int, j: int) -> None:
        part, part_squares = np.zeros_like(sums), np.zeros_like(squares)
        _add_weight_sums(x[i:j], rows[:, i * each : j * each], *layout, taps, part, part_squares)
        found.append((part, part_squares))

    run_split(work, images, max(1, _GRAIN // max(1, each * sums.size)))
    for part, part_squares in found:
        sums += part
        squares += part_squares
    norms = row_norms(rows)
    if np.isnan(norms).any() or np.isnan(squares).any():
        return None
    # What a tap meets is among the items of a plane: the norm of that is no less.
    sizes = norms[:, None] * np.sqrt(squares).reshape(-1)[planes.planes(channels)]
    codes, doubtful = _filtered(spec, sums[: shape[0], : shape[1]], sizes, _FLOAT32, _STRIP // LANES + PAIRINGS + 1)
    if doubtful.size:
        row, tap = np.unravel_index(doubtful, shape)
        again = np.zeros(doubtful.size)
        _add_chosen(x, rows, *layout, taps, row, tap, again)
        proven, left = _filtered(spec, again[None], sizes.reshape(-1)[doubtful][None], _FLOAT64, length)
        codes.reshape(-1)[doubtful] = proven[0]
        at, row, tap = doubtful[left], row[left], tap[left]
        rest = Doubtful(at, row, tap, sizes.reshape(-1)[at], np.zeros(at.size), again[left])
        settle_precise(spec, codes.reshape(-1), rest, length, rows.__getitem__, partial(gather_taps, x, geometry))
    return codes


def _filtered(
    spec: MacSpec, sums: NDArray[np.float64], sizes: NDArray[np.float64], dtype: np.dtype[Any], terms: int
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Codes of sums with `terms` roundings in `dtype`, and the flat indices of those that stay in doubt."""
    bounds = relative_bound(dtype, terms) * sizes
    codes, high = spec.out.encode(sums - bounds), spec.out.encode(sums + bounds)
    return codes, np.flatnonzero(codes != high)


@kernel
def _lay_out(rows: Any, m: int, output: Any, width: int, length: int, out: Any) -> None:
    """An image of the gradient's rows (O, N·OH·OW) as planes (O, length), with zeros between the outputs."""
    oh, ow = output
    for o in range(rows.shape[0]):
        for i in range(oh):
            source, first = rows[o, (m * oh + i) * ow : (m * oh + i + 1) * ow], o * length + i * width
            target = out[first : first + ow]
            for j in range(ow):
                target[j] = source[j]


@kernel
def _add_weight_sums(
    x: Any, rows: Any, numbers: Any, phases: int, items: int, length: int, total: int, output: Any, places: Any,
    sums: Any, squares: Any,
) -> None:  # fmt: skip
    """Add to `sums` the products of all images, and to `squares` the squares of what lies in each plane."""
    sv, sh, pv, ph, height, columns, width = numbers
    planes, above = np.zeros(total, np.float32), np.zeros(sums.shape[0] * length, np.float32)
    flat = sums.reshape(-1)
    for m in range(x.shape[0]):
        fill(x[m], sv, sh, pv, ph, height, columns, width, planes)
        _lay_out(rows, m, output, width, length, above)
        _add_plane_squares(planes, items, squares)
        for first in range(0, length, _STRIP):
            last = min(first + _STRIP, length)
            for o in range(0, sums.shape[0], TALL):
                for t in range(0, places.size, TAPS):
                    at = o * sums.shape[1] + t
                    add_dots(above, o * length, length, planes, places, t, first, last, flat, at, sums.shape[1])


@any_order_kernel
def _add_plane_squares(planes: Any, items: int, squares: Any) -> None:
    for c in range(squares.shape[0]):
        for f in range(squares.shape[1]):
            part, total = planes[(c * squares.shape[1] + f) * items : (c * squares.shape[1] + f + 1) * items], 0.0
            for i in range(part.size):
                total += np.float64(part[i]) * np.float64(part[i])
            squares[c, f] += total


@kernel
def _add_chosen(
    x: Any, rows: Any, numbers: Any, phases: int, items: int, length: int, total: int, output: Any, places: Any,
    chosen: Any, taps: Any, sums: Any,
) -> None:  # fmt: skip
    """Add to sums[s] the products of row chosen[s] and tap taps[s], in float64."""
    sv, sh, pv, ph, height, columns, width = numbers
    planes, above = np.zeros(total, np.float32), np.zeros(rows.shape[0] * length, np.float32)
    for m in range(x.shape[0]):
        fill(x[m], sv, sh, pv, ph, height, columns, width, planes)
        _lay_out(rows, m, output, width, length, above)
        for s in range(sums.size):
            sums[s] += _dot(above[chosen[s] * length :], planes[places[taps[s]] :], length)


@any_order_kernel
def _dot(x: Any, y: Any, length: int) -> float:
    total = 0.0
    for i in range(length):
        total += np.float64(x[i]) * np.float64(y[i])
    return total
