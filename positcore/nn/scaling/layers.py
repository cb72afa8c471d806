"""`LayerScale`: what the scalings with a factor for every layer share.

A point lies at the output of each layer. In the backward pass the gradient of point i is divided by 2^k_i, so that
it carries 2^−K_i from there on, K_i being the sum of k_i, k_(i+1), … up to the last layer; the gradients of the layer's
parameters are multiplied by 2^K_i before the optimizer takes them. Which k_i are good is learnt from the standard
deviations of the gradients: posits are most precise around 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import partial
from typing import Any

import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.nn import tensors
from positcore.nn.optim.constants import rounded
from positcore.nn.policy import Policy
from positcore.nn.scaling.factors import largest_exponent, pass_gradient, power, scale_gradients_
from positcore.rational import floor_log2

__all__ = ["HALF", "LayerScale", "log2"]

HALF = Fraction(6745, 10000)  # the median of |x| of a normal distribution, in standard deviations

_LOG_STEPS = 256


class LayerScale:
    """What `BackScale` and `AdaptiveScale` share; see there.

    It works on layers that form a chain: all gradients of a layer and of those before it must come through its output.
    The layers may be blocks of others.

    Parameters
    ----------
    layers : iterable of torch.nn.Module
        In forward order; their output is one tensor.
    policy : Policy
    momentum : float
        Of the running standard deviations; at least 0, below 1.

    Raises
    ------
    TypeError, ValueError
        If there are no layers or what is given are none, two share a parameter, or the momentum is out of its range.
    """

    def __init__(self, layers: Iterable[torch.nn.Module], policy: Policy, momentum: float = 0.9) -> None:
        self.layers, self.policy, self.momentum = list(layers), policy, momentum
        if not self.layers or not all(isinstance(layer, torch.nn.Module) for layer in self.layers):
            raise TypeError(f"{self._name}: layers must be modules in forward order, not {self.layers!r}")
        if not isinstance(policy, Policy):
            raise TypeError(f"{self._name}: policy must be a Policy, not {policy!r}")
        if not 0 <= momentum < 1:
            raise ValueError(f"{self._name}: momentum must be at least 0 and less than 1, not {momentum}")
        self._owners()
        self.measuring = True
        self.exponents = [0] * len(self.layers)
        self.running: list[float | None] = [None] * len(self.layers)
        self._handles = [
            layer.register_forward_hook(partial(self._place, index)) for index, layer in enumerate(self.layers)
        ]

    @property
    def _name(self) -> str:
        return type(self).__name__

    @property
    def totals(self) -> list[int]:
        """K of every layer: the exponents summed from the last layer to it."""
        return [sum(self.exponents[index:]) for index in range(len(self.exponents))]

    def remove(self) -> None:
        """Take the points out of the layers."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
        """Multiply the gradients of each layer's parameters by 2^K, g ← R_O(g · 2^K); call it before the step.

        Raises
        ------
        ValueError
            If a parameter with a gradient belongs to none of the layers.
        """
        owners, totals = self._owners(), self.totals
        found: dict[int, list[Tensor]] = {}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if id(parameter) not in owners:
                    raise ValueError(
                        f"{self._name}: a parameter of shape {tuple(parameter.shape)} is in none of the layers, so its "
                        "gradient's scale is not known; give the layer or the block that holds it"
                    )
                found.setdefault(owners[id(parameter)], []).append(parameter)
        self._after_pass()
        for index, parameters in found.items():
            scale_gradients_(parameters, totals[index], self.policy)

    def state_dict(self) -> dict[str, Any]:
        """The running standard deviations and the exponents."""
        return {"running": list(self.running), "exponents": list(self.exponents)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state of `state_dict`.

        Raises
        ------
        ValueError
            If it is of another number of layers.
        """
        if not {"running", "exponents"} <= set(state_dict):
            raise ValueError(f"{self._name}: the state to load has no running and exponents; it is of something else")
        running, exponents = state_dict["running"], state_dict["exponents"]
        if not len(running) == len(exponents) == len(self.layers):
            raise ValueError(f"{self._name}: the state to load is of {len(running)} layers, not {len(self.layers)}")
        self.running, self.exponents = list(running), list(exponents)

    # The backward pass -------------------------------------------------------------------------------

    def _place(self, index: int, module: torch.nn.Module, arguments: Any, output: Any) -> Tensor | None:
        """The forward hook of a layer: a point at its output."""
        if not isinstance(output, Tensor):
            raise TypeError(f"{self._name}: the output of layer {index} must be a tensor, not {type(output).__name__}")
        if not (torch.is_grad_enabled() and output.requires_grad):
            return None
        return pass_gradient(output, partial(self._arrive, index), self._format(index))

    def _format(self, index: int) -> PositFormat:
        """The format B of a layer, its own where it has a policy of its own."""
        layer = self.layers[index]
        own = getattr(layer, "posit_policy", getattr(layer, "policy", None))
        return (own if isinstance(own, Policy) else self.policy).backward.format

    def _arrive(self, index: int, gradient: Tensor) -> Tensor:
        if self.measuring:
            self._measure(index, gradient)
        k = self.exponents[index]
        return tensors.mul(self._format(index), gradient, power(-k)) if k else gradient

    def _measure(self, index: int, gradient: Tensor) -> None:
        raise NotImplementedError

    def _after_pass(self) -> None:
        raise NotImplementedError

    def _learn(self, index: int, deviation: Tensor) -> None:
        """Move a running standard deviation; 0 and NaR teach nothing, and the first one is taken as it is."""
        if not deviation > 0:
            return
        fmt, last = self.policy.optimizer.format, self.running[index]
        if last is not None and self.momentum:
            before = torch.tensor(last, dtype=torch.float64)
            rate = torch.tensor(rounded(fmt, 1 - Fraction(self.momentum)), dtype=torch.float64)
            deviation = tensors.fma(fmt, rate, tensors.sub(fmt, deviation, before), before)
        self.running[index] = float(deviation)

    def _aim(self, index: int, target: int) -> None:
        """Choose k so that K is `target`, as near as powers of two in B and in O allow."""
        above = sum(self.exponents[index + 1 :])
        whole, part = largest_exponent(self.policy.optimizer.format), largest_exponent(self._format(index))
        target = max(-whole, min(whole, target))
        self.exponents[index] = max(-part, min(part, target - above))

    def _owners(self) -> dict[int, int]:
        owners: dict[int, int] = {}
        for index, layer in enumerate(self.layers):
            for parameter in layer.parameters():
                if owners.setdefault(id(parameter), index) != index:
                    raise ValueError(
                        f"{self._name}: layers {owners[id(parameter)]} and {index} share a parameter; give the block "
                        "that holds both"
                    )
        return owners


def log2(x: Fraction) -> Fraction:
    """log2 x for x > 0, rounded down to a multiple of 1/256; exact integer arithmetic."""
    return Fraction(floor_log2(x**_LOG_STEPS), _LOG_STEPS)
