"""`PositOptimizer`: what all optimizers with posit state share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from positcore.nn import tensors
from positcore.nn.optim import constants
from positcore.nn.policy import Policy

__all__ = ["PositOptimizer"]


_LATER = (
    "differentiable",
    "maximize",
)  # groups may lack them: PyTorch adds the first, states of old have not the second


class PositOptimizer(torch.optim.Optimizer):
    """An optimizer whose state and parameters are values of the O format; PyTorch's learning-rate schedulers drive it.

    Each line of a step is one golden operation in O on all parameters that go together, as one vector. Gradients
    are rounded to O first, and negated if the group says `maximize`. `foreach`, `fused`, `capturable` and
    `differentiable` are not offered: they choose how PyTorch computes in floats.

    Parameters
    ----------
    params : iterable of parameters or parameter groups
        Parameters of a converted model: O values in O's tensor dtype.
    policy : Policy
    defaults : dict
        The hyper-parameters of groups that have none of their own.

    Raises
    ------
    TypeError, ValueError
        If `policy` is no Policy, a hyper-parameter is out of its range, or a parameter is no O tensor.
    """

    decoupled_decay = False

    def __init__(self, params: Iterable[Any], policy: Policy, defaults: dict[str, Any]) -> None:
        if not isinstance(policy, Policy):
            raise TypeError(f"{self._name}: policy must be a Policy, not {policy!r}")
        self.policy = policy
        self.check(defaults)
        super().__init__(params, defaults)

    @property
    def _name(self) -> str:
        return type(self).__name__

    # For subclasses ----------------------------------------------------------------------------------

    @abstractmethod
    def check(self, group: dict[str, Any]) -> None:
        """Refuse hyper-parameters that are out of their range."""

    @abstractmethod
    def update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """One step of parameters that have gradients, state of the same kind and age, and one device."""

    def check_not_negative(self, group: dict[str, Any], *names: str) -> None:
        """Refuse hyper-parameters that are negative, infinite or nan."""
        for name in names:
            if isinstance(group[name], str) or not hasattr(group[name], "__float__"):
                raise TypeError(f"{self._name}: {name} must be a number, not {group[name]!r}")
            if not 0 <= group[name] < float("inf"):
                raise ValueError(f"{self._name}: {name} must be finite and not negative, not {group[name]}")

    def check_kept(self, name: str, value: float) -> None:
        """Refuse the rate of a running average that is not in 0 ≤ value < 1, or that stands still in O."""
        if not 0 <= value < 1:
            raise ValueError(f"{self._name}: {name} must be at least 0 and less than 1, not {value}")
        self.check_representable(f"1 − {name}", 1 - Fraction(float(value)))

    def check_representable(self, name: str, value: float | Fraction) -> None:
        """Refuse a constant that is not 0 but rounds to 0 in O, as formats with underflow do."""
        if value and not self.constant(value):
            fmt = self.policy.optimizer.format
            raise ValueError(
                f"{self._name}: {name} = {float(value):.3g} is 0 in {fmt}; give a larger one, or an O format with it"
            )

    def constant(self, x: float | Fraction) -> Tensor:
        """An exact number rounded to O, as a tensor without dimensions."""
        exact = x if isinstance(x, Fraction) else float(x)  # a tensor, where PyTorch is given one for lr
        return torch.tensor(constants.rounded(self.policy.optimizer.format, exact), dtype=torch.float64)

    def gradients(self, parameters: list[Tensor], group: dict[str, Any], masters: Tensor) -> Tensor:
        """The gradients in O as one vector; with the weight decay λ, R(λ·w + g), unless it is decoupled."""
        fmt, found = self.policy.optimizer.format, [w.grad for w in parameters if w.grad is not None]
        if any(g.layout != torch.strided for g in found):
            raise TypeError(f"{self._name}: a gradient is sparse; posit optimizers take dense ones")
        steps = tensors.quantize(fmt, flat(found))
        if group.get("maximize"):
            steps = -steps
        if group["weight_decay"] and not self.decoupled_decay:
            steps = tensors.fma(fmt, self.constant(group["weight_decay"]), masters, steps)
        return steps

    def recall(self, parameters: list[Tensor], key: str) -> Tensor:
        """A state of the parameters as one vector; zeros before the first step."""
        states = ((w, self.state[w].get(key)) for w in parameters)
        return flat([torch.zeros_like(w) if state is None else state for w, state in states])

    def keep(self, parameters: list[Tensor], key: str, vector: Tensor) -> None:
        """Make a vector the state of the parameters."""
        for weight, part in zip(parameters, parts(vector, parameters), strict=True):
            self.state[weight][key] = part.clone()

    def average(self, parameters: list[Tensor], key: str, x: Tensor, kept: float) -> Tensor:
        """Move a running average, kept as a state: a ← R(κ·R(x − a) + a), κ = R(1 − kept); x where kept is 0."""
        fmt, moved = self.policy.optimizer.format, x
        if kept:
            last = self.recall(parameters, key)
            moved = tensors.fma(fmt, self.constant(1 - Fraction(kept)), tensors.sub(fmt, x, last), last)
        self.keep(parameters, key, moved)
        return moved

    def write(self, parameters: list[Tensor], vector: Tensor) -> None:
        """Make a vector the new values of the parameters."""
        for weight, part in zip(parameters, parts(vector, parameters), strict=True):
            weight.copy_(part)

    # PyTorch's interface -----------------------------------------------------------------------------

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Update the parameters once; gradients that are None are passed over."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            together: dict[Any, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    state = self.state.get(parameter, {})
                    age = parameter.device, state.get("step"), frozenset(state)
                    together.setdefault(age, []).append(parameter)
            for parameters in together.values():
                self.update(parameters, group)
        return loss

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with hyper-parameters of its own where it gives some; errors as above."""
        super().add_param_group(param_group)
        try:
            for name in ("foreach", "fused", "capturable", "differentiable"):
                if self.param_groups[-1].get(name):
                    raise ValueError(f"{self._name}: {name} chooses how PyTorch computes in floats; leave it out")
            self.check(self.param_groups[-1])
            for parameter in self.param_groups[-1]["params"]:
                self._check_values("parameters", parameter, "convert the model with this policy first")
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the state of an optimizer of this kind and format; nothing is changed if it is another.

        Raises
        ------
        ValueError
            If a group lacks one of the hyper-parameters, or a tensor is none of O values.
        """
        if not {"param_groups", "state"} <= set(state_dict):
            raise ValueError(f"{self._name}: the state to load is of no optimizer: it has no param_groups and state")
        for group in state_dict["param_groups"]:
            missing = [name for name in self.defaults if name not in (*group, *_LATER)]
            if missing:
                raise ValueError(
                    f"{self._name}: the state to load is of another optimizer: it has no {', '.join(missing)}"
                )
        for state in state_dict["state"].values():
            for name, value in state.items():
                if name == "step" and not isinstance(value, int):
                    raise ValueError(f"{self._name}: step of the state to load must be an integer, not {value!r}")
                if isinstance(value, Tensor):
                    remedy = f"it is of another policy than {self.policy}, or of a float optimizer"
                    self._check_values(f"{name} of the state to load", value, remedy)
        super().load_state_dict(state_dict)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "policy": self.policy}

    def _check_values(self, what: str, values: Tensor, remedy: str) -> None:
        """Refuse a tensor that does not hold O values in O's dtype."""
        fmt = self.policy.optimizer.format
        found = str(values.dtype)
        if values.dtype == tensors.dtype_of(fmt):
            wrong = values[(tensors.quantize(fmt, values) != values) & ~values.isnan()]
            if not wrong.numel():
                return
            found = str(wrong[0].item())
        raise ValueError(
            f"{self._name}: {what} must be O values ({fmt}) in {tensors.dtype_of(fmt)}, not {found}; {remedy}"
        )


def flat(values: list[Tensor]) -> Tensor:
    """Tensors as one vector."""
    return torch.cat([x.reshape(-1) for x in values])


def parts(vector: Tensor, like: list[Tensor]) -> list[Tensor]:
    """A vector cut into tensors of the shapes of `like`."""
    pieces = torch.split_with_sizes(vector, [x.numel() for x in like])
    return [piece.view_as(x) for piece, x in zip(pieces, like, strict=True)]
