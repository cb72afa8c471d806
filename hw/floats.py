"""Posits and binary floating-point formats: float16, bfloat16 and float32, with subnormals, infinities and nan."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from positcore.format import PositFormat
from positcore.hw.decode import Decoder
from positcore.hw.encode import Encoder
from positcore.hw.parameters import FLOAT_WIDTHS, check_float_format, check_format, check_stages
from positcore.hw.pipeline import Pipeline
from positcore.hw.shifters import normalize, shift_right_sticky

__all__ = ["FromFloat", "ToFloat"]


class FromFloat(wiring.Component):
    """The code nearest to a float; infinities and nan give NaR. Latency `stages` cycles, one float a cycle.

    The fraction of a negative float is negated, which makes it the raw form, and rounded. Subnormals are
    normalized in formats that tell them apart; in the others all of them become ±minpos, or 0.

    Parameters
    ----------
    fmt : PositFormat
    float_format : {"float16", "bfloat16", "float32"}
    stages : int
        0..3: registers after the raw form, the shift into the encoding and the rounding, in this order of preference.

    Members
    -------
    bits : In(16 or 32)
        The IEEE 754 encoding: sign, exponent, fraction.
    code : Out(n)

    References
    ----------
    IEEE 754-2019, §3.4. Posit Working Group, "Standard for Posit Arithmetic (2022)", §6.5.
    """

    CUTS = ("normalized", "shifted", "rounded")

    def __init__(self, fmt: PositFormat, *, float_format: str, stages: int = 0):
        self.fmt = check_format("FromFloat", fmt)
        self.float_format = check_float_format("FromFloat", float_format)
        self.stages = check_stages("FromFloat", stages, self.CUTS)
        self.exponent_bits, self.fraction_bits = FLOAT_WIDTHS[float_format]
        super().__init__({"bits": In(1 + self.exponent_bits + self.fraction_bits), "code": Out(fmt.n)})

    @property
    def latency(self) -> int:
        """Cycles from a float to its code."""
        return self.stages

    @property
    def normalizes(self) -> bool:
        """Whether subnormals, below 2^(1 − bias), reach above the least magnitude that rounding tells from others."""
        fmt = self.fmt
        below = 1 << fmt.es if fmt.underflow else fmt.flush or 0
        return fmt.max_scale + below > _bias(self.exponent_bits) - 1

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        pipeline = Pipeline(m, self.CUTS, self.stages)
        width, bias = self.fraction_bits, _bias(self.exponent_bits)
        fraction, exponent, sign = self.bits[:width], self.bits[width:-1], self.bits[-1]
        subnormal = ~exponent.any()
        zero = subnormal & ~fraction.any()
        nar = exponent.all()

        m.submodules.encode = encode = Encoder(
            self.fmt,
            scale_bits=1 + (bias + width * self.normalizes).bit_length(),
            fraction_bits=width,
            stages=max(0, self.stages - 1),
        )
        negated = Signal(width + 1)  # of {0, fraction} or {hidden, fraction}
        scale = Signal(signed(encode.raw_layout.scale_bits))
        if self.normalizes:
            m.d.comb += negated.eq((Cat(fraction, ~subnormal) ^ sign.replicate(width + 1)) + sign)
            # The zero ends the run of the negative subnormal next to 0, which is all ones.
            shifted, run = normalize(m, Cat(Const(0, 1), negated), sign, name="norm")
            shifted = shifted[1:]
            m.d.comb += scale.eq((exponent | subnormal) - bias - run)
        else:
            m.d.comb += negated.eq((fraction ^ sign.replicate(width)) + sign)
            shifted = negated
            m.d.comb += scale.eq(exponent - bias - negated[-1])
        fraction, scale, sign, zero, nar = pipeline.cut(
            "normalized", fraction=shifted[:width], scale=scale, sign=sign, zero=zero, nar=nar
        )
        m.d.comb += [
            encode.raw.fraction.eq(fraction),
            encode.raw.scale.eq(scale),
            encode.raw.sign.eq(sign),
            encode.raw.zero.eq(zero),
            encode.raw.nar.eq(nar),
            self.code.eq(encode.code),
        ]
        return m


class ToFloat(wiring.Component):
    """The float nearest to a code, ties to even; NaR gives a quiet nan. Latency `stages` cycles, one code a cycle.

    Overflow gives an infinity, and what is too small becomes a subnormal or 0, by IEEE 754's rule. Rounding
    carries from the fraction into the exponent, so that the least normal float and infinity need no case.

    Parameters
    ----------
    fmt : PositFormat
    float_format : {"float16", "bfloat16", "float32"}
    stages : int
        0..3: registers after the decoder, the shift of subnormals and the rounding, in this order of preference.

    Members
    -------
    code : In(n)
    bits : Out(16 or 32)
        The IEEE 754 encoding: sign, exponent, fraction.

    References
    ----------
    IEEE 754-2019, §4.3.1 and §7. Posit Working Group, "Standard for Posit Arithmetic (2022)", §6.5.
    """

    CUTS = ("decoded", "shifted", "rounded")

    def __init__(self, fmt: PositFormat, *, float_format: str, stages: int = 0):
        self.fmt = check_format("ToFloat", fmt)
        self.float_format = check_float_format("ToFloat", float_format)
        self.stages = check_stages("ToFloat", stages, self.CUTS)
        self.exponent_bits, self.fraction_bits = FLOAT_WIDTHS[float_format]
        super().__init__({"code": In(fmt.n), "bits": Out(1 + self.exponent_bits + self.fraction_bits)})

    @property
    def latency(self) -> int:
        """Cycles from a code to its float."""
        return self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        fmt = self.fmt
        pipeline = Pipeline(m, self.CUTS, self.stages)
        width, bias = self.fraction_bits, _bias(self.exponent_bits)
        m.submodules.decode = decode = Decoder(fmt)
        m.d.comb += decode.code.eq(self.code)
        (raw,) = pipeline.cut("decoded", raw=decode.raw)

        # The magnitude: −(−2 + f) is 2 where f is 0, which is left to the scale.
        negated = Signal(fmt.fraction_bits + 1)
        scale = Signal(signed(max(fmt.scale_bits, self.exponent_bits) + 2))
        m.d.comb += negated.eq((raw.fraction ^ raw.sign.replicate(fmt.fraction_bits)) + raw.sign)
        m.d.comb += scale.eq(raw.scale + bias + negated[-1])
        fraction = Cat(Const(0, max(0, width + 1 - fmt.fraction_bits)), negated[: fmt.fraction_bits])
        tiny: Value = raw.zero
        sticky: Value = Const(0, 1)
        if fmt.max_scale > bias - 1:
            tiny = raw.zero | (scale < 1)
            amount = Signal(len(scale))
            m.d.comb += amount.eq(Mux(tiny, 1 - scale, 0))
            aligned, sticky = shift_right_sticky(m, Cat(fraction, ~raw.zero, Const(0, 1)), amount, name="align")
            fraction = aligned[:-2]
        over = Const(0, 1) if fmt.max_scale <= bias else scale > 2 * bias
        fraction, sticky, exponent, over, sign, nar = pipeline.cut(
            "shifted",
            fraction=fraction,
            sticky=sticky,
            exponent=Mux(tiny, 0, scale[: self.exponent_bits]),
            over=over,
            sign=raw.sign,
            nar=raw.nar,
        )

        extra = len(fraction) - width
        guard, sticky = fraction[extra - 1], sticky | fraction[: extra - 1].any()
        kept = Cat(fraction[extra:], exponent)
        magnitude = Signal(self.exponent_bits + width)
        m.d.comb += magnitude.eq(kept + (guard & (sticky | fraction[extra])))
        infinity = ((1 << self.exponent_bits) - 1) << width
        nan = infinity | 1 << (width - 1)
        bits = Mux(nar, nan, Cat(Mux(over, infinity, magnitude), sign))
        (bits,) = pipeline.cut("rounded", bits=bits)
        m.d.comb += self.bits.eq(bits)
        return m


def _bias(exponent_bits: int) -> int:
    return (1 << (exponent_bits - 1)) - 1
