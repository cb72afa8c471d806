"""`Multiplier`: the product of two codes."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from positcore.format import PositFormat
from positcore.hw.decode import Decoder
from positcore.hw.encode import Encoder
from positcore.hw.parameters import check_dsp, check_format, check_stages
from positcore.hw.pipeline import Pipeline
from positcore.hw.product import product_cuts, signed_product

__all__ = ["Multiplier"]


class Multiplier(wiring.Component):
    """a · b, rounded once. Latency `stages` cycles, one pair a cycle.

    The significands are multiplied in two's complement. Their product lies in (−4, −1) or [1, 4], and one
    multiplexer brings it to [1, 2) or [−2, −1). Its sign is known beforehand, and so is whether it is 4, the product
    of two −2: that has an empty fraction in any place, so that only its scale is corrected.

    Parameters
    ----------
    fmt : PositFormat
    stages : int
        Registers after the product, the decoders, the normalization and the rounder's shift, in this order of
        preference, then inside the product, and last after the rounding; at most as many as `Multiplier.cuts(fmt)`
        has.
    dsp : bool
        Whether the product is written as one operator, of which tools make DSPs, instead of rows that suit LUTs and
        carry chains; changes no bit.

    Members
    -------
    a, b : In(n)
    code : Out(n)
    """

    CUTS = ("product", "decoded", "normalized", "shifted")

    def __init__(self, fmt: PositFormat, *, stages: int = 0, dsp: bool = False):
        self.fmt = check_format("Multiplier", fmt)
        self.dsp = check_dsp("Multiplier", dsp)
        self.stages = check_stages("Multiplier", stages, self.cuts(fmt))
        super().__init__({"a": In(fmt.n), "b": In(fmt.n), "code": Out(fmt.n)})

    @staticmethod
    def cuts(fmt: PositFormat) -> tuple[str, ...]:
        """Where the pipeline for a format can be cut: `CUTS`, and inside its product."""
        return (*Multiplier.CUTS, *product_cuts(fmt.fraction_bits + 2)[::-1], "rounded")

    @property
    def latency(self) -> int:
        """Cycles from a pair of codes to its result."""
        return self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        fmt = self.fmt
        pipeline = Pipeline(m, self.cuts(fmt), self.stages)
        m.submodules.decode_a = decode_a = Decoder(fmt)
        m.submodules.decode_b = decode_b = Decoder(fmt)
        m.d.comb += [decode_a.code.eq(self.a), decode_b.code.eq(self.b)]
        a, b = pipeline.cut("decoded", a=decode_a.raw, b=decode_b.raw)

        scale = Signal(signed(fmt.product_scale_bits))
        four = Signal()
        m.d.comb += [
            four.eq(_is_four(a, b)),
            scale.eq(a.scale + b.scale + four),
        ]
        beside = {"scale": scale, "sign": a.sign ^ b.sign, "zero": a.zero | b.zero, "nar": a.nar | b.nar}

        def cut(place: str, **values: Any) -> tuple[Any, ...]:
            behind = pipeline.cut(place, **values, **beside)
            beside.update(zip(beside, behind[len(values) :], strict=True))
            return behind[: len(values)]

        factors = (Cat(raw.fraction, ~raw.sign, raw.sign) for raw in (a, b))
        product = signed_product(m, *factors, dsp=self.dsp, cut=cut)
        (product,) = cut("product", product=product[: 2 * fmt.fraction_bits + 2])
        scale, sign, zero, nar = beside.values()

        # In [1, 2) or [−2, −1), or else twice as large; 4 has an empty fraction in any place.
        fraction, integer = product[:-2], product[-2:]
        wide = Signal()
        m.d.comb += wide.eq(integer != Cat(~sign, sign))

        m.submodules.encode = encode = Encoder(
            fmt, scale_bits=fmt.product_scale_bits, fraction_bits=2 * fmt.fraction_bits + 1,
            stages=sum(place in Encoder.CUTS for place in self.cuts(fmt)[: self.stages]),
        )  # fmt: skip
        unrounded = Signal(encode.raw_layout)
        m.d.comb += [
            unrounded.sign.eq(sign),
            unrounded.scale.eq(scale + wide),
            unrounded.fraction.eq(Mux(wide, Cat(fraction, integer[0]), Cat(Const(0, 1), fraction))),
            unrounded.zero.eq(zero),
            unrounded.nar.eq(nar),
        ]
        (unrounded,) = pipeline.cut("normalized", unrounded=unrounded)
        m.d.comb += [encode.raw.eq(unrounded), self.code.eq(encode.code)]
        return m


def _is_four(a: data.View, b: data.View) -> Value:
    """Whether both significands are −2."""
    return a.sign & b.sign & ~(a.fraction.any() | b.fraction.any())
