"""Training histories as files: the epochs as CSV and as JSON, and a picture of loss and accuracy."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from positcore.files import write_aside
from positcore.nn.training import Epoch, Recipe

__all__ = ["plot_curves", "run_record", "write_json", "write_metrics"]


def run_record(recipe: Recipe, data: str, history: Sequence[Epoch]) -> dict[str, Any]:
    """A run as JSON can hold it: its recipe, its data and its epochs; what is not a number (nan) is null."""
    epochs = [
        {name: None if isinstance(x, float) and not math.isfinite(x) else x for name, x in asdict(epoch).items()}
        for epoch in history
    ]
    return {"recipe": asdict(recipe), "data": data, "history": epochs}


def write_json(path: Path, recipe: Recipe, data: str, history: Sequence[Epoch]) -> None:
    """`run_record` as a file."""
    text = json.dumps(run_record(recipe, data, history), indent=2) + "\n"
    write_aside(path, lambda aside: aside.write_text(text))


def write_metrics(path: Path, history: Sequence[Epoch]) -> None:
    """One line an epoch, a column for each field of `Epoch`; what is not known stays empty."""

    def write(aside: Path) -> None:
        with aside.open("w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Epoch)])
            writer.writeheader()
            writer.writerows(asdict(epoch) for epoch in history)

    write_aside(path, write)


def plot_curves(path: Path, histories: Mapping[str, Sequence[Epoch]], title: str) -> None:
    """Loss and test accuracy over epochs, a line for each history, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    styles = (("#1f77b4", "o", "-"), ("#d95f02", "s", "--"), ("#1b9e77", "^", ":"), ("#7570b3", "D", "-."))
    for index, (label, history) in enumerate(histories.items()):
        color, marker, line = styles[index % len(styles)]
        epochs = [epoch.epoch for epoch in history]
        look = {"color": color, "marker": marker, "linestyle": line, "label": label, "markersize": 4}
        left.plot(epochs, [epoch.loss for epoch in history], **look)
        right.plot(epochs, [epoch.accuracy for epoch in history], **look)
    for axes, name in ((left, "training loss"), (right, "test accuracy in %")):
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False)
    figure.suptitle(title)
    write_aside(path, lambda aside: figure.savefig(aside, format="png", dpi=150))
