"""Training runs of the experiments: found by what they are, resumed, or started; each in a folder of its own."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tqdm import tqdm

from positcore.data import Dataset, load
from positcore.nn.checkpoint import load_checkpoint, only_writer
from positcore.nn.curves import write_json, write_metrics
from positcore.nn.training import Epoch, Recipe, Trainer

__all__ = ["Run", "Runs"]

_SAVE_EVERY = 60  # seconds between checkpoints within an epoch


@dataclass(frozen=True)
class Run:
    """One training run: a recipe on a data set, of which only the first `images` may be trained on."""

    data: str
    recipe: Recipe
    images: int | None = None

    @property
    def name(self) -> str:
        """The name of its folder."""
        policy = re.sub(r"[^\w@+=.-]+", "_", self.recipe.policy.replace("/", "."))
        part = "" if self.images is None else f"-{self.images}"
        return f"{self.data}{part}-{self.recipe.model}-{policy}-s{self.recipe.seed}"


class Runs:
    """The runs below a folder, whatever their own folders are called. Each step in posits is audited.

    Parameters
    ----------
    folder : Path
        Where runs lie, also those of `positcore train -o`.
    data_root : Path, optional
        Where the data sets lie.
    """

    def __init__(self, folder: Path, data_root: Path | None = None) -> None:
        self.folder = folder
        self._load = cache(lambda name, split: load(name, split, data_root))
        self._known: dict[Any, tuple[Path, list[Epoch]]] = {}
        for path in sorted(folder.glob("*/checkpoint.pt")):
            self._read(path)

    def _read(self, path: Path) -> None:
        state = load_checkpoint(path)
        key = state["data"], _frozen(Recipe.from_items(state["recipe"]).identity)
        history = [Epoch(**epoch) for epoch in state["history"]]
        if len(history) >= len(self._known.get(key, (path, []))[1]):
            self._known[key] = path, history

    def data(self, run: Run) -> tuple[Dataset, Dataset]:
        """The training and test images of a run."""
        train, test = self._load(run.data, "train"), self._load(run.data, "test")
        return train if run.images is None else train.first(run.images), test

    def checkpoint(self, run: Run) -> Path:
        """The run's checkpoint, which may not be there yet."""
        known = self._known.get(self._key(run))
        return known[0] if known else self.folder / run.name / "checkpoint.pt"

    def history(self, run: Run) -> list[Epoch]:
        """The epochs of a run that were done so far, as many as its recipe asks for at most."""
        if not self._known:  # no need to read the data set
            return []
        known = self._known.get(self._key(run))
        return known[1][: run.recipe.epochs] if known else []

    def finish(self, run: Run) -> list[Epoch]:
        """All epochs of a run: read if they were done before, else resumed or started.

        Waits for another process that is at it.

        Raises
        ------
        KeyboardInterrupt
            The checkpoint is at most a minute old then.
        """
        history = self.history(run)
        if len(history) < run.recipe.epochs:
            path = self.checkpoint(run)
            with only_writer(path.parent, wait=True):
                if path.exists():  # another process may have gone on with it
                    self._read(path)
                history = self.history(run)
                if len(history) < run.recipe.epochs:
                    history = self._train(run, path)
        return history

    def _train(self, run: Run, path: Path) -> list[Epoch]:
        trainer = Trainer(run.recipe, *self.data(run), audited=run.recipe.policy != "float32")
        if path.exists():
            trainer.resume(path)
        saved = time.monotonic()

        def after_step() -> None:
            nonlocal saved
            if time.monotonic() - saved > _SAVE_EVERY:
                trainer.save(path)
                saved = time.monotonic()

        total = len(trainer) * run.recipe.epochs
        done = len(trainer) * len(trainer.history) + trainer.samples_done
        with tqdm(total=total, initial=done, desc=run.name, unit="img", leave=False, disable=None) as bar:
            while not trainer.done:
                trainer.run_epoch(bar.update, after_step)
                trainer.save(path)
                write_metrics(path.parent / "metrics.csv", trainer.history)
                write_json(path.parent / "metrics.json", run.recipe, run.data, trainer.history)
        self._known[self._key(run)] = path, trainer.history
        return trainer.history

    def _key(self, run: Run) -> Any:
        counts = [len(split) for split in self.data(run)]
        return f"{run.data} {counts[0]}+{counts[1]}", _frozen(run.recipe.identity)


def _frozen(items: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(items.items()))
