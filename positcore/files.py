"""Files: written so that nothing half-written is ever seen, and the folders of the user's cache."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

__all__ = ["cache_root", "replace_folder", "user_cache", "write_aside"]


def write_aside(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, then give it the name `path` in one step.

    Whatever goes wrong, `path` holds what it held before. Missing folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    aside = Path(name)
    try:
        write(aside)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.chmod(0o666 & ~_umask())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def replace_folder(path: str | os.PathLike[str], fill: Callable[[Path], object]) -> None:
    """Let `fill` put files into a new folder beside `path`, then give it the name `path`, in place of what was there.

    If `fill` fails, `path` is what it was before. Missing folders above it are made.
    """
    place = Path(os.path.abspath(path))
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as scratch:
        fresh, old = Path(scratch, "new"), Path(scratch, "old")
        fresh.mkdir()
        fill(fresh)
        if place.exists():
            place.rename(old)
        try:
            fresh.rename(place)
        except BaseException:
            if old.exists():
                old.rename(place)
            raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def cache_root() -> Path:
    """Where what can be made again is kept: $POSITCORE_CACHE, else `user_cache()`."""
    root = os.environ.get("POSITCORE_CACHE")
    return Path(root) if root else user_cache()


def user_cache() -> Path:
    """The user's own folder: $XDG_CACHE_HOME/positcore, by default ~/.cache/positcore."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored.
    return (Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache") / "positcore"
