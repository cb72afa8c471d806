"""Clipping of gradients in posits, between the backward pass and the optimizer's step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.mac import MacSpec, Quire
from positcore.nn import tensors
from positcore.nn.backends import current_backend
from positcore.nn.optim.constants import rounded
from positcore.nn.optim.optimizer import flat, parts
from positcore.nn.policy import Policy

__all__ = ["clip_grad_norm_", "clip_grad_value_"]


@torch.no_grad()
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, policy: Policy) -> None:
    """Bring each element of the gradients into −c … c, in place, where c is `clip_value` rounded to O.

    Gradients are rounded to O first, as the optimizer would do; the rest is a maximum and a minimum, which are exact.
    NaR stays NaR.

    Parameters
    ----------
    parameters : iterable of Tensor, or one
        Those without a gradient are passed over.
    clip_value : float
    policy : Policy

    Raises
    ------
    ValueError
        If `clip_value` is negative, infinite or nan.
    """
    fmt, given = _format("clip_grad_value_", policy), _with_gradients(parameters)
    bound = _limit("clip_grad_value_: clip_value", fmt, clip_value)
    if given:
        _write(given, _gradients(fmt, given).clamp(-bound, bound))


@torch.no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    policy: Policy,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients, in place, so that the norm of them together is at most about `max_norm`.

    In the O format, like the optimizer that follows, each R one rounding: g ← R(g); the norm is R(√s) with
    s = R(Σ g·g) from one quire over all gradients; where it is greater than m = R(max_norm), c = R(m / norm) and
    g ← R(g·c). Else the gradients stay as they are. A sum of squares below minpos is minpos, and one above maxpos
    is maxpos. If an element is NaR, so are the norm, c and all gradients, as nan is in PyTorch.

    Parameters
    ----------
    parameters : iterable of Tensor, or one
        Those without a gradient are passed over.
    max_norm : float
    policy : Policy
    norm_type : 2, 1 or infinity
        1: the norm is R(Σ |g|), from one quire. Infinity: max |g|, exact.
    error_if_nonfinite : bool
        Refuse a norm of NaR instead; the gradients stay.

    Returns
    -------
    tensor of one O value, the norm before clipping

    Raises
    ------
    ValueError
        If `max_norm` is negative, infinite or nan, or `norm_type` is another.
    RuntimeError
        If the norm is NaR and `error_if_nonfinite` is set.
    """
    fmt, given = _format("clip_grad_norm_", policy), _with_gradients(parameters)
    limit = _limit("clip_grad_norm_: max_norm", fmt, max_norm)
    if norm_type not in (1, 2, math.inf):
        raise ValueError(f"clip_grad_norm_: norm_type must be 2, 1 or infinity, not {norm_type}")
    if not given:
        return torch.zeros((), dtype=tensors.dtype_of(fmt))
    gradients = _gradients(fmt, given)
    norm = _norm(fmt, gradients, norm_type)
    if norm.isnan() and error_if_nonfinite:
        raise RuntimeError(
            "clip_grad_norm_: the norm of the gradients is NaR, so it cannot be clipped; a gradient is NaR, or leave "
            "error_if_nonfinite out"
        )
    if not norm <= limit:
        factor = tensors.div(fmt, torch.tensor(limit, dtype=norm.dtype), norm)
        _write(given, tensors.mul(fmt, gradients, factor))
    return norm


def _norm(fmt: PositFormat, gradients: Tensor, kind: float) -> Tensor:
    if kind == math.inf:
        return gradients.abs().amax() if len(gradients) else gradients.new_zeros(())
    row = gradients[None] if kind == 2 else gradients[None].abs()
    column = gradients[:, None] if kind == 2 else gradients.new_ones(len(gradients), 1)
    total = current_backend().matmul(MacSpec(fmt, fmt, Quire()), row, column).reshape(())
    return tensors.sqrt(fmt, total) if kind == 2 else total


def _format(name: str, policy: Policy) -> PositFormat:
    if not isinstance(policy, Policy):
        raise TypeError(f"{name}: policy must be a Policy, not {policy!r}")
    return policy.optimizer.format


def _limit(name: str, fmt: PositFormat, value: float) -> float:
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be finite and not negative, not {value}")
    return rounded(fmt, Fraction(float(value)))


def _with_gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [parameter for parameter in given if parameter.grad is not None]


def _gradients(fmt: PositFormat, parameters: list[Tensor]) -> Tensor:
    """The gradients of parameters that have one, in O, as one vector."""
    return tensors.quantize(fmt, flat([p.grad for p in parameters if p.grad is not None]))


def _write(parameters: list[Tensor], vector: Tensor) -> None:
    for parameter, part in zip(parameters, parts(vector, parameters), strict=True):
        assert parameter.grad is not None
        parameter.grad.copy_(part)
