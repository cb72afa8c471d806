"""`replay`: one training step in two backends, compared code by code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.nn.backends import use_backend
from positcore.nn.layers import Conv2d, Linear
from positcore.nn.tensors import as_array

__all__ = ["Comparison", "replay"]


@dataclass(frozen=True)
class Comparison:
    """Codes of one tensor in two backends: how many there are, how many differ, and where the first one does."""

    tensor: str
    format: str
    codes: int
    differing: int
    first: tuple[int, ...] | None


def replay(
    model: torch.nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    inputs: Tensor,
    targets: Tensor,
    backends: tuple[str, str] = ("golden", "rtl"),
) -> list[Comparison]:
    """Run forward and backward on one batch in two backends; compare every layer's output and every gradient.

    Parameters
    ----------
    model : torch.nn.Module
        A converted model. Its gradients are overwritten, its weights stay.
    loss : callable
        From logits and targets to a loss.
    inputs, targets : Tensor
    backends : pair of str

    Returns
    -------
    list of Comparison
        Outputs in the order of computation, then the loss, then parameter gradients.
    """
    first, second = (_record(model, loss, inputs, targets, backend) for backend in backends)
    return [_compare(name, fmt, x, second[name][1]) for name, (fmt, x) in first.items()]


def _record(
    model: torch.nn.Module, loss: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, targets: Tensor, backend: str
) -> dict[str, tuple[PositFormat, Any]]:
    tensors: dict[str, tuple[PositFormat, Any]] = {}
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, Linear | Conv2d)}

    def keep(name: str, fmt: PositFormat, x: Tensor) -> None:
        tensors[name] = fmt, as_array(x).copy()

    def hook(name: str, layer: Linear | Conv2d) -> Any:
        return layer.register_forward_hook(
            lambda module, arguments, output: keep(f"{name} output", layer.policy.forward.format, output)
        )

    handles = [hook(name, layer) for name, layer in layers.items()]
    try:
        with use_backend(backend):
            model.zero_grad()
            value = loss(model(inputs), targets)
            value.backward()  # type: ignore[no-untyped-call]
    finally:
        for handle in handles:
            handle.remove()
    policy = next(iter(layers.values())).policy
    keep("loss", policy.loss.format, value)
    for name, layer in layers.items():
        for key, parameter in layer.named_parameters(recurse=False):
            if parameter.grad is not None:
                keep(f"{name} {key} gradient", layer.policy.gradient.format, parameter.grad)
    return tensors


def _compare(name: str, fmt: PositFormat, a: Any, b: Any) -> Comparison:
    """Values that differ are codes that differ: each value has one code, and NaR is nan."""
    different = np.argwhere((a != b) & ~(np.isnan(a) & np.isnan(b)))
    first = tuple(int(i) for i in different[0]) if len(different) else None
    return Comparison(name, str(fmt), a.size, len(different), first)
