"""Embedding."""

from __future__ import annotations

import torch
from torch import Tensor

from positcore.nn.functional.embeddings import embedding, refuse_options
from positcore.nn.layers.base import PositLayer

__all__ = ["Embedding"]


class Embedding(PositLayer, torch.nn.Embedding):
    """`torch.nn.Embedding` in posit arithmetic; parameters as there, and `policy`. See `functional.embedding`.

    Raises
    ------
    ValueError
        If `max_norm`, `scale_grad_by_freq` or `sparse` is set.
    """

    float_class = torch.nn.Embedding

    def prepare(self) -> None:
        """Check the options."""
        refuse_options(self.max_norm, self.scale_grad_by_freq, self.sparse)

    def forward(self, indices: Tensor) -> Tensor:
        """Indices of any shape → (*shape, features), values of F."""
        return embedding(indices, self.weight, self.policy, self.padding_idx)
