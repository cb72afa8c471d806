"""What all posit operations share: how they appear to a running `PositMode`, and the dtype of their results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from positcore.nn import tensors
from positcore.nn.policy import Policy

__all__ = ["carrier", "operation", "shaped"]

P = ParamSpec("P")
R = TypeVar("R")


def operation(function: Callable[P, R]) -> Callable[P, R]:
    """A posit operation: what it does with tensors inside is its own, and no `PositMode` looks at it.

    It raises a TypeError where PyTorch would look into it too, to transform, trace or compile it, or would add its
    gradients to those of other workers in floats.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if foreign := _foreign():
            raise TypeError(f"{function.__name__.strip('_')}: posit operations do not run {foreign}")
        with torch._C.DisableTorchFunction():
            return function(*args, **kwargs)

    return run


def _foreign() -> str | None:
    """What PyTorch does with the operation that runs, if it is more than to run it; and what to do instead."""
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "in transforms of torch.func (vmap, grad, jacrev, …); use batched inputs and backward()"
    if torch._C._get_tracing_state() is not None:
        return "under torch.jit.trace; call the model itself"
    if torch._C._dynamo.eval_frame.get_eval_frame_callback():
        return "under torch.compile; call the model itself"
    if torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None:
        return "on fake tensors, as under torch.export; call the model itself"
    if torch.nn.parallel.DistributedDataParallel._active_ddp_module is not None:
        return "in DistributedDataParallel, which adds gradients in floats; use pnn.accumulate on the model itself"
    return None


def carrier(policy: Policy) -> torch.dtype:
    """The dtype of activations: PyTorch gives gradients the dtype of what they belong to, so it holds F, B and L."""
    formats = policy.forward.format, policy.backward.format, policy.loss.format
    return torch.float64 if policy.wide else tensors.carrier(*formats)


def shaped(result: Tensor, shape: Sequence[int]) -> Tensor:
    """A result in another shape, and no view: PyTorch forbids to change a view that a custom operation returns."""
    return result if result.shape == torch.Size(shape) else result.reshape(tuple(shape)).clone()
