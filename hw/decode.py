"""`Decoder`: from a code to the raw form."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from positcore.format import PositFormat
from positcore.hw.parameters import check_format, check_stages
from positcore.hw.pipeline import Pipeline
from positcore.hw.raw import RawLayout
from positcore.hw.shifters import normalize

__all__ = ["Decoder"]


class Decoder(wiring.Component):
    """The raw form of a code, exactly. Latency `stages` cycles, one code a cycle.

    The run of bits that equal the first regime bit is counted and shifted out at once; regime, exponent and
    fraction then stand at fixed places, and one XOR with the sign makes {regime, exponent} the scale. Exponent
    bits that do not fit the code (`es > n − 3`) read as zero. For zero, sign and fraction are 0.

    Parameters
    ----------
    fmt : PositFormat
    stages : int
        0 or 1: a register after the decoder.

    Members
    -------
    code : In(n)
    raw : Out(RawLayout.of(fmt))
    """

    CUTS = ("decoded",)

    def __init__(self, fmt: PositFormat, *, stages: int = 0):
        self.fmt = check_format("Decoder", fmt)
        self.stages = check_stages("Decoder", stages, self.CUTS)
        self.raw_layout = RawLayout.of(fmt)
        super().__init__({"code": In(fmt.n), "raw": Out(self.raw_layout)})

    @property
    def latency(self) -> int:
        """Cycles from a code to its raw form."""
        return self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        fmt = self.fmt
        raw = Signal(self.raw_layout, name="decoded")

        sign = self.code[-1]
        first = self.code[-2]
        special = Signal()
        m.d.comb += special.eq(~self.code[:-1].any())

        # After the run, the terminating bit is on top; what follows is {exponent, fraction}.
        shifted, run = normalize(m, self.code[: fmt.n - 2], first, name="regime")
        tail = shifted[: max(0, fmt.n - 3)]
        tail = Cat(Const(0, fmt.es + fmt.fraction_bits - len(tail)), tail)
        exponent = tail[fmt.fraction_bits :]
        flip = ~(first ^ sign)
        m.d.comb += [
            raw.sign.eq(sign),
            raw.fraction.eq(tail[: fmt.fraction_bits]),
            raw.scale.eq(Cat(exponent ^ sign.replicate(fmt.es), run ^ flip.replicate(fmt.regime_count_bits), flip)),
            raw.zero.eq(special & ~sign),
            raw.nar.eq(special & sign),
        ]
        (decoded,) = Pipeline(m, self.CUTS, self.stages).cut("decoded", raw=raw)
        m.d.comb += self.raw.eq(decoded)
        return m
