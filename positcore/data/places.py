"""Where data sets are looked for, and what is said when they are not there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from positcore.errors import DataFileError
from positcore.files import user_cache

if TYPE_CHECKING:
    from positcore.data.catalog import Entry

__all__ = ["DEBIAN_FASHION_MNIST", "ENVIRONMENT_VARIABLE", "missing", "remedies", "roots", "user_root"]

ENVIRONMENT_VARIABLE = "POSITCORE_DATA"
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist


def user_root() -> Path:
    """The per-user cache: $XDG_CACHE_HOME/positcore/data, by default ~/.cache/positcore/data."""
    return user_cache() / "data"


def roots(item: Entry, root: str | os.PathLike[str] | None = None) -> list[Path]:
    """The folders in which a set is looked for: `root`, $POSITCORE_DATA, the cache, Debian's package."""
    found = [] if root is None else [Path(root)]
    if named := os.environ.get(ENVIRONMENT_VARIABLE):
        found.append(Path(named))
    found.append(user_root())
    if item.name == "fashion-mnist":
        found.append(DEBIAN_FASHION_MNIST)
    return list(dict.fromkeys(path.expanduser() for path in found))


def remedies(item: Entry) -> str:
    """All that a user can do to get a set's files, as one phrase."""
    if item.files == "package":
        return "reinstall positcore"
    ways = [f"set ${ENVIRONMENT_VARIABLE} to the folder that holds it"]
    if item.name == "fashion-mnist":
        ways.append("apt-get install dataset-fashion-mnist")
        ways.append('use --download (in Python positcore.data.download("fashion-mnist"))')
    ways.append(f"get {item.source}, and put them into {user_root() / item.folders[0]}")
    return "; or ".join(ways)


def missing(item: Entry, split: str, looked: list[str]) -> DataFileError:
    """The error for a set of which no file was found."""
    return DataFileError(
        f"{item.name}: no {split} files found; looked in {', '.join(looked)}. To get it: {remedies(item)}"
    )
