"""Files and folders: written so that nothing half-written is ever seen, and nothing of the user's is lost."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

__all__ = ["cache_root", "check_writable", "fill_folder", "user_cache", "write_aside"]


def write_aside(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, then give it the name `path` in one step.

    Whatever goes wrong, `path` holds what it held before. Missing folders are made. Of a link, the file that it leads
    to is written. What is no regular file, such as a FIFO or /dev/stdout, stays what it is, and is written into.
    """
    target = Path(os.path.realpath(path))
    if _is_special(path):
        with tempfile.TemporaryDirectory() as scratch:
            aside = Path(scratch, target.name)
            write(aside)
            _pour(aside, path)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = _made_aside(target, path, write)
    try:
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def fill_folder(path: str | os.PathLike[str], files: Mapping[str, bytes], stale: Collection[str] = ()) -> None:
    """Write files into a folder, by their names in it, each whole or not at all; all else in it stays.

    None is put in its place before all are written, and a new folder gets its name when all are in it: what fails
    leaves nothing. Missing folders above it are made. A link to a folder stays one.

    Parameters
    ----------
    path : str or path
    files : mapping
        Contents by names such as rtl/unit.v.
    stale : collection of str
        Files in it to be removed at last.
    """
    place = Path(os.path.realpath(path))
    if place.is_dir():
        _fill(place, files)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as scratch:
            fresh = Path(scratch, "new")
            fresh.mkdir()
            _fill(fresh, files)
            fresh.rename(place)
    for name in set(stale) - set(files):
        (place / name).unlink(missing_ok=True)


def _fill(place: Path, files: Mapping[str, bytes]) -> None:
    """Write files aside, and then name them all."""
    asides: dict[Path, Path] = {}
    new: list[Path] = []  # folders, inner ones first
    try:
        for name, content in files.items():
            target = Path(os.path.realpath(place / name))
            if target.is_dir():
                raise IsADirectoryError(f"{place / name} is a folder, where a file is to be; remove it")
            new = [folder for folder in target.parents if not folder.exists()] + new
            target.parent.mkdir(parents=True, exist_ok=True)
            asides[target] = _made_aside(target, place / name, partial(Path.write_bytes, data=content))
        for target, aside in asides.items():
            aside.replace(target)
    finally:
        for aside in asides.values():
            aside.unlink(missing_ok=True)
        for folder in new:
            with suppress(OSError):  # there is something in it
                folder.rmdir()


def check_writable(path: str | os.PathLike[str], command: str) -> None:
    """See, before the work for it begins, whether a file or folder may be written.

    Raises
    ------
    OSError
        If the user may not write there, or a folder above it is none; the message names that folder.
    """
    place = Path(os.path.realpath(path))
    if _is_special(Path(path)):
        if not os.access(path, os.W_OK):
            raise PermissionError(f"{command}: {path} may not be written to; name another file")
        return
    folder = place if place.is_dir() else place.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(f"{command}: {path} cannot be written: {folder} is a file; name another place")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{command}: {path} cannot be written: {folder} is not writable; name another place")


def _is_special(path: Path) -> bool:
    """Whether it is there, but neither a regular file nor a folder; or is where this very process writes to."""
    try:
        found = path.stat()
    except OSError:
        return False
    if not stat.S_ISREG(found.st_mode):
        return not stat.S_ISDIR(found.st_mode)
    return _stream(found) is not None


def _stream(found: os.stat_result) -> int | None:
    """The descriptor, 1 or 2, of a file: a new one of its name would not get what is printed later."""
    for descriptor in (1, 2):
        try:
            if os.path.samestat(found, os.fstat(descriptor)):
                return descriptor
        except OSError:  # closed
            continue
    return None


def _pour(source: Path, path: Path) -> None:
    """Write the bytes of a file into what is no regular file."""
    sys.stdout.flush()
    sys.stderr.flush()
    own = _stream(path.stat())
    with path.open("wb") if own is None else os.fdopen(os.dup(own), "wb") as into:
        into.write(source.read_bytes())


def _made_aside(target: Path, path: Path, write: Callable[[Path], object]) -> Path:
    """The file that `write` makes beside a target; errors name `path`, as the user does."""
    aside: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent)
        os.close(handle)
        aside = Path(name)
        write(aside)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.chmod(0o666 & ~_umask())
    except BaseException as error:
        if aside is not None:
            aside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename and (aside is None or error.filename == str(aside)):
            raise type(error)(error.errno, error.strerror, str(path)) from None
        raise
    return aside


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
