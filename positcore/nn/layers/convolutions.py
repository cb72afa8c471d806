"""Convolutions beside `Conv2d`: along one axis, and transposed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from positcore.gemm.patches import Geometry
from positcore.nn.functional.convolutions import conv1d, conv_transpose2d, geometry_of
from positcore.nn.layers.base import PositLayer

__all__ = ["Conv1d", "ConvTranspose2d"]


class _Convolution(PositLayer):
    """A layer with a geometry."""

    kernel_size: Any
    stride: Any
    padding: Any
    dilation: Any
    padding_mode: Any
    geometry: Geometry

    def prepare(self) -> None:
        """Check the padding."""
        name = type(self).__name__
        if self.padding_mode != "zeros":
            raise ValueError(f"{name}: padding_mode must be 'zeros', not {self.padding_mode!r}")
        self.geometry = geometry_of(name, self.kernel_size, self.stride, self.padding, self.dilation)

    def release(self) -> None:
        """Remove the geometry."""
        del self.geometry


class Conv1d(_Convolution, torch.nn.Conv1d):
    """`torch.nn.Conv1d` in posit arithmetic: one rounding per output. Parameters as there, and `policy`.

    Padding is by zeros; it may be "valid", or "same" where it is symmetric.

    Raises
    ------
    ValueError
        If the padding is not by zeros, or "same" is not symmetric.
    """

    float_class = torch.nn.Conv1d

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, L) → (N, O, OL), values of F."""
        return conv1d(x, self.weight, self.bias, self.geometry, self.groups, self.policy)


class ConvTranspose2d(_Convolution, torch.nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` in posit arithmetic: one rounding per output. Parameters as there, and `policy`.

    `output_padding` is smaller than the stride.
    """

    float_class = torch.nn.ConvTranspose2d

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(N, C, H, W) → (N, O, OH, OW), values of F; `output_size` chooses among the sizes that strides leave open."""
        more = self._output_padding(x, output_size, self.stride, self.padding, self.kernel_size, 2, self.dilation)
        return conv_transpose2d(x, self.weight, self.bias, self.geometry, self.groups, self.policy, (more[0], more[1]))
