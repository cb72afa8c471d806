"""`DynamicScaler`: a factor of the loss that grows until gradients overflow, as in `torch.amp.GradScaler`."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from positcore.nn import tensors, workers
from positcore.nn.batch_factor import current_factor, is_mean
from positcore.nn.policy import Policy
from positcore.nn.scaling.factors import largest_exponent, power, scale_gradients_
from positcore.nn.uses import enter

__all__ = ["DynamicScaler"]


class DynamicScaler:
    """Scaling of the loss as in `torch.amp.GradScaler`, with a power of two and golden multiplications.

    ::

        scaler = pnn.DynamicScaler(policy, init_scale=2**6)
        scaler.scale(loss_function(twin(x), y)).backward()
        scaler.unscale_(optimizer)            # only to clip gradients before the step
        scaler.step(optimizer)
        scaler.update()

    With the scale S, each R one rounding: the loss is R_L(loss · S) and its gradient begins as S, so that the loss's
    own gradient is R_L(g · S); `unscale_` makes each element of `parameter.grad` R_O(g / S), a product with 1 / S. An
    overflow is a gradient that is NaR, or saturated: its sum was ±maxpos of G before the division by the batch. Then
    `step` leaves the weights as they are, and `update` multiplies S by `backoff_factor`; after `growth_interval` steps
    without overflow it multiplies S by `growth_factor`, as long as S is a value of L and 1 / S one of O.

    What saturates in B, between layers, is not seen. And posits are most precise around 1, where floats are not:
    a scale that grows until gradients overflow takes them to where 8-bit posits have no fraction. So S begins at 1
    here, and `positcore.nn.BackScale` chooses its factors by where the gradients lie.

    Parameters
    ----------
    policy : Policy
    init_scale : float
        A power of two.
    growth_factor, backoff_factor : float
        Powers of two, above and below 1.
    growth_interval : int
    enabled : bool
        False: every method does what a loop without a scaler would.

    Raises
    ------
    ValueError
        If a factor is no such power of two, the policy's L and O do not hold the scale, or the interval is below 1.
    """

    def __init__(
        self,
        policy: Policy,
        init_scale: float = 1.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if not isinstance(policy, Policy):
            raise TypeError(f"DynamicScaler: policy must be a Policy, not {policy!r}")
        self.policy, self._enabled = policy, enabled
        self._largest = min(largest_exponent(policy.loss.format), largest_exponent(policy.optimizer.format))
        self._load(init_scale, growth_factor, backoff_factor, growth_interval, 0)
        self._samples = 0
        self._seen: dict[int, bool] = {}  # by optimizer: whether its gradients overflowed
        self._stepped: set[int] = set()

    def _load(self, scale: float, growth: float, backoff: float, interval: int, tracker: int) -> None:
        for name, value in (("init_scale", scale), ("growth_factor", growth), ("backoff_factor", backoff)):
            if not (value > 0 and math.frexp(value)[0] == 0.5):
                raise ValueError(f"DynamicScaler: {name} must be a power of two, not {value}")
        if not (growth > 1 > backoff):
            raise ValueError(
                f"DynamicScaler: growth_factor must be above 1 and backoff_factor below, not {growth} and {backoff}"
            )
        if abs(math.frexp(scale)[1] - 1) > self._largest:
            raise ValueError(
                f"DynamicScaler: init_scale must be at most 2^{self._largest} and its inverse too, to be a value of "
                f"L and O in {self.policy}, not {scale}"
            )
        if interval < 1:
            raise ValueError(f"DynamicScaler: growth_interval must be at least 1, not {interval}")
        self._exponent, self._growth, self._backoff = (math.frexp(x)[1] - 1 for x in (scale, growth, backoff))
        self._interval, self._tracker = interval, tracker

    def scale(self, outputs: Any) -> Any:
        """A loss, or a list or tuple of losses, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            use = enter(outputs, self.policy.loss.format)
            return _Scaled.apply(outputs, self._exponent, self.policy, self._note, use)  # type: ignore[no-untyped-call]
        if isinstance(outputs, list | tuple):
            return type(outputs)(self.scale(output) for output in outputs)
        raise TypeError(
            f"DynamicScaler: scale takes a tensor, or a list or tuple of them, not {type(outputs).__name__}"
        )

    def _note(self) -> None:
        """At the end of a backward pass: the batch factor by which gradients were divided after they saturated."""
        self._samples += current_factor() if is_mean() else 0

    @torch.no_grad()
    def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide the gradients of the optimizer's parameters by the scale, and look for overflow.

        Raises
        ------
        RuntimeError
            If it was called for this optimizer since the last `update`, or after its `step`.
        """
        if not self._enabled:
            return
        if id(optimizer) in self._stepped:
            raise RuntimeError("DynamicScaler: unscale_() is being called after step()")
        if id(optimizer) in self._seen:
            raise RuntimeError(
                "DynamicScaler: unscale_() has already been called on this optimizer since the last update()"
            )
        parameters = [w for group in optimizer.param_groups for w in group["params"] if w.grad is not None]
        limit = self._saturated()
        self._seen[id(optimizer)] = any(not (w.grad.abs() < limit).all() for w in parameters)
        scale_gradients_(parameters, -self._exponent, self.policy)

    def step(self, optimizer: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
        """Run the optimizer's step, unless its gradients overflowed; unscale them first where that was not done.

        Raises
        ------
        RuntimeError
            If it was called for this optimizer since the last `update`, or with a closure.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError(
                "DynamicScaler: a closure would make gradients that were not unscaled; call step without"
            )
        if id(optimizer) in self._stepped:
            raise RuntimeError("DynamicScaler: step() has already been called since the last update()")
        if id(optimizer) not in self._seen:
            self.unscale_(optimizer)
        self._stepped.add(id(optimizer))
        return None if self._seen[id(optimizer)] else optimizer.step(*args, **kwargs)

    def update(self) -> None:
        """Change the scale after the steps of all optimizers.

        Raises
        ------
        RuntimeError
            If no gradients were unscaled since the last call.
        """
        if not self._enabled:
            return
        if not self._seen:
            raise RuntimeError("DynamicScaler: update() needs a step() or an unscale_() since the last update()")
        if any(self._seen.values()):
            self._exponent, self._tracker = max(self._exponent + self._backoff, -self._largest), 0
        else:
            self._tracker += 1
            if self._tracker == self._interval:
                self._exponent, self._tracker = min(self._exponent + self._growth, self._largest), 0
        self._seen, self._stepped, self._samples = {}, set(), 0

    def _saturated(self) -> float:
        """The least magnitude of a gradient whose sum was ±maxpos of G, whatever the layer."""
        policy, factor = self.policy, workers.total(self._samples) or 1
        formats = [policy.gradient.format, *(o.gradient.format for o in policy.overrides if o.gradient is not None)]
        limits = []
        for fmt in formats:
            limit = tensors.div_by_count(
                fmt, torch.tensor(fmt.maxpos, dtype=torch.float64), factor, policy.optimizer.format
            )
            limits += [limit.item(), tensors.quantize(policy.optimizer.format, limit).item()]
        return min(limits)

    # PyTorch's interface -----------------------------------------------------------------------------

    def get_scale(self) -> float:
        """The scale, 1 if the scaler is not enabled."""
        return math.ldexp(1.0, self._exponent) if self._enabled else 1.0

    def is_enabled(self) -> bool:
        """Whether the scaler scales."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """The scale, the factors and the count of steps, named as by `torch.amp.GradScaler`; empty if not enabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": math.ldexp(1.0, self._growth),
            "backoff_factor": math.ldexp(1.0, self._backoff),
            "growth_interval": self._interval,
            "_growth_tracker": self._tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state of `state_dict`.

        Raises
        ------
        ValueError
            If it is of a scaler that was not enabled, or a value is out of its range.
        """
        if not self._enabled:
            return
        names = list(self.state_dict())
        missing = [name for name in names if name not in state_dict]
        if missing:
            raise ValueError(
                f"DynamicScaler: the state to load has no {', '.join(missing)}; it is of a scaler that was not "
                "enabled, or of something else"
            )
        self._load(*[state_dict[name] for name in names])


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: Tensor, exponent: int, policy: Policy, note: Any, use: Any) -> Tensor:
        fmt = policy.loss.format
        ctx.fmt, ctx.exponent, ctx.note, ctx.use = fmt, exponent, note, use
        return tensors.mul(fmt, tensors.quantize(fmt, loss), power(exponent)).to(loss.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        # The losses behind this declare their factor later in this pass, and callbacks run in the order of their
        # registration: this one before the one that forgets the factor.
        torch.autograd.Variable._execution_engine.queue_callback(ctx.note)
        fmt = ctx.fmt
        scaled = tensors.mul(fmt, tensors.quantize(fmt, gradient), power(ctx.exponent))
        return ctx.use(scaled.to(gradient.dtype)), None, None, None, None
