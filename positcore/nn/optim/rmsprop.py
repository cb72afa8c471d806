"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from positcore.nn import tensors
from positcore.nn.optim.optimizer import PositOptimizer, flat
from positcore.nn.policy import Policy

__all__ = ["RMSprop"]


class RMSprop(PositOptimizer):
    """RMSprop (Hinton 2012; centered: Graves 2013) in the O format; PyTorch's learning-rate schedulers drive it.

    Per parameter w with gradient g (converted from G to O), each R one rounding to O:

    - g ← R(λ·w + g), where there is a weight decay λ
    - v ← R(κ·R(R(g·g) − v) + v), the mean square, at first 0
    - centered: a ← R(κ·R(g − a) + a), the mean, at first 0; then v̂ = max(0, R(v − a·a)); else v̂ is v
    - d = R(R(√v̂) + ε)
    - u = R(g / d); with a momentum μ, u ← b ← R(μ·b + u), b at first 0
    - w ← R(w − η·u)

    Constants are exact numbers of the hyper-parameters as they were given, each rounded once to O: κ = R(1 − α),
    η = R(lr), R(λ), R(μ), R(ε). A line that adds a zero ε, λ or μ is left out; with α = 0 an
    average is what it averages. The maximum is exact: v and a are
    rounded apart, so that v − a·a can fall below 0. There the step is g / ε, in floats too: give a larger ε
    with `centered` than the 1e-8 of a float32.

    Parameters
    ----------
    params : iterable of parameters or parameter groups
        Parameters of a converted model: O values in O's tensor dtype.
    policy : Policy
    lr : float
    alpha : float
        At least 0, below 1.
    eps, weight_decay, momentum : float
    centered : bool
    maximize : bool
        Ascend: g ← −g first, which is exact.

    Raises
    ------
    TypeError, ValueError
        As `PositOptimizer`.
    """

    def __init__(
        self,
        params: Iterable[Any],
        policy: Policy,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        numbers = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, policy, {**numbers, "centered": centered, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        """See `PositOptimizer.check`."""
        self.check_not_negative(group, "lr", "eps", "weight_decay", "momentum")
        self.check_representable("eps", group["eps"])
        self.check_kept("alpha", group["alpha"])

    def update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """See `PositOptimizer.update`."""
        fmt, alpha = self.policy.optimizer.format, float(group["alpha"])
        masters = flat(parameters)
        gradient = self.gradients(parameters, group, masters)
        square = self.average(parameters, "square_avg", tensors.mul(fmt, gradient, gradient), alpha)
        if group["centered"]:
            mean = self.average(parameters, "grad_avg", gradient, alpha)
            square = tensors.fma(fmt, -mean, mean, square).clamp(min=0)
        scale = tensors.sqrt(fmt, square)
        if group["eps"]:
            scale = tensors.add(fmt, scale, self.constant(group["eps"]))
        step = tensors.div(fmt, gradient, scale)
        if group["momentum"]:
            step = tensors.fma(fmt, self.constant(group["momentum"]), self.recall(parameters, "momentum_buffer"), step)
            self.keep(parameters, "momentum_buffer", step)
        self.write(parameters, tensors.fma(fmt, -self.constant(group["lr"]), step, masters))
