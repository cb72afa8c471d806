"""`PositArray`: an array of posits that knows its format and works with NumPy's operators and functions."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from positcore import ufuncs
from positcore.arithmetic import convert
from positcore.codec import check_codes, decode
from positcore.floats import to_float
from positcore.format import PositFormat
from positcore.integers import to_int
from positcore.operands import is_posit, rounded_codes, signed_codes, unsigned_codes
from positcore.scalar import Posit
from positcore.text import to_text

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = ["PositArray", "array"]


def array(fmt: PositFormat, values: Any) -> PositArray:
    """Numbers as an array of posits, each rounded once; see `PositArray.from_values`."""
    return PositArray.from_values(fmt, values)


def _check_format(fmt: object) -> None:
    if not isinstance(fmt, PositFormat):
        raise TypeError(f"PositArray: fmt must be a PositFormat, not {fmt!r}")


class PositArray(NDArrayOperatorsMixin):
    """An array of posits of one format, for NumPy's operators, ufuncs and array functions (NEP 13, NEP 18).

    Results are exactly defined: every element is the exact result, rounded once to the format. `sum`, `mean`, `dot` and
    `@` are exact sums that are rounded once, whatever the order. What has no such definition here (`np.hypot`,
    `np.cumsum`, `np.linalg`, …) is a `TypeError`; nothing falls back to floats.

    Operands that are numbers or arrays of numbers (integers of any size, floats, fractions) are first rounded to the
    format, as the operand of `x * 0.1` is. Two formats do not mix: convert with `astype`. Comparisons round
    nothing: they compare exact values, of any format and kind. NaR equals NaR and is below everything else, for
    `sort`, `max` and `min` too; a float nan compares with nothing.

    `np.asarray(x)` gives the exact values as float64: what NumPy does not pass on, as a list of arrays, sees those.
    An element is a `Posit`.

    Parameters
    ----------
    fmt : PositFormat
    codes : array_like of codes
        Shared, not copied, where it is an ndarray of `fmt.dtype`.

    Raises
    ------
    TypeError, ValueError
        If `codes` is not an array of codes of the format.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, fmt: PositFormat, codes: ArrayLike) -> None:
        _check_format(fmt)
        if is_posit(codes):
            raise TypeError("PositArray: codes must be unsigned integers, not posits; `astype` converts")
        check_codes(fmt, codes, "PositArray")
        self.fmt = fmt
        self.codes: NDArray[Any] = np.asarray(codes, fmt.dtype)

    @classmethod
    def of_codes(cls, fmt: PositFormat, codes: NDArray[Any]) -> Self:
        """An array around codes that are known to be of the format, unchecked."""
        made = cls.__new__(cls)
        made.fmt, made.codes = fmt, codes
        return made

    @classmethod
    def from_values(cls, fmt: PositFormat, values: Any) -> Self:
        """Real numbers, each rounded once from its exact value.

        Parameters
        ----------
        fmt : PositFormat
        values : array_like of bool, integers of any size, floats, Fraction, Decimal or Posit; or posits
            Infinities and nan give NaR; posits of another format are converted.

        Raises
        ------
        TypeError
            If an item is not a real number.
        """
        _check_format(fmt)
        codes = rounded_codes(fmt, values, "PositArray")
        return cls.of_codes(fmt, codes.copy() if is_posit(values) else codes)

    @classmethod
    def zeros(cls, fmt: PositFormat, shape: int | tuple[int, ...]) -> Self:
        """An array of zeros."""
        return cls(fmt, np.zeros(shape, fmt.dtype))

    @classmethod
    def ones(cls, fmt: PositFormat, shape: int | tuple[int, ...]) -> Self:
        """An array of ones."""
        return cls(fmt, np.full(shape, fmt.nar >> 1, fmt.dtype))

    # NumPy's protocols ---------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return ufuncs.apply(ufunc, method, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not all(issubclass(t, PositArray | np.ndarray) for t in types):
            return NotImplemented
        return import_module("positcore.array_functions").apply(func, args, kwargs)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("PositArray: values are decoded, so NumPy cannot share them; x.codes holds the bits")
        wanted = np.dtype(np.float64 if dtype is None else dtype)
        if wanted.kind not in "fcO":
            raise TypeError(f"PositArray: values are real numbers, not of {wanted}; astype({wanted}) rounds them")
        return self._objects() if wanted.kind == "O" else self.to_numpy().astype(wanted, copy=False)

    # Shape ---------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the dimensions."""
        return self.codes.shape

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self.codes.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.codes.size

    @property
    def nbytes(self) -> int:
        """The bytes that the codes take."""
        return self.codes.nbytes

    @property
    def itemsize(self) -> int:
        """The bytes of one code."""
        return self.codes.itemsize

    @property
    def T(self) -> Self:  # noqa: N802
        """The array with its axes reversed; a view."""
        return self.of_codes(self.fmt, self.codes.T)

    def reshape(self, *shape: Any) -> Self:
        """As `numpy.ndarray.reshape`."""
        return self.of_codes(self.fmt, self.codes.reshape(*shape))

    def transpose(self, *axes: Any) -> Self:
        """As `numpy.ndarray.transpose`."""
        return self.of_codes(self.fmt, self.codes.transpose(*axes))

    def squeeze(self, axis: Any = None) -> Self:
        """As `numpy.ndarray.squeeze`."""
        return self.of_codes(self.fmt, self.codes.squeeze(axis))

    def ravel(self) -> Self:
        """The elements in one dimension; a view where that is possible."""
        return self.of_codes(self.fmt, self.codes.ravel())

    def flatten(self) -> Self:
        """The elements in one dimension; a copy."""
        return self.of_codes(self.fmt, self.codes.flatten())

    def copy(self) -> Self:
        """An array with codes of its own."""
        return self.of_codes(self.fmt, self.codes.copy())

    # Elements ------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, key: Any) -> Any:
        chosen = self.codes[key]
        return self.of_codes(self.fmt, chosen) if isinstance(chosen, np.ndarray) else Posit(self.fmt, int(chosen))

    def __setitem__(self, key: Any, value: Any) -> None:
        self.codes[key] = rounded_codes(self.fmt, value, "PositArray")

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __contains__(self, item: object) -> bool:
        return bool(np.any(self == item))

    def take(self, indices: Any, axis: int | None = None) -> Any:
        """As `numpy.ndarray.take`."""
        return ufuncs.result(self.fmt, self.codes.take(indices, axis))

    def fill(self, value: Any) -> None:
        """Set every element to a number, rounded."""
        self[...] = value

    def item(self, *args: Any) -> float:
        """One element as a float, exactly; `x[i]` is a `Posit`."""
        return float(Posit(self.fmt, self.codes.item(*args)))

    def tolist(self) -> Any:
        """The values as nested lists of floats, exactly; nan for NaR."""
        return self.to_numpy().tolist()

    def _single(self) -> Posit:
        if self.size != 1:
            raise TypeError(f"PositArray: only an array of one element is a number, not one of shape {self.shape}")
        return Posit(self.fmt, self.codes.item())

    def __float__(self) -> float:
        return float(self._single())

    def __int__(self) -> int:
        return int(self._single())

    def __complex__(self) -> complex:
        return complex(self._single())

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(f"PositArray: the truth of shape {self.shape} is ambiguous; use any() or all()")
        return bool(self.codes.item())

    # Conversion ----------------------------------------------------------------------------------

    def to_numpy(self) -> NDArray[np.float64]:
        """The exact values as float64; nan for NaR."""
        return decode(self.fmt, self.codes)

    def astype(self, to: PositFormat | DTypeLike) -> Any:
        """The numbers in another format, each rounded once.

        Parameters
        ----------
        to : PositFormat, or dtype
            A format gives a `PositArray`. A float dtype gives the nearest floats (NaR: nan); an integer dtype the
            nearest integers, ties to even, by the rule of `positcore.to_int` (NaR and what does not fit: the top bit
            alone); bool, where it is not 0; str, the shortest decimals; object, an array of `Posit`.

        Raises
        ------
        TypeError
            If `to` is another kind.
        """
        if isinstance(to, PositFormat):
            return self.of_codes(to, convert(self.fmt, to, self.codes))
        dtype = np.dtype(to)
        if dtype.kind == "f" and dtype.itemsize <= 8:
            return to_float(self.fmt, self.codes, dtype.name)
        if dtype.kind in "iu":
            return to_int(self.fmt, self.codes, 8 * dtype.itemsize, signed=dtype.kind == "i")
        if dtype.kind == "b":
            return self.codes != 0
        if dtype.kind == "U":
            return to_text(self.fmt, self.codes)
        if dtype.kind == "O":
            return self._objects()
        raise TypeError(f"PositArray: posits are not converted to {dtype}; float, integer, bool, str or a PositFormat")

    def _objects(self) -> NDArray[Any]:
        objects = np.empty(self.shape, object)
        objects.reshape(-1)[:] = [Posit(self.fmt, code) for code in self.codes.reshape(-1).tolist()]
        return objects

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.fmt, self.codes)

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.copy()

    # Reductions and orders: see `positcore.array_functions` ---------------------------------------

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        """The exact sum along axes, rounded once (`positcore.sum`)."""
        return np.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Any:
        """The exact mean along axes, rounded once (`positcore.mean`)."""
        return np.mean(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Any:
        """The greatest along an axis; NaR is less than all others."""
        return ufuncs.extreme(np.maximum, self, axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Any:
        """The least along an axis; NaR, where there is one."""
        return ufuncs.extreme(np.minimum, self, axis, keepdims)

    def argmax(self, axis: int | None = None) -> Any:
        """The index of the first greatest."""
        return np.argmax(self, axis)

    def argmin(self, axis: int | None = None) -> Any:
        """The index of the first least."""
        return np.argmin(self, axis)

    def argsort(self, axis: int | None = -1, stable: bool | None = None) -> Any:
        """The indices that sort, NaR first."""
        return np.argsort(self, axis, stable=stable)

    def sort(self, axis: int = -1) -> None:
        """Sort in place, NaR first."""
        self.codes[...] = unsigned_codes(self.fmt, np.sort(signed_codes(self.fmt, self.codes), axis))

    def clip(self, min: Any = None, max: Any = None) -> Any:
        """Limited to min..max, each rounded to the format; NaR stays NaR."""
        return np.clip(self, min, max)

    def dot(self, other: Any) -> Any:
        """The product of `np.dot` with one rounding per element (a quire)."""
        return np.dot(self, other)

    def any(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Whether any element is not 0 (NaR is not)."""
        return (self.codes != 0).any(axis=axis, keepdims=keepdims)

    def all(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Whether no element is 0."""
        return (self.codes != 0).all(axis=axis, keepdims=keepdims)

    def __repr__(self) -> str:
        return import_module("positcore.layout").represented(self)

    def __str__(self) -> str:
        return import_module("positcore.layout").written(self, " ")

    def __format__(self, spec: str) -> str:
        return format(self._single(), spec) if spec else str(self)
