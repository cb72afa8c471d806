"""The networks of the thesis, as ordinary float PyTorch models; `convert` makes their posit twins."""

from __future__ import annotations

from torch import nn

__all__ = ["MODELS", "lenet5"]


def lenet5(classes: int = 10) -> nn.Sequential:
    """LeNet-5 for 28×28 images of one channel; 61,706 parameters (Raposo 2021, §6.1)."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(6, 16, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(16, 120, 5), nn.ReLU(), nn.Flatten(),
        nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes),
    )  # fmt: skip


MODELS = {"lenet5": lenet5}
