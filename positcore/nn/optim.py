"""Optimizers with posit state: every line of the update is one golden operation in the O stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from positcore.nn import tensors
from positcore.nn.policy import Policy

__all__ = ["SGD"]


class SGD(torch.optim.Optimizer):
    """Stochastic gradient descent in the O format; PyTorch's learning-rate schedulers drive it.

    Per parameter w with gradient g (converted from G to O), each line one rounding:
    g ← λ·w + g; v ← μ·v + (1 − τ)·g, where the first step sets v ← g; with Nesterov g ← μ·v + g, else
    g ← v; w ← w − lr·g. The hyper-parameters are rounded to O.

    Parameters
    ----------
    params : iterable of parameters or parameter groups
        Parameters of a converted model: O values in O's tensor dtype.
    policy : Policy
    lr : float
    momentum, dampening, weight_decay : float
    nesterov : bool

    Raises
    ------
    ValueError
        If a hyper-parameter is negative or does not go with Nesterov, or a parameter is no O tensor.
    """

    def __init__(
        self,
        params: Iterable[Any],
        policy: Policy,
        lr: float,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        given = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        for name, value in given.items():
            if not value >= 0:
                raise ValueError(f"SGD: {name} must not be negative, not {value}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("SGD: nesterov needs a momentum and no dampening")
        self.policy = policy
        super().__init__(params, {**given, "nesterov": nesterov})
        fmt = policy.optimizer.format
        for group in self.param_groups:
            for parameter in group["params"]:
                found = str(parameter.dtype)
                if parameter.dtype == tensors.dtype_of(fmt):
                    wrong = parameter[(tensors.quantize(fmt, parameter) != parameter) & ~parameter.isnan()]
                    if not wrong.numel():
                        continue
                    found = str(wrong[0].item())
                raise ValueError(
                    f"SGD: parameters must be O values ({fmt}) in {tensors.dtype_of(fmt)}, not {found}; "
                    "convert the model with this policy first"
                )

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Update the parameters once; gradients that are None are passed over."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            ready = [parameter for parameter in group["params"] if parameter.grad is not None]
            moving = {w for w in ready if "momentum_buffer" in self.state[w]}
            for chosen in ([w for w in ready if w not in moving], [w for w in ready if w in moving]):
                if chosen:
                    self._update(chosen, group, moving=bool(moving & {*chosen}))
        return loss

    def _update(self, weights: list[Tensor], group: dict[str, Any], *, moving: bool) -> None:
        """One step of parameters that have a momentum buffer, or of those that have none: all in one vector."""
        fmt = self.policy.optimizer.format
        rate, momentum, dampening, decay = (
            tensors.quantize(fmt, torch.tensor(float(group[name]), dtype=torch.float64))
            for name in ("lr", "momentum", "dampening", "weight_decay")
        )
        masters = _flat(weights)
        step = torch.cat([tensors.quantize(fmt, w.grad).reshape(-1) for w in weights if w.grad is not None])
        if group["weight_decay"]:
            step = tensors.fma(fmt, decay, masters, step)
        if group["momentum"]:
            velocity = step
            if moving:
                if group["dampening"]:
                    kept = tensors.sub(fmt, torch.ones(()), dampening)
                    velocity = tensors.mul(fmt, kept, step)
                buffers = _flat([self.state[w]["momentum_buffer"] for w in weights])
                velocity = tensors.fma(fmt, momentum, buffers, velocity)
            for weight, part in zip(weights, _parts(velocity, weights), strict=True):
                self.state[weight]["momentum_buffer"] = part.clone()
            step = tensors.fma(fmt, momentum, velocity, step) if group["nesterov"] else velocity
        for weight, part in zip(weights, _parts(tensors.fma(fmt, -rate, step, masters), weights), strict=True):
            weight.copy_(part)


def _flat(values: list[Tensor]) -> Tensor:
    return torch.cat([x.reshape(-1) for x in values])


def _parts(vector: Tensor, like: list[Tensor]) -> list[Tensor]:
    """A vector cut into tensors of the shapes of `like`."""
    pieces = torch.split_with_sizes(vector, [x.numel() for x in like])
    return [piece.view_as(x) for piece, x in zip(pieces, like, strict=True)]
