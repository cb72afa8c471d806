"""Patches of images: a convolution's geometry, its operands as matrix columns, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.jit import kernel
from positcore.threads import run_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Geometry", "add_folded", "fold", "gather_patches", "gather_taps", "patch_norms", "reached_norms", "spread",
    "unfold",
]  # fmt: skip

_GRAIN = 1 << 15


@dataclass(frozen=True)
class Geometry:
    """Kernel size, stride, zero padding and dilation of a 2-D convolution, each (vertical, horizontal)."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The output's height and width: (size + 2·padding − dilation·(kernel − 1) − 1) // stride + 1."""
        height, width = (
            (size[i] + 2 * self.padding[i] - self.dilation[i] * (self.kernel[i] - 1) - 1) // self.stride[i] + 1
            for i in (0, 1)
        )
        return height, width

    @property
    def taps(self) -> int:
        """Positions of the kernel, kh·kw."""
        return self.kernel[0] * self.kernel[1]

    def numbers(self, first: int = 0) -> tuple[int, int, int, int, int, int, int, int]:
        """All eight numbers, as the kernels take them, such that output row `first` is their row 0."""
        (pv, ph), sv = self.padding, self.stride[0]
        return *self.kernel, *self.stride, pv - first * sv, ph, *self.dilation


def unfold(
    x: NDArray[Any],
    geometry: Geometry,
    dtype: np.dtype[Any] | type = np.float64,
    rows: tuple[int, int] | None = None,
) -> NDArray[Any]:
    """The patches of images as columns, zero where the padding is.

    Parameters
    ----------
    x : ndarray, (N, C, H, W)
    geometry : Geometry
    dtype : dtype
        That of the result.
    rows : pair of int, optional
        The first row of the output and that after the last; all, unless told.

    Returns
    -------
    ndarray of `dtype`, (C·kh·kw, N·rows·OW)
    """
    n, c, h, w = x.shape
    oh, ow = geometry.output_size((h, w))
    first, last = (0, oh) if rows is None else rows
    columns = np.empty((c * geometry.taps, n, last - first, ow), dtype)
    numbers, each = geometry.numbers(first), n * (last - first) * ow
    run_split(lambda i, j: _unfold_into(x, *numbers, i, columns[i:j]), len(columns), max(1, _GRAIN // max(1, each)))
    return columns.reshape(len(columns), each)


@kernel
def _unfold_into(
    x: Any, kh: int, kw: int, sv: int, sh: int, pv: int, ph: int, dv: int, dh: int, first: int, columns: Any
) -> None:
    """Rows `first` … of the unfolded images. By index: slices of rows this short cost more than they hold."""
    h, w = x.shape[2], x.shape[3]
    oh, ow = columns.shape[2], columns.shape[3]
    for r in range(columns.shape[0]):
        c = (first + r) // (kh * kw)
        top = (first + r) // kw % kh * dv - pv
        left = (first + r) % kw * dh - ph
        start, stop = _inside(left, sh, w, ow)
        for n in range(columns.shape[1]):
            for i in range(oh):
                y = top + i * sv
                out = columns[r, n, i]
                if y < 0 or y >= h:
                    out[:] = 0.0
                    continue
                row = x[n, c, y]
                for j in range(start):
                    out[j] = 0.0
                for j in range(stop, np.uint64(ow)):
                    out[j] = 0.0
                base, step = np.uint64(left + np.int64(start) * sh), np.uint64(sh)
                if sh == 1:
                    for j in range(stop - start):
                        out[start + j] = row[base + j]
                else:
                    for j in range(stop - start):
                        out[start + j] = row[base + j * step]


@kernel
def _inside(left: int, stride: int, width: int, count: int) -> tuple[Any, Any]:
    """The first of `count` places left + j·stride that is in 0..width − 1, and the one after the last.

    Unsigned, and so must be the indices made of them: a signed index may count from the end, and no loop over such
    is vectorised.
    """
    start = min(count, max(0, -(left // stride)))
    stop = max(start, min(count, (width - 1 - left) // stride + 1))
    return np.uint64(start), np.uint64(stop)


def fold(columns: NDArray[Any], images: int, size: tuple[int, int], geometry: Geometry) -> NDArray[Any]:
    """The adjoint of `unfold`: columns (C·kh·kw, N·OH·OW) summed where patches overlap, (C, N, H, W)."""
    out = np.zeros((len(columns) // geometry.taps, images, *size), columns.dtype)
    add_folded(columns, geometry, out)
    return out


def add_folded(columns: NDArray[Any], geometry: Geometry, out: NDArray[Any], first: int = 0) -> None:
    """Add to `out`, (C, N, H, W), where patches overlap, columns (C·kh·kw, N·rows·OW) of the output rows `first` …."""
    channels, images, h, w = out.shape
    taps, ow = geometry.taps, geometry.output_size((h, w))[1]
    each = columns.shape[1]
    shaped, numbers = columns.reshape(len(columns), images, each // max(1, images * ow), ow), geometry.numbers(first)
    run_split(
        lambda i, j: _fold_into(shaped[i * taps : j * taps], *numbers, out[i:j]),
        channels,
        max(1, _GRAIN // max(1, taps * each)),
    )


@kernel
def _fold_into(columns: Any, kh: int, kw: int, sv: int, sh: int, pv: int, ph: int, dv: int, dh: int, out: Any) -> None:
    h, w = out.shape[2], out.shape[3]
    oh, ow = columns.shape[2], columns.shape[3]
    for r in range(columns.shape[0]):
        c = r // (kh * kw)
        top = r // kw % kh * dv - pv
        left = r % kw * dh - ph
        start, stop = _inside(left, sh, w, ow)
        base, step = np.uint64(left + np.int64(start) * sh), np.uint64(sh)
        for n in range(columns.shape[1]):
            for i in range(oh):
                y = top + i * sv
                if y < 0 or y >= h:
                    continue
                row, column = out[c, n, y], columns[r, n, i]
                if sh == 1:
                    for j in range(stop - start):
                        row[base + j] += column[start + j]
                else:
                    for j in range(stop - start):
                        row[base + j * step] += column[start + j]


def patch_norms(x: NDArray[Any], geometry: Geometry, rows: tuple[int, int] | None = None) -> NDArray[np.float64]:
    """Euclidean norms of the columns of `unfold(x, geometry, rows=rows)`, within a relative 2^−40; nan where one is."""
    n, _, h, w = x.shape
    oh, ow = geometry.output_size((h, w))
    first, last = (0, oh) if rows is None else rows
    out = np.zeros((n, last - first, ow))
    numbers = geometry.numbers(first)
    grain = max(1, _GRAIN // max(1, x.shape[1] * h * w))
    run_split(lambda i, j: _patch_squares(x[i:j], *numbers, out[i:j]), n, grain)
    return np.sqrt(out, out).reshape(-1)


def reached_norms(gradient: NDArray[Any], geometry: Geometry, size: tuple[int, int]) -> NDArray[np.float64]:
    """For each place (N, H, W) the Euclidean norm of all elements of the output's gradient that it contributed to."""
    out = np.zeros((len(gradient), *size))
    numbers = geometry.numbers()
    grain = max(1, _GRAIN // max(1, gradient[0].size))
    run_split(lambda i, j: _reached_squares(gradient[i:j], *numbers, out[i:j]), len(gradient), grain)
    return np.sqrt(out, out).reshape(-1)


@kernel
def _squares(image: Any, y: int, out: Any) -> None:
    """out ← the sums of squares over the channels of an image (C, H, W) in its row y."""
    out[:] = 0.0
    for c in range(image.shape[0]):
        row = image[c, y]
        for z in range(row.size):
            out[z] += np.float64(row[z]) * np.float64(row[z])


@kernel
def _patch_squares(x: Any, kh: int, kw: int, sv: int, sh: int, pv: int, ph: int, dv: int, dh: int, out: Any) -> None:
    """Sums over a patch are sums across, then down. `out` holds zeros."""
    h, ow = x.shape[2], out.shape[2]
    squares, across = np.empty(x.shape[3]), np.empty(ow)
    for n in range(out.shape[0]):
        for y in range(max(0, -pv), min(h, (out.shape[1] - 1) * sv - pv + (kh - 1) * dv + 1)):
            _squares(x[n], y, squares)
            across[:] = 0.0
            for kj in range(kw):
                left = kj * dh - ph
                start, stop = _inside(left, sh, squares.size, ow)
                base, step = np.uint64(left + np.int64(start) * sh), np.uint64(sh)
                for j in range(stop - start):
                    across[start + j] += squares[base + j * step]
            for ki in range(kh):
                i, rest = divmod(y + pv - ki * dv, sv)
                if rest == 0 and 0 <= i < out.shape[1]:
                    row = out[n, i]
                    for j in range(ow):
                        row[j] += across[j]


@kernel
def _reached_squares(
    gradient: Any, kh: int, kw: int, sv: int, sh: int, pv: int, ph: int, dv: int, dh: int, out: Any
) -> None:
    """The adjoint: squares are spread across, then down. `out` holds zeros."""
    h, w, ow = out.shape[1], out.shape[2], gradient.shape[3]
    squares, across = np.empty(ow), np.empty(w)
    for n in range(out.shape[0]):
        for i in range(gradient.shape[2]):
            _squares(gradient[n], i, squares)
            across[:] = 0.0
            for kj in range(kw):
                left = kj * dh - ph
                start, stop = _inside(left, sh, w, ow)
                base, step = np.uint64(left + np.int64(start) * sh), np.uint64(sh)
                for j in range(stop - start):
                    across[base + j * step] += squares[start + j]
            for ki in range(kh):
                y = i * sv - pv + ki * dv
                if 0 <= y < h:
                    row = out[n, y]
                    for z in range(w):
                        row[z] += across[z]


def gather_patches(
    x: NDArray[Any], geometry: Geometry, columns: NDArray[np.intp], rows: tuple[int, int] | None = None
) -> NDArray[np.float64]:
    """Chosen columns of `unfold(x, geometry, rows=rows)` as rows: (columns, C·kh·kw)."""
    oh, ow = geometry.output_size((x.shape[2], x.shape[3]))
    first, last = (0, oh) if rows is None else rows
    out = np.empty((columns.size, x.shape[1] * geometry.taps))
    numbers = geometry.numbers(first)
    run_split(
        lambda i, j: _gather_patches(x, *numbers, last - first, ow, columns[i:j], out[i:j]),
        columns.size,
        max(1, _GRAIN // max(1, out.shape[1])),
    )
    return out


@kernel
def _gather_patches(
    x: Any, kh: int, kw: int, sv: int, sh: int, pv: int, ph: int, dv: int, dh: int,
    oh: int, ow: int, columns: Any, out: Any,
) -> None:  # fmt: skip
    h = x.shape[2]
    for s in range(columns.size):
        n = columns[s] // (oh * ow)
        top = columns[s] // ow % oh * sv - pv
        left = columns[s] % ow * sh - ph
        start, stop = _inside(left, dh, x.shape[3], kw)
        base, step = np.uint64(left + np.int64(start) * dh), np.uint64(dh)
        patch = out[s]
        patch[:] = 0.0
        for c in range(x.shape[1]):
            for ki in range(kh):
                y = top + ki * dv
                if 0 <= y < h:
                    row, first = x[n, c, y], np.uint64((c * kh + ki) * kw)
                    for j in range(stop - start):
                        patch[first + start + j] = row[base + j * step]


def gather_taps(x: NDArray[Any], geometry: Geometry, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Chosen rows of `unfold(x, geometry)`: (rows, N·OH·OW)."""
    n, _, h, w = x.shape
    oh, ow = geometry.output_size((h, w))
    out = np.empty((rows.size, n, oh, ow))
    for s, row in enumerate(rows):
        _unfold_into(x, *geometry.numbers(), int(row), out[s : s + 1])
    return out.reshape(rows.size, -1)


def spread(gradient: NDArray[Any], geometry: Geometry, size: tuple[int, int]) -> tuple[NDArray[Any], Geometry]:
    """An output gradient with zeros put in, and the geometry under which its patches meet the flipped kernel.

    The gradient of a convolution's input of height and width `size` is one dot product per element: of a
    patch of the spread gradient (N, O, ·, ·) with the kernel turned by half a turn.
    """
    n, channels, oh, ow = gradient.shape
    (sv, sh), (pv, ph), (dv, dh), (kh, kw) = geometry.stride, geometry.padding, geometry.dilation, geometry.kernel
    shape = (n, channels, size[0] + 2 * pv - dv * (kh - 1), size[1] + 2 * ph - dh * (kw - 1))
    out = gradient
    if shape != gradient.shape or (sv, sh) != (1, 1):
        out = np.zeros(shape, gradient.dtype)
        out[:, :, ::sv, ::sh][:, :, :oh, :ow] = gradient
    # A patch ends where the input element lies, so it begins dilation·(kernel − 1) before.
    margin = (dv * (kh - 1) - pv, dh * (kw - 1) - ph)
    return out, Geometry(geometry.kernel, (1, 1), margin, geometry.dilation)
