"""`QuireArray`: arrays of the Posit Standard's quire, to be added to, read exactly, and rounded."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from positcore.codec import check_codes, decode
from positcore.format import PositFormat
from positcore.mac import MacSpec
from positcore.quire_words import GRAIN, QuireWords
from positcore.text import to_text
from positcore.threads import run_split
from positcore.words import add_dots, add_products, add_rows, negate_rows, read_rows, sum_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["QuireArray"]

_SHOWN = 6


class QuireArray(QuireWords):
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

    @classmethod
    def from_codes(cls, layout: PositFormat | MacSpec, codes: ArrayLike, carry_bits: int | None = None) -> Self:
        """Quires that hold the values of an array of codes, in its shape."""
        return cls(layout, np.shape(codes), carry_bits).add(codes)

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
        run_split(lambda i, j: read_rows(words[i:j], self._spare, self.fraction_bits, values[i:j]), values.size, GRAIN)
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
        grain = max(1, GRAIN // max(1, yt.size))
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
        run_split(lambda i, j: sum_rows(terms[i:j], self._spare, out[i:j]), len(out), max(1, GRAIN // max(1, count)))
        return sums.reshape(tuple(1 if i in axes else n for i, n in enumerate(self.shape))) if keepdims else sums

    # Within --------------------------------------------------------------------------------------

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
