"""`QuireArray`: arrays of the Posit Standard's quire, to be added to, read exactly, and rounded."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from positcore.codec import check_codes, decode
from positcore.format import PositFormat
from positcore.mac import MacSpec, Quire
from positcore.text import to_text
from positcore.threads import run_split
from positcore.words import add_dots, add_products, add_rows, find_nar, join_digits, negate_rows, read_rows, sum_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["QuireArray"]

_GRAIN = 1 << 12
_SHOWN = 6


class QuireArray:
    """An array of quires, zero at first: exact sums of posits and of products of two posits.

    A quire is a two's-complement integer of `width` bits whose unit is 2^−fraction_bits: minpos², or the product of the
    two minpos where a `MacSpec` has two input formats. It wraps modulo 2^width, as hardware does: any sum of up to
    2^carry_bits − 1 products is exact in any order, longer ones are the caller's care. The pattern 100…0 is NaR,
    however it came about, and stays until `clear`.

    Operations change the quires in place and return them; operands broadcast to the quires' shape. The names of the
    Posit Standard (2022), with q for the quires:

    ======= ======================== ======= =============================
    pToQ    `QuireArray.from_codes`  qToP    `q.round()`
    qNegate `q.negate()`             qAbs    `q.abs()`
    qAddP   `q.add(a)`               qSubP   `q.subtract(a)`
    qAddQ   `q.add_quire(r)`         qSubQ   `q.subtract_quire(r)`
    qMulAdd `q.add_product(a, b)`    qMulSub `q.subtract_product(a, b)`
    ======= ======================== ======= =============================

    Parameters
    ----------
    layout : PositFormat or MacSpec
        The format of operands and results; or a spec with a `Quire`, whose accumulator these are, bit for bit.
    shape : int or tuple of int
    carry_bits : int, optional
        1..63; 31 unless told, or what the spec says.

    Raises
    ------
    TypeError, ValueError
        If a parameter is not of its kind, or not in its range.
    """

    def __init__(
        self, layout: PositFormat | MacSpec, shape: int | tuple[int, ...] = (), carry_bits: int | None = None
    ) -> None:
        self._spec = _spec_of(layout, carry_bits)
        sizes = _sizes(shape)
        self._words: NDArray[np.uint32] = np.zeros((*sizes, -(-self.width // 32)), np.uint32)

    @classmethod
    def from_codes(cls, layout: PositFormat | MacSpec, codes: ArrayLike, carry_bits: int | None = None) -> Self:
        """Quires that hold the values of an array of codes, in its shape."""
        return cls(layout, np.shape(codes), carry_bits).add(codes)

    @classmethod
    def from_image(cls, layout: PositFormat | MacSpec, image: Any, carry_bits: int | None = None) -> Self:
        """Quires with the given bits: an unsigned integer below 2^width, or an array of such, in its shape."""
        images = np.asarray(image, object)
        quires = cls(layout, images.shape, carry_bits)
        width, top = quires.width, 1 << (quires.width - 1)
        stored = 4 * quires._words.shape[-1]
        content = bytearray()
        for item in images.reshape(-1).tolist():
            if isinstance(item, bool) or not isinstance(item, int | np.integer):
                raise TypeError(f"QuireArray.from_image: an image must be an integer below 2^{width}, not {item!r}")
            if not 0 <= item < 1 << width:
                raise ValueError(f"QuireArray.from_image: an image must be an integer in 0..2^{width} − 1, not {item}")
            content += ((int(item) ^ top) - top).to_bytes(stored, "little", signed=True)
        quires._words = np.frombuffer(content, "<u4").astype(np.uint32).reshape(quires._words.shape)
        return quires

    # What they are -------------------------------------------------------------------------------

    @property
    def spec(self) -> MacSpec:
        """The description whose accumulator these quires are."""
        return self._spec

    @property
    def width(self) -> int:
        """Bits of a quire: 1 + carry_bits + 4·max_scale, or `spec.accumulator_bits`."""
        return self._spec.accumulator_bits

    @property
    def fraction_bits(self) -> int:
        """Bits right of the point: 2·max_scale, or `spec.accumulator_fraction_bits`."""
        return self._spec.accumulator_fraction_bits

    @property
    def carry_bits(self) -> int:
        """The headroom above the largest product."""
        return self._spec.quire.carry_bits

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self._words.shape[:-1]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of quires."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("QuireArray: a single quire has no len()")
        return self.shape[0]

    @property
    def is_nar(self) -> NDArray[np.bool_]:
        """Which quires are NaR; ndarray of bool, of the quires' shape."""
        out = np.empty(self.size, np.bool_)
        words = self._rows()
        run_split(lambda i, j: find_nar(words[i:j], self._spare, out[i:j]), out.size, _GRAIN)
        return out.reshape(self.shape)

    @property
    def image(self) -> Any:
        """The bits as an unsigned integer below 2^width, NaR 2^(width−1): an int, or an ndarray of int objects."""
        return self._each(lambda image: image)

    @property
    def value(self) -> Any:
        """The exact value as a Fraction, None for NaR; for an array an ndarray of objects."""
        top = 1 << (self.width - 1)
        unit = 1 << self.fraction_bits
        return self._each(lambda image: None if image == top else Fraction((image ^ top) - top, unit))

    def round(self, fmt: PositFormat | None = None) -> NDArray[Any]:
        """The codes nearest to the quires' values, rounded once; NaR gives NaR. The quires stay as they are.

        Parameters
        ----------
        fmt : PositFormat, optional
            The format of the result; that of the quires, or the output of their spec, unless told.

        Returns
        -------
        ndarray of `fmt.dtype`, the quires' shape
        """
        if fmt is not None and not isinstance(fmt, PositFormat):
            raise TypeError(f"QuireArray.round: fmt must be a PositFormat, not {fmt!r}")
        values = np.empty(self.size)
        words = self._rows()
        run_split(lambda i, j: read_rows(words[i:j], self._spare, self.fraction_bits, values[i:j]), values.size, _GRAIN)
        return (self._spec.out if fmt is None else fmt).encode(values.reshape(self.shape))

    def __repr__(self) -> str:
        spec = self._spec
        plain = spec.a == spec.b == spec.out
        layout = f"{spec.out}, carry_bits={self.carry_bits}" if plain else str(spec)
        shown = to_text(spec.out, QuireArray._of(spec, self._rows()[:_SHOWN]).round()).tolist()
        texts = ", ".join(shown) + (", …" if self.size > _SHOWN else "")
        return f"QuireArray({layout}, shape={self.shape}) ≈ {f'[{texts}]' if self.shape else texts}"

    # Operations ----------------------------------------------------------------------------------

    def clear(self) -> Self:
        """All quires zero, NaR too."""
        self._words[...] = 0
        return self

    def add(self, codes: ArrayLike) -> Self:
        """Add posits.

        Parameters
        ----------
        codes : array_like of codes of the format (of `spec.a`) that broadcasts to the quires' shape

        Raises
        ------
        TypeError, ValueError
            If `codes` are not codes of the format, or do not broadcast.
        """
        return self._add_products("add", codes, None, negative=False)

    def subtract(self, codes: ArrayLike) -> Self:
        """Subtract posits; as `add`."""
        return self._add_products("subtract", codes, None, negative=True)

    def add_product(self, a: ArrayLike, b: ArrayLike) -> Self:
        """Add exact products.

        Parameters
        ----------
        a, b : array_like of codes of the format (of `spec.a` and `spec.b`) that broadcast to the quires' shape

        Raises
        ------
        TypeError, ValueError
            If an operand is not an array of codes of its format, or does not broadcast.
        """
        return self._add_products("add_product", a, b, negative=False)

    def subtract_product(self, a: ArrayLike, b: ArrayLike) -> Self:
        """Subtract exact products; as `add_product`."""
        return self._add_products("subtract_product", a, b, negative=True)

    def add_matmul(self, a: ArrayLike, b: ArrayLike) -> Self:
        """Add the matrix product of codes (M, K) and (K, N) to quires (M, N), exactly; NaR as in `add_product`.

        Raises
        ------
        TypeError, ValueError
            If an operand is no array of codes, or the shapes do not fit.
        """
        spec, spare, point = self._spec, self._spare, self.fraction_bits
        left = check_codes(spec.a, a, "QuireArray.add_matmul")
        right = check_codes(spec.b, b, "QuireArray.add_matmul")
        shapes = left.shape, right.shape, self.shape
        if [len(shape) for shape in shapes] != [2, 2, 2] or shapes[0] + shapes[1] != (
            self.shape[0], left.shape[1], left.shape[1], self.shape[1],
        ):  # fmt: skip
            raise ValueError(
                f"QuireArray.add_matmul: operands of shapes {left.shape} and {right.shape} do not make a product of "
                f"the quires' shape {self.shape}"
            )
        if not left.shape[1]:
            return self
        short = spec.a.significand_bits + spec.b.significand_bits <= 27
        x, yt = decode(spec.a, left), np.ascontiguousarray(decode(spec.b, right).T)
        nar, words = np.isnan(yt).any(1), np.ascontiguousarray(self._words)
        grain = max(1, _GRAIN // max(1, yt.size))
        run_split(lambda i, j: add_dots(words[i:j], spare, point, x[i:j], yt, nar, short), len(words), grain)
        self._words[...] = words
        return self

    def add_quire(self, other: QuireArray) -> Self:
        """Add quires.

        Parameters
        ----------
        other : QuireArray
            Of the same width and unit, of a shape that broadcasts to that of these quires.

        Raises
        ------
        TypeError, ValueError
            If `other` is not such an array.
        """
        return self._add_quire("add_quire", other, negative=False)

    def subtract_quire(self, other: QuireArray) -> Self:
        """Subtract quires; as `add_quire`."""
        return self._add_quire("subtract_quire", other, negative=True)

    def negate(self) -> Self:
        """Change all signs; NaR stays."""
        return self._update(lambda words, i, j: negate_rows(words, self._spare, False))

    def abs(self) -> Self:
        """Make all magnitudes; NaR stays."""
        return self._update(lambda words, i, j: negate_rows(words, self._spare, True))

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Self:
        """The sums of quires along axes, as for `numpy.sum`, in new quires; NaR if one is. They wrap as quires do."""
        axes = normalize_axis_tuple(range(self.ndim) if axis is None else axis, self.ndim, "QuireArray.sum: axis")
        kept = tuple(i for i in range(self.ndim) if i not in axes)
        count, width = math.prod(self.shape[i] for i in axes), self._words.shape[-1]
        terms = np.ascontiguousarray(self._words.transpose((*kept, *axes, self.ndim)))
        sums = type(self)(self._spec, tuple(self.shape[i] for i in kept))
        terms, out = terms.reshape(sums.size, count, width), sums._rows()
        run_split(lambda i, j: sum_rows(terms[i:j], self._spare, out[i:j]), len(out), max(1, _GRAIN // max(1, count)))
        return sums.reshape(tuple(1 if i in axes else n for i, n in enumerate(self.shape))) if keepdims else sums

    # Exchange ------------------------------------------------------------------------------------

    @property
    def digits(self) -> NDArray[np.int64]:
        """The quires as digits of 32 bits, least significant first, that may be added up before `from_digits`.

        An array of the quires' shape with one dimension more: the words, the last one signed, then 1 for a NaR. Sums
        of up to 2^31 such arrays, digit by digit, are the sums of the quires: what workers exchange.
        """
        nar, words = self.is_nar, self._words.astype(np.int64)
        words[..., -1] = words[..., -1] << 32 >> 32
        words[nar] = 0
        return np.concatenate([words, nar[..., None].astype(np.int64)], axis=-1)

    @classmethod
    def from_digits(
        cls, layout: PositFormat | MacSpec, digits: NDArray[np.int64], carry_bits: int | None = None
    ) -> Self:
        """The quires whose `digits`, or sums of digits, an array holds; NaR where any of the summed ones was.

        Raises
        ------
        ValueError
            If the array is not of int64, or its last dimension is not that of the layout's digits.
        """
        quires = cls(layout, np.shape(digits)[:-1], carry_bits)
        if digits.dtype != np.int64 or digits.shape[-1] != quires._words.shape[-1] + 1:
            raise ValueError(
                f"QuireArray.from_digits: digits must be int64 with a last dimension of {quires._words.shape[-1] + 1}, "
                f"not {digits.dtype} of shape {digits.shape}"
            )
        rows = quires._rows()
        join_digits(rows, quires._spare, np.ascontiguousarray(digits).reshape(len(rows), -1))
        return cls._of(quires._spec, rows.reshape(quires._words.shape))

    # Parts and copies ----------------------------------------------------------------------------

    def copy(self) -> Self:
        """Quires of their own with the same bits."""
        return self._of(self._spec, self._words.copy())

    __copy__ = copy

    def reshape(self, shape: int | tuple[int, ...]) -> Self:
        """The same quires in another shape, as `numpy.reshape` takes it; where NumPy would give a view, this does."""
        try:
            sizes = np.broadcast_to(np.False_, self.shape).reshape(shape).shape
        except ValueError:
            raise ValueError(f"QuireArray.reshape: quires of shape {self.shape} do not fit {shape}") from None
        return self._of(self._spec, self._words.reshape((*sizes, self._words.shape[-1])))

    def __getitem__(self, index: Any) -> Self:
        """Part of the array, as NumPy's indexing gives it: a view for slices and integers."""
        return self._of(self._spec, self._words[self._index(index)])

    def __setitem__(self, index: Any, quires: QuireArray) -> None:
        """Copy the bits of other quires of the same layout."""
        place = self._index(index)
        self._check_layout("[…] = …", quires)
        self._words[place] = quires._words

    def _index(self, index: Any) -> tuple[Any, ...]:
        place = (*index, slice(None)) if isinstance(index, tuple) else (index, slice(None))
        try:
            np.broadcast_to(np.False_, self.shape)[place[:-1]]
        except IndexError as error:
            raise IndexError(f"QuireArray: {error}") from None
        return place if any(i is Ellipsis for i in place) else (*place[:-1], Ellipsis)

    # Within --------------------------------------------------------------------------------------

    @classmethod
    def _of(cls, spec: MacSpec, words: NDArray[np.uint32]) -> Self:
        quires = cls.__new__(cls)
        quires._spec, quires._words = spec, words
        return quires

    @property
    def _spare(self) -> int:
        return 32 * int(self._words.shape[-1]) - self.width

    def _rows(self) -> NDArray[np.uint32]:
        """The words of all quires, (size, words): a view where the array is contiguous."""
        return np.ascontiguousarray(self._words).reshape(self.size, self._words.shape[-1])

    def _each(self, function: Callable[[int], Any]) -> Any:
        """The images through a function of an int: one result, or an ndarray of objects."""
        mask = (1 << self.width) - 1
        content, stored = self._rows().astype("<u4").tobytes(), 4 * self._words.shape[-1]
        out = np.empty(self.size, object)
        for i in range(self.size):
            out[i] = function(int.from_bytes(content[i * stored : (i + 1) * stored], "little") & mask)
        return out.reshape(self.shape) if self.shape else out[0]

    def _update(self, work: Callable[[NDArray[np.uint32], int, int], None]) -> Self:
        """Work on the rows i to j of all; rows that are not contiguous are copied there and back."""
        rows = self._rows()
        run_split(lambda i, j: work(rows[i:j], i, j), len(rows), _GRAIN)
        if not np.may_share_memory(rows, self._words):
            self._words[...] = rows.reshape(self._words.shape)
        return self

    def _add_products(self, name: str, a: ArrayLike, b: ArrayLike | None, *, negative: bool) -> Self:
        spec, fraction_bits, spare = self._spec, self.fraction_bits, self._spare
        b, b_format = (1, PositFormat(2)) if b is None else (b, spec.b)  # the code 1 of posit<2,2> is 1.0
        left, right = self._operand(name, spec.a, a), self._operand(name, b_format, b)

        def work(words: NDArray[np.uint32], i: int, j: int) -> None:
            x, y = (operand[i:j] if operand.size > 1 else operand for operand in (left, right))
            add_products(words, spare, fraction_bits, x, spec.a.n, spec.a.es, y, b_format.n, b_format.es, negative)

        return self._update(work)

    def _operand(self, name: str, fmt: PositFormat, codes: ArrayLike) -> NDArray[Any]:
        """Codes in the order of the quires, or one code for all."""
        array = check_codes(fmt, codes, f"QuireArray.{name}")
        spread = self._broadcast(name, "codes", array, self.shape)
        return array.reshape(-1) if array.size == 1 else np.ascontiguousarray(spread).reshape(-1)

    def _add_quire(self, name: str, other: QuireArray, *, negative: bool) -> Self:
        self._check_layout(f".{name}", other)
        spread = self._broadcast(name, "quires", other._words, self._words.shape)
        rows = other._rows() if other.size == 1 else np.ascontiguousarray(spread).reshape(self.size, -1)
        if other.size == 1 or np.may_share_memory(rows, self._words):
            rows = rows.copy()
        spare = self._spare

        def work(words: NDArray[np.uint32], i: int, j: int) -> None:
            add_rows(words, spare, rows[i:j] if len(rows) > 1 else rows, negative)

        return self._update(work)

    def _broadcast(self, name: str, kind: str, array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        try:
            return np.broadcast_to(array, shape)
        except ValueError:
            own = array.shape[:-1] if kind == "quires" else array.shape
            raise ValueError(
                f"QuireArray.{name}: {kind} of shape {own} do not broadcast to quires of shape {self.shape}"
            ) from None

    def _check_layout(self, name: str, other: QuireArray) -> None:
        if not isinstance(other, QuireArray):
            raise TypeError(f"QuireArray{name}: a QuireArray is expected, not {type(other).__name__}")
        own, others = (self.width, self.fraction_bits), (other.width, other.fraction_bits)
        if own != others:
            raise ValueError(
                f"QuireArray{name}: quires must have one layout, not {own[0]} bits with {own[1]} right of the point "
                f"and {others[0]} with {others[1]}"
            )


def _spec_of(layout: PositFormat | MacSpec, carry_bits: int | None) -> MacSpec:
    if isinstance(layout, PositFormat):
        return MacSpec(layout, accumulator=Quire(31 if carry_bits is None else carry_bits))
    if not isinstance(layout, MacSpec):
        raise TypeError(f"QuireArray: layout must be a PositFormat or a MacSpec, not {layout!r}")
    if not isinstance(layout.accumulator, Quire):
        raise TypeError(f"QuireArray: a MacSpec must have a Quire accumulator, not {layout.accumulator}")
    if carry_bits is not None:
        raise TypeError(f"QuireArray: carry_bits are those of the MacSpec, {layout.accumulator.carry_bits}; give none")
    return layout


def _sizes(shape: int | tuple[int, ...]) -> tuple[int, ...]:
    try:
        sizes = tuple(operator.index(n) for n in (shape if isinstance(shape, Iterable) else (shape,)))
    except TypeError:
        raise TypeError(f"QuireArray: shape must be an integer or a tuple of integers, not {shape!r}") from None
    if any(n < 0 for n in sizes):
        raise ValueError(f"QuireArray: shape must have no negative length, not {shape!r}")
    return sizes
