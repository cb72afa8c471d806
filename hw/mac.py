"""`QuireMac`: dot products of any length, summed exactly and rounded once."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from positcore.hw.decode import Decoder
from positcore.hw.encode import Encoder
from positcore.hw.parameters import check_spec, check_stages
from positcore.hw.pipeline import Pipeline
from positcore.hw.raw import RawLayout, significand
from positcore.hw.shifters import count_bits, normalize
from positcore.mac import MacSpec

__all__ = ["QuireMac", "QuireRounder"]


class QuireMac(wiring.Component):
    """Takes the terms of dot products one a cycle, and gives the code of each sum, rounded once.

    A term is a pair of codes; `last` marks the final one of a dot product, and the next term starts another
    one at once, without a bubble. NaR in any term makes that dot product NaR, and no other. The accumulator
    wraps: more than `spec.quire.capacity` terms may overflow it. A bias is a first term (bias, 1.0).

    Throughput is one term a cycle, and one result a cycle where the consumer takes them; latency is
    1 + `stages` cycles from the last term to its result. Where the consumer stalls, so do the terms, and
    nothing is lost. Reset drops what was begun.

    Parameters
    ----------
    spec : MacSpec
    stages : int
        0..5: registers after the alignment, the normalization, the product, the decoders and the rounding, in
        this order of preference, besides the accumulator's own.

    Members
    -------
    i : In(stream.Signature({a, b, last}))
    o : Out(stream.Signature({code}))
    """

    CUTS = ("aligned", "normalized", "product", "decoded", "rounded")

    def __init__(self, spec: MacSpec, *, stages: int = 0):
        self.spec = check_spec("QuireMac", spec)
        self.stages = check_stages("QuireMac", stages, self.CUTS)
        term = data.StructLayout({"a": spec.a.n, "b": spec.b.n, "last": 1})
        result = data.StructLayout({"code": spec.out.n})
        super().__init__({"i": In(stream.Signature(term)), "o": Out(stream.Signature(result))})

    @property
    def latency(self) -> int:
        """Cycles from the last term of a dot product to its result."""
        return 1 + self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        spec = self.spec
        pipeline = Pipeline(m, self.CUTS, self.stages, valid=self.i.valid, ready=self.i.ready)
        m.submodules.decode_a = decode_a = Decoder(spec.a)
        m.submodules.decode_b = decode_b = Decoder(spec.b)
        m.d.comb += [decode_a.code.eq(self.i.payload.a), decode_b.code.eq(self.i.payload.b)]
        a, b, last = pipeline.cut("decoded", a=decode_a.raw, b=decode_b.raw, last=self.i.payload.last)

        # The exact product as an integer, and how far it lies above the accumulator's least significant bit
        # once its fraction bits and two more are dropped; they are 0 wherever the shift does not clear them.
        product = Signal(signed(spec.a.significand_bits + spec.b.significand_bits + 2))
        align_shift = Signal(range(2 * spec.accumulator_fraction_bits + 3))
        m.d.comb += [
            product.eq(significand(a) * significand(b)),
            align_shift.eq(a.scale + b.scale + (spec.accumulator_fraction_bits + 2)),
        ]
        product, align_shift, nar, last = pipeline.cut(
            "product", product=product, align_shift=align_shift, nar=a.nar | b.nar, last=last
        )

        # Shift by less than half the range, then place the product low or high.
        half = 1 << (len(align_shift) - 1)
        dropped = spec.product_fraction_bits + 2
        shifted = Signal(signed(len(product) + half - 1))
        term = Signal(signed(spec.accumulator_bits))
        m.d.comb += [
            shifted.eq(product << align_shift[:-1]),
            term.eq(Mux(align_shift[-1], Cat(Const(0, half), shifted).as_signed(), shifted) >> dropped),
        ]
        term, nar, last = pipeline.cut("aligned", term=term, nar=nar, last=last)

        total = Signal(signed(spec.accumulator_bits), reset_less=True)
        total_nar = Signal(reset_less=True)
        fresh = Signal(init=1)  # the next term starts a dot product
        done = Signal()  # the total is that of a finished dot product, not yet taken
        taken = Signal()
        m.d.comb += pipeline.ready.eq(~done | taken)
        with m.If(pipeline.ready):
            m.d.sync += done.eq(pipeline.valid & last)
            with m.If(pipeline.valid):
                m.d.sync += [
                    total.eq(Mux(fresh, 0, total) + term),
                    total_nar.eq((~fresh & total_nar) | nar),
                    fresh.eq(last),
                ]
        pipeline.valid, pipeline.ready = done, taken

        m.submodules.rounder = rounder = QuireRounder(spec)
        m.submodules.encode = encode = Encoder(
            spec.out, scale_bits=rounder.raw_layout.scale_bits, fraction_bits=rounder.raw_layout.fraction_bits
        )
        m.d.comb += [rounder.total.eq(total), rounder.nar.eq(total_nar)]
        (unrounded,) = pipeline.cut("normalized", unrounded=rounder.raw)
        m.d.comb += encode.raw.eq(unrounded)
        (code,) = pipeline.cut("rounded", code=encode.code)
        m.d.comb += [
            self.o.payload.code.eq(code),
            self.o.valid.eq(pipeline.valid),
            pipeline.ready.eq(self.o.ready),
        ]
        return m


class QuireRounder(wiring.Component):
    """The unrounded raw form of an accumulator. Combinational.

    Only the window of bits that can decide the output's code is normalized: what lies above it saturates, what
    lies below it is sticky.

    Parameters
    ----------
    spec : MacSpec

    Members
    -------
    total : In(signed(accumulator_bits))
    nar : In(1)
    raw : Out(RawLayout(…, sticky=True))
    """

    def __init__(self, spec: MacSpec):
        self.spec = check_spec("QuireRounder", spec)
        top, bits = spec.window_top, spec.window_bits + self._has_overflow
        scales = range(top - (1 << count_bits(bits)), top + 1)
        self.raw_layout = RawLayout(Shape.cast(scales).width, min(spec.out.fraction_bits + 1, bits - 1), sticky=True)
        super().__init__({"total": In(signed(spec.accumulator_bits)), "nar": In(1), "raw": Out(self.raw_layout)})

    @property
    def _has_overflow(self) -> bool:
        """Whether the accumulator reaches above the window."""
        spec = self.spec
        return spec.window_top + spec.accumulator_fraction_bits < spec.accumulator_bits - 1

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        spec = self.spec
        low = spec.accumulator_fraction_bits - spec.window_fraction_bits
        high = low + spec.window_bits
        sign = self.total[-1]
        window = self.total[low:high]
        top = spec.window_top - 1
        if self._has_overflow:  # one bit more, which differs from the sign where any bit above does
            overflow = Signal()
            m.d.comb += overflow.eq(self.total[high:-1] != sign.replicate(spec.accumulator_bits - 1 - high))
            window = Cat(window, overflow ^ sign)
            top += 1
        shifted, run = normalize(m, window, sign, name="norm")
        rest = len(window) - 1 - self.raw_layout.fraction_bits
        m.d.comb += [
            self.raw.sign.eq(sign),
            self.raw.scale.eq(top - run),
            self.raw.fraction.eq(shifted[rest:-1]),
            self.raw.sticky.eq(shifted[:rest].any() | self.total[:low].any()),
            self.raw.zero.eq(~self.total.any()),
            self.raw.nar.eq(self.nar),
        ]
        return m
