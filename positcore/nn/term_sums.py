"""`TermSums`: sums that go on over several operations, for backends whose units sum the products of one call."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from positcore.codec import check_codes
from positcore.mac import MacSpec, Quire

__all__ = ["TermBlock", "TermSums"]

Codes = NDArray[np.unsignedinteger[Any]]
Product = Callable[[MacSpec, Codes, Codes], Codes]


@dataclass(frozen=True)
class TermBlock:
    """Products of stacks of codes (S, M, K) and (S, K, N), and which sums their elements are terms of, (S, M, N)."""

    places: NDArray[np.intp]
    a: Codes
    b: Codes

    def at(self, places: NDArray[np.intp], *, swapped: bool) -> TermBlock:
        """The same products as terms of other sums; `swapped` with the factors exchanged."""
        if not swapped:
            return TermBlock(places, self.a, self.b)
        return TermBlock(places.swapaxes(1, 2), self.b.swapaxes(1, 2), self.a.swapaxes(1, 2))


class TermSums:
    """Sums of products of codes that wait until they are rounded: then a unit takes all terms of each, one by one.

    What a `positcore.QuireArray` is to the golden model. Its methods of the same names take the same operands, and give
    the same codes: the unit's accumulator is that quire. Each part, by whatever index, is a view of the whole.

    Parameters
    ----------
    spec : MacSpec
    shape : tuple of int
    product : callable
        (spec, a, b) → codes, (S, M, N), of stacks of codes (S, M, K) and (S, K, N): the unit.

    Raises
    ------
    TypeError
        If the accumulator is no quire: it would round on the way.
    """

    def __init__(self, spec: MacSpec, shape: tuple[int, ...], product: Product) -> None:
        if not isinstance(spec.accumulator, Quire):
            raise TypeError(f"TermSums: a MacSpec must have a Quire accumulator, not {spec.accumulator}")
        self.spec, self._product = spec, product
        self._count = math.prod(shape)
        self._places = np.arange(self._count).reshape(shape)
        self.blocks: list[TermBlock] = []

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self._places.shape

    @property
    def size(self) -> int:
        """The number of sums."""
        return self._places.size

    def _view(self, places: NDArray[np.intp]) -> Self:
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__, _places=places)
        return view

    def reshape(self, shape: tuple[int, ...]) -> Self:
        """The same sums in another shape."""
        return self._view(self._places.reshape(shape))

    def __getitem__(self, index: Any) -> Self:
        return self._view(self._places[index])

    def __setitem__(self, index: Any, sums: Self) -> None:
        """Put back a part that was taken out by the same index, which changes nothing: it is a view."""
        if sums.blocks is not self.blocks or not np.array_equal(sums._places, self._places[index]):
            raise ValueError("TermSums: only the part that was taken out by an index can be put back there")

    # Terms -------------------------------------------------------------------------------------------

    def add_matmul(self, a: ArrayLike, b: ArrayLike) -> Self:
        """Add the matrix product of codes (M, K) and (K, N) to sums (M, N)."""
        left, right = check_codes(self.spec.a, a, "TermSums"), check_codes(self.spec.b, b, "TermSums")
        if (len(left), right.shape[1]) != self.shape or left.shape[1] != len(right):
            raise ValueError(
                f"TermSums.add_matmul: operands of shapes {left.shape} and {right.shape} do not make a product of the "
                f"sums' shape {self.shape}"
            )
        self.blocks.append(TermBlock(self._places[None], left[None], right[None]))
        return self

    def add_product(self, a: ArrayLike, b: ArrayLike) -> Self:
        """Add products of codes that broadcast to the sums' shape."""
        formats = (self.spec.a, self.spec.b)
        codes = (check_codes(fmt, x, "TermSums") for fmt, x in zip(formats, (a, b), strict=True))
        left, right = (np.broadcast_to(x, self.shape).reshape(-1, 1, 1) for x in codes)
        self.blocks.append(TermBlock(self._places.reshape(-1, 1, 1), left, right))
        return self

    def add_quire(self, other: Self) -> Self:
        """Add other sums of this shape, all that there are of them.

        Raises
        ------
        ValueError
            If they are of other formats, or only a part of an array.
        """
        formats, others = (self.spec.a, self.spec.b), (other.spec.a, other.spec.b)
        if others not in (formats, formats[::-1]) or other.shape != self.shape or other.size != other._count:
            raise ValueError(
                f"TermSums.add_quire: whole sums of {self.spec} and of shape {self.shape} can be added, not "
                f"{other.size} of {other._count} sums of {other.spec}, in the shape {other.shape}"
            )
        self._take(other, self._places, swapped=others != formats)
        return self

    def sum(self, axis: int) -> Self:
        """The sums along an axis, as new ones."""
        total = type(self)(self.spec, tuple(np.delete(self.shape, axis).tolist()), self._product)
        total._take(self, np.broadcast_to(np.expand_dims(total._places, axis), self.shape), swapped=False)
        return total

    def _take(self, other: Self, places: NDArray[np.intp], *, swapped: bool) -> None:
        target = np.empty(other._count, np.intp)
        target[other._places.reshape(-1)] = places.reshape(-1)
        self.blocks.extend([block.at(target[block.places], swapped=swapped) for block in other.blocks])

    def of_all(self, blocks: Sequence[TermBlock]) -> Self:
        """Sums like these, of other terms: those of all workers."""
        total = type(self)(self.spec, (self._count,), self._product)
        total.blocks.extend(blocks)
        return total._view(self._places)

    # Sums --------------------------------------------------------------------------------------------

    def round(self) -> Codes:
        """The codes of the sums, each summed by the unit in one go and rounded once; a sum of no terms is 0."""
        out = np.zeros(self._count, self.spec.out.dtype)
        groups: dict[tuple[tuple[int, ...], bytes], list[TermBlock]] = {}
        for block in self.blocks:
            groups.setdefault((block.places.shape, block.places.tobytes()), []).append(block)
        merged = [_in_sequence(blocks) for blocks in groups.values()]
        all_places = [block.places.reshape(-1) for block in merged]
        if merged and len(np.unique(np.concatenate(all_places))) < sum(map(len, all_places)):
            merged = _by_sum(merged)  # parts that overlap
        for block in merged:
            out[block.places] = self._product(self.spec, block.a, block.b)
        return out[self._places]


def _in_sequence(blocks: list[TermBlock]) -> TermBlock:
    """Blocks of the same places as one of longer sums."""
    if len(blocks) == 1:
        return blocks[0]
    a, b = (np.concatenate([getattr(block, name) for block in blocks], axis) for name, axis in (("a", 2), ("b", 1)))
    return TermBlock(blocks[0].places, a, b)


def _by_sum(blocks: list[TermBlock]) -> list[TermBlock]:
    """Blocks of dot products, each place in one of them once: a block for each number of terms."""
    every: list[list[Codes]] = [[], [], []]
    for block in blocks:
        shape = (*block.places.shape, block.a.shape[2])
        spread = block.places[..., None], block.a[:, :, None], block.b.swapaxes(1, 2)[:, None]
        for known, terms in zip(every, spread, strict=True):
            known.append(np.broadcast_to(terms, shape).reshape(-1))
    places, a, b = map(np.concatenate, every)
    order = np.argsort(places, kind="stable")
    a, b = a[order], b[order]
    found, starts, counts = np.unique(places[order], return_index=True, return_counts=True)
    dots = []
    for count in np.unique(counts).tolist():
        chosen = counts == count
        at = starts[chosen][:, None] + np.arange(count)
        dots.append(TermBlock(found[chosen][:, None, None], a[at][:, None], b[at][:, :, None]))
    return dots
