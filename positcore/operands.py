"""What arrays of posits meet in an expression: numbers of any real kind, as rounded codes or in exact order."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from positcore.arithmetic import convert
from positcore.codec import encode
from positcore.format import PositFormat
from positcore.integers import from_int
from positcore.rational import round_fraction, value_of
from positcore.scalar import Posit, exact_value

__all__ = ["common_format", "is_posit", "leaves", "rounded_codes", "signed_codes", "standing", "unsigned_codes"]

_EXACT = 1 << 53  # float64 holds every integer up to here
_LARGEST = float(np.finfo(np.float64).max)
_BEYOND = Fraction(2) ** 2000  # more than any float


def common_format(name: str, operands: Any) -> PositFormat:
    """The one format of the posits among the operands.

    Raises
    ------
    TypeError
        If there are two formats, or no posit.
    """
    formats: dict[PositFormat, None] = dict.fromkeys(x.fmt for x in leaves(operands) if is_posit(x))
    if len(formats) > 1:
        first, second, *_ = formats
        raise TypeError(f"{name}: operands must have one format, not {first} and {second}; `astype` converts")
    if not formats:
        raise TypeError(f"{name}: no operand is a posit; positcore.array rounds numbers to a format")
    return next(iter(formats))


def leaves(nested: Any) -> Iterator[Any]:
    """What stands in nested lists, tuples, dictionaries and arrays of objects."""
    if isinstance(nested, np.ndarray) and nested.dtype.kind == "O":
        nested = nested.reshape(-1).tolist()
    if isinstance(nested, list | tuple | dict):
        for item in nested.values() if isinstance(nested, dict) else nested:
            yield from leaves(item)
    else:
        yield nested


def is_posit(x: object) -> bool:
    """Whether `x` is a `Posit` or an array of posits."""
    return isinstance(x, Posit) or (isinstance(getattr(x, "codes", None), np.ndarray) and hasattr(x, "fmt"))


def rounded_codes(fmt: PositFormat, x: Any, name: str) -> NDArray[Any]:
    """Numbers as codes, each rounded once from its exact value; posits of another format are converted.

    Parameters
    ----------
    fmt : PositFormat
    x : posits, or array_like of bool, integers, floats, fractions.Fraction, decimal.Decimal or Posit
        Integers of any size; infinities and nan give NaR.
    name : str
        The caller, for the message.

    Returns
    -------
    ndarray of `fmt.dtype`, the shape of `x`; not a copy, where `x` has that format

    Raises
    ------
    TypeError
        If an item is not a real number.
    """
    if isinstance(x, Posit):
        return np.array(x.code if x.fmt == fmt else x.convert(fmt).code, fmt.dtype)
    if is_posit(x):
        return x.codes if x.fmt == fmt else convert(x.fmt, fmt, x.codes)
    array = _as_array(x, name)
    if array.dtype.kind == "O":
        codes = [fmt.nar if v is None else round_fraction(fmt, v) for v in _fractions(array, name)]
        return np.array(codes, fmt.dtype).reshape(array.shape)
    if array.dtype.kind in "iu" and not _small(array):
        # The standard's conversion takes the least int64 as NaR; here it is a number, and a float64.
        return np.where(array == np.iinfo(np.int64).min, encode(fmt, -(2.0**63)), from_int(fmt, array))
    with np.errstate(invalid="ignore"):  # a signaling nan is NaR like the others
        return encode(fmt, array.astype(np.float64))


def standing(fmt: PositFormat, x: Any, name: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Where numbers stand among the posits of a format, exactly: integers that compare as the numbers do.

    Twice the signed code for a posit, an odd integer for what lies between two (or beyond them).

    Parameters
    ----------
    fmt, x, name
        As for `rounded_codes`.

    Returns
    -------
    places : ndarray of int64, the shape of `x`
    unordered : ndarray of bool
        Where `x` is a float nan, which compares with nothing. (NaR has a place, the least.)
    """
    bottom = -2 * fmt.nar
    if is_posit(x) and x.fmt == fmt:
        codes = np.asarray(x.code if isinstance(x, Posit) else x.codes, fmt.dtype)
        places = 2 * signed_codes(fmt, codes).astype(np.int64)
        return places, np.zeros(places.shape, np.bool_)
    nar = is_posit(x)
    array = np.asarray(float(x)) if isinstance(x, Posit) else x.to_numpy() if nar else _as_array(x, name)
    if array.dtype.kind == "O" or (array.dtype.kind in "iu" and not _small(array)):
        return _standing_of_fractions(fmt, array.astype(object), name)
    values = array.astype(np.float64)
    unordered = np.isnan(values)
    values = np.clip(np.where(unordered, 0.0, values), -_LARGEST, _LARGEST)
    codes = encode(fmt, values)
    nearest = fmt.decode(codes)
    places = 2 * signed_codes(fmt, codes).astype(np.int64) + (values > nearest) - (values < nearest)
    return (np.where(unordered, bottom, places), np.zeros_like(unordered)) if nar else (places, unordered)


def _standing_of_fractions(fmt: PositFormat, array: Any, name: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    places = np.empty(array.size, np.int64)
    unordered = np.zeros(array.size, np.bool_)
    for i, (item, value) in enumerate(zip(array.flat, _fractions(array, name), strict=True)):
        if value is None and isinstance(item, Posit):
            places[i] = -2 * fmt.nar
            continue
        unordered[i] = value is None and item != item
        exact = (_BEYOND if item > 0 else -_BEYOND) if value is None else value
        code = round_fraction(fmt, exact)
        nearest = value_of(fmt, code)
        assert nearest is not None
        places[i] = 2 * Posit(fmt, code).signed + (exact > nearest) - (exact < nearest)
    return places.reshape(array.shape), unordered.reshape(array.shape)


def signed_codes(fmt: PositFormat, codes: NDArray[Any]) -> NDArray[Any]:
    """Codes as two's-complement integers of the same size, whose order is that of the posits."""
    unused = 8 * fmt.dtype.itemsize - fmt.n
    return np.asarray(codes << fmt.dtype.type(unused)).view(f"i{fmt.dtype.itemsize}") >> unused


def unsigned_codes(fmt: PositFormat, signed: NDArray[Any]) -> NDArray[Any]:
    """The codes that `signed_codes` came from."""
    return np.asarray(signed).astype(fmt.dtype) & fmt.dtype.type(fmt.mask)


def _as_array(x: Any, name: str) -> NDArray[Any]:
    """`x` as an array of bool, integers, floats of at most 64 bits, or objects, none of them rounded."""
    array = np.asarray(x)
    kind = array.dtype.kind
    if kind not in "biufO":
        raise TypeError(
            f"{name}: operands must be posits or real numbers, not of {array.dtype}; positcore.from_text reads text"
        )
    listed = not isinstance(x, np.ndarray | np.generic | float | int)
    merged = kind == "f" and listed and bool(np.any(np.abs(array) >= _EXACT))  # integers may have become floats
    if merged or (kind == "f" and array.dtype.itemsize > 8):
        return np.asarray(x, object)
    return array


def _fractions(array: NDArray[Any], name: str) -> list[Fraction | None]:
    try:
        return [exact_value(item) for item in array.reshape(-1)]
    except TypeError:
        wrong = next(item for item in array.reshape(-1) if not _is_number(item))
        raise TypeError(f"{name}: operands must be posits or real numbers, not {wrong!r}") from None


def _is_number(item: object) -> bool:
    try:
        exact_value(item)
    except TypeError:
        return False
    return True


def _small(integers: NDArray[Any]) -> bool:
    return not integers.size or (int(integers.max()) <= _EXACT and int(integers.min()) >= -_EXACT)
