"""Layers that multiply with weights: Linear, Conv2d."""

from __future__ import annotations

import torch
from torch import Tensor

from positcore.gemm.patches import Geometry
from positcore.nn.functional.convolutions import geometry_of
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
        self.geometry = geometry_of("Conv2d", self.kernel_size, self.stride, self.padding, self.dilation)

    def release(self) -> None:
        """Remove the geometry."""
        del self.geometry

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, O, OH, OW), values of F."""
        return conv2d(x, self.weight, self.bias, self.geometry, self.groups, self.policy)
