"""Losses as modules, in the L stage."""

from __future__ import annotations

import torch
from torch import Tensor

from positcore.nn.functional.losses import cross_entropy
from positcore.nn.policy import Policy

__all__ = ["CrossEntropyLoss"]


class CrossEntropyLoss(torch.nn.Module):
    """Cross-entropy of logits with class indices, in the L stage.

    Parameters
    ----------
    policy : Policy
    reduction : "mean" or "sum"
    """

    def __init__(self, policy: Policy, reduction: str = "mean") -> None:
        super().__init__()
        self.policy, self.reduction = policy, reduction

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, classes) logits and (N,) classes → one L value."""
        return cross_entropy(logits, target, self.policy, self.reduction)
