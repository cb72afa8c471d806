"""What the tools wrote, kept by a hash of all that it is made from, and the folders that they run in."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from positcore.files import cache_root, write_aside
from positcore.folder_lock import lock_folder

__all__ = ["build_folder", "keep", "kept", "packed", "report_folder", "unpacked"]

T = TypeVar("T")

_YOUNG = 60  # seconds within which its owner has locked a folder
_DAY = 86400  # after which it is at work no longer, where there are no locks


def report_folder() -> Path:
    """Where the outputs of Yosys and nextpnr are kept: $POSITCORE_CACHE/synth, else ~/.cache/positcore/synth."""
    return cache_root() / "synth"


@contextmanager
def build_folder() -> Iterator[str]:
    """A folder there for a run of the tools, which vanishes after it; with those of processes that were killed.

    Raises
    ------
    OSError
        If the cache cannot hold it; the message names the remedy.
    """
    with _told():
        report_folder().mkdir(parents=True, exist_ok=True)
        _remove_remains(report_folder())
        made = tempfile.TemporaryDirectory(dir=report_folder(), prefix="build-")
    with made as name, lock_folder(Path(name)):
        yield name


def kept(made_from: tuple[str, ...], names: tuple[str, ...], read: Callable[..., T]) -> T | None:
    """What `read` makes of the texts of these names.

    None if they are not there, or it cannot make anything of them: they were altered, and are made again.
    """
    try:
        found = json.loads(_path(made_from).read_text(encoding="utf-8"))
        return read(*(str(found[name]) for name in names))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, zlib.error):
        return None


def keep(made_from: tuple[str, ...], texts: Mapping[str, str]) -> None:
    """Keep texts, whole or not at all; errors as of `build_folder`."""
    with _told():
        write_aside(_path(made_from), lambda aside: aside.write_text(json.dumps(dict(texts)), encoding="utf-8"))


def packed(data: bytes) -> str:
    """Bytes as a text to keep, compressed."""
    return base64.b64encode(zlib.compress(data, 6)).decode()


def unpacked(text: str) -> bytes:
    """The bytes of such a text."""
    return zlib.decompress(base64.b64decode(text))


def _path(made_from: tuple[str, ...]) -> Path:
    return report_folder() / f"{hashlib.sha256(chr(0).join(made_from).encode()).hexdigest()[:32]}.json"


@contextmanager
def _told() -> Iterator[None]:
    """Say of an error which folder it is of, and how to take another."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"synthesis: {report_folder()} cannot hold what the tools write ({error.strerror or error}); make room "
            "there, or name another folder by POSITCORE_CACHE"
        ) from None


def _remove_remains(folder: Path) -> None:
    """Remove the folders of runs that were killed: nobody holds them any more."""
    for remains in folder.glob("build-*"):
        with suppress(OSError):
            age = time.time() - remains.stat().st_mtime
            if age > _YOUNG:
                with lock_folder(remains) as held:
                    if held or age > _DAY:
                        shutil.rmtree(remains, ignore_errors=True)
