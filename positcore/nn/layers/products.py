"""Layers that multiply with weights: Linear, Conv2d."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from positcore.gemm.patches import Geometry
from positcore.nn.functional.products import conv2d, linear
from positcore.nn.layers.base import PositLayer

__all__ = ["Conv2d", "Linear"]


class Linear(PositLayer, torch.nn.Linear):
    """`torch.nn.Linear` in posit arithmetic: one rounding per output. Parameters as there, and `policy`."""

    float_class = torch.nn.Linear

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) → (..., out), values of F."""
        return linear(x, self.weight, self.bias, self.policy)


class Conv2d(PositLayer, torch.nn.Conv2d):
    """`torch.nn.Conv2d` in posit arithmetic: one rounding per output. Parameters as there, and `policy`.

    Padding is by zeros; it may be "valid", or "same" where it is symmetric.

    Raises
    ------
    ValueError
        If the padding is not by zeros, or "same" is not symmetric.
    """

    float_class = torch.nn.Conv2d
    geometry: Geometry

    def prepare(self) -> None:
        """Check the padding."""
        if self.padding_mode != "zeros":
            raise ValueError(f"Conv2d: padding_mode must be 'zeros', not {self.padding_mode!r}")
        self.geometry = _geometry_of(self)

    def release(self) -> None:
        """Remove the geometry."""
        del self.geometry

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, O, OH, OW), values of F."""
        return conv2d(x, self.weight, self.bias, self.geometry, self.groups, self.policy)


def _geometry_of(layer: torch.nn.Conv2d) -> Geometry:
    """The geometry of a convolution layer, with its padding as numbers."""
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    padding: Any = layer.padding
    if padding == "valid":
        padding = (0, 0)
    elif padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        if any(t % 2 for t in total):
            raise ValueError(f"Conv2d: padding='same' with kernel {kernel} is not symmetric; pad explicitly")
        padding = tuple(t // 2 for t in total)
    return Geometry(_pair(kernel), _pair(stride), _pair(padding), _pair(dilation))


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    vertical, horizontal = values
    return vertical, horizontal
