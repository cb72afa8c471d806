"""`compare_layers`: a float network and its posit twin layer by layer, so that one sees where error enters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.nn.layers import PositLayer
from positcore.nn.ranges import shares

__all__ = ["LayerError", "compare_layers", "layer_table"]


@dataclass(frozen=True)
class LayerError:
    """How far a layer of the twin is from the float network's.

    Parameters
    ----------
    layer, kind, format : str
        Its name, its class, and the format of its outputs.
    snr_db : float
        Of its output in the twin against that in the float network: 10·log₁₀(Σ y² / Σ (ŷ − y)²); inf if they are equal.
    own_snr_db : float
        Likewise, where the layer gets the float network's input: the error that enters here.
    weights_snr_db : float or None
        Of its weights; None without weights.
    largest : float
        The largest |ŷ − y| in the twin, relative to the largest |y|.
    saturated, underflowed : float
        Shares, in percent, of the float network's outputs that are beyond maxpos, and of those that are not 0 and
        below minpos, with the layer's power of two if it has one.
    """

    layer: str
    kind: str
    format: str
    snr_db: float
    own_snr_db: float
    weights_snr_db: float | None
    largest: float
    saturated: float
    underflowed: float


@torch.no_grad()
def compare_layers(model: torch.nn.Module, twin: torch.nn.Module, inputs: Tensor) -> list[LayerError]:
    """Run a float network and its twin (of `convert` or `quantize_model`) on the same inputs, in eval mode.

    Parameters
    ----------
    model, twin : torch.nn.Module
        Modules of one name belong together. Neither is changed.
    inputs : Tensor

    Returns
    -------
    list of LayerError
        For every posit layer that rounds, in the order of the float network's computation; of a layer that runs
        several times, the last. The figures are float64 and say how large errors are, not what any bit is.

    Raises
    ------
    ValueError
        If the two are not twins.
    """
    layers = {name: layer for name, layer in twin.named_modules() if isinstance(layer, PositLayer)}
    originals = dict(model.named_modules())
    if not layers or not layers.keys() <= originals.keys():
        raise ValueError("compare_layers: twin must be model in posits, made of it by convert or quantize_model")
    arrived: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}
    floats, posits, own = dict[str, Tensor](), dict[str, Tensor](), dict[str, Tensor]()

    def keep(name: str, into: dict[str, Tensor], given: bool) -> Callable[..., None]:
        def hook(module: torch.nn.Module, arguments: Any, options: Any, output: Any) -> None:
            into[name] = _first(output)
            if given:
                arrived[name] = arguments, options

        return hook

    _run(model, {name: keep(name, floats, True) for name in layers}, inputs)
    _run(twin, {name: keep(name, posits, False) for name in layers}, inputs)
    modes = [(module, module.training) for module in twin.modules()]
    twin.eval()
    for name, (arguments, options) in arrived.items():
        own[name] = _first(layers[name](*arguments, **options))
    for module, mode in modes:
        module.training = mode
    errors = (
        _error(name, layers[name], originals[name], floats[name], posits[name], own[name])
        for name in arrived
        if name in posits
    )
    return [error for error in errors if error.own_snr_db < math.inf or error.weights_snr_db is not None]


def layer_table(errors: Sequence[LayerError]) -> str:
    """`compare_layers` as text, a line for each layer."""
    heads = ("layer", "kind", "format", "SNR", "own SNR", "weights", "largest", "> maxpos", "< minpos")
    rows = [heads]
    for e in errors:
        weights = "" if e.weights_snr_db is None else f"{e.weights_snr_db:.1f} dB"
        snr = f"{e.snr_db:.1f} dB", f"{e.own_snr_db:.1f} dB", weights
        shares = f"{100 * e.largest:.2f} %", f"{e.saturated:.2f} %", f"{e.underflowed:.2f} %"
        rows.append((e.layer, e.kind, e.format, *snr, *shares))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{x:<{w}}" if i < 3 else f"{x:>{w}}" for i, (x, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    )


def _run(model: torch.nn.Module, hooks: dict[str, Callable[..., None]], inputs: Tensor) -> None:
    modes = [(module, module.training) for module in model.modules()]
    handles = [
        module.register_forward_hook(hooks[name], with_kwargs=True)
        for name, module in model.named_modules()
        if name in hooks
    ]
    try:
        model.eval()(inputs)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode


def _error(name: str, layer: PositLayer, original: Any, y: Tensor, posits: Tensor, own: Tensor) -> LayerError:
    fmt: PositFormat = layer.policy.forward.format
    shift = int(getattr(layer, "output_shift", 0))
    over, under = shares(fmt, y.double() * 2.0**shift)
    weights = None
    if isinstance(getattr(original, "weight", None), Tensor):
        weights = _snr(original.weight, layer.weight)  # type: ignore[arg-type]
    largest = float((posits.double() - y.double()).abs().max() / y.double().abs().max().clamp_min(1e-300))
    kind = type(original).__name__
    return LayerError(name, kind, str(fmt), _snr(y, posits), _snr(y, own), weights, largest, over, under)


def _snr(y: Tensor, found: Tensor) -> float:
    signal, noise = float(y.double().square().sum()), float((found.double() - y.double()).square().sum())
    if not noise:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output
