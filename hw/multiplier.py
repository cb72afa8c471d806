"""`Multiplier`: the product of two codes."""

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

__all__ = ["Multiplier"]


class Multiplier(wiring.Component):
    """a · b, rounded once. Latency `stages` cycles, one pair a cycle.

    The significands are multiplied in two's complement. Their product lies in (−4, −1] or [1, 4], and one
    multiplexer brings it to [1, 2) or [−2, −1): 4 and −1, the products of powers of two whose own form lies a
    binade away, have an empty fraction in either place, so that only their scale is corrected.

    Parameters
    ----------
    fmt : PositFormat
    stages : int
        0..4: registers after the product, the normalization, the decoders and the rounding, in this order of
        preference.

    Members
    -------
    a, b : In(n)
    code : Out(n)
    """

    CUTS = ("product", "normalized", "decoded", "rounded")

    def __init__(self, fmt: PositFormat, *, stages: int = 0):
        self.fmt = check_format("Multiplier", fmt)
        self.stages = check_stages("Multiplier", stages, self.CUTS)
        super().__init__({"a": In(fmt.n), "b": In(fmt.n), "code": Out(fmt.n)})

    @property
    def latency(self) -> int:
        """Cycles from a pair of codes to its result."""
        return self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        fmt = self.fmt
        pipeline = Pipeline(m, self.CUTS, self.stages)
        m.submodules.decode_a = decode_a = Decoder(fmt)
        m.submodules.decode_b = decode_b = Decoder(fmt)
        m.d.comb += [decode_a.code.eq(self.a), decode_b.code.eq(self.b)]
        a, b = pipeline.cut("decoded", a=decode_a.raw, b=decode_b.raw)

        scale = Signal(signed(fmt.product_scale_bits))
        product = Signal(signed(2 * fmt.significand_bits + 2))
        m.d.comb += [scale.eq(a.scale + b.scale), product.eq(significand(a) * significand(b))]
        product, scale, zero, nar = pipeline.cut(
            "product", product=product, scale=scale, zero=a.zero | b.zero, nar=a.nar | b.nar
        )

        fraction_bits = 2 * fmt.fraction_bits
        ones, twos, sign = product[fraction_bits], product[fraction_bits + 1], product[-1]
        wide = Signal()  # in [2, 4) or [−4, −2)
        outlier = Signal()  # 4 or −1
        m.d.comb += [wide.eq(twos ^ sign), outlier.eq(~wide & ~(ones ^ sign))]

        m.submodules.encode = encode = Encoder(fmt, scale_bits=fmt.product_scale_bits, fraction_bits=fraction_bits + 1)
        unrounded = Signal(encode.raw_layout)
        m.d.comb += [
            unrounded.sign.eq(sign),
            # + 1 if wide, + 2 for 4, − 1 for −1
            unrounded.scale.eq(scale + Cat(wide | (outlier & sign), outlier, outlier & sign).as_signed()),
            unrounded.fraction.eq(Mux(wide, product[: fraction_bits + 1], Cat(Const(0, 1), product[:fraction_bits]))),
            unrounded.zero.eq(zero),
            unrounded.nar.eq(nar),
        ]
        (unrounded,) = pipeline.cut("normalized", unrounded=unrounded)
        m.d.comb += encode.raw.eq(unrounded)
        (code,) = pipeline.cut("rounded", code=encode.code)
        m.d.comb += self.code.eq(code)
        return m
