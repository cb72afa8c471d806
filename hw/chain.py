"""`ChainMac`: dot products summed term by term, with a rounding at every step."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from positcore.hw.decode import Decoder
from positcore.hw.parameters import check_dsp, check_spec, check_stages
from positcore.hw.pipeline import Pipeline, deliver
from positcore.hw.product import significand_product
from positcore.hw.raw import RawLayout, significand
from positcore.hw.rounder import RawRounder, exact_code
from positcore.hw.shifters import normalize_sticky, shift_right_sticky
from positcore.mac import Fused, MacSpec, Rounded

__all__ = ["ChainMac"]

INTEGER_BITS = 3  # of a sum of two significands, which lies in [−4, 4)
GUARD_BITS = 2  # cancellation of terms two or more binades apart costs one bit; the rounder needs one more


class ChainMac(wiring.Component):
    """Takes the terms of dot products one a cycle: acc ← round(acc + a·b), or acc ← round(acc + round(a·b)).

    A term is a pair of codes; `last` marks the final one of a dot product, and the next term starts another one at
    once, from zero. The accumulator has the output's format; so has the rounded product of `Rounded`. NaR in any term
    makes that dot product NaR, and no other. A bias is a first term (bias, 1).

    The accumulator stays decoded: a loop of one cycle aligns, adds, normalizes and rounds in the raw form. All
    else, the product included, lies before it or after it. Throughput is one term a cycle, and one result a cycle where
    the consumer takes them; latency is 1 + `stages` cycles from the last term to its result. Where the consumer
    stalls, terms go in until two results wait, and nothing is lost. Reset drops what was begun.

    Parameters
    ----------
    spec : MacSpec
        With a `Fused` or a `Rounded` accumulator.
    stages : int
        0..4: registers before the loop, after the product, the decoders and the final encoding, in this order of
        preference, besides the accumulator's own.
    dsp : bool
        Whether the product is left to the tool, which then may take DSPs.

    Members
    -------
    i : In(stream.Signature({a, b, last}))
    o : Out(stream.Signature({code}))
    """

    CUTS = ("term", "product", "decoded", "encoded")

    def __init__(self, spec: MacSpec, *, stages: int = 0, dsp: bool = False):
        self.spec = check_spec("ChainMac", spec, (Fused, Rounded))
        self.stages = check_stages("ChainMac", stages, self.CUTS)
        self.dsp = check_dsp("ChainMac", dsp)
        term = data.StructLayout({"a": spec.a.n, "b": spec.b.n, "last": 1})
        result = data.StructLayout({"code": spec.out.n})
        super().__init__({"i": In(stream.Signature(term)), "o": Out(stream.Signature(result))})

    @classmethod
    def cuts(cls, spec: MacSpec) -> tuple[str, ...]:
        """Where its pipeline can be cut, in order of preference."""
        return cls.CUTS

    @property
    def latency(self) -> int:
        """Cycles from the last term of a dot product to its result."""
        return 1 + self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        spec, fmt = self.spec, self.spec.out
        enable = Signal()
        pipeline = Pipeline(m, self.CUTS, self.stages, valid=self.i.valid, enable=enable)
        m.submodules.decode_a = decode_a = Decoder(spec.a)
        m.submodules.decode_b = decode_b = Decoder(spec.b)
        m.d.comb += [decode_a.code.eq(self.i.payload.a), decode_b.code.eq(self.i.payload.b)]
        a, b, last = pipeline.cut("decoded", a=decode_a.raw, b=decode_b.raw, last=self.i.payload.last)

        product = significand_product(m, a, b, dsp=self.dsp)
        scale = Signal(signed(1 + (spec.a.max_scale + spec.b.max_scale + 2).bit_length()))
        m.d.comb += scale.eq(a.scale + b.scale)
        product, scale, zero, nar, last = pipeline.cut(
            "product", product=product, scale=scale, zero=a.zero | b.zero, nar=a.nar | b.nar, last=last
        )
        unrounded = self._normalized(m, product, scale, zero, nar)
        if isinstance(spec.accumulator, Rounded):
            term = Signal(RawLayout.of(fmt))
            m.submodules.round_product = self._round(m, unrounded, term)
        else:
            term = unrounded
        term, last = pipeline.cut("term", term=term, last=last)

        # The accumulator, and the sum of a finished dot product.
        total = Signal(RawLayout.of(fmt), init={"zero": 1})
        total_next, result = Signal.like(total, name="total_next"), Signal(RawLayout.of(fmt), reset_less=True)
        done = Signal()
        m.submodules.round_sum = self._round(m, self._sum(m, term, total), total_next)
        with m.If(enable):
            m.d.sync += done.eq(pipeline.valid & last)
            with m.If(pipeline.valid):
                m.d.sync += [total.eq(total_next), result.eq(total_next)]
                with m.If(last):
                    m.d.sync += total.eq(total.shape().const({"zero": 1}))
        pipeline.valid = done

        (code,) = pipeline.cut("encoded", code=exact_code(m, result, fmt))
        deliver(m, self.i, self.o, enable=enable, result=code, valid=pipeline.valid)
        return m

    def _round(self, m: Module, unrounded: data.View, rounded: data.View) -> RawRounder:
        """A rounder between a raw form and that of the output's format, in which 0 has neither sign nor fraction."""
        fmt = self.spec.out
        layout = unrounded.shape()
        fill = max(0, fmt.fraction_bits + 1 - layout.fraction_bits)
        rounder = RawRounder(fmt, scale_bits=layout.scale_bits, fraction_bits=layout.fraction_bits + fill)
        m.d.comb += [
            rounder.unrounded.fraction.eq(Cat(Const(0, fill), unrounded.fraction)),
            rounder.unrounded.scale.eq(unrounded.scale),
            rounder.unrounded.sign.eq(unrounded.sign),
            rounder.unrounded.zero.eq(unrounded.zero),
            rounder.unrounded.nar.eq(unrounded.nar),
            rounder.unrounded.sticky.eq(unrounded.sticky if "sticky" in layout.members else 0),
            rounded.eq(rounder.raw),
            rounded.sign.eq(rounder.raw.sign & ~rounder.raw.zero),
            rounded.fraction.eq(rounder.raw.fraction & ~rounder.raw.zero.replicate(fmt.fraction_bits)),
        ]
        return rounder

    def _normalized(self, m: Module, product: Value, scale: Value, zero: Value, nar: Value) -> data.View:
        """The raw form of a product, which lies in (−4, −1] or [1, 4], exactly; 4 and −1 have an empty fraction."""
        fraction_bits = self.spec.product_fraction_bits
        ones, twos, sign = product[fraction_bits], product[fraction_bits + 1], product[-1]
        wide, outlier = Signal(), Signal()
        raw = Signal(RawLayout(len(scale), fraction_bits + 1), name="exact")
        m.d.comb += [
            wide.eq(twos ^ sign),
            outlier.eq(~wide & ~(ones ^ sign)),
            raw.sign.eq(sign),
            raw.scale.eq(scale + Cat(wide | (outlier & sign), outlier, outlier & sign).as_signed()),
            raw.fraction.eq(Mux(wide, product[: fraction_bits + 1], Cat(Const(0, 1), product[:fraction_bits]))),
            raw.zero.eq(zero),
            raw.nar.eq(nar),
        ]
        return raw

    def _sum(self, m: Module, term: data.View, total: data.View) -> data.View:
        """The unrounded sum of two exact raw forms, as in `Adder`; where one is 0 it is the one that is shifted.

        The distance of the scales is not negated where the accumulator is the larger: its one's complement is the
        distance less one, and the term enters one place lower.
        """
        scale_bits = max(len(term.scale), len(total.scale)) + 1
        places = max(len(term.fraction), len(total.fraction)) + GUARD_BITS
        width = places + INTEGER_BITS
        difference = Signal(signed(scale_bits))
        swapped = Signal()  # the accumulator has the larger scale
        m.d.comb += [
            difference.eq(term.scale - total.scale),
            swapped.eq(term.zero | (difference[-1] & ~total.zero)),
        ]
        align_shift = (difference ^ difference[-1].replicate(scale_bits))[:-1]
        left = Cat(Const(0, places - len(term.fraction)), significand(term)).as_signed()
        right = Cat(Const(0, places - len(total.fraction)), significand(total)).as_signed()
        major, minor = Signal(signed(width)), Signal(signed(places + 2))
        m.d.comb += [major.eq(Mux(swapped, right, left)), minor.eq(Mux(swapped, left >> 1, right))]
        aligned, sticky = shift_right_sticky(m, minor, align_shift, name="align")
        sum_ = Signal(signed(width), name="sum")
        m.d.comb += sum_.eq(major + aligned)

        sign = sum_[-1]
        fraction_bits = min(width - 2, self.spec.out.fraction_bits + 1)
        shifted, run, lost = normalize_sticky(m, sum_[:-1], sign, fraction_bits + 1, name="norm")
        unrounded = Signal(RawLayout(scale_bits + 1, fraction_bits, sticky=True))
        m.d.comb += [
            unrounded.sign.eq(sign),
            unrounded.scale.eq(Mux(swapped, total.scale, term.scale) + (INTEGER_BITS - 2) - run),
            unrounded.fraction.eq(shifted),
            unrounded.sticky.eq(sticky | lost),
            unrounded.zero.eq(~sum_.any()),
            unrounded.nar.eq(term.nar | total.nar),
        ]
        return unrounded
