"""Softmax layers."""

from __future__ import annotations

import torch
from torch import Tensor

from positcore.nn.functional.activations import check_tables
from positcore.nn.functional.softmaxes import log_softmax, softmax
from positcore.nn.layers.base import PositLayer

__all__ = ["LogSoftmax", "Softmax"]


class _OverOneDimension(PositLayer):
    """A layer over a dimension that must be said."""

    def prepare(self) -> None:
        """Check that there are tables, and a dimension."""
        check_tables(type(self).__name__, F=self.policy.forward.format)
        if not isinstance(self.dim, int):
            raise ValueError(f"{type(self).__name__}: dim must be given, such as dim=-1, not {self.dim!r}")


class Softmax(_OverOneDimension, torch.nn.Softmax):
    """`torch.nn.Softmax` with `dim`; F of n ≤ 16.

    Raises
    ------
    ValueError
        If F has n > 16, or `dim` is not given.
    """

    float_class = torch.nn.Softmax
    dim: int

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same, values of F."""
        return softmax(x, self.dim, self.policy)


class LogSoftmax(_OverOneDimension, torch.nn.LogSoftmax):
    """`torch.nn.LogSoftmax` with `dim`; otherwise as `Softmax`."""

    float_class = torch.nn.LogSoftmax
    dim: int

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same, values of F."""
        return log_softmax(x, self.dim, self.policy)
