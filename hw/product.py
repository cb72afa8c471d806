"""`signed_product`: the exact product of two significands, of rows that suit look-up tables and carry chains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import *
from amaranth.lib import data

from positcore.hw.pipeline import add_delay
from positcore.hw.raw import significand

__all__ = ["product_cuts", "product_parts", "signed_product", "significand_product"]


@dataclass(frozen=True)
class _Term:
    """A part of the product: (value + carry) · 2^weight, with low ≤ value ≤ high."""

    value: Value
    weight: int
    low: int
    high: int
    carry: Value | None = None


def product_cuts(width: int) -> tuple[str, ...]:
    """Where the product by a multiplier of `width` bits can be cut inside, in the order of the data.

    After the recoding of the multiplier, and after each level of sums but the last. For a DSP all of these registers
    stand behind it: it has its own, and tools move them in.
    """
    rows = width % 2 + width // 2 + (width % 2 == 0 and width > 2)
    levels = (rows - 1).bit_length()
    return ("recoded", *(f"sums_{level}" for level in range(1, levels)))


def product_parts(width: int) -> dict[str, int]:
    """The cuts inside the product of two numbers of `width` bits and "product" behind it, as for `balanced`."""
    return dict.fromkeys((*product_cuts(width), "product"), add_delay(width))


def significand_product(
    m: Module, a: data.View, b: data.View, *, dsp: bool = False, cut: Callable[..., tuple[Any, ...]] | None = None
) -> Value:
    """The exact product of two decoded numbers' significands; 0 where either is zero.

    Parameters
    ----------
    m : Module
        Receives the logic.
    a, b : View of RawLayout
        What decoders give.
    dsp, cut
        As in `signed_product`; the cuts are those of `product_cuts(a.fraction's width + 2)`.
    """
    if dsp:
        return signed_product(m, significand(a), significand(b), dsp=True, cut=cut)
    multiplicand = significand(b).as_unsigned() & ~a.zero.replicate(len(b.fraction) + 2)
    return signed_product(m, Cat(a.fraction, ~a.sign, a.sign), multiplicand, cut=cut)


def signed_product(
    m: Module,
    a: Value,
    b: Value,
    *,
    dsp: bool = False,
    name: str = "product",
    cut: Callable[..., tuple[Any, ...]] | None = None,
) -> Value:
    """The exact product of two integers in two's complement, len(a) + len(b) bits wide.

    The multiplier `a` is recoded by one subtraction into digits of −2, −1, 0 and 1, two bits each, so that a bit
    of digit · b is a function of two bits of the digit and two of `b`: one LUT4. The top digit, −2, −1, 1 or 2, needs
    that the two top bits of `a` differ, as those of a nonzero significand do. One or two lone bits at the bottom leave
    an even number of others. The rows are summed in a tree of carry chains. The row of a negative digit is a one's
    complement; the missing unit is the carry into the sum in which that row is the lowest of the upper term.

    Parameters
    ----------
    m : Module
        Receives the logic.
    a : Value
        The multiplier, at least 2 bits, of which the top two differ unless `dsp`; best of an odd width.
    b : Value
        The multiplicand, at least 1 bit; may be 0.
    dsp : bool
        Leave the structure to the tool, which then may take DSPs.
    name : str
        What the signals' names begin with.
    cut : callable, optional
        `cut(place, **values)` gives the values behind a cut: called at each of `product_cuts(len(a))`.

    References
    ----------
    A. D. Booth, "A signed binary multiplication technique", 1951; O. L. MacSorley, "High-speed arithmetic in binary
    computers", 1961 (two bits a row).
    """
    product = Signal(signed(len(a) + len(b)), name=name)
    if dsp:
        m.d.comb += product.eq(a.as_signed() * b.as_signed())
        for place in product_cuts(len(a)) if cut is not None else ():
            (product,) = cut(place, product=product)
        return product
    assert len(a) >= 2
    assert len(b) >= 1
    terms = _rows(m, a, b, name, cut)
    level = 1
    while len(terms) > 1:
        # A lone term is the lowest, which has the fewest bits.
        odd = len(terms) % 2
        pairs = zip(terms[odd::2], terms[odd + 1 :: 2], strict=True)
        terms = terms[:odd] + [_sum(m, low, high, name) for low, high in pairs]
        if cut is not None and len(terms) > 1:
            terms = _cut_terms(cut, f"sums_{level}", terms, name)
        level += 1
    (whole,) = terms
    m.d.comb += product.eq(whole.value if whole.carry is None else whole.value.as_signed() + whole.carry)
    return product


def _rows(m: Module, a: Value, b: Value, name: str, cut: Callable[..., tuple[Any, ...]] | None) -> list[_Term]:
    """The multiples of `b` by the lone bits of `a` and by its digits, from the lowest up."""
    lone = 0 if len(a) == 2 else 2 - len(a) % 2
    count = (len(a) - lone) // 2
    # Each pair of bits is 1 − digit.
    recoded = Signal(2 * count, name=f"{name}_recoded")
    m.d.comb += recoded.eq(sum(1 << 2 * i for i in range(count)) - a[lone:])
    bits, sign = a[:lone], a[-1]
    if cut is not None:
        values = {f"{name}_lone": bits, f"{name}_recoded": recoded, f"{name}_sign": sign, f"{name}_multiplicand": b}
        bits, recoded, sign, b = cut("recoded", **values)

    least, most = -(1 << len(b) - 1), (1 << len(b) - 1) - 1
    terms = []
    for i in range(lone):
        row = Signal(signed(len(b)), name=f"{name}_row_{i}")
        m.d.comb += row.eq(b & bits[i].replicate(len(b)))
        terms.append(_Term(row, i, least, most))
    single, double = Cat(b, b[-1]), Cat(Const(0, 1), b)
    for i in range(count):
        row = Signal(signed(len(b) + 1), name=f"{name}_row_{lone + 2 * i}")
        low, high = recoded[2 * i], recoded[2 * i + 1]
        if i < count - 1:
            m.d.comb += row.eq(Mux(high, ~Mux(low, double, single), Mux(low, 0, single)))
            terms.append(_Term(row, lone + 2 * i, -2 * most - 1, -2 * least, high))
        else:
            m.d.comb += row.eq(Mux(low, double, single) ^ sign.replicate(len(row)))
            terms.append(_Term(row, lone + 2 * i, 2 * least - 1, -2 * least, sign))
    return terms


def _sum(m: Module, low: _Term, high: _Term, name: str) -> _Term:
    """Both terms in one, of the lower one's weight and carry: its lowest bits stand as they are."""
    apart = high.weight - low.weight
    least = (low.low >> apart) + high.low
    most = (low.high >> apart) + high.high + 1
    carry = 0 if high.carry is None else high.carry
    total = Signal(Shape.cast(range(least, most + 1)), name=f"{name}_sum_{low.weight}_{high.weight}")
    m.d.comb += total.eq((low.value.as_signed() >> apart) + high.value.as_signed() + carry)
    return _Term(
        Cat(low.value[:apart], total), low.weight, least << apart, (most << apart) + (1 << apart) - 1, low.carry
    )


def _cut_terms(cut: Callable[..., tuple[Any, ...]], place: str, terms: list[_Term], name: str) -> list[_Term]:
    values = {f"{name}_{term.weight}": term.value for term in terms}
    carries = {f"{name}_carry_{term.weight}": term.carry for term in terms if term.carry is not None}
    behind = dict(zip(values | carries, cut(place, **values, **carries), strict=True))
    return [
        _Term(
            behind[f"{name}_{term.weight}"], term.weight, term.low, term.high, behind.get(f"{name}_carry_{term.weight}")
        )
        for term in terms
    ]
