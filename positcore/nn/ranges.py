"""`range_report`: which values of a network a policy cannot hold, and a warning where they saturate."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.nn.policy import Policy

__all__ = ["RangeRow", "RangeWarning", "range_report", "shares"]

_CONTAINERS = (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict)


class RangeWarning(UserWarning):
    """Values of a network are beyond what a policy's format holds."""


@dataclass(frozen=True)
class RangeRow:
    """The values of one tensor against one format.

    Parameters
    ----------
    tensor : str
        Such as `weight of '3'` or `output of '3'`.
    stage : str
        Which stage of the policy rounds it: O or F.
    format : str
    saturated, underflowed : float
        Shares, in percent, of the values that are beyond maxpos, and of those that are not 0 and below minpos.
    """

    tensor: str
    stage: str
    format: str
    saturated: float
    underflowed: float


def shares(fmt: PositFormat, x: Tensor) -> tuple[float, float]:
    """Which percentage of the values is beyond maxpos (infinities among it), and which is not 0 and below minpos."""
    size = x.detach().double().abs()
    count = max(1, size.numel())
    over, under = (size > fmt.maxpos).sum(), ((size > 0) & (size < fmt.minpos)).sum()
    return 100 * int(over) / count, 100 * int(under) / count


@torch.no_grad()
def range_report(model: torch.nn.Module, policy: Policy, sample: Tensor, *, tolerated: float = 0.0) -> list[RangeRow]:
    """Run a float network on a sample, and see which of its values the formats of a policy cannot hold.

    Looked at are the parameters, in O and in F, the sample, and the outputs of all modules, in F. Gradients are not.
    If more than `tolerated` percent of a tensor's values saturate, a `RangeWarning` names the worst tensors.

    Parameters
    ----------
    model : torch.nn.Module
        In float, before `convert`; run in eval mode, and left as it was.
    policy : Policy
    sample : Tensor
        Inputs, some dozens or more.
    tolerated : float
        In percent.

    Returns
    -------
    list of RangeRow
    """
    rows: list[RangeRow] = []

    def add(tensor: str, stage: str, fmt: PositFormat, x: Tensor) -> None:
        rows.append(RangeRow(tensor, stage, str(fmt), *shares(fmt, x)))

    add("sample", "F", policy.forward.format, sample)
    for name, module in model.named_modules():
        for key, parameter in module.named_parameters(recurse=False):
            tensor = f"{key} of {name or 'the model'!r}"
            add(tensor, "O", policy.optimizer.format, parameter)
            add(tensor, "F", policy.for_layer(name).forward.format, parameter)

    def watch(name: str) -> Callable[..., None]:
        def hook(module: torch.nn.Module, arguments: Any, output: Any) -> None:
            for x in output if isinstance(output, tuple) else (output,):
                if isinstance(x, Tensor) and x.is_floating_point():
                    add(f"output of {name or 'the model'!r}", "F", policy.for_layer(name).forward.format, x)

        return hook

    modes = [(module, module.training) for module in model.modules()]
    handles = [
        module.register_forward_hook(watch(name))
        for name, module in model.named_modules()
        if not isinstance(module, _CONTAINERS)
    ]
    try:
        model.eval()(sample)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    _warn(policy, [row for row in rows if row.saturated > tolerated])
    return rows


def _warn(policy: Policy, rows: list[RangeRow]) -> None:
    if not rows:
        return
    worst = sorted(rows, key=lambda row: -row.saturated)[:3]
    listed = "; ".join(
        f"{row.saturated:.3g} % of the {row.tensor} are beyond maxpos = {PositFormat.parse(row.format).maxpos:g} of "
        f"{row.stage} ({row.format})"
        for row in worst
    )
    more = f"; and {len(rows) - len(worst)} more" if len(rows) > len(worst) else ""
    warnings.warn(
        f"{policy} does not hold all values of the network, they saturate: {listed}{more}. Take more bits or more "
        "exponent bits there, or scale inputs and weights",
        RangeWarning,
        stacklevel=4,
    )
