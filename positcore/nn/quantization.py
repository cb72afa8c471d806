"""Post-training quantization: a network trained in float, rounded to posits, with powers of two where they help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from positcore.codec import round_values
from positcore.format import PositFormat
from positcore.mac import Quire
from positcore.nn.convert import convert
from positcore.nn.layers import Linear
from positcore.nn.policy import Policy, Stage
from positcore.nn.scaled import ScaledConv2d, ScaledLinear, largest_shift

__all__ = ["best_shift", "policy_of", "quantize_model"]

_ITEMS = 1 << 16  # values of a layer's output that its scale is chosen by
_SCALES = ("none", "tensor", "channel")
_SAMPLE = "the sample"  # no module's name has a space

# Modules whose result only selects or moves values, so that it has the power of two of their input.
_MOVING = (
    torch.nn.ReLU, torch.nn.MaxPool1d, torch.nn.MaxPool2d, torch.nn.Flatten, torch.nn.Unflatten, torch.nn.Identity,
    torch.nn.Dropout,
)  # fmt: skip


def quantize_model(
    model: torch.nn.Module,
    policy: Policy | PositFormat,
    sample: Tensor | None = None,
    *,
    weights: str = "channel",
    activations: bool = True,
) -> torch.nn.Module:
    """The posit twin of a trained float network for testing: weights rounded once, to F, with powers of two.

    Every Linear and Conv2d becomes a scaled layer (`positcore.nn.scaled`), whose powers of two are chosen such that the
    squared error of rounding is least: by its weights, and by its outputs on `sample`. How they are chosen is float
    arithmetic; what is computed with them is exact but for the roundings. Other layers are those of `convert`.

    Parameters
    ----------
    model : torch.nn.Module
        In float; it is left as it was.
    policy : Policy or PositFormat
        Only F counts, and O for what is not a Linear or Conv2d. A format stands for itself throughout, with quires.
    sample : Tensor, optional
        Inputs to choose the scales of activations by, some hundred images; needed with `activations`.
    weights : "none", "tensor" or "channel"
        One power of two for no weights, for all of a layer, or for those of each output channel.
    activations : bool
        Whether each layer's output has a power of two, too.

    Returns
    -------
    torch.nn.Module
        In eval mode. Nothing in it is trained; its state_dict holds the shifts beside the weights.

    Raises
    ------
    TypeError
        If a module has no posit twin, or the policy is of another kind.
    ValueError
        If an option is unknown, a sample is missing or gives no finite numbers, or F has no quire.
    """
    if weights not in _SCALES:
        raise ValueError(f"quantize_model: weights must be one of {', '.join(_SCALES)}, not {weights!r}")
    if activations and sample is None:
        raise ValueError("quantize_model: scales of activations need a sample of inputs, or activations=False")
    if sample is not None and not isinstance(sample, Tensor):
        raise TypeError(f"quantize_model: sample must be a tensor of inputs, not {type(sample).__name__}")
    if sample is not None and not sample.is_floating_point() and not _looks_up(model):
        raise TypeError(
            f"quantize_model: the sample is of {sample.dtype}, which no layer looks up; call .float() on it"
        )
    if sample is not None and not sample.numel():
        raise ValueError("quantize_model: the sample is empty; give some hundred inputs")
    policy = policy_of(policy) if isinstance(policy, PositFormat) else policy
    twin = convert(model, policy).eval()
    layers: dict[str, Any] = {
        name: twin.get_submodule(name)
        for name, module in model.named_modules()
        if type(module) in (torch.nn.Linear, torch.nn.Conv2d)  # not what attention derives from Linear
    }
    shifts = dict.fromkeys(layers, (0, 0))
    if activations and sample is not None:
        formats = {name: layer.policy.forward.format for name, layer in layers.items()}
        shifts = _activation_shifts(model, formats, sample)
    for name, layer in layers.items():
        kind: Any = ScaledLinear if isinstance(layer, Linear) else ScaledConv2d
        original: Any = model.get_submodule(name)
        shift = _weight_shift(layer.policy.forward.format, original.weight, weights)
        try:
            kind.from_twin(layer, original.weight, original.bias, shift, shifts[name])
        except ValueError as error:
            raise ValueError(f"quantize_model: {name or 'the model'!r}: {error}") from None
    return twin


def policy_of(fmt: PositFormat) -> Policy:
    """The policy that has one format throughout, with quires; the loss, where n > 16, in posit(16, es)."""
    summing = Stage(fmt, Quire())
    loss = fmt if fmt.n <= 16 else PositFormat(16, fmt.es)
    return Policy(Stage(fmt), Stage(loss), summing, summing, summing)


def best_shift(fmt: PositFormat, rows: Tensor) -> Tensor:
    """For each row the s with the least squared error of R(x·2^s)·2^−s; of equals that nearest to 0, then the positive.

    Parameters
    ----------
    fmt : PositFormat
    rows : float tensor, (R, N)

    Returns
    -------
    int64 tensor, (R,)
    """
    x = rows.detach().double().cpu().numpy()
    largest = largest_shift(fmt)
    best, least = np.zeros(len(x), np.int64), np.full(len(x), np.inf)
    for shift in sorted(range(-largest, largest + 1), key=lambda s: (abs(s), -s)):
        rounded = np.ldexp(round_values(fmt, np.ldexp(x, shift)), -shift)
        error = np.square(rounded - x).sum(axis=1)
        better = error < least
        best[better], least[better] = shift, error[better]
    return torch.from_numpy(best)


def _weight_shift(fmt: PositFormat, weight: Tensor, scale: str) -> Tensor:
    if scale == "none":
        return torch.tensor(0)
    shift = best_shift(fmt, weight.reshape(1 if scale == "tensor" else len(weight), -1))
    return shift[0] if scale == "tensor" else shift


@dataclass
class _Watch:
    """What a float network computes on a sample: each layer's output, and whose output each layer's input is."""

    outputs: dict[str, Tensor] = field(default_factory=dict)
    source: dict[str, str | None] = field(default_factory=dict)  # a layer's name, _SAMPLE, or None: unknown
    origin: dict[int, tuple[Tensor, str]] = field(default_factory=dict)  # by identity; holding the tensor keeps it

    def mark(self, x: Tensor, name: str) -> None:
        self.origin[id(x)] = x, name

    def hook(self, name: str, layer: bool) -> Callable[..., None]:
        def watch(module: torch.nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
            came = self.origin.get(id(arguments[0]), (None, None))[1] if arguments else None
            if layer:
                self.source[name], self.outputs[name] = came, output
                self.mark(output, name)
            elif came is not None:
                self.mark(output, came)

        return watch


@torch.no_grad()
def _looks_up(model: torch.nn.Module) -> bool:
    return any(isinstance(module, torch.nn.Embedding) for module in model.modules())


def _activation_shifts(
    model: torch.nn.Module, formats: dict[str, PositFormat], sample: Tensor
) -> dict[str, tuple[int, int]]:
    """For each layer the shifts of its input and its output.

    An input has the shift of the output that it is, if only values were moved in between; what comes from elsewhere
    (a sum of branches) is rounded without one, and the network's own inputs are scaled like outputs.
    """
    watch, mode = _Watch(), model.training
    handles = [
        module.register_forward_hook(watch.hook(name, name in formats))
        for name, module in model.named_modules()
        if name in formats or isinstance(module, _MOVING)
    ]
    watch.mark(sample, _SAMPLE)
    try:
        model.eval()(sample)
    finally:
        model.train(mode)
        for handle in handles:
            handle.remove()
    shifts: dict[str | None, int] = {None: 0}
    for name, fmt in formats.items():
        if name not in watch.outputs:
            raise ValueError(f"quantize_model: the sample does not reach {name!r}; its scale cannot be chosen")
        shifts[name] = _chosen(fmt, watch.outputs[name], f"the output of {name or 'the model'!r}")
        if watch.source[name] == _SAMPLE and _SAMPLE not in shifts:
            shifts[_SAMPLE] = _chosen(fmt, sample, "the sample")
    return {name: (shifts[watch.source[name]], shifts[name]) for name in formats}


def _chosen(fmt: PositFormat, x: Tensor, what: str) -> int:
    if not x.isfinite().all():
        raise ValueError(f"quantize_model: {what} holds nan or inf")
    flat = x.reshape(-1)
    return int(best_shift(fmt, flat[:: -(-len(flat) // _ITEMS)][None])[0])
