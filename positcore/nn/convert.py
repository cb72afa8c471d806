"""`convert`: the posit twin of a float model."""

from __future__ import annotations

import copy

import torch

from positcore.nn import tensors
from positcore.nn.layers import Conv2d, Linear
from positcore.nn.policy import Policy

__all__ = ["convert"]

# Modules whose forward and backward only select, move or compare values, which is exact on posits.
_EXACT = (torch.nn.ReLU, torch.nn.Flatten, torch.nn.Unflatten, torch.nn.Identity, torch.nn.Sequential)


def convert(model: torch.nn.Module, policy: Policy) -> torch.nn.Module:
    """The posit twin of `model`: a copy whose layers compute in the formats of `policy`.

    Names and state_dict keys stay. Parameters become master weights: rounded to the O format, in its
    tensor dtype. The float model is left as it was.

    Parameters
    ----------
    model : torch.nn.Module
        Made of Linear, Conv2d, ReLU, MaxPool2d, Flatten, Unflatten, Identity and containers of them.
    policy : Policy

    Raises
    ------
    TypeError
        If `policy` is no Policy, a module has no posit twin, or two share a parameter; the message names them.
    """
    if not isinstance(policy, Policy):
        raise TypeError(f"convert: policy must be a Policy, such as Policy.parse('O12-L12-FBG8q'), not {policy!r}")
    owner: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if owner.setdefault(id(parameter), name) != name:
            raise TypeError(
                f"convert: {name!r} and {owner[id(parameter)]!r} are one parameter, whose gradients would be summed in "
                "floats; give each layer its own"
            )
    return _twin(copy.deepcopy(model), policy, "")


def _twin(module: torch.nn.Module, policy: Policy, name: str) -> torch.nn.Module:
    if type(module) is torch.nn.Linear:
        return _adopt(Linear, module, policy)
    if type(module) is torch.nn.Conv2d:
        return _adopt(Conv2d, module, policy)
    if isinstance(module, Linear | Conv2d):
        raise TypeError(f"convert: {name or 'the model'!r} is a posit layer already; convert the float model instead")
    if isinstance(module, torch.nn.MaxPool2d):
        return _check_pool(module, name)
    children = list(module.named_children())
    own = [key for key, _ in module.named_parameters(recurse=False)]
    if not isinstance(module, _EXACT) and (own or not children):
        raise TypeError(
            f"convert: {type(module).__name__} {name or 'at the top'!r} has no posit twin; there are twins of Linear, "
            "Conv2d, ReLU, MaxPool2d, Flatten, Unflatten, Identity and of modules made of them"
        )
    for key, child in children:
        setattr(module, key, _twin(child, policy, f"{name}.{key}" if name else key))
    return module


def _adopt(kind: type[Linear] | type[Conv2d], layer: torch.nn.Module, policy: Policy) -> torch.nn.Module:
    """`layer` as the posit layer `kind`: its attributes and parameters, rounded to O."""
    fmt = policy.optimizer.format
    if isinstance(layer, torch.nn.Conv2d):
        twin: torch.nn.Module = Conv2d(
            layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding, layer.dilation,
            layer.groups, layer.bias is not None, layer.padding_mode, policy=policy, device="meta",
        )  # fmt: skip
    else:
        assert isinstance(layer, torch.nn.Linear)
        with torch.device("meta"):
            twin = Linear(layer.in_features, layer.out_features, layer.bias is not None, policy=policy)
    twin.train(layer.training)
    for key, parameter in layer.named_parameters(recurse=False):
        setattr(twin, key, torch.nn.Parameter(tensors.quantize(fmt, parameter), parameter.requires_grad))
    return twin


def _check_pool(pool: torch.nn.MaxPool2d, name: str) -> torch.nn.MaxPool2d:
    """A max pooling whose windows do not overlap: its gradient only moves values, so it is exact."""
    kernel, stride, dilation = (
        x if isinstance(x, tuple) else (x, x) for x in (pool.kernel_size, pool.stride, pool.dilation)
    )
    if any(s < d * (k - 1) + 1 for s, k, d in zip(stride, kernel, dilation, strict=True)):
        raise TypeError(
            f"convert: MaxPool2d {name!r} has overlapping windows (kernel {kernel}, stride {stride}, dilation "
            f"{dilation}), whose gradient would be summed in floats; use a stride of at least the window"
        )
    return pool
