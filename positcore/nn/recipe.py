"""`Recipe`: all that decides the bits of a training run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from positcore.nn import optim
from positcore.nn.models import MODELS
from positcore.nn.policy import Policy

__all__ = ["OPTIMIZERS", "SCHEDULES", "Recipe", "make_optimizer", "make_schedule"]

OPTIMIZERS = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop"}
SCHEDULES = ("halve", "constant", "cosine")


@dataclass(frozen=True)
class Recipe:
    """All that decides the bits of a training run; two runs of one recipe end with the same weights.

    Parameters
    ----------
    model : str
        A name in `positcore.nn.models.MODELS`.
    policy : str
        In the notation of `Policy.parse`, or "float32".
    epochs, batch_size : int
    lr : float
        Learning rate of the first epochs.
    momentum : float
        Of sgd and rmsprop; the others have none.
    halve_every : int
        Epochs after which the schedule "halve" halves the learning rate.
    seed : int
        Of the initial weights, of the order of the samples and of dropout.
    optimizer : str
        A name in `OPTIMIZERS`.
    weight_decay : float
    nesterov : bool
        Of sgd.
    schedule : str
        Of the learning rate: "halve", "constant", or "cosine" (from `lr` to 0 over all epochs).
    clip_norm : float
        What the norm of all gradients is brought down to; 0 leaves them alone.

    Raises
    ------
    ValueError
        If a value is out of its range, or a name is unknown.
    """

    model: str = "lenet5"
    policy: str = "O12-L12-FBG8q"
    epochs: int = 10
    batch_size: int = 64
    lr: float = 1 / 16
    momentum: float = 0.5
    halve_every: int = 4
    seed: int = 0
    optimizer: str = "sgd"
    weight_decay: float = 0.0
    nesterov: bool = False
    schedule: str = "halve"
    clip_norm: float = 0.0

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"Recipe: no model {self.model!r}; there are {', '.join(MODELS)}")
        for name in ("epochs", "batch_size", "halve_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"Recipe: {name} must be at least 1, not {getattr(self, name)}")
        if self.lr <= 0 or self.momentum < 0:
            raise ValueError(f"Recipe: lr must be positive and momentum not negative, not {self.lr}, {self.momentum}")
        for name in ("weight_decay", "seed", "clip_norm"):
            if getattr(self, name) < 0:
                raise ValueError(f"Recipe: {name} must not be negative, not {getattr(self, name)}")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"Recipe: no optimizer {self.optimizer!r}; there are {', '.join(OPTIMIZERS)}")
        if self.nesterov and (self.optimizer != "sgd" or not self.momentum):
            raise ValueError("Recipe: nesterov goes with the optimizer sgd and a momentum")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"Recipe: no schedule {self.schedule!r}; there are {', '.join(SCHEDULES)}")
        if self.policy != "float32":
            Policy.parse(self.policy)

    @property
    def identity(self) -> dict[str, Any]:
        """What two runs must share to be parts of one: all but the epochs, unless the schedule depends on them.

        A policy counts by what it means, not by how it was written.
        """
        items = asdict(self)
        items = {"schedule": items.pop("schedule"), **items}
        if self.schedule != "cosine":
            del items["epochs"]
        if self.policy != "float32":
            items["policy"] = str(Policy.parse(self.policy))
        return items

    @classmethod
    def from_items(cls, items: dict[str, Any]) -> Recipe:
        """The recipe of a checkpoint; fields that it does not know yet have their defaults.

        Raises
        ------
        ValueError
            If there are fields that this version does not know.
        """
        known = {field.name for field in fields(cls)}
        if extra := sorted(set(items) - known):
            raise ValueError(f"Recipe: unknown {', '.join(extra)}; made by a newer positcore?")
        return cls(**items)


def make_optimizer(recipe: Recipe, policy: Policy | None, parameters: list[Tensor]) -> torch.optim.Optimizer:
    """The optimizer of a recipe: in posits, or PyTorch's own where `policy` is None.

    Raises
    ------
    ValueError
        If a hyper-parameter is out of the optimizer's range.
    """
    name = OPTIMIZERS[recipe.optimizer]
    kind: Callable[..., torch.optim.Optimizer] = getattr(torch.optim if policy is None else optim, name)
    options: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    accepted = inspect.signature(kind).parameters
    if "momentum" in accepted:
        options["momentum"] = recipe.momentum
    if "nesterov" in accepted:
        options["nesterov"] = recipe.nesterov
    return kind(parameters, **options) if policy is None else kind(parameters, policy, **options)


def make_schedule(recipe: Recipe, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    """The schedule of a recipe's learning rate, to be stepped after each epoch."""
    if recipe.schedule == "halve":
        return torch.optim.lr_scheduler.StepLR(optimizer, recipe.halve_every, 0.5)
    if recipe.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs)
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
