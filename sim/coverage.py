"""`Coverage`: which kinds of inputs and results a campaign met, of those that there are, unit by unit.

An exhaustive campaign meets every bin that can be met; a drawn one says which it missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from positcore.hw.units import Design
from positcore.sim.classes import CLASSES
from positcore.sim.covergroups import Group, groups_of, model_of

__all__ = ["Coverage"]

Columns = Mapping[str, NDArray[Any]]
Counts = dict[str, NDArray[np.int64]]


class Coverage:
    """The groups of bins of a design, and what was counted so far.

    Parameters
    ----------
    design : Design

    Attributes
    ----------
    groups : dict of str to Group
    counts : dict of str to ndarray of int64
        How many vectors were met in each bin of a group.
    """

    def __init__(self, design: Design):
        self.design = design
        self.groups = {group.name: group for group in groups_of(design)}
        self.counts: Counts = {name: np.zeros(group.possible.size, np.int64) for name, group in self.groups.items()}

    def measure(self, inputs: Columns, want: Columns, pace: int = 0) -> Counts:
        """What to `add` for some inputs and the golden model's results for them."""
        classes = CLASSES[model_of(self.design)](self.design, inputs, want)
        if "pace" in self.groups:
            classes["pace"] = (np.full(len(next(iter(want.values())).reshape(-1)), pace, np.intp),)
        counts = {name: self.groups[name].count(*columns) for name, columns in classes.items()}
        for name, group in self.groups.items():
            stray = counts[name][~group.possible.reshape(-1)]
            assert not stray.any(), f"{self.design}: {name}: met what cannot be: {_stray(group, counts[name])}"
        return counts

    def add(self, counts: Counts) -> None:
        """Count the bins of some vectors."""
        for name, column in counts.items():
            self.counts[name] += column

    def state(self) -> dict[str, list[int]]:
        """The counts as plain lists."""
        return {name: column.tolist() for name, column in self.counts.items()}

    def restore(self, state: Mapping[str, list[int]]) -> None:
        """Take counts from `state`; a ValueError if they are those of other groups."""
        sizes = {name: len(column) for name, column in state.items()}
        if sizes != {name: column.size for name, column in self.counts.items()}:
            raise ValueError("its coverage has other groups of bins")
        self.counts = {name: np.array(column, np.int64) for name, column in state.items()}

    def summary(self) -> dict[str, dict[str, Any]]:
        """For each group its bins, those that were met, the least often met of them, and the names of the holes."""
        found = {}
        for name, group in self.groups.items():
            possible, met = group.possible.reshape(-1), self.counts[name] > 0
            found[name] = {
                "bins": int(possible.sum()),
                "covered": int((possible & met).sum()),
                "least": int(self.counts[name][met].min(initial=np.iinfo(np.int64).max)) if met.any() else 0,
                "holes": group.labels(possible & ~met),
            }
        return found


def _stray(group: Group, counts: NDArray[np.int64]) -> list[str]:
    return group.labels((counts > 0) & ~group.possible.reshape(-1))
