"""`lock_folder`: a folder held by one process, as long as it lives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["lock_folder"]


@contextmanager
def lock_folder(folder: Path, wait: bool = False) -> Iterator[bool]:
    """Hold a folder; the system lets go of it with the process, however that ends.

    Gives whether it is held: where there are no such locks (Windows) nothing is.

    Parameters
    ----------
    folder : Path
    wait : bool
        Whether to wait for another process that holds it.

    Raises
    ------
    BlockingIOError
        If another process holds it, and `wait` is False.
    """
    try:
        import fcntl
    except ImportError:
        yield False
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    finally:
        os.close(handle)
