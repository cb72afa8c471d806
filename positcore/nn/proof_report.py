"""`ReportedProof`: what proofs in another backend than the golden model share: what is proven where, and the report."""

from __future__ import annotations

import json
import os
import platform
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from positcore.files import write_aside
from positcore.nn.backends import BACKENDS
from positcore.nn.recipe import Recipe
from positcore.version import __version__

__all__ = ["ReportedProof", "count_lines", "summed"]

T = TypeVar("T")


class ReportedProof(ABC):
    """A proof whose report is kept in a folder, from which another process goes on.

    Parameters
    ----------
    recipe : Recipe
        With a policy.
    folder : Path
        Where the report goes.
    backend : str

    Raises
    ------
    ValueError
        If the recipe is of float32, or the backend is the golden model or unknown.
    """

    def __init__(self, recipe: Recipe, folder: Path, backend: str) -> None:
        name = type(self).__name__
        if recipe.policy == "float32":
            raise ValueError(f"{name}: float32 has no hardware here; give a policy such as O12-L12-FBG8q")
        if backend == "golden" or backend not in BACKENDS:
            others = ", ".join(name for name in BACKENDS if name != "golden")
            raise ValueError(f"{name}: backend must be one of {others}, not {backend!r}")
        self.recipe, self.folder, self.backend = recipe, folder, backend

    @property
    def report(self) -> Path:
        """What was found, as JSON."""
        return self.folder / "proof.json"

    @abstractmethod
    def resume(self) -> None:
        """Go on after what is in the folder."""

    @abstractmethod
    def record(self) -> dict[str, Any]:
        """All figures, for JSON."""

    @abstractmethod
    def text(self) -> str:
        """All figures, in lines."""

    def write(self) -> None:
        """Write proof.json and proof.txt, each whole or not at all."""
        for path, text in (
            (self.report, json.dumps(self.record(), indent=2) + "\n"),
            (self.report.with_suffix(".txt"), self.text() + "\n"),
        ):
            write_aside(path, lambda aside, text=text: aside.write_text(text, encoding="utf-8"))  # type: ignore[misc]

    def _found(self, parse: Callable[[dict[str, Any]], T]) -> T:
        """What `parse` makes of the report in the folder; a ValueError if that is damaged or none of this proof's."""
        try:
            return parse(json.loads(self.report.read_text()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.report} is no report of this command; start anew in another folder") from error

    def _head(self, what: str) -> dict[str, str]:
        """How a record begins: what was proven, by which version, when and on what."""
        return {
            "what": what, "version": __version__, "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        }  # fmt: skip


def summed(operations: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """What each unit did in all parts of a proof, by the units' names."""
    total: Counter[str] = Counter()
    for part in operations:
        total.update(part)
    return dict(sorted(total.items()))


def count_lines(operations: Mapping[str, int]) -> list[str]:
    """What each unit did, a line for each."""
    width = max(map(len, operations), default=0)
    return [f"  {name:<{width}} {count:>15,}" for name, count in operations.items()]
