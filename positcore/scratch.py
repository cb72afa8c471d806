"""`scratch_folder`: a folder for one run of a tool in a cache, which vanishes after it, however the run ends."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from positcore.folder_lock import lock_folder

__all__ = ["scratch_folder"]

_YOUNG = 60  # seconds within which its owner has locked a folder
_DAY = 86400  # after which it is at work no longer, where there are no locks


@contextmanager
def scratch_folder(cache: Path) -> Iterator[Path]:
    """A new folder in a cache, removed after use. Those of processes that were killed go when the next one is made.

    Raises
    ------
    OSError
        If the cache cannot hold it.
    """
    cache.mkdir(parents=True, exist_ok=True)
    _remove_remains(cache)
    made = tempfile.TemporaryDirectory(dir=cache, prefix="build-")
    with made as name, lock_folder(Path(name)):
        yield Path(name)


def _remove_remains(cache: Path) -> None:
    """Remove the folders of runs that were killed: nobody holds them any more."""
    for remains in cache.glob("build-*"):
        with suppress(OSError):
            age = time.time() - remains.stat().st_mtime
            if age > _YOUNG:
                with lock_folder(remains) as held:
                    if held or age > _DAY:
                        shutil.rmtree(remains, ignore_errors=True)
