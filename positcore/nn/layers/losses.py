"""Losses as modules, in the L stage."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from positcore.nn.functional.losses import (
    binary_cross_entropy_with_logits,
    check_reduction,
    cross_entropy,
    huber_loss,
    mse_loss,
    nll_loss,
)
from positcore.nn.policy import Policy

__all__ = ["BCEWithLogitsLoss", "CrossEntropyLoss", "HuberLoss", "MSELoss", "NLLLoss"]


class _Loss(torch.nn.Module):
    """What the losses share.

    Parameters
    ----------
    policy : Policy
    reduction : "mean" or "sum"
    **options
        Options of PyTorch's loss that must be left as they are: None.

    Raises
    ------
    TypeError, ValueError
        If `policy` is no Policy, or an option is not offered.
    """

    def __init__(self, policy: Policy, reduction: str = "mean", **options: Any) -> None:
        super().__init__()
        name = type(self).__name__
        if not isinstance(policy, Policy):
            raise TypeError(f"{name}: policy must be a Policy, such as Policy.parse('O12-L12-FBG8q'), not {policy!r}")
        for key, value in options.items():
            if value is not None:
                raise ValueError(f"{name}: there is no {key} in posits; leave it out")
        check_reduction(name, reduction)
        self.policy, self.reduction = policy, reduction

    def extra_repr(self) -> str:
        """What `print(loss)` shows."""
        return f"reduction={self.reduction!r}, policy={self.policy}"


class CrossEntropyLoss(_Loss):
    """Cross-entropy of logits with class indices, in the L stage.

    Parameters
    ----------
    policy : Policy
    reduction : "mean" or "sum"
    ignore_index : int
        Targets of this value take no part.
    label_smoothing : float
        0..1.
    weight : None
        Weights of classes are not offered.

    Raises
    ------
    TypeError, ValueError
        If `policy` is no Policy, or an option is not offered.
    """

    def __init__(
        self, policy: Policy, reduction: str = "mean", *, ignore_index: int = -100, label_smoothing: float = 0.0,
        weight: None = None,
    ) -> None:  # fmt: skip
        super().__init__(policy, reduction, weight=weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, classes) logits and (N,) classes → one L value; also (N, classes, ...) and (N, ...)."""
        return cross_entropy(logits, target, self.policy, self.reduction, self.ignore_index, self.label_smoothing)


class NLLLoss(_Loss):
    """The negative log-likelihood of class indices, given logarithms of probabilities, in the L stage.

    Parameters and errors as for `CrossEntropyLoss`, without label smoothing.
    """

    def __init__(
        self, policy: Policy, reduction: str = "mean", *, ignore_index: int = -100, weight: None = None
    ) -> None:
        super().__init__(policy, reduction, weight=weight)
        self.ignore_index = ignore_index

    def forward(self, log_probabilities: Tensor, target: Tensor) -> Tensor:
        """(N, classes) logarithms and (N,) classes → one L value; also (N, classes, ...) and (N, ...)."""
        return nll_loss(log_probabilities, target, self.policy, self.reduction, self.ignore_index)


class MSELoss(_Loss):
    """The squared error, in the L stage; the mean is over all elements. Parameters as for `CrossEntropyLoss`."""

    def __init__(self, policy: Policy, reduction: str = "mean") -> None:
        super().__init__(policy, reduction)

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape → one L value."""
        return mse_loss(x, target, self.policy, self.reduction)


class HuberLoss(_Loss):
    """The Huber loss, in the L stage: squares up to `delta`, absolute errors beyond; otherwise as `MSELoss`.

    Raises
    ------
    TypeError, ValueError
        If `policy` is no Policy, or an option is not of its range.
    """

    def __init__(self, policy: Policy, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(policy, reduction)
        if not delta > 0:
            raise ValueError(f"HuberLoss: delta must be positive, not {delta}")
        self.delta = delta

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape → one L value."""
        return huber_loss(x, target, self.policy, self.reduction, self.delta)


class BCEWithLogitsLoss(_Loss):
    """Binary cross-entropy of logits with targets in 0..1, in the L stage; otherwise as `MSELoss`.

    `weight` and `pos_weight` are not offered.
    """

    def __init__(
        self, policy: Policy, reduction: str = "mean", *, weight: None = None, pos_weight: None = None
    ) -> None:
        super().__init__(policy, reduction, weight=weight, pos_weight=pos_weight)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape → one L value."""
        return binary_cross_entropy_with_logits(logits, target, self.policy, self.reduction)
