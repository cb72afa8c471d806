"""`evaluate`: how well a network labels a data set; `first_nar`: where a NaR comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from positcore.data import Dataset

__all__ = ["Scores", "batch_of", "evaluate", "first_nar"]


@dataclass(frozen=True)
class Scores:
    """What a test came to.

    Parameters
    ----------
    loss : float
        Mean cross-entropy of the logits in float64, whatever the policy, so that policies compare; nan with a NaR.
    accuracy : float
        Share of the images, in percent, whose largest logit is at their label. Of equal logits the first counts as
        the largest. An image whose logits hold a NaR counts as wrong.
    top3 : float
        Share of the images, in percent, whose label is among the three largest logits, likewise.
    """

    loss: float
    accuracy: float
    top3: float


def batch_of(data: Dataset, index: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    """Normalized images (float32) and labels (int64) of the samples `index`, an integer array or a slice."""
    images, labels = torch.from_numpy(data.normalized(index)), torch.from_numpy(data.labels[index].astype("int64"))
    return images.to(device), labels.to(device)


@torch.no_grad()
def evaluate(
    model: torch.nn.Module,
    data: Dataset,
    batch_size: int = 1024,
    device: torch.device | str = "cpu",
    progress: Callable[[int], object] | None = None,
) -> Scores:
    """The scores of a float or a posit network on `data`; the network is left in its mode.

    Parameters
    ----------
    model : torch.nn.Module
    data : Dataset
        Normalized with its own mean and std.
    batch_size : int
        Images at a time; it changes no score.
    device : torch.device or str
    progress : callable, optional
        Told the number of images after each batch.

    Raises
    ------
    ValueError
        If there are no images.
    """
    if not len(data):
        raise ValueError(f"evaluate: {data.name} has no images")
    mode, loss, first, third = model.training, 0.0, 0, 0
    model.eval()
    try:
        for start in range(0, len(data), batch_size):
            images, labels = batch_of(data, slice(start, start + batch_size), torch.device(device))
            logits = model(images).double()
            loss += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))
            rank = _ranks(logits, labels)
            first, third = first + int((rank < 1).sum()), third + int((rank < 3).sum())
            if progress:
                progress(len(labels))
    finally:
        model.train(mode)
    return Scores(loss / len(data), 100 * first / len(data), 100 * third / len(data))


def _ranks(logits: Tensor, labels: Tensor) -> Tensor:
    """How many classes come before each label: larger logits, and equal ones of a lower index; all, with a NaR."""
    own = logits.gather(1, labels[:, None])
    index = torch.arange(logits.shape[1], device=logits.device)
    before = (logits > own) | ((logits == own) & (index < labels[:, None]))
    return before.sum(1).masked_fill(logits.isnan().any(1), logits.shape[1])


@torch.no_grad()
def first_nar(model: torch.nn.Module, inputs: Tensor) -> str | None:
    """Where a NaR (nan) comes from: a parameter, the inputs, or the first module whose output holds one; in words.

    Runs the network on `inputs` in the mode it is in; None if all its outputs are numbers.
    """
    for name, parameter in model.named_parameters():
        if parameter.isnan().any():
            return f"parameter {name!r} holds NaR"
    if not inputs.isfinite().all():
        return "the network's inputs hold nan or inf"
    found: list[str] = []

    def watch(name: str) -> Callable[..., None]:
        def hook(module: torch.nn.Module, _: object, output: object) -> None:
            if not found and isinstance(output, Tensor) and output.isnan().any():
                found.append(f"the first NaR is in the output of {name or 'the network'!r} ({type(module).__name__})")

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in model.named_modules()]
    try:
        model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None
