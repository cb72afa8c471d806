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
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.copy_(self._updated(parameter, group))
        return loss

    def _updated(self, weight: Tensor, group: dict[str, Any]) -> Tensor:
        fmt = self.policy.optimizer.format
        constant = {
            name: tensors.quantize(fmt, torch.tensor(float(group[name]), dtype=torch.float64))
            for name in ("lr", "momentum", "dampening", "weight_decay")
        }
        assert weight.grad is not None
        step = tensors.quantize(fmt, weight.grad)
        if group["weight_decay"]:
            step = tensors.fma(fmt, constant["weight_decay"], weight, step)
        if group["momentum"]:
            state = self.state[weight]
            if "momentum_buffer" not in state:
                velocity = step.clone()
            else:
                kept = tensors.sub(fmt, torch.ones(()), constant["dampening"])
                fresh = step if group["dampening"] == 0 else tensors.mul(fmt, kept, step)
                velocity = tensors.fma(fmt, constant["momentum"], state["momentum_buffer"], fresh)
            state["momentum_buffer"] = velocity
            step = tensors.fma(fmt, constant["momentum"], velocity, step) if group["nesterov"] else velocity
        return tensors.fma(fmt, -constant["lr"], step, weight)
