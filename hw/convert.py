"""`Converter`: from the codes of one format to those of another."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from positcore.format import PositFormat
from positcore.hw.decode import Decoder
from positcore.hw.encode import Encoder
from positcore.hw.parameters import check_format, check_stages
from positcore.hw.pipeline import Pipeline

__all__ = ["Converter"]


class Converter(wiring.Component):
    """The code of one format nearest to a code of another. Latency `stages` cycles, one code a cycle.

    Decoder and rounder, but where both formats have the same es: then codes are cuts of the same infinitely long
    encoding. The wider code is the narrower one with zeros after it; the other way the code itself is rounded,
    in two's complement as it stands, and kept from becoming 0 or NaR. (Only a destination with `flush`, whose
    threshold is no tie of the encoding, takes the long way.)

    Parameters
    ----------
    source, destination : PositFormat
    stages : int
        0..3: registers after the decoder, the shift into the encoding and the rounding, in this order of preference.

    Members
    -------
    a : In(source.n)
    code : Out(destination.n)

    References
    ----------
    Posit Working Group, "Standard for Posit Arithmetic (2022)", §6.4.
    """

    CUTS = ("decoded", "shifted", "rounded")

    def __init__(self, source: PositFormat, destination: PositFormat, *, stages: int = 0):
        self.source = check_format("Converter", source)
        self.destination = check_format("Converter", destination)
        self.stages = check_stages("Converter", stages, self.CUTS)
        super().__init__({"a": In(source.n), "code": Out(destination.n)})

    @property
    def latency(self) -> int:
        """Cycles from a code to the other."""
        return self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        source, destination = self.source, self.destination
        pipeline = Pipeline(m, self.CUTS, self.stages)
        if source.es == destination.es and (source.n <= destination.n or destination.flush is None):
            (a,) = pipeline.cut("decoded", a=self.a)
            (a,) = pipeline.cut("shifted", a=a)
            code = Cat(Const(0, destination.n - source.n), a) if source.n <= destination.n else self._cut_short(m, a)
            (code,) = pipeline.cut("rounded", code=code)
            m.d.comb += self.code.eq(code)
            return m
        m.submodules.decode = decode = Decoder(source)
        m.d.comb += decode.code.eq(self.a)
        (raw,) = pipeline.cut("decoded", raw=decode.raw)
        m.submodules.encode = encode = Encoder(
            destination,
            scale_bits=source.scale_bits,
            fraction_bits=source.fraction_bits,
            stages=max(0, self.stages - 1),
        )
        m.d.comb += [
            encode.raw.fraction.eq(raw.fraction),
            encode.raw.scale.eq(raw.scale),
            encode.raw.sign.eq(raw.sign),
            encode.raw.zero.eq(raw.zero),
            encode.raw.nar.eq(raw.nar),
        ]
        m.d.comb += self.code.eq(encode.code)
        return m

    def _cut_short(self, m: Module, a: Value) -> Value:
        """The upper bits of a code, rounded to nearest, ties to even."""
        below = self.source.n - self.destination.n
        body, sign = a[below:-1], a[-1]
        guard, sticky = a[below - 1], a[: below - 1].any()
        low, high = ~body.any(), body.all()  # next to 0 or NaR on one side, to NaR or 0 on the other
        if self.destination.underflow:
            low, high = low & sign, high & ~sign
        round_up = Signal()
        code = Signal(self.destination.n)
        m.d.comb += round_up.eq(Mux(low, guard | sticky, guard & (body[0] | sticky) & ~high))
        m.d.comb += code.eq(Cat(body, sign) + round_up)
        return code
