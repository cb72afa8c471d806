"""`ProductTerm`: the exact product of two numbers, placed in the words of a quire.

The quire is cut into words, the smallest power of two of bits such that a product, wherever it lies, touches two
neighbors at most. So a product is shifted within a word only; which two words take it is one bit for each of them, and
so is whether a word above them takes the sign.
"""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from positcore.hw.parameters import check_dsp, check_spec, check_stages
from positcore.hw.pipeline import Pipeline
from positcore.hw.product import product_cuts, significand_product
from positcore.hw.raw import RawLayout
from positcore.mac import MacSpec

__all__ = ["ProductTerm", "TermLayout"]

LEAST_WORD = 16  # bits; shorter ones cost more to select than they save in shifting
INTEGER_BITS = 4  # of a product of two significands, which lies in (−4, 4], in two's complement


class TermLayout(data.StructLayout):
    """A product placed in the words of a quire: what the accumulator adds.

    Word j of the quire holds the bits [j·word_bits − below, (j + 1)·word_bits − below) of the accumulator, such that
    the scale of a product, modulo word_bits, is its place in a word. There are words up to the highest that a product
    reaches; what the accumulator has above them takes the sign.

    Parameters
    ----------
    spec : MacSpec

    Members
    -------
    even, odd : word_bits
        What goes into the even and the odd one of the two words that are hit.
    hit : words
        The words that take `even` or `odd`, according to their number.
    fill : words
        The words above those, where the product is negative: they take ones.
    """

    def __init__(self, spec: MacSpec):
        self.product_bits = spec.product_fraction_bits + INTEGER_BITS
        self.word_bits = max(LEAST_WORD, 1 << (self.product_bits - 2).bit_length())
        # A product of scale 0 begins at a word's lowest bit: of the word `origin`.
        lowest = spec.accumulator_fraction_bits - spec.product_fraction_bits
        self.below = -lowest % self.word_bits
        self.origin = (lowest + self.below) // self.word_bits
        # maxpos² is the largest product, and one bit above it is for the sign.
        highest = min(spec.accumulator_bits, 2 * spec.accumulator_fraction_bits + 2)
        self.words = -(-(highest + self.below) // self.word_bits)
        word = self.word_bits
        super().__init__({"even": word, "odd": word, "hit": self.words, "fill": self.words})


class ProductTerm(wiring.Component):
    """The product of two numbers as a term of a quire. Latency `stages` cycles, one product a cycle.

    The low bits of the scale shift the product within a word, one multiplexer stage each; the next bit swaps the two
    words that it may touch, and the rest selects them. The product of zero is placed anywhere, as nothing.

    Parameters
    ----------
    spec : MacSpec
    dsp : bool
        Whether the product is one operator, of which tools make a DSP.
    stages : int
        0..len(cuts(spec)).

    Members
    -------
    a, b : In(RawLayout)
    term : Out(TermLayout(spec))
    nar : Out(1)
        Whether a or b is NaR; the term means nothing then.
    """

    def __init__(self, spec: MacSpec, *, dsp: bool = False, stages: int = 0):
        self.spec = check_spec("ProductTerm", spec)
        self.dsp = check_dsp("ProductTerm", dsp)
        self.stages = check_stages("ProductTerm", stages, self.cuts(spec))
        self.layout = TermLayout(spec)
        operands = {"a": In(RawLayout.of(spec.a)), "b": In(RawLayout.of(spec.b))}
        super().__init__({**operands, "term": Out(self.layout), "nar": Out(1)})

    @staticmethod
    def cuts(spec: MacSpec) -> tuple[str, ...]:
        """Where it can be cut, in order of preference: behind the shift, behind the product, and inside that."""
        return ("aligned", "product", *reversed(product_cuts(spec.a.fraction_bits + 2)))

    @property
    def latency(self) -> int:
        """Cycles from two numbers to their product's term."""
        return self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        spec, layout = self.spec, self.layout
        pipeline = Pipeline(m, self.cuts(spec), self.stages)
        scale: Value = Signal(signed(max(spec.a.scale_bits, spec.b.scale_bits) + 1), name="scale")
        m.d.comb += scale.eq(self.a.scale + self.b.scale)
        nar: Value = self.a.nar | self.b.nar

        def cut(place: str, **values: Value) -> tuple[Value, ...]:
            nonlocal scale, nar
            *behind, scale, nar = pipeline.cut(place, **values, scale=scale, nar=nar)
            return tuple(behind)

        product: Value = significand_product(m, self.a, self.b, dsp=self.dsp, cut=cut)
        (product,) = cut("product", product=product)

        fine = layout.word_bits.bit_length() - 1
        shifted = product.as_signed()
        for level in range(fine):
            step = 1 << level
            stage = Signal(signed(len(shifted) + step), name=f"place_{step}")
            m.d.comb += stage.eq(Mux(_bit(scale, level), shifted << step, shifted))
            shifted = stage
        pair = Signal(signed(2 * layout.word_bits), name="pair")
        m.d.comb += pair.eq(shifted)
        low, high = pair[: layout.word_bits], pair[layout.word_bits :]
        placed = Signal(layout)
        odd = Signal()
        m.d.comb += [
            odd.eq(_bit(scale, fine) ^ (layout.origin % 2)),
            placed.even.eq(Mux(odd, high, low)),
            placed.odd.eq(Mux(odd, low, high)),
        ]
        # Of each word that the low half can hit, by its number.
        reach = spec.accumulator_fraction_bits
        numbers = range(((-reach - 2) >> fine) + layout.origin, (reach >> fine) + layout.origin + 1)
        is_at = {number: Signal(name=f"is_at_{number - numbers[0]}") for number in numbers}
        m.d.comb += [found.eq(scale.as_signed() >> fine == number - layout.origin) for number, found in is_at.items()]
        passed: Value = Cat(found for number, found in is_at.items() if number < -1).any()
        for index in range(layout.words):
            hits = [is_at[number] for number in (index - 1, index) if number in is_at]
            is_below = Signal(name=f"is_below_{index}")  # the low half hits a word below the next lower one
            m.d.comb += [
                is_below.eq(passed | is_at.get(index - 2, 0)),
                placed.hit[index].eq(Cat(hits).any()),
                placed.fill[index].eq(product[-1] & is_below),
            ]
            passed = is_below
        (term,) = cut("aligned", term=placed)
        m.d.comb += [self.term.eq(term), self.nar.eq(nar)]
        return m


def _bit(scale: Value, index: int) -> Value:
    """A bit of a signed number, however far it extends."""
    return scale[min(index, len(scale) - 1)]
