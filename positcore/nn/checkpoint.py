"""Checkpoints: files that hold either the whole new state or the whole old one, whatever happens in between."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from positcore.files import write_aside
from positcore.folder_lock import lock_folder

__all__ = ["load_checkpoint", "only_writer", "remove_remains", "save_checkpoint"]

_KIND = "positcore training"
_VERSION = 2  # 1 had neither `kind` nor `version`, and was written after an epoch only
_KEYS = {"recipe": dict, "data": str, "model": dict, "optimizer": dict, "schedule": dict, "history": list}


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write `state` beside `path`, then rename: a process killed at any moment leaves the old file or the new one.

    Parameters
    ----------
    path : Path
    state : mapping
        Tensors, numbers, strings, and lists and dictionaries of them.
    """
    state = {"kind": _KIND, "version": _VERSION, **state}
    write_aside(path, lambda aside: torch.save(state, aside))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state of a checkpoint, on the CPU, read with `weights_only=True`: no code of the file runs.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged (every byte is under a checksum), of another program, or of a newer version.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken:
            raise ValueError(f"checksum of {broken}")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        missing = [key for key, kind in _KEYS.items() if not isinstance(state[key], kind)]
        if missing:
            raise ValueError(f"wrong {', '.join(missing)}")
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(
            f"{path} is not a checkpoint of positcore, or a damaged one; remove it to start anew"
        ) from error
    if state.get("kind", _KIND) != _KIND or state.get("version", 1) > _VERSION:
        raise ValueError(
            f"{path} is a checkpoint of a newer positcore (version {state.get('version')}, this one reads up to "
            f"{_VERSION}); upgrade, or choose another output folder"
        )
    return state


def remove_remains(path: Path) -> None:
    """Remove what processes that were killed while they saved `path` left beside it. None may be saving now."""
    for aside in path.parent.glob(f".{path.name}.*{path.suffix}"):
        aside.unlink(missing_ok=True)


@contextmanager
def only_writer(folder: Path, wait: bool = False) -> Iterator[None]:
    """Hold a run's folder, which is made if it is not there: no other process may train in it meanwhile.

    The system lets go of it with the process, however that ends. Where there are no such locks (Windows) nothing is
    held. What was made of folders goes again if nothing came into it.

    Parameters
    ----------
    folder : Path
    wait : bool
        Whether to wait for another process that holds it.

    Raises
    ------
    ValueError
        If another process holds it, and `wait` is False; or it is no folder, or none that can be written to.
    """
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"{folder} is no folder that can be written to ({error.strerror}); choose another output folder"
        ) from error
    try:
        with _held(folder, wait):
            yield
    finally:
        with suppress(OSError):  # there is something in it
            for place in missing:
                place.rmdir()


@contextmanager
def _held(folder: Path, wait: bool) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(lock_folder(folder, wait))
        except BlockingIOError:
            raise ValueError(
                f"another process trains in {folder}; wait for it, or choose another output folder"
            ) from None
        yield
