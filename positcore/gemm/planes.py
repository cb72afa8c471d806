"""Padded images for direct convolutions: one long row for each channel, in which every tap of a kernel is a distance.

A strided convolution meets each image in stride² phases, and so each is a plane of its own. In a plane the output
(i, j) lies at i·width + j, and what a tap meets for it the same distance further on, wherever the output is. Between
`width` and the output's width are places that belong to no output.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.gemm.blocks import LANES
from positcore.gemm.patches import Geometry
from positcore.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Planes", "add_squares", "fill", "planes_of"]


@dataclass(frozen=True)
class Planes:
    """How an image of height and width `size` is laid out for the convolutions of a geometry."""

    geometry: Geometry
    size: tuple[int, int]

    @property
    def output(self) -> tuple[int, int]:
        """The output's height and width."""
        return self.geometry.output_size(self.size)

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns of a plane from the first tap to the last."""
        (kv, kh), (sv, sh), (dv, dh) = self.geometry.kernel, self.geometry.stride, self.geometry.dilation
        return (kv - 1) * dv // sv, (kh - 1) * dh // sh

    @property
    def phases(self) -> int:
        """Planes of a channel."""
        return self.geometry.stride[0] * self.geometry.stride[1]

    @property
    def width(self) -> int:
        """Items of a row; without stride the padding right of a row is that left of the next one."""
        padding, columns = self.geometry.padding[1], self.output[1] + self.reach[1]
        return columns - padding if self.geometry.stride[1] == 1 and padding > 0 else columns

    @property
    def items(self) -> int:
        """Items of a plane."""
        return (self.output[0] + self.reach[0]) * self.width

    @property
    def length(self) -> int:
        """Places from the first output to the last, rounded up to whole vectors."""
        height, width = self.output
        return -(-((height - 1) * self.width + width) // LANES) * LANES

    def total(self, channels: int) -> int:
        """Items of all planes, and of what a vector that begins in them may reach."""
        return channels * self.phases * self.items + self.output[1] + self.reach[1] + 2 * LANES

    def numbers(self) -> tuple[int, ...]:
        """What the kernels take: stride, padding, and a plane's rows, columns in use, width."""
        (oh, ow), (rv, rh) = self.output, self.reach
        return *self.geometry.stride, *self.geometry.padding, oh + rv, ow + rh, self.width

    def planes(self, channels: int) -> NDArray[np.intp]:
        """The planes that the taps (C, kh, kw) meet, in that order."""
        (kv, kh), (sv, sh), (dv, dh) = self.geometry.kernel, self.geometry.stride, self.geometry.dilation
        down, across = np.arange(kv)[:, None] * dv, np.arange(kh) * dh
        plane = np.arange(channels)[:, None, None] * self.phases + down % sv * sh + across % sh
        return np.asarray(plane, np.intp).reshape(-1)

    def places(self, channels: int) -> NDArray[np.intp]:
        """The distances of the taps (C, kh, kw), in that order."""
        (kv, kh), (sv, sh), (dv, dh) = self.geometry.kernel, self.geometry.stride, self.geometry.dilation
        within = np.arange(kv)[:, None] * dv // sv * self.width + np.arange(kh) * dh // sh
        return self.planes(channels) * self.items + np.tile(within.reshape(-1), channels)


@lru_cache(maxsize=256)
def planes_of(geometry: Geometry, size: tuple[int, int], channels: int) -> tuple[Planes, NDArray[np.intp]]:
    """The layout, and the distances of its taps."""
    planes = Planes(geometry, size)
    return planes, planes.places(channels)


@kernel
def fill(image: Any, sv: int, sh: int, pv: int, ph: int, rows: int, columns: int, width: int, out: Any) -> None:
    """Write an image (C, H, W) into its planes; every other item of `out` stays, and is zero from the start."""
    for c in range(image.shape[0]):
        for y in range(max(0, -pv), image.shape[1]):
            down = (y + pv) // sv
            if down >= rows:
                break
            source = image[c, y]
            if sh == 1:
                first, last = max(0, -ph), min(source.size, columns - ph)
                begin = ((c * sv + (y + pv) % sv) * rows + down) * width + ph
                part, target = source[first:last], out[begin + first : begin + last]
                for x in range(part.size):
                    target[x] = part[x]
            else:
                for x in range(max(0, -ph), source.size):
                    across = (x + ph) // sh
                    if across < columns:
                        plane = (c * sv + (y + pv) % sv) * sh + (x + ph) % sh
                        out[(plane * rows + down) * width + across] = source[x]


@kernel
def add_squares(planes: Any, channels: int, items: int, squares: Any) -> None:
    """squares[i] ← the sum of squares over the channels of what their `items` have at i, i < items."""
    squares[:items] = 0.0
    for c in range(channels):
        part = planes[c * items : (c + 1) * items]
        for i in range(part.size):
            squares[i] += np.float64(part[i]) * np.float64(part[i])
