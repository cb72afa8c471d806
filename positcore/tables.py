"""Tables of functions: the code of the result for each code of a format, kept in memory and on disk.

Files stand under $POSITCORE_CACHE/tables, else ~/.cache/positcore/tables. Each begins with a hash over what it is a
table of and all its codes: one that is damaged, cut short or of another table is made anew and never used.
Files are written aside and renamed, so that processes may build the same table at once.
"""

from __future__ import annotations

import contextlib
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.elementary import FUNCTIONS, proven_codes
from positcore.files import cache_root, write_aside
from positcore.format import PositFormat

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["cache_folder", "table", "table_path"]

_VERSION = 1  # to be raised with any change of a table's codes or of its file
_HASH_BYTES = 32
_KEPT_FROM = 9  # bits of the smallest format whose tables take longer to compute than to open


def cache_folder() -> Path:
    """Where tables are kept: $POSITCORE_CACHE/tables, else ~/.cache/positcore/tables."""
    return cache_root() / "tables"


def table_path(fmt: PositFormat, name: str) -> Path:
    """The file of a table: `exp-16_2.v1.table`."""
    return cache_folder() / f"{name}-{fmt.tag}.v{_VERSION}.table"


@lru_cache(maxsize=128)
def table(fmt: PositFormat, name: str) -> NDArray[Any]:
    """The correctly rounded code of the function for each of the 2^n codes, read-only.

    From memory, or from disk (n > 8), or computed and kept: for 16 bits, once in 1 to 4 seconds. Where the folder
    cannot be written the table is computed once in each process.

    Parameters
    ----------
    fmt : PositFormat
        n ≤ 16.
    name : str
        A key of `positcore.elementary.FUNCTIONS`.

    Returns
    -------
    ndarray of `fmt.dtype`, shape (2^n,)

    Raises
    ------
    ValueError
        If the function is unknown, or n > 16.
    MissingToolError
        If the table must be computed and mpmath is not installed.
    """
    if name not in FUNCTIONS:
        raise ValueError(f"table: no function {name!r}; there are {', '.join(FUNCTIONS)}")
    if fmt.n > 16:
        raise ValueError(f"{name}: tables are built for formats of n ≤ 16, not {fmt}; convert to one first")
    kept = fmt.n >= _KEPT_FROM
    codes = _read(fmt, name) if kept else None
    if codes is None:
        codes = proven_codes(fmt, name)
        if kept:
            _write(fmt, name, codes)
    codes.flags.writeable = False
    return codes


def _hash(fmt: PositFormat, name: str, payload: bytes) -> bytes:
    return hashlib.sha256(f"{name} {fmt.spelling} {_VERSION}\n".encode() + payload).digest()


def _read(fmt: PositFormat, name: str) -> NDArray[Any] | None:
    """The table in its file; None where there is none, or not a sound one."""
    try:
        content = table_path(fmt, name).read_bytes()
    except OSError:
        return None
    payload = content[_HASH_BYTES:]
    if len(payload) != fmt.dtype.itemsize << fmt.n or content[:_HASH_BYTES] != _hash(fmt, name, payload):
        return None
    return np.frombuffer(payload, fmt.dtype.newbyteorder("<")).astype(fmt.dtype)


def _write(fmt: PositFormat, name: str, codes: NDArray[Any]) -> None:
    payload = codes.astype(fmt.dtype.newbyteorder("<")).tobytes()
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, not correctness
        write_aside(table_path(fmt, name), lambda path: _save(path, _hash(fmt, name, payload) + payload))


def _save(path: Path, content: bytes) -> None:
    path.write_bytes(content)
