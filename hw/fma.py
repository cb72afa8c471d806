"""`FusedMultiplyAdd`: a · b + c or a · b − c, rounded once."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from positcore.format import PositFormat
from positcore.hw.decode import Decoder
from positcore.hw.encode import Encoder
from positcore.hw.parameters import check_format, check_stages
from positcore.hw.pipeline import Pipeline
from positcore.hw.raw import significand
from positcore.hw.shifters import normalize, shift_right_sticky

__all__ = ["FusedMultiplyAdd"]

INTEGER_BITS = 4  # of a sum of a product in (−4, 4] and an addend in [−2, 2]
GUARD_BITS = 2  # right of the product: down to the fourth part of it, it can cancel the addend to its last bit


class FusedMultiplyAdd(wiring.Component):
    """a · b + c, or a · b − c, rounded once. Latency `stages` cycles, one triple a cycle.

    The exact product of the significands and the addend meet as in an adder: that of the smaller scale is
    shifted right, with sticky, under the other, and their sum in two's complement is normalized by the length of
    its leading run. Bits are lost only where the terms lie so far apart that they cancel by one binade at most.
    Zero has no scale of its own: it is always the one that is shifted.

    The distance of the scales is not negated where the addend is the larger: its one's complement is the distance
    less one, and the product enters one place lower.

    Parameters
    ----------
    fmt : PositFormat
    subtract : bool
        False: a · b + c. True: a · b − c.
    stages : int
        0..6: registers after the product, the sum, the alignment, the normalization, the decoders and the
        rounding, in this order of preference.

    Members
    -------
    a, b, c : In(n)
    code : Out(n)
    """

    CUTS = ("product", "summed", "aligned", "normalized", "decoded", "rounded")

    def __init__(self, fmt: PositFormat, *, subtract: bool = False, stages: int = 0):
        self.fmt = check_format("FusedMultiplyAdd", fmt)
        if not isinstance(subtract, bool):
            raise TypeError(f"FusedMultiplyAdd: subtract must be True or False, not {subtract!r}")
        self.subtract = subtract
        self.stages = check_stages("FusedMultiplyAdd", stages, self.CUTS)
        super().__init__({"a": In(fmt.n), "b": In(fmt.n), "c": In(fmt.n), "code": Out(fmt.n)})

    @property
    def latency(self) -> int:
        """Cycles from a triple of codes to its result."""
        return self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        fmt = self.fmt
        pipeline = Pipeline(m, self.CUTS, self.stages)
        m.submodules.decode_a = decode_a = Decoder(fmt)
        m.submodules.decode_b = decode_b = Decoder(fmt)
        m.submodules.decode_c = decode_c = Decoder(fmt)
        m.d.comb += [decode_a.code.eq(self.a), decode_b.code.eq(self.b), decode_c.code.eq(self.c)]
        a, b, c = pipeline.cut("decoded", a=decode_a.raw, b=decode_b.raw, c=decode_c.raw)

        # From the product of the two least scales up; the exact sum is a multiple of minpos² and below 4·maxpos².
        scale_bits = Shape.cast(range(-2 * fmt.max_scale - 2, 2 * fmt.max_scale + 2)).width
        product = Signal(signed(2 * fmt.significand_bits + 2))
        addend = Signal(signed(fmt.significand_bits + 1 + self.subtract))
        scale = Signal(signed(scale_bits))
        difference = Signal(signed(scale_bits + 1))
        m.d.comb += [
            product.eq(significand(a) * significand(b)),
            addend.eq(-significand(c) if self.subtract else significand(c)),
            scale.eq(a.scale + b.scale),
            difference.eq(a.scale + b.scale - c.scale),
        ]
        product, addend, scale, addend_scale, difference, product_zero, addend_zero, nar = pipeline.cut(
            "product",
            product=product,
            addend=addend,
            scale=scale,
            addend_scale=c.scale,
            difference=difference,
            product_zero=a.zero | b.zero,
            addend_zero=c.zero,
            nar=a.nar | b.nar | c.nar,
        )

        # Where a term is 0 the shift does not matter: it is the one that is shifted.
        swapped = Signal()
        align_shift = Signal(scale_bits)
        m.d.comb += [
            swapped.eq(product_zero | (difference[-1] & ~addend_zero)),
            align_shift.eq(difference ^ difference[-1].replicate(len(difference))),
        ]
        width = 2 * fmt.fraction_bits + GUARD_BITS + INTEGER_BITS
        above = Signal(signed(width))
        below = Signal(signed(width))
        placed = Cat(Const(0, fmt.fraction_bits + GUARD_BITS), addend).as_signed()
        m.d.comb += [
            above.eq(Mux(swapped, placed, product << GUARD_BITS)),
            below.eq(Mux(swapped, product << (GUARD_BITS - 1), placed)),
        ]
        major = Signal(signed(width))
        sum_scale = Signal(signed(scale_bits))
        aligned, sticky = shift_right_sticky(m, below, align_shift, name="align")
        m.d.comb += [major.eq(above), sum_scale.eq(Mux(swapped, addend_scale, scale))]
        major, aligned, sticky, sum_scale, nar = pipeline.cut(
            "aligned", major=major, aligned=aligned, sticky=sticky, scale=sum_scale, nar=nar
        )

        total = Signal(signed(width))
        m.d.comb += total.eq(major + aligned)
        total, sticky, sum_scale, nar = pipeline.cut("summed", total=total, sticky=sticky, scale=sum_scale, nar=nar)

        sign = total[-1]
        shifted, run = normalize(m, total[:-1], sign, name="norm")
        m.submodules.encode = encode = Encoder(fmt, scale_bits=scale_bits, fraction_bits=width - 2)
        unrounded = Signal(encode.raw_layout)
        m.d.comb += [
            unrounded.sign.eq(sign),
            unrounded.scale.eq(sum_scale + (INTEGER_BITS - 2) - run),
            unrounded.fraction.eq(shifted),
            unrounded.sticky.eq(sticky),
            unrounded.zero.eq(~total.any()),
            unrounded.nar.eq(nar),
        ]
        (unrounded,) = pipeline.cut("normalized", unrounded=unrounded)
        m.d.comb += encode.raw.eq(unrounded)
        (code,) = pipeline.cut("rounded", code=encode.code)
        m.d.comb += self.code.eq(code)
        return m
