"""`convert`: the posit twin of a float model, and `to_float`, the way back."""

from __future__ import annotations

import copy

import torch

from positcore.nn.layers import TWINS, PositLayer, forget_rounding, round_parameters
from positcore.nn.mode import run_in_posits, stop_running
from positcore.nn.policy import Policy

__all__ = ["convert", "to_float"]

# Modules whose forward and backward only select, move or compare values, which is exact on posits.
_EXACT = (
    torch.nn.ReLU, torch.nn.Flatten, torch.nn.Unflatten, torch.nn.Identity, torch.nn.Sequential,
    torch.nn.ModuleList, torch.nn.ModuleDict, torch.nn.ParameterList, torch.nn.ParameterDict,
)  # fmt: skip

# Modules of `torch.nn` whose forward is code around other layers: it runs in posits like a forward of one's own.
_CODE = (
    torch.nn.Transformer, torch.nn.TransformerEncoder, torch.nn.TransformerEncoderLayer, torch.nn.TransformerDecoder,
    torch.nn.TransformerDecoderLayer,
)  # fmt: skip


def convert(model: torch.nn.Module, policy: Policy) -> torch.nn.Module:
    """The posit twin of `model`: a copy whose layers compute in the formats of `policy`.

    Names and state_dict keys stay. Parameters become master weights: rounded to the O format, in its
    tensor dtype. The float model is left as it was.

    Layers of `torch.nn` become those of `positcore.nn.layers`. In the `forward` of modules of your own, PyTorch's
    functions and operators (`+`, `*`, `@`, `torch.nn.functional`, …) become posit operations (`positcore.nn.mode`).

    Parameters
    ----------
    model : torch.nn.Module
    policy : Policy

    Raises
    ------
    TypeError
        If `policy` is no Policy, or a layer has no posit twin; the message names it.
    ValueError
        If a layer has an option that posit arithmetic does not offer, or the policy names layers that there are not.
    """
    _check_module("convert", model)
    if not isinstance(policy, Policy):
        raise TypeError(f"convert: policy must be a Policy, such as Policy.parse('O12-L12-FBG8q'), not {policy!r}")
    for name, module in model.named_modules():
        if isinstance(module, PositLayer) or hasattr(module, "posit_policy"):
            raise TypeError(
                f"convert: {name or 'the model'!r} is a posit layer already; convert the float model instead"
            )
        _check_parameters(module, name)
    policy.check_layers(name for name, _ in model.named_modules())
    twin = copy.deepcopy(model)
    _twin(twin, policy, "", set())
    return twin


def to_float(model: torch.nn.Module) -> torch.nn.Module:
    """The float model of a posit twin: a copy with the layers of `torch.nn` and the same parameters in float32.

    Raises
    ------
    TypeError
        If `model` is no module, or a layer has no float twin.
    """
    _check_module("to_float", model)
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, PositLayer):
            module.to_float()
        else:
            if hasattr(module, "posit_policy"):
                stop_running(module)
            forget_rounding(module)
    return model.float()


def _check_module(caller: str, model: object) -> None:
    if isinstance(model, torch.jit.ScriptModule) or not isinstance(model, torch.nn.Module):
        raise TypeError(f"{caller}: model must be a torch.nn.Module that is not scripted, not {type(model).__name__}")


def _check_parameters(module: torch.nn.Module, name: str) -> None:
    """Refuse what computes a layer's weight in floats before its forward: weight or spectral norm, pruning."""
    if type(module) in TWINS and not isinstance(getattr(module, "weight", None), torch.nn.Parameter | None):
        raise TypeError(
            f"convert: {type(module).__name__} {_where(name)} computes its weight from {_listed(module)}; make it a "
            "parameter again first (remove_weight_norm, remove_spectral_norm or prune.remove of torch.nn.utils)"
        )


def _listed(module: torch.nn.Module) -> str:
    return ", ".join(key for key, _ in module.named_parameters(recurse=False))


def _where(name: str) -> str:
    return repr(name) if name else "at the top"


def _twin(module: torch.nn.Module, policy: Policy, name: str, done: set[int]) -> None:
    """Make a module the posit twin of itself, with all modules in it; one that stands in two places, once."""
    if id(module) in done:
        return
    done.add(id(module))
    where = _where(name)
    own = policy.for_layer(name)
    twin = TWINS.get(type(module))
    if twin is not None:
        try:
            twin.from_float(module, own).place = name
        except (TypeError, ValueError) as error:
            raise type(error)(f"convert: {where}: {error}") from None
        return
    if type(module) not in _EXACT:
        if type(module).__module__.startswith("torch.nn") and type(module) not in _CODE:
            if torch.nn.utils.parametrize.is_parametrized(module):
                raise TypeError(
                    f"convert: {type(module).__name__} {where} computes its parameters in floats; make them plain ones "
                    "first (torch.nn.utils.parametrize.remove_parametrizations)"
                )
            if isinstance(module, torch.nn.modules.lazy.LazyModuleMixin):
                raise TypeError(
                    f"convert: {type(module).__name__} {where} has no shapes yet; run the float model on a batch first"
                )
            raise TypeError(
                f"convert: {type(module).__name__} {where} has no posit twin; there are twins of "
                f"{', '.join(sorted(kind.__name__ for kind in TWINS))}, and "
                f"{', '.join(kind.__name__ for kind in _EXACT)} are exact as they are"
            )
        if isinstance(module, torch.nn.TransformerEncoder):
            module.use_nested_tensor = False  # a way around the layers, for evaluation
        run_in_posits(module, own)
    round_parameters(module, own)
    for key, child in module.named_children():
        _twin(child, policy, f"{name}.{key}" if name else key, done)
