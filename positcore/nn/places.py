"""Which layer is at work: the module in the forward pass, and in the backward pass the one whose gradient it is.

PyTorch calls the hooks of all modules. A forward hook writes the module's path into the autograd nodes that the module
made, where the backward pass finds it again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.modules import module as hooks
from torch.optim import optimizer as steps

from positcore.nn.tensors import tensors_in

__all__ = ["start", "stop", "where"]

_KEY = "positcore layer"


class _Entered:
    """A module at work, and the nodes that its inputs come from."""

    def __init__(self, name: str, inputs: set[Any]) -> None:
        self.name, self.inputs = name, inputs


_entered: list[_Entered] = []
_names: dict[torch.nn.Module, str] = {}
_parameters: dict[int, str] = {}
_handles: list[Any] = []


def start() -> None:
    """Follow modules and optimizers from now on; once is enough."""
    if not _handles:
        _handles.extend((
            hooks.register_module_forward_pre_hook(_enter),
            hooks.register_module_forward_hook(_leave, always_call=True),
            steps.register_optimizer_step_pre_hook(_enter_step),
            steps.register_optimizer_step_post_hook(_leave_step),
        ))  # fmt: skip


def stop() -> None:
    """Follow them no longer."""
    while _handles:
        _handles.pop().remove()
    _entered.clear()
    _names.clear()
    _parameters.clear()


def where() -> str:
    """The layer at work and the pass, such as `conv1, forward`; a parameter is named where its gradient is made."""
    node: Any = torch._C._current_autograd_node()
    if node is not None:
        variable = getattr(node, "variable", None)
        if variable is not None:
            return f"{_parameters.get(id(variable), 'a parameter')}, gradient"
        return f"{node.metadata.get(_KEY, 'outside of the model')}, backward"
    return f"{_entered[-1].name}, forward" if _entered else "outside of the model"


def _enter(module: torch.nn.Module, arguments: Any) -> None:
    if not _entered and module not in _names:
        _names.clear()
        _names.update({part: name for name, part in module.named_modules()})
        _parameters.update({id(p): name for name, p in module.named_parameters()})
    name = _names.get(module) or type(module).__name__
    _entered.append(_Entered(name, {x.grad_fn for x in tensors_in(arguments) if x.grad_fn is not None}))


def _leave(module: torch.nn.Module, arguments: Any, result: Any) -> None:
    if not _entered:
        return
    entered = _entered.pop()
    nodes: list[Any] = [x.grad_fn for x in tensors_in(result)]
    while nodes:
        node = nodes.pop()
        if node is None or node in entered.inputs or hasattr(node, "variable") or _KEY in node.metadata:
            continue
        node.metadata[_KEY] = entered.name
        nodes += [following for following, _ in node.next_functions]


def _enter_step(optimizer: Any, *arguments: Any) -> None:
    _entered.append(_Entered(type(optimizer).__name__, set()))


def _leave_step(optimizer: Any, *arguments: Any) -> None:
    if _entered:
        _entered.pop()
