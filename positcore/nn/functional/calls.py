"""`OPERATIONS`: by the name of a function of PyTorch, the posit operation that takes its place in a user's `forward`.

Each is called with the policy, then with the arguments of PyTorch's function. Every module of operations adds its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from positcore.nn.functional import (
    activations,
    attention,
    convolutions,
    elementwise,
    embeddings,
    losses,
    movement,
    normalization,
    pooling,
    reductions,
    softmaxes,
)
from positcore.nn.functional.products import linear, matmul
from positcore.nn.policy import Policy

__all__ = ["OPERATIONS"]


def _matmul(policy: Policy, x: Tensor, y: Tensor) -> Tensor:
    return matmul(x, y, policy)


def _rmatmul(policy: Policy, y: Tensor, x: Tensor) -> Tensor:
    return matmul(x, y, policy)


def _linear(policy: Policy, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return linear(input, weight, bias, policy)


OPERATIONS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "__matmul__"), _matmul),
    "__rmatmul__": _rmatmul,
    "linear": _linear,
    **activations.CALLS,
    **attention.CALLS,
    **convolutions.CALLS,
    **elementwise.CALLS,
    **embeddings.CALLS,
    **losses.CALLS,
    **movement.CALLS,
    **normalization.CALLS,
    **pooling.CALLS,
    **reductions.CALLS,
    **softmaxes.CALLS,
}
