"""The factor that gradients carry through a backward pass: the batch size, which parameters divide by at the end.

A mean over N samples divides its gradient by N at the top, where 8-bit posits would lose it. A loss of this
package hands on N times its gradient instead and declares N; every parameter's gradient of the same backward
pass is divided by it after its sum. A loss that declares nothing, such as PyTorch's own, has the factor 1.
"""

from __future__ import annotations

import sys
from functools import partial
from types import FrameType

import torch

__all__ = ["check_pass", "current_factor", "current_pass", "declare_factor", "is_mean"]

_factors: dict[int, tuple[int, bool]] = {}


def current_pass() -> int:
    """The number of the backward pass that is running, −1 outside of one."""
    task: int = torch._C._current_graph_task_id()
    return task


def declare_factor(factor: int, *, mean: bool = True) -> None:
    """Within a loss's backward: the gradient that it hands on is `factor` times the true one.

    `mean` says that the factor is a number of samples that the loss took the mean of: such factors of several
    backward passes add up in `positcore.nn.gradients.accumulate`. A loss that sums declares 1 and no mean.

    Raises
    ------
    ValueError
        If another loss in the same backward pass declared another factor.
    """
    task = current_pass()
    known = _factors.get(task)
    if known is None:
        _factors[task] = factor, mean
        torch.autograd.Variable._execution_engine.queue_callback(partial(_forget, task))
    elif known[0] != factor:
        raise ValueError(
            f"two losses with means over {known[0]} and {factor} samples meet in one backward pass; "
            "call backward on each, or use reduction='sum'"
        )


def _forget(task: int) -> None:
    _factors.pop(task, None)


def check_pass() -> None:
    """In a layer's backward: refuse passes whose gradients would silently be wrong.

    Raises
    ------
    RuntimeError
        With `create_graph=True`: gradients of golden operations have none themselves, so a penalty on them would
        be left out.
    """
    if torch.is_grad_enabled():
        raise RuntimeError(
            "a backward pass with create_graph=True: the gradients of posit operations have no gradients of their own; "
            "leave create_graph out"
        )


def _is_nested() -> bool:
    """Whether the running backward pass was started within another, whose factor it does not know."""
    frame: FrameType | None = sys._getframe(1)
    passes = 0
    while frame is not None:
        passes += frame.f_code is torch.autograd.graph._engine_run_backward.__code__
        frame = frame.f_back
    return passes > 1


def current_factor() -> int:
    """The factor of the gradients in the backward pass that is running; 1 if none was declared.

    Raises
    ------
    RuntimeError
        If it declared none and runs within another pass, as under `torch.utils.checkpoint` with `use_reentrant=True`.
    """
    if current_pass() not in _factors and _is_nested():
        raise RuntimeError(
            "a backward pass within another does not know by how many samples to divide its gradients; call "
            "torch.utils.checkpoint with use_reentrant=False"
        )
    return _factors.get(current_pass(), (1, False))[0]


def is_mean() -> bool:
    """Whether the factor of the running backward pass is a number of samples."""
    return _factors.get(current_pass(), (1, False))[1]
