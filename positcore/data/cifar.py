"""Reading CIFAR-10 batches, python or binary, without running anything that a file may hold."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.errors import DataFileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["batch_names", "find_batch", "read_batch"]

_PIXELS = 3 * 32 * 32


def batch_names(split: str) -> tuple[str, ...]:
    """The official names of a split's batches, in order."""
    return tuple(f"data_batch_{i}" for i in range(1, 6)) if split == "train" else ("test_batch",)


def find_batch(folder: Path, name: str) -> Path | None:
    """A batch in a folder, python before binary; None if there is none."""
    for path in (folder / name, folder / f"{name}.bin"):
        if path.is_file():
            return path
    return None


def read_batch(path: Path, count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (count, 3, 32, 32) and labels (count,) of one batch; binary if the name ends in .bin.

    A python batch is a pickle: only NumPy byte arrays and plain containers are admitted, and even those
    are rebuilt here, so that no code named in the file runs.

    Raises
    ------
    DataFileError
        If the file is no such batch, or of another length.
    """
    images, labels = (_read_binary if path.suffix == ".bin" else _read_python)(path, count)
    return np.ascontiguousarray(images).reshape(count, 3, 32, 32), labels


def _read_binary(path: Path, count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    size, expected = path.stat().st_size, count * (1 + _PIXELS)
    if size != expected:
        raise DataFileError(
            f"{path}: expected {expected} bytes ({count} records of a label and {_PIXELS} pixels), found {size}"
        )
    records = np.fromfile(path, np.uint8).reshape(count, 1 + _PIXELS)
    return records[:, 1:], records[:, 0].copy()


def _read_python(path: Path, count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    try:
        with path.open("rb") as stream:
            content = _Unpickler(stream, encoding="bytes").load()
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise DataFileError(f"{path}: truncated or altered, not a CIFAR-10 python batch ({error})") from None
    if not isinstance(content, dict):
        raise DataFileError(f"{path}: a CIFAR-10 python batch holds a dict, not {type(content).__name__}")
    named = {key.decode("latin-1") if isinstance(key, bytes) else key: value for key, value in content.items()}
    for key in ("data", "labels"):
        if key not in named:
            raise DataFileError(f"{path}: a CIFAR-10 python batch holds {key!r}; this one does not")
    data, labels = _plain(named["data"]), _labels(named["labels"])
    if data is None or data.shape != (count, _PIXELS):
        found = "something else" if data is None else f"{data.shape}"
        raise DataFileError(f"{path}: 'data' must be bytes of shape ({count}, {_PIXELS}), found {found}")
    if labels is None or labels.shape != (count,):
        found = "something else" if labels is None else f"{len(labels)}"
        raise DataFileError(f"{path}: 'labels' must be {count} integers in 0..255, found {found}")
    return data, labels


def _plain(value: object) -> NDArray[np.uint8] | None:
    return value.array if isinstance(value, _Array) else None


def _labels(value: object) -> NDArray[np.uint8] | None:
    if isinstance(value, _Array):
        return value.array
    if not isinstance(value, list) or not all(type(label) is int and 0 <= label <= 255 for label in value):
        return None
    return np.array(value, np.uint8)


class _Dtype:
    """Stands in for `numpy.dtype`: only unsigned bytes are admitted."""

    def __init__(self, spelling: str | bytes, *_: object) -> None:
        if spelling not in ("u1", b"u1", "|u1", b"|u1", "uint8", b"uint8"):
            raise pickle.UnpicklingError(f"arrays of {spelling!r}, not of bytes")

    def __setstate__(self, state: object) -> None:
        """Byte order and alignment say nothing about bytes."""


class _Array:
    """Stands in for `numpy.ndarray`: takes its pickled state, checks it and keeps plain bytes."""

    array: NDArray[np.uint8] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, fortran, content = state
        self._fill(content, dtype, shape, "F" if fortran else "C")

    def _fill(self, content: Any, dtype: object, shape: Iterable[int], order: Any) -> None:
        if not isinstance(dtype, _Dtype) or not isinstance(content, bytes | bytearray):
            raise pickle.UnpicklingError("an array that is not of bytes")
        self.array = np.frombuffer(bytearray(content), np.uint8).reshape(tuple(shape), order=order)


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _frombuffer(content: Any, dtype: object, shape: Iterable[int], order: str) -> _Array:
    made = _Array()
    made._fill(content, dtype, shape, order)
    return made


def _encode(text: str, encoding: str | bytes) -> bytes:
    """Stands in for `_codecs.encode`, by which Python 3 writes bytes into a pickle of protocol 2."""
    if encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError(f"text encoded as {encoding!r}")
    return text.encode("latin-1")


_ADMITTED: dict[tuple[str, str], Callable[..., Any] | type] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
}


class _Unpickler(pickle.Unpickler):
    """An unpickler for which no name exists but those of NumPy's arrays, and these are stand-ins."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which no CIFAR-10 batch does")
        return _ADMITTED[module, name]
