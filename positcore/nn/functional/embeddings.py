"""Embedding: rows of a table, and the gradient of each row as one sum over all places that it went to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from positcore.codec import encode
from positcore.mac import MacSpec
from positcore.nn import tensors
from positcore.nn.backends import Sums, current_backend
from positcore.nn.functional.operation import carrier, operation
from positcore.nn.gradients import deliver
from positcore.nn.policy import Policy

__all__ = ["CALLS", "RowTerms", "embedding", "refuse_options"]


@operation
def embedding(indices: Tensor, weight: Tensor, policy: Policy, padding_idx: int | None = None) -> Tensor:
    """The rows of a table that indices name, R_F(w); the gradient of a row is R_G(Σ g·1) over all its places.

    Parameters
    ----------
    indices : int64 or int32 tensor of any shape
    weight : float tensor, (rows, features)
        Master weights in O.
    policy : Policy
    padding_idx : int, optional
        A row that gets no gradient; from the end if negative.

    Returns
    -------
    tensor of F values, (*indices.shape, features)

    Raises
    ------
    TypeError, ValueError
        If the indices are not integers or name no row, or the table has not two dimensions.
    """
    if indices.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"embedding: indices must be int64 or int32, not {indices.dtype}; call .long() on them")
    if weight.ndim != 2:
        raise ValueError(f"embedding: weight must be of shape (rows, features), not {tuple(weight.shape)}")
    rows = len(weight)
    if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < rows:
        raise ValueError(
            f"embedding: indices must be rows 0..{rows - 1}, not {int(indices.min())}..{int(indices.max())}"
        )
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise ValueError(f"embedding: padding_idx must be one of {rows} rows, not {padding_idx}")
    padding = None if padding_idx is None else padding_idx % rows
    result: Tensor = _Embedding.apply(weight, indices.long(), padding, policy)  # type: ignore[no-untyped-call]
    return result


@dataclass(frozen=True)
class RowTerms:
    """Sums of rows of a tensor (T, D), by their index (T,): a gradient of shape (rows, D)."""

    gradient: Tensor
    indices: Tensor
    rows: int

    def rounded(self, mac: MacSpec) -> Tensor:
        """See `positcore.nn.gradients.Terms`."""
        features = self.gradient.shape[1]
        sums = torch.zeros(self.rows, features, dtype=tensors.dtype_of(mac.out), device=self.gradient.device)
        for rows, terms in self._groups():
            ones = terms.new_ones(terms.shape[1], 1)
            sums[rows] = current_backend().matmul(mac, terms, ones).reshape(len(rows), features)
        return sums

    def add_to(self, quires: Sums) -> None:
        """See `positcore.nn.gradients.Terms`."""
        spec = quires.spec
        for rows, terms in self._groups():
            one = terms.new_ones(terms.shape[1], 1).cpu().numpy()
            part = tensors.quires(spec, (len(terms), 1))
            part.add_matmul(encode(spec.a, terms.detach().cpu().numpy()), encode(spec.b, one))
            which = rows.cpu().numpy()
            quires[which] = quires[which].add_quire(part.reshape((len(which), quires.shape[1])))

    def _groups(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows that are named equally often, (R,), with their terms (R·D, times), in the order of the indices."""
        ordered, places = torch.sort(self.indices, stable=True)
        rows, counts = torch.unique_consecutive(ordered, return_counts=True)
        firsts = counts.cumsum(0) - counts
        for times in counts.unique().tolist():
            chosen = counts == times
            found = places[firsts[chosen][:, None] + torch.arange(times, device=places.device)]
            yield rows[chosen], self.gradient[found].transpose(1, 2).reshape(-1, times)


class _Embedding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, indices: Tensor, padding: int | None, policy: Policy) -> Tensor:
        ctx.save_for_backward(indices)
        ctx.weight, ctx.padding, ctx.policy = weight, padding, policy
        return tensors.quantize(policy.forward.format, weight[indices]).to(carrier(policy))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        policy: Policy = ctx.policy
        indices = ctx.saved_tensors[0].reshape(-1)
        g = tensors.quantize(policy.backward.format, gradient).reshape(len(indices), ctx.weight.shape[1])
        if ctx.padding is not None:
            kept = indices != ctx.padding
            g, indices = g[kept], indices[kept]
        return deliver(ctx.weight, policy, RowTerms(g, indices, len(ctx.weight))), None, None, None


# As PyTorch's functions ------------------------------------------------------------------------------


def _call(
    policy: Policy,
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    refuse_options(max_norm, scale_grad_by_freq, sparse)
    return embedding(input, weight, policy, padding_idx)


def refuse_options(max_norm: float | None, scale_grad_by_freq: bool, sparse: bool) -> None:
    """Raise a ValueError if an option of PyTorch's embedding is set that posits do not offer."""
    options = {"max_norm": max_norm is not None, "scale_grad_by_freq": scale_grad_by_freq, "sparse": sparse}
    for name, asked in options.items():
        if asked:
            raise ValueError(f"embedding: {name} is not offered; leave it out")


CALLS: dict[str, Callable[..., Any]] = {"embedding": _call}
