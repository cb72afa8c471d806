"""Movement that may read an element many times: indices, repetition, broadcasting. Gradients are exact sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from positcore.codec import encode
from positcore.mac import MacSpec
from positcore.nn import tensors
from positcore.nn.backends import Sums, current_backend
from positcore.nn.functional.operands import expand, origin_of, remember
from positcore.nn.functional.operation import operation
from positcore.nn.gradients import deliver
from positcore.nn.policy import Policy
from positcore.nn.uses import enter

__all__ = ["CALLS", "MOVES", "GatherTerms", "move_part", "take"]


@operation
def take(x: Tensor, places: Tensor, policy: Policy) -> Tensor:
    """The elements of `x` at `places`, indices into its elements in index order; values stay as they are.

    The gradient of an element is the sum of what its readers send back, exact and rounded once: in B for an
    activation, in G for a parameter.

    Parameters
    ----------
    x : float tensor
    places : int64 tensor of any shape
    policy : Policy

    Returns
    -------
    tensor of the dtype of `x`, the shape of `places`
    """
    use = None if isinstance(x, torch.nn.Parameter) else enter(x, policy.backward.format)
    result: Tensor = _Take.apply(x, places, policy, use)  # type: ignore[no-untyped-call]
    if use is None and len(places.unique()) == places.numel():  # type: ignore[no-untyped-call]
        remember(result, x, places)
    return result


class _Take(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor, policy: Policy, use: Any) -> Tensor:
        ctx.save_for_backward(places)
        ctx.policy, ctx.use, ctx.shape, ctx.parameter = policy, use, x.shape, None if use else x
        return x.reshape(-1)[places]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        policy: Policy = ctx.policy
        g = tensors.quantize(policy.backward.format, gradient).reshape(-1)
        terms = GatherTerms(g, places.reshape(-1), tuple(ctx.shape))
        if ctx.parameter is not None:
            return deliver(ctx.parameter, policy, terms), None, None, None
        return ctx.use(terms.rounded(policy.backward_mac, single=g)), None, None, None


@dataclass(frozen=True)
class GatherTerms:
    """Sums of values (K,) by the place (K,) in a gradient of the shape `shape` that each of them came from."""

    values: Tensor
    places: Tensor
    shape: tuple[int, ...]

    def rounded(self, mac: MacSpec, single: Tensor | None = None) -> Tensor:
        """See `positcore.nn.gradients.Terms`. With `single`, a place with one value gets it from there, unsummed."""
        out = self.values.new_zeros(self.shape, dtype=tensors.dtype_of(mac.out)).reshape(-1)
        for places, terms in self._groups():
            count = terms.shape[1]
            if count == 1 and single is not None:
                out[places] = single[terms[:, 0]]
            else:
                rows = self.values[terms]
                out[places] = current_backend().matmul(mac, rows, rows.new_ones(count, 1)).reshape(-1)
        return out.reshape(self.shape)

    def add_to(self, quires: Sums) -> None:
        """See `positcore.nn.gradients.Terms`."""
        flat, spec = quires.reshape((quires.size,)), quires.spec
        codes = encode(spec.a, tensors.as_array(self.values.cpu()))
        one = encode(spec.b, [1.0])
        for places, terms in self._groups():
            at = places.cpu().numpy()
            part = flat[at]
            for column in terms.cpu().numpy().T:
                part.add_product(codes[column], one)
            flat[at] = part

    def _groups(self) -> list[tuple[Tensor, Tensor]]:
        """Places (M,) that get equally many values, with the indices (M, count) of these in order, for each count."""
        order = self.places.argsort(stable=True)
        places, counts = self.places[order].unique_consecutive(return_counts=True)  # type: ignore[no-untyped-call]
        starts = counts.cumsum(0) - counts
        groups = []
        for count in counts.unique().tolist():
            chosen = counts == count
            indices = starts[chosen][:, None] + torch.arange(count, device=order.device)
            groups.append((places[chosen], order[indices]))
        return groups


# Parts of parameters -----------------------------------------------------------------------------------

_MOVES = """
    T mT H view reshape view_as reshape_as flatten unflatten transpose swapaxes swapdims t permute movedim moveaxis
    squeeze unsqueeze contiguous clone narrow select flip roll __getitem__
"""
MOVES = frozenset(_MOVES.split())


def move_part(name: str, policy: Policy, x: Tensor, *args: Any, **options: Any) -> Tensor | None:
    """A parameter, or a part of one, moved by a function of `MOVES`: a part of it, whose gradient is one sum in G.

    None where `x` is neither, or has no gradient.
    """
    own = isinstance(x, torch.nn.Parameter) and x.requires_grad and torch.is_grad_enabled()
    if not own and (not isinstance(x, Tensor) or origin_of(x) is None):
        return None
    moved: Tensor = _moved(name, policy, x, *args, **options)
    return moved


# As PyTorch's functions -------------------------------------------------------------------------------


@operation
def _moved(name: str, policy: Policy, input: Tensor, *args: Any, **options: Any) -> Tensor:
    """What a method of PyTorch's moves: it moves indices, and `take` reads there; of a part of a parameter, in that."""
    places = torch.arange(input.numel(), device=input.device).reshape(input.shape)
    input, places = origin_of(input) or (input, places)
    moved = getattr(places, name)
    return take(input, moved(*args, **options) if callable(moved) else moved, policy)


@operation
def _expanded(name: str, policy: Policy, input: Tensor, *args: Any, **options: Any) -> Tensor:
    return expand(input, getattr(torch.Tensor, name)(input.detach(), *args, **options).shape, policy)


@operation
def _extreme(name: str, policy: Policy, input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """`max`, `min`, `amax` or `amin`: the value, read from where it is, and but for the last two its index."""
    if dim is not None and not isinstance(dim, int):
        raise ValueError(f"{name}: dim must be one dimension or left out, not {type(dim).__name__}")
    places = torch.arange(input.numel(), device=input.device).reshape(input.shape)
    find = getattr(torch.Tensor, name.removeprefix("a"))
    if dim is None:
        return take(input, find(input.detach().reshape(-1), 0).indices, policy)
    found = find(input.detach(), dim, True)
    values, indices = take(input, places.gather(dim, found.indices), policy), found.indices
    if not keepdim:
        values, indices = values.squeeze(dim), indices.squeeze(dim)
    return values if name.startswith("a") else type(found)((values, indices))


@operation
def _ordered(name: str, policy: Policy, input: Tensor, *args: Any, **options: Any) -> Any:
    """`sort` or `topk`: the values, read from where they are, and their indices."""
    places = torch.arange(input.numel(), device=input.device).reshape(input.shape)
    dim = options.get("dim", next(iter(args[name == "topk" :]), -1))
    found = getattr(torch.Tensor, name)(input.detach(), *args, **options)
    return type(found)((take(input, places.gather(dim, found.indices), policy), found.indices))


CALLS: dict[str, Callable[..., Any]] = {
    **{name: partial(_expanded, name) for name in ("expand", "expand_as", "broadcast_to")},
    **{name: partial(_extreme, name) for name in ("max", "min", "amax", "amin")},
    **{name: partial(_ordered, name) for name in ("sort", "topk")},
    **{
        name: partial(_moved, name)
        for name in ("__getitem__", "repeat", "tile", "repeat_interleave", "index_select", "gather", "take_along_dim")
    },
}
