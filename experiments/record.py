"""The record of runs that were finished once: their recipe and epochs, without weights, in `experiments/record`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from positcore.nn.curves import write_json
from positcore.nn.training import Epoch, Recipe

if TYPE_CHECKING:
    from runs import Run

__all__ = ["FOLDER", "recorded", "write_record"]

FOLDER = Path(__file__).parent / "record"


def recorded(run: Run) -> list[Epoch]:
    """The epochs of a run as they were recorded, none if they were not.

    Raises
    ------
    ValueError
        If the file is damaged, or of another recipe than the run.
    """
    path = FOLDER / f"{run.name}.json"
    if not path.exists():
        return []
    try:
        items = json.loads(path.read_text())
        recipe, history = Recipe.from_items(items["recipe"]), [Epoch(**epoch) for epoch in items["history"]]
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is no record of a run: {error}; restore it, or remove it") from error
    if (recipe.identity, items["data"]) != (run.recipe.identity, run.data):
        raise ValueError(
            f"{path} is the record of another run than {run.recipe} on {run.data}; restore it, or remove it"
        )
    return history if len(history) == run.recipe.epochs else []


def write_record(run: Run, history: Sequence[Epoch]) -> None:
    """Record the epochs of a finished run."""
    FOLDER.mkdir(exist_ok=True)
    write_json(FOLDER / f"{run.name}.json", run.recipe, run.data, history)
