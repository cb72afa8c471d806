"""`QuireWords`: what an array of quires is as an array, words of bits with a layout and a shape."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from positcore.format import PositFormat
from positcore.mac import MacSpec, Quire
from positcore.threads import run_split
from positcore.words import find_nar, join_digits

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GRAIN", "QuireWords"]

GRAIN = 1 << 12  # quires that a thread takes at once, at least


class QuireWords:
    """The bits of an array of quires, in words of 32, and NumPy's ways with its shape and its parts.

    `QuireArray` is the class to use, and has the parameters; what it computes is there, what it holds here.
    """

    def __init__(
        self, layout: PositFormat | MacSpec, shape: int | tuple[int, ...] = (), carry_bits: int | None = None
    ) -> None:
        self._spec = _spec_of(layout, carry_bits)
        sizes = _sizes(shape)
        self._words: NDArray[np.uint32] = np.zeros((*sizes, -(-self.width // 32)), np.uint32)

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

    # Layout and shape ----------------------------------------------------------------------------

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
        run_split(lambda i, j: find_nar(words[i:j], self._spare, out[i:j]), out.size, GRAIN)
        return out.reshape(self.shape)

    @property
    def image(self) -> Any:
        """The bits as an unsigned integer below 2^width, NaR 2^(width−1): an int, or an ndarray of int objects."""
        return self._each(lambda image: image)

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

    def __setitem__(self, index: Any, quires: QuireWords) -> None:
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
        run_split(lambda i, j: work(rows[i:j], i, j), len(rows), GRAIN)
        if not np.may_share_memory(rows, self._words):
            self._words[...] = rows.reshape(self._words.shape)
        return self

    def _check_layout(self, name: str, other: QuireWords) -> None:
        if not isinstance(other, QuireWords):
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
