"""What the tools wrote, kept by a hash of all that it is made from, and the folders that they run in."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from positcore.files import cache_root, write_aside
from positcore.scratch import scratch_folder

__all__ = ["build_folder", "keep", "kept", "packed", "report_folder", "unpacked"]

T = TypeVar("T")


def report_folder() -> Path:
    """Where the outputs of Yosys and nextpnr are kept: $POSITCORE_CACHE/synth, else ~/.cache/positcore/synth."""
    return cache_root() / "synth"


@contextmanager
def build_folder() -> Iterator[Path]:
    """A folder there for a run of the tools, which vanishes after it.

    Raises
    ------
    OSError
        If the cache cannot hold it; the message names the remedy.
    """
    with ExitStack() as stack:
        with _told():
            folder = stack.enter_context(scratch_folder(report_folder()))
        yield folder


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
