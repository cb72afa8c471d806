"""What the tools wrote, kept by a hash of all that it is made from."""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from positcore.files import cache_root, write_aside

__all__ = ["build_folder", "keep", "kept", "packed", "report_folder", "unpacked"]


def report_folder() -> Path:
    """Where the outputs of Yosys and nextpnr are kept: $POSITCORE_CACHE/synth, else ~/.cache/positcore/synth."""
    return cache_root() / "synth"


def build_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder there for a run of the tools, which vanishes after it."""
    report_folder().mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=report_folder(), prefix="build-")


def kept(made_from: tuple[str, ...], *names: str) -> tuple[str, ...] | None:
    """The texts of these names, unless they are not there or were altered beyond reading."""
    try:
        found = json.loads(_path(made_from).read_text(encoding="utf-8"))
        return tuple(str(found[name]) for name in names)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(made_from: tuple[str, ...], texts: Mapping[str, str]) -> None:
    """Keep texts, whole or not at all."""
    write_aside(_path(made_from), lambda aside: aside.write_text(json.dumps(dict(texts)), encoding="utf-8"))


def packed(data: bytes) -> str:
    """Bytes as a text to keep, compressed."""
    return base64.b64encode(zlib.compress(data, 6)).decode()


def unpacked(text: str) -> bytes:
    """The bytes of such a text."""
    return zlib.decompress(base64.b64decode(text))


def _path(made_from: tuple[str, ...]) -> Path:
    return report_folder() / f"{hashlib.sha256(chr(0).join(made_from).encode()).hexdigest()[:32]}.json"
