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
from positcore.hw.pipeline import Pipeline, balanced
from positcore.hw.product import product_parts, signed_product

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
        0..len(cuts(fmt)): registers, at those of the cuts that divide the path most evenly.
    dsp : bool
        Whether the product is written as one operator, of which tools make DSPs, instead of rows that suit LUTs and
        carry chains; changes no bit.

    Members
    -------
    a, b : In(n)
    code : Out(n)
    """

    CUTS = ("decoded", "recoded", "product", "normalized", "shifted", "rounded")

    def __init__(self, fmt: PositFormat, *, stages: int = 0, dsp: bool = False):
        self.fmt = check_format("Multiplier", fmt)
        self.dsp = check_dsp("Multiplier", dsp)
        self.stages = check_stages("Multiplier", stages, self.cuts(fmt))
        super().__init__({"a": In(fmt.n), "b": In(fmt.n), "code": Out(fmt.n)})

    @staticmethod
    def parts(fmt: PositFormat) -> dict[str, int]:
        """Where the pipeline can be cut, in the order of the data, with the delays between, as for `balanced`."""
        return Decoder.parts(fmt) | product_parts(fmt.fraction_bits + 2) | {"normalized": 4} | Encoder.parts(fmt)

    @staticmethod
    def cuts(fmt: PositFormat) -> tuple[str, ...]:
        """Where the pipeline for a format can be cut, in the order of the data."""
        return tuple(Multiplier.parts(fmt))

    @property
    def latency(self) -> int:
        """Cycles from a pair of codes to its result."""
        return self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        fmt = self.fmt
        pipeline = Pipeline(m, balanced(self.parts(fmt), self.stages), self.stages)
        decoders = pipeline.among(Decoder.cuts(fmt))
        m.submodules.decode_a = decode_a = Decoder(fmt, at=decoders)
        m.submodules.decode_b = decode_b = Decoder(fmt, at=decoders)
        m.d.comb += [decode_a.code.eq(self.a), decode_b.code.eq(self.b)]
        a, b = decode_a.raw, decode_b.raw

        four = Signal()
        m.d.comb += four.eq(_is_four(a, b))
        scales = {"a_scale": a.scale, "b_scale": b.scale, "four": four}
        flags = {"sign": a.sign ^ b.sign, "zero": a.zero | b.zero, "nar": a.nar | b.nar}
        pipeline.beside = scales | flags
        scale = Signal(signed(fmt.product_scale_bits))

        def cut(place: str, **values: Any) -> tuple[Any, ...]:
            behind = pipeline.cut(place, **values)
            if place == "recoded":
                a_scale, b_scale, four = (pipeline.beside.pop(name) for name in scales)
                m.d.comb += scale.eq(a_scale + b_scale + four)
                pipeline.beside = {"scale": scale} | pipeline.beside
            return behind

        factors = (Cat(raw.fraction, ~raw.sign, raw.sign) for raw in (a, b))
        product = signed_product(m, *factors, dsp=self.dsp, cut=cut)
        (product,) = pipeline.cut("product", product=product[: 2 * fmt.fraction_bits + 2])
        scale, sign, zero, nar = pipeline.beside.values()
        pipeline.beside = {}

        # In [1, 2) or [−2, −1), or else twice as large; 4 has an empty fraction in any place.
        fraction, integer = product[:-2], product[-2:]
        wide = Signal()
        m.d.comb += wide.eq(integer != Cat(~sign, sign))

        m.submodules.encode = encode = Encoder(
            fmt, scale_bits=fmt.product_scale_bits, fraction_bits=2 * fmt.fraction_bits + 1,
            at=pipeline.among(Encoder.parts(fmt)),
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
