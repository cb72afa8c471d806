"""Arrays of posits in files: `.npz` archives of codes and the spellings of their formats, without pickle."""

from __future__ import annotations

import json
import zipfile
import zlib
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from positcore.arrays import PositArray
from positcore.errors import DataFileError
from positcore.files import write_aside
from positcore.format import PositFormat

__all__ = ["load", "save"]

_FORMATS = "positcore.formats"  # the entry with the spelling of each posit array's format, as JSON


def save(path: str | PathLike[str], /, **arrays: PositArray | NDArray[Any]) -> None:
    """Write arrays to a file that `load` reads; one that exists is replaced in one step, when all is written.

    The file is an `.npz` archive: NumPy reads it too, and finds codes under the names of the arrays.

    Parameters
    ----------
    path : path of the file, by custom with the suffix `.npz`
    **arrays : PositArray, or ndarray of bool or numbers
        Each under its name.

    Raises
    ------
    TypeError, ValueError
        If an array is of another kind, or has the name of the entry of the formats.
    """
    formats, entries = {}, {}
    for name, array in arrays.items():
        if name == _FORMATS:
            raise ValueError(f"save: the name {name!r} is taken, for the formats")
        if isinstance(array, PositArray):
            formats[name], entries[name] = array.fmt.spelling, array.codes
        elif isinstance(array, np.ndarray) and array.dtype.kind in "biufc":
            entries[name] = array
        else:
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(f"save: {name} must be a PositArray or an ndarray of numbers, not {kind}")
    entries[_FORMATS] = np.array(json.dumps(formats, sort_keys=True))

    def write(aside: Path) -> None:
        with aside.open("wb") as file:
            _write(file, entries)

    write_aside(Path(path), write)


def _write(file: IO[bytes], entries: dict[str, NDArray[Any]]) -> None:
    """What `numpy.savez_compressed` writes, for any names, and without the time of day."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in entries.items():
            member = zipfile.ZipInfo(f"{name}.npy")
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=False)


def load(path: str | PathLike[str]) -> dict[str, PositArray | NDArray[Any]]:
    """The arrays that `save` wrote, by their names.

    Raises
    ------
    DataFileError
        If there is no such file, or it is truncated, altered or from elsewhere.
    """
    try:
        return _read(Path(path))
    except FileNotFoundError:
        raise DataFileError(f"load: there is no file {path}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise DataFileError(f"load: {path} is not a whole file of positcore.save: {error}") from None


def _read(path: Path) -> dict[str, PositArray | NDArray[Any]]:
    with path.open("rb") as file:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it holds one array, without a format")
        with archive:
            if _FORMATS not in archive:
                raise ValueError("it says no formats; numpy.load reads archives of NumPy")
            formats = json.loads(archive[_FORMATS].item())
            entries = {name: archive[name] for name in archive.files if name != _FORMATS}
    if not isinstance(formats, dict) or not all(isinstance(spelling, str) for spelling in formats.values()):
        raise ValueError("the formats are not a list of names and formats")
    posits = {}
    for name, spelling in formats.items():
        fmt = PositFormat.parse(spelling)
        if name not in entries:
            raise ValueError(f"it lacks {name}")
        codes = entries[name]
        if codes.dtype != fmt.dtype:
            raise ValueError(f"{name} must hold codes of {fmt} as {fmt.dtype}, not {codes.dtype}")
        posits[name] = PositArray(fmt, codes)
    return {**entries, **posits}
