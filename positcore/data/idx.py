"""Reading idx files, the format of MNIST and Fashion-MNIST."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from positcore.errors import DataFileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["find_idx", "read_idx"]

_UNSIGNED_BYTES = 8  # the idx type code; 0x09 and up are signed bytes, shorts, ints, floats, doubles


def find_idx(folder: Path, kind: str, split: str) -> Path | None:
    """The idx file of `kind` (`images` or `labels`) in a folder, raw before .gz; None if there is none.

    Names are the official `train-images-idx3-ubyte`, or with a dot for the second hyphen.
    """
    prefix = {"train": "train", "test": "t10k"}[split]
    rank = {"images": 3, "labels": 1}[kind]
    for name in (f"{prefix}-{kind}-idx{rank}-ubyte", f"{prefix}-{kind}.idx{rank}-ubyte"):
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    return None


def read_idx(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The array in an idx file of unsigned bytes, raw or (by its name) gzip-compressed.

    Header and length must be exactly those of `shape`.

    Raises
    ------
    DataFileError
        If the file cannot be decompressed, or its header or length is another.
    """
    header = struct.pack(f">4B{len(shape)}I", 0, 0, _UNSIGNED_BYTES, len(shape), *shape)
    size = int(np.prod(shape))
    # One byte more than expected is asked for, so that a longer file shows without being read whole.
    wanted = len(header) + size + 1
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as stream:
                content = stream.read(wanted)
        else:
            with path.open("rb") as stream:
                content = stream.read(wanted)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataFileError(f"{path}: truncated or altered, gzip cannot read it ({error})") from None
    if content[: len(header)] != header:
        raise DataFileError(
            f"{path}: an idx file of shape {shape} starts with the bytes {header.hex(' ')}, "
            f"not {content[: len(header)].hex(' ') or 'nothing'}"
        )
    if len(content) != wanted - 1:
        found = f"only {len(content)}" if len(content) < wanted else "more"
        raise DataFileError(f"{path}: expected {wanted - 1} bytes of content, found {found}")
    return np.frombuffer(bytearray(content[len(header) :]), np.uint8).reshape(shape)
