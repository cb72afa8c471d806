"""Pooling layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from positcore.nn.functional import pooling
from positcore.nn.layers.base import PositLayer

__all__ = ["AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AvgPool1d", "AvgPool2d", "MaxPool1d", "MaxPool2d"]


class AvgPool1d(PositLayer, torch.nn.AvgPool1d):
    """`torch.nn.AvgPool1d` in posit arithmetic; parameters as there, and `policy`. See `functional.avg_pool1d`."""

    float_class = torch.nn.AvgPool1d

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, L) or (C, L) → (N, C, OL) or (C, OL), values of F."""
        options = self.stride, self.padding, self.ceil_mode, self.count_include_pad
        return pooling.avg_pool1d(x, self.kernel_size, self.policy, *options)


class AvgPool2d(PositLayer, torch.nn.AvgPool2d):
    """`torch.nn.AvgPool2d` in posit arithmetic; parameters as there, and `policy`. See `functional.avg_pool2d`."""

    float_class = torch.nn.AvgPool2d

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W) → (N, C, OH, OW) or (C, OH, OW), values of F."""
        options = self.stride, self.padding, self.ceil_mode, self.count_include_pad, self.divisor_override
        return pooling.avg_pool2d(x, self.kernel_size, self.policy, *options)


class AdaptiveAvgPool1d(PositLayer, torch.nn.AdaptiveAvgPool1d):
    """`torch.nn.AdaptiveAvgPool1d` in posit arithmetic. See `functional.adaptive_avg_pool1d`."""

    float_class = torch.nn.AdaptiveAvgPool1d
    output_size: Any

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, L) or (C, L) → (N, C, OL) or (C, OL), values of F."""
        return pooling.adaptive_avg_pool1d(x, self.output_size, self.policy)


class AdaptiveAvgPool2d(PositLayer, torch.nn.AdaptiveAvgPool2d):
    """`torch.nn.AdaptiveAvgPool2d` in posit arithmetic. See `functional.adaptive_avg_pool2d`."""

    float_class = torch.nn.AdaptiveAvgPool2d
    output_size: Any

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W) → (N, C, OH, OW) or (C, OH, OW), values of F."""
        return pooling.adaptive_avg_pool2d(x, self.output_size, self.policy)


class _MaxPool(PositLayer):
    """What both layers of maxima share."""

    kernel_size: Any
    stride: Any
    padding: Any
    dilation: Any
    ceil_mode: bool
    return_indices: bool

    def prepare(self) -> None:
        """Check that indices are not asked for."""
        if self.return_indices:
            raise ValueError(f"{type(self).__name__}: return_indices is not offered; leave it out")

    def _options(self) -> tuple[Any, ...]:
        return self.stride, self.padding, self.dilation, self.ceil_mode


class MaxPool1d(_MaxPool, torch.nn.MaxPool1d):
    """`torch.nn.MaxPool1d`, whose windows may overlap: a gradient is one sum. See `functional.max_pool1d`.

    Raises
    ------
    ValueError
        If `return_indices` is set.
    """

    float_class = torch.nn.MaxPool1d

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, L) or (C, L) → (N, C, OL) or (C, OL), of the dtype of `x`."""
        return pooling.max_pool1d(x, self.kernel_size, self.policy, *self._options())


class MaxPool2d(_MaxPool, torch.nn.MaxPool2d):
    """`torch.nn.MaxPool2d`, whose windows may overlap: a gradient is one sum. See `functional.max_pool2d`.

    Raises
    ------
    ValueError
        If `return_indices` is set.
    """

    float_class = torch.nn.MaxPool2d

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W) → (N, C, OH, OW) or (C, OH, OW), of the dtype of `x`."""
        return pooling.max_pool2d(x, self.kernel_size, self.policy, *self._options())
