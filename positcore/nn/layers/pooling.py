"""Pooling layers."""

from __future__ import annotations

import torch

from positcore.nn.layers.base import PositLayer

__all__ = ["MaxPool2d"]


class MaxPool2d(PositLayer, torch.nn.MaxPool2d):
    """`torch.nn.MaxPool2d` whose windows do not overlap: its gradient only moves values, so it is exact.

    Raises
    ------
    ValueError
        If windows overlap.
    """

    float_class = torch.nn.MaxPool2d

    def prepare(self) -> None:
        """Check that the windows do not overlap."""
        kernel, stride, dilation = (
            x if isinstance(x, tuple) else (x, x) for x in (self.kernel_size, self.stride, self.dilation)
        )
        if any(s < d * (k - 1) + 1 for s, k, d in zip(stride, kernel, dilation, strict=True)):
            raise ValueError(
                f"MaxPool2d has overlapping windows (kernel {kernel}, stride {stride}, dilation {dilation}), whose "
                "gradient would be summed in floats; use a stride of at least the window"
            )
