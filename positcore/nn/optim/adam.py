"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from positcore.nn import tensors
from positcore.nn.optim.constants import corrected_rate, correction_root
from positcore.nn.optim.optimizer import PositOptimizer, flat
from positcore.nn.policy import Policy

__all__ = ["Adam", "AdamW"]


class Adam(PositOptimizer):
    """Adam (Kingma and Ba 2015) in the O format; PyTorch's learning-rate schedulers drive it.

    Per parameter w with gradient g (converted from G to O) at step t, each R one rounding to O:

    - g ← R(λ·w + g), where there is a weight decay λ
    - m ← R(κ₁·R(g − m) + m), the first moment, at first 0
    - v ← R(κ₂·R(R(g·g) − v) + v), the second moment, at first 0
    - with amsgrad, v̂ ← max(v̂, v), exact; else v̂ is v
    - d = R(R(√v̂) / ρ), then d ← R(d + ε)
    - w ← R(w − η·R(m / d))

    A host computes the constants of a step from the hyper-parameters as they were given, exactly, and rounds each
    once to O: κ₁ = R(1 − β₁), κ₂ = R(1 − β₂), ρ = R(√(1 − β₂^t)), η = R(lr / (1 − β₁^t)), R(λ), R(ε). So small
    formats lose no β to 1: of β₂ = 0.999 posit<12,2> would keep nothing, but it has 0.001 to four digits. A line that
    adds a zero ε or λ is left out; with β = 0 a moment is what it averages.

    Parameters
    ----------
    params : iterable of parameters or parameter groups
        Parameters of a converted model: O values in O's tensor dtype.
    policy : Policy
    lr : float
    betas : pair of float
        At least 0, below 1.
    eps : float
        With 0, a weight without a gradient so far becomes NaR (0 / 0), as PyTorch's becomes nan.
    weight_decay : float
    amsgrad : bool
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
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        numbers = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, policy, {**numbers, "amsgrad": amsgrad, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        """See `PositOptimizer.check`."""
        self.check_not_negative(group, "lr", "eps", "weight_decay")
        self.check_representable("eps", group["eps"])
        if len(group["betas"]) != 2:
            raise ValueError(f"{type(self).__name__}: betas must be two numbers, not {group['betas']}")
        for index, beta in enumerate(group["betas"]):
            self.check_kept(f"betas[{index}]", beta)

    def update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """See `PositOptimizer.update`."""
        fmt, (beta1, beta2) = self.policy.optimizer.format, (float(beta) for beta in group["betas"])
        step = self.state[parameters[0]].get("step", 0) + 1
        rate = corrected_rate(fmt, float(group["lr"]), beta1, step)
        root = correction_root(fmt, beta2, step)
        masters = flat(parameters)
        gradient = self.gradients(parameters, group, masters)
        first = self.average(parameters, "exp_avg", gradient, beta1)
        second = self.average(parameters, "exp_avg_sq", tensors.mul(fmt, gradient, gradient), beta2)
        if group["amsgrad"]:
            second = torch.maximum(self.recall(parameters, "max_exp_avg_sq"), second)
            self.keep(parameters, "max_exp_avg_sq", second)
        scale = tensors.sqrt(fmt, second)
        if root != 1:
            scale = tensors.div(fmt, scale, self.constant(root))
        if group["eps"]:
            scale = tensors.add(fmt, scale, self.constant(group["eps"]))
        if group["weight_decay"] and self.decoupled_decay:
            decay = self.constant(Fraction(float(group["lr"])) * Fraction(float(group["weight_decay"])))
            masters = tensors.fma(fmt, -decay, masters, masters)
        change = tensors.div(fmt, first, scale)
        self.write(parameters, tensors.fma(fmt, -self.constant(rate), change, masters))
        for parameter in parameters:
            self.state[parameter]["step"] = step


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), in the O format.

    As `Adam`, but g takes no part of w; before the last line w ← R(w − δ·w), where δ = R(lr·λ) is a constant of the
    host: exact, then rounded once to O.

    Parameters and errors as for `Adam`.
    """

    decoupled_decay = True

    def __init__(
        self,
        params: Iterable[Any],
        policy: Policy,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, policy, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
