"""Operands: how an operation reads an activation, a parameter or a number, and sends back its gradient.

The gradient of an operand that was broadcast is a sum over the positions that it went to: one exact sum, rounded once,
in B for an activation and in G for a parameter.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from positcore.codec import encode
from positcore.format import PositFormat
from positcore.mac import MacSpec
from positcore.nn import tensors
from positcore.nn.backends import Sums, current_backend
from positcore.nn.gradients import Terms, deliver, row_sums
from positcore.nn.optim.constants import rounded
from positcore.nn.policy import Policy
from positcore.nn.uses import enter

__all__ = [
    "DotTerms",
    "Operand",
    "PlacedTerms",
    "StackTerms",
    "constant",
    "expand",
    "origin_of",
    "reader",
    "remember",
    "row_dots",
    "rows_of",
    "tensor_of",
]

_TILE = 1 << 16  # quires that are in memory at a time


class Operand:
    """One operand of an operation, made before `torch.autograd.Function.apply` from the very tensor that it is given.

    Parameters
    ----------
    x : Tensor
        A `torch.nn.Parameter`, what was moved out of one, or an activation.
    policy : Policy
    follow : bool
        What was moved out of a parameter stands for its elements. The operation is then given `source`, the parameter
        itself, in place of `x`, and reads what it computes with by `read`; the gradient is one sum in G.
    """

    def __init__(self, x: Tensor, policy: Policy, follow: bool = False) -> None:
        origin = origin_of(x) if follow else None
        self.shape, self.policy = x.shape, policy
        self.source = x if origin is None else origin[0]
        self._places = None if origin is None else origin[1]
        self.parameter = self.source if isinstance(self.source, torch.nn.Parameter) else None
        self._deliver = None if self.parameter is not None else enter(x, policy.backward.format)

    def read(self, source: Tensor) -> Tensor:
        """The operand, of `source` as the operation was given it."""
        return source if self._places is None else source.reshape(-1)[self._places]

    def deliver(self, terms: Terms) -> Tensor | None:
        """In backward: what to give the engine where the operand is a parameter and `terms` are its gradient's."""
        assert self.parameter is not None
        if self._places is not None:
            terms = PlacedTerms(terms, self._places.reshape(-1), tuple(self.parameter.shape))
        return deliver(self.parameter, self.policy, terms)

    def send(self, left: Tensor, right: Tensor | None = None) -> Tensor | None:
        """In backward: what to give the engine where the gradient is Σ left·right over the positions broadcast to.

        Parameters
        ----------
        left : tensor of B values, a shape that the operand broadcasts to
        right : tensor of F values that broadcasts to that shape, optional
            1 unless given; rounded to B for an activation.
        """
        policy, fmt = self.policy, self.policy.backward.format
        shape = left.shape if right is None else torch.broadcast_shapes(left.shape, right.shape)  # type: ignore[no-untyped-call]
        moved = math.prod(shape) == math.prod(self.shape)  # no position was broadcast
        if right is not None and (self.parameter is not None or not moved):
            left, right = left.expand(shape), right.to(left.device).expand(shape)
        if self.parameter is not None:
            rows = rows_of(left, self.shape)
            if right is None:
                return self.deliver(row_sums(rows, tuple(self.shape)))
            return self.deliver(DotTerms(rows, rows_of(right, self.shape), tuple(self.shape)))
        if right is not None:
            right = tensors.quantize(fmt, right)
        if moved:
            gradient = left if right is None else tensors.mul(fmt, left, right)
        else:
            other = None if right is None else rows_of(right, self.shape)
            gradient = row_dots(policy.backward_mac, rows_of(left, self.shape), other)
        assert self._deliver is not None
        return self._deliver(gradient.reshape(self.shape))


def reader(x: Tensor, policy: Policy) -> Callable[[Tensor | None], Tensor | None]:
    """As `positcore.nn.uses.enter`; a parameter in place of the activation gets R_G of the gradient in B."""
    if not isinstance(x, torch.nn.Parameter):
        return enter(x, policy.backward.format)
    operand = Operand(x, policy)
    return lambda gradient: None if gradient is None else operand.send(gradient)


_origins = WeakTensorKeyDictionary()


def remember(x: Tensor, parameter: Tensor, places: Tensor) -> None:
    """Keep in mind that `x` holds the elements of a parameter at `places`, each at most once."""
    _origins[x] = parameter, places, x._version


def origin_of(x: Tensor) -> tuple[Tensor, Tensor] | None:
    """The parameter and the places that `remember` was told of, if `x` was not changed since and has a gradient."""
    parameter, places, version = _origins.get(x, (None, None, None))  # type: ignore[no-untyped-call]
    usable = parameter is not None and x.requires_grad and torch.is_grad_enabled() and version == x._version
    return (parameter, places) if usable else None


@dataclass(frozen=True)
class PlacedTerms:
    """The terms of some elements of a gradient of the shape `shape`, those at `places` (M,); the others have none."""

    terms: Terms
    places: Tensor
    shape: tuple[int, ...]

    def rounded(self, mac: MacSpec) -> Tensor:
        """See `positcore.nn.gradients.Terms`."""
        values = self.terms.rounded(mac).reshape(-1)
        full = values.new_zeros(math.prod(self.shape))
        full[self.places] = values
        return full.reshape(self.shape)

    def add_to(self, quires: Sums) -> None:
        """See `positcore.nn.gradients.Terms`."""
        flat, at = quires.reshape((quires.size,)), self.places.cpu().numpy()
        part = flat[at]
        self.terms.add_to(part)
        flat[at] = part


@dataclass(frozen=True)
class DotTerms:
    """The dot products of the rows of two tensors (M, K): a gradient of M elements, given in the shape `shape`."""

    a: Tensor
    b: Tensor
    shape: tuple[int, ...]

    def rounded(self, mac: MacSpec) -> Tensor:
        """See `positcore.nn.gradients.Terms`."""
        return row_dots(mac, self.a, self.b).reshape(self.shape)

    def add_to(self, quires: Sums) -> None:
        """See `positcore.nn.gradients.Terms`."""
        spec, flat = quires.spec, quires.reshape((len(self.a),))
        a, b = (encode(fmt, tensors.as_array(x.cpu())) for fmt, x in ((spec.a, self.a), (spec.b, self.b)))
        step = max(1, _TILE // max(1, len(a)))
        for k in range(0, a.shape[1], step):
            products = tensors.quires(spec, a[:, k : k + step].shape)
            flat.add_quire(products.add_product(a[:, k : k + step], b[:, k : k + step]).sum(1))


@dataclass(frozen=True)
class StackTerms:
    """The products of two stacks of matrices, or their transposes: a gradient that is given in the shape `shape`.

    Parameters
    ----------
    a, b : tensors, (..., M, K) and (..., K, N), whose stacks broadcast
    shape : tuple of int
    transposed : bool
    """

    a: Tensor
    b: Tensor
    shape: tuple[int, ...]
    transposed: bool = False

    def rounded(self, mac: MacSpec) -> Tensor:
        """See `positcore.nn.gradients.Terms`."""
        product = current_backend().matmul(mac, self.a, self.b)
        return (product.transpose(-1, -2) if self.transposed else product).reshape(self.shape)

    def add_to(self, quires: Sums) -> None:
        """See `positcore.nn.gradients.Terms`."""
        spec, flat = quires.spec, quires.reshape((quires.size,))
        stack = np.broadcast_shapes(self.a.shape[:-2], self.b.shape[:-2])
        size = self.a.shape[-2] * self.b.shape[-1]
        places = np.arange(size).reshape(self.a.shape[-2], self.b.shape[-1])
        order = (places.T if self.transposed else places).reshape(-1)
        left, right = (x.expand(*stack, *x.shape[-2:]).reshape(-1, *x.shape[-2:]) for x in (self.a, self.b))
        for i, (a, b) in enumerate(zip(left, right, strict=True)):
            products = tensors.quires(spec, (a.shape[0], b.shape[1]))
            products.add_matmul(*(encode(fmt, tensors.as_array(x.cpu())) for fmt, x in ((spec.a, a), (spec.b, b))))
            flat[i * size : (i + 1) * size].add_quire(products.reshape((size,))[order])


def row_dots(mac: MacSpec, a: Tensor, b: Tensor | None = None) -> Tensor:
    """Σ a·b over the rows of tensors (M, K), or Σ a·1, each in one accumulator: shape (M,)."""
    if b is None:
        return current_backend().matmul(mac, a, a.new_ones(a.shape[1], 1)).reshape(len(a))
    return current_backend().matmul(mac, a[:, None, :], b[:, :, None]).reshape(len(a))


def rows_of(x: Tensor, shape: torch.Size) -> Tensor:
    """A tensor as rows (elements of `shape`, positions that each of them broadcast to), positions in index order."""
    padded = (1,) * (x.ndim - len(shape)) + tuple(shape)
    spread = [i for i, size in enumerate(padded) if size != x.shape[i]]
    kept = [i for i in range(x.ndim) if i not in spread]
    return x.permute(*kept, *spread).reshape(math.prod(shape), math.prod(x.shape[i] for i in spread))


def tensor_of(name: str, x: Any) -> Tensor:
    """An operand as a tensor of floats: numbers and tensors of integers or booleans become float64, exactly.

    Raises
    ------
    TypeError
        If it is no real number, and no tensor of such.
    """
    if isinstance(x, Tensor) and not x.is_complex():
        return x if x.is_floating_point() else x.double()
    if isinstance(x, int | float):
        return torch.tensor(float(x), dtype=torch.float64)
    what = x.dtype if isinstance(x, Tensor) else repr(x)
    raise TypeError(f"{name}: operands must be tensors or numbers that are real, not {what}")


def constant(fmt: PositFormat, x: float | Fraction) -> Tensor:
    """A number rounded once to `fmt`, as a tensor of no dimensions; what is not finite is NaR."""
    return torch.tensor(_nearest(fmt, x), dtype=tensors.dtype_of(fmt))


@lru_cache(maxsize=1024)
def _nearest(fmt: PositFormat, x: float | Fraction) -> float:
    return rounded(fmt, x) if math.isfinite(x) else math.nan


def expand(x: Tensor, shape: torch.Size, policy: Policy) -> Tensor:
    """`x` in a shape that it broadcasts to; its gradient is an exact sum. The same shape is a reading of `x`."""
    operand = Operand(x, policy, follow=True)
    result: Tensor = _Expand.apply(operand.source, shape, policy, operand)  # type: ignore[no-untyped-call]
    return result


class _Expand(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, shape: torch.Size, policy: Policy, operand: Operand) -> Tensor:
        ctx.policy, ctx.operand = policy, operand
        return operand.read(x).expand(shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.operand.send(tensors.quantize(ctx.policy.backward.format, gradient)), None, None, None
