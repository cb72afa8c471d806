"""What all posit operations share: how they appear to a running `PositMode`, and the dtype of their results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from positcore.nn import tensors
from positcore.nn.policy import Policy

__all__ = ["carrier", "operation", "shaped"]

P = ParamSpec("P")
R = TypeVar("R")


def operation(function: Callable[P, R]) -> Callable[P, R]:
    """A posit operation: what it does with tensors inside is its own, and no `PositMode` looks at it."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch._C.DisableTorchFunction():
            return function(*args, **kwargs)

    return run


def carrier(policy: Policy) -> torch.dtype:
    """The dtype of activations: PyTorch gives gradients the dtype of what they belong to, so it holds F, B and L."""
    formats = policy.forward.format, policy.backward.format, policy.loss.format
    return torch.float64 if policy.wide else tensors.carrier(*formats)


def shaped(result: Tensor, shape: Sequence[int]) -> Tensor:
    """A result in another shape, and no view: PyTorch forbids to change a view that a custom operation returns."""
    return result if result.shape == torch.Size(shape) else result.reshape(tuple(shape)).clone()
