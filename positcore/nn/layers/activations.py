"""Activation layers and dropout."""

from __future__ import annotations

import torch
from torch import Tensor

from positcore.nn.functional.activations import (
    check_tables,
    dropout,
    gelu,
    hardtanh,
    leaky_relu,
    sigmoid,
    silu,
    tanh,
)
from positcore.nn.layers.base import PositLayer
from positcore.nn.policy import Policy

__all__ = ["GELU", "Dropout", "Hardtanh", "LeakyReLU", "ReLU6", "SiLU", "Sigmoid", "Tanh"]


class LeakyReLU(PositLayer, torch.nn.LeakyReLU):
    """`torch.nn.LeakyReLU` with its slope rounded to F, and to B for the gradient."""

    float_class = torch.nn.LeakyReLU

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same, values of F."""
        return leaky_relu(x, self.negative_slope, self.policy)


class Hardtanh(PositLayer, torch.nn.Hardtanh):
    """`torch.nn.Hardtanh` with its bounds rounded to F: exact otherwise."""

    float_class = torch.nn.Hardtanh

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same, values of F."""
        return hardtanh(x, self.min_val, self.max_val, self.policy)


class ReLU6(PositLayer, torch.nn.ReLU6):
    """`torch.nn.ReLU6` with 6 rounded to F: exact otherwise."""

    float_class = torch.nn.ReLU6

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same, values of F."""
        return hardtanh(x, self.min_val, self.max_val, self.policy)


class _Approximable(PositLayer):
    """A layer whose function is also there as the bit trick of es = 0 formats: `approximate="fast"`.

    A converted layer takes the table; set its attribute `approximate` to "fast" for the trick.
    """

    approximate = "none"

    def __init__(self, *, policy: Policy, approximate: str = "none") -> None:
        self.approximate = approximate
        super().__init__(policy=policy)

    def prepare(self) -> None:
        """Check that the function is there in the format."""
        self(torch.zeros(0))

    def release(self) -> None:
        """Forget the way that the function is computed."""
        self.__dict__.pop("approximate", None)

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        shown = "" if self.approximate == "none" else f"approximate={self.approximate!r}, "
        return f"{shown}{super().extra_repr()}"


class Sigmoid(_Approximable, torch.nn.Sigmoid):
    """`torch.nn.Sigmoid`, correctly rounded by a table, or by PositNN's bit trick (`approximate="fast"`, es = 0).

    Parameters
    ----------
    policy : Policy
        With F of n ≤ 16, or of es = 0 for "fast".
    approximate : "none" or "fast"

    Raises
    ------
    ValueError
        If the function is not there in F.
    """

    float_class = torch.nn.Sigmoid

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same, values of F."""
        return sigmoid(x, self.policy, self.approximate)


class Tanh(_Approximable, torch.nn.Tanh):
    """`torch.nn.Tanh`; otherwise as `Sigmoid`."""

    float_class = torch.nn.Tanh

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same, values of F."""
        return tanh(x, self.policy, self.approximate)


class SiLU(PositLayer, torch.nn.SiLU):
    """`torch.nn.SiLU`, by the table of the sigmoid; F and B of n ≤ 16."""

    float_class = torch.nn.SiLU

    def prepare(self) -> None:
        """Check that there are tables."""
        check_tables("SiLU", F=self.policy.forward.format, B=self.policy.backward.format)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same, values of F."""
        return silu(x, self.policy)


class GELU(PositLayer, torch.nn.GELU):
    """`torch.nn.GELU`, correctly rounded by a table, or by tanh as there (`approximate="tanh"`); F and B of n ≤ 16."""

    float_class = torch.nn.GELU

    def prepare(self) -> None:
        """Check that there are tables."""
        check_tables("GELU", F=self.policy.forward.format, B=self.policy.backward.format)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same, values of F."""
        return gelu(x, self.policy, self.approximate)


class Dropout(PositLayer, torch.nn.Dropout):
    """`torch.nn.Dropout`: the same mask for the same state of the generator, what is kept times R_F(1 / (1 − p))."""

    float_class = torch.nn.Dropout

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same, values of F."""
        return dropout(x, self.p, self.training, self.policy)
