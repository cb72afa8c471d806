"""`Trainer`: a network of the thesis trained on one data set, in posits or in float32, resumable to the bit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from positcore.data import Dataset
from positcore.files import write_aside
from positcore.nn.convert import convert
from positcore.nn.layers import CrossEntropyLoss
from positcore.nn.models import MODELS
from positcore.nn.optim import SGD
from positcore.nn.policy import Policy

__all__ = ["Epoch", "Recipe", "Trainer"]

Progress = Callable[[int], object]


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
    halve_every : int
        Epochs after which the learning rate is halved.
    seed : int
        Of the initial weights and of the order of the samples.

    Raises
    ------
    ValueError
        If a value is out of its range, or the model or the policy is unknown.
    """

    model: str = "lenet5"
    policy: str = "O12-L12-FBG8q"
    epochs: int = 10
    batch_size: int = 64
    lr: float = 1 / 16
    momentum: float = 0.5
    halve_every: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"Recipe: no model {self.model!r}; there are {', '.join(MODELS)}")
        for name in ("epochs", "batch_size", "halve_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"Recipe: {name} must be at least 1, not {getattr(self, name)}")
        if self.lr <= 0 or self.momentum < 0:
            raise ValueError(f"Recipe: lr must be positive and momentum not negative, not {self.lr}, {self.momentum}")
        if self.policy != "float32":
            Policy.parse(self.policy)


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to: the mean training loss, the test accuracy in percent, and the seconds it took."""

    epoch: int
    loss: float
    accuracy: float
    seconds: float


class Trainer:
    """One training run: model, loss, optimizer and schedule, an epoch at a time.

    Parameters
    ----------
    recipe : Recipe
    train, test : Dataset
        Normalized with their own mean and std.
    """

    def __init__(self, recipe: Recipe, train: Dataset, test: Dataset) -> None:
        self.recipe, self.history = recipe, list[Epoch]()
        self.train_tensors, self.test_tensors = _tensors(train), _tensors(test)
        self._data = f"{train.name} {len(train)}+{len(test)}"
        torch.manual_seed(recipe.seed)
        self.model: torch.nn.Module = MODELS[recipe.model](len(train.classes))
        self.loss: Callable[[Tensor, Tensor], Tensor]
        self.optimizer: torch.optim.Optimizer
        if recipe.policy == "float32":
            self.loss = torch.nn.CrossEntropyLoss()
            self.optimizer = torch.optim.SGD(self.model.parameters(), recipe.lr, recipe.momentum)
        else:
            policy = Policy.parse(recipe.policy)
            self.model = convert(self.model, policy)
            self.loss = CrossEntropyLoss(policy)
            self.optimizer = SGD(self.model.parameters(), policy, recipe.lr, recipe.momentum)
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, recipe.halve_every, 0.5)

    @property
    def done(self) -> bool:
        """Whether all epochs were run."""
        return len(self.history) >= self.recipe.epochs

    def __len__(self) -> int:
        """Samples of an epoch."""
        return len(self.train_tensors[1])

    def run_epoch(self, progress: Progress | None = None) -> Epoch:
        """Train on every sample once, in this epoch's own order, then test; adds to `history`.

        `progress` is told the number of samples after each batch.
        """
        start, epoch = time.perf_counter(), len(self.history)
        images, labels = self.train_tensors
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(self.recipe.seed * 10007 + epoch))
        self.model.train()
        total = 0.0
        for batch in torch.split(order, self.recipe.batch_size):
            self.optimizer.zero_grad()
            loss = self.loss(self.model(images[batch]), labels[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += loss.item() * len(batch)
            if progress:
                progress(len(batch))
        self.schedule.step()
        seconds = time.perf_counter() - start
        self.history.append(Epoch(epoch + 1, total / len(images), self.accuracy(), seconds))
        return self.history[-1]

    @torch.no_grad()
    def accuracy(self) -> float:
        """Share of the test images, in percent, whose largest logit is at their label."""
        self.model.eval()
        images, labels = self.test_tensors
        guesses = torch.cat([self.model(part).argmax(1) for part in torch.split(images, 1024)])
        return 100 * int((guesses == labels).sum().item()) / len(images)

    # Checkpoints ------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write a checkpoint after the last epoch that was run; an earlier one is replaced in one step."""
        state = {
            "recipe": asdict(self.recipe),
            "data": self._data,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "history": [asdict(epoch) for epoch in self.history],
        }
        write_aside(path, lambda aside: torch.save(state, aside))

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of the same recipe (but for `epochs`) on the same data, with the same final bits.

        Raises
        ------
        ValueError
            If the file is no checkpoint, or one of another recipe or other data.
        """
        state = _read(path)
        for name, mine in {**asdict(self.recipe), "data": self._data}.items():
            theirs = state["data"] if name == "data" else state["recipe"].get(name)
            if name != "epochs" and theirs != mine:
                raise ValueError(
                    f"{path} is a checkpoint with {name} {theirs}, not {mine}; give the same options to resume it, "
                    "or another output folder"
                )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.history = [Epoch(**epoch) for epoch in state["history"]]


def _read(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        state["recipe"], state["data"], state["model"], state["optimizer"], state["schedule"], state["history"]
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(
            f"{path} is not a checkpoint of positcore, or a damaged one; remove it to start anew"
        ) from error
    return state


def _tensors(data: Dataset) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(data.normalized()), torch.from_numpy(data.labels.astype("int64"))
