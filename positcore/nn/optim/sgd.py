"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from torch import Tensor

from positcore.nn import tensors
from positcore.nn.optim.optimizer import PositOptimizer, flat
from positcore.nn.policy import Policy

__all__ = ["SGD"]


class SGD(PositOptimizer):
    """Stochastic gradient descent in the O format; PyTorch's learning-rate schedulers drive it.

    Per parameter w with gradient g (converted from G to O), each line one rounding:
    g ← λ·w + g; v ← μ·v + (1 − τ)·g, where the first step sets v ← g; with Nesterov g ← μ·v + g, else
    g ← v; w ← w − lr·g. The hyper-parameters are rounded to O, and so is 1 − τ of the rounded τ.

    Parameters
    ----------
    params : iterable of parameters or parameter groups
        Parameters of a converted model: O values in O's tensor dtype.
    policy : Policy
    lr : float
    momentum, dampening, weight_decay : float
    nesterov : bool
    maximize : bool
        Ascend: g ← −g first, which is exact.

    Raises
    ------
    TypeError, ValueError
        As `PositOptimizer`, and if Nesterov comes without a momentum or with dampening.
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
        *,
        maximize: bool = False,
    ) -> None:
        numbers = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, policy, {**numbers, "nesterov": nesterov, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        """See `PositOptimizer.check`."""
        self.check_not_negative(group, "lr", "momentum", "dampening", "weight_decay")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("SGD: nesterov needs a momentum and no dampening")

    def update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """See `PositOptimizer.update`."""
        fmt = self.policy.optimizer.format
        masters = flat(parameters)
        step = self.gradients(parameters, group, masters)
        if group["momentum"]:
            momentum, velocity = self.constant(group["momentum"]), step
            if "momentum_buffer" in self.state[parameters[0]]:
                if group["dampening"]:
                    kept = 1 - Fraction(self.constant(group["dampening"]).item())
                    velocity = tensors.mul(fmt, self.constant(kept), step)
                velocity = tensors.fma(fmt, momentum, self.recall(parameters, "momentum_buffer"), velocity)
            self.keep(parameters, "momentum_buffer", velocity)
            step = tensors.fma(fmt, momentum, velocity, step) if group["nesterov"] else velocity
        self.write(parameters, tensors.fma(fmt, -self.constant(group["lr"]), step, masters))
