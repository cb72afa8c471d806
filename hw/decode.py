"""`Decoder`: from a code to the raw form."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from positcore.format import PositFormat
from positcore.hw.parameters import check_format, check_stages
from positcore.hw.pipeline import Pipeline
from positcore.hw.raw import RawLayout
from positcore.hw.shifters import normalize_at, normalize_parts

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
        0..len(cuts(fmt)): registers after the decoder, then inside, between the shifts.
    at : tuple of str, optional
        Which of the cuts are made, in place of the first `stages`.

    Members
    -------
    code : In(n)
    raw : Out(RawLayout.of(fmt))
    """

    CUTS = ("decoded",)

    def __init__(self, fmt: PositFormat, *, stages: int = 0, at: tuple[str, ...] | None = None):
        self.fmt = check_format("Decoder", fmt)
        self.at = self.cuts(fmt)[: check_stages("Decoder", stages, self.cuts(fmt))] if at is None else at
        assert set(self.at) <= set(self.cuts(fmt))
        self.stages = len(self.at)
        self.raw_layout = RawLayout.of(fmt)
        super().__init__({"code": In(fmt.n), "raw": Out(self.raw_layout)})

    @staticmethod
    def parts(fmt: PositFormat) -> dict[str, int]:
        """Where it can be cut, in the order of the data, with the delays between, as for `balanced`."""
        return normalize_parts(fmt.n - 2, "regime") | {"decoded": 3}

    @staticmethod
    def cuts(fmt: PositFormat) -> tuple[str, ...]:
        """Where it can be cut, in order of preference."""
        return tuple(Decoder.parts(fmt))[::-1]

    @property
    def latency(self) -> int:
        """Cycles from a code to its raw form."""
        return self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        fmt = self.fmt
        raw = Signal(self.raw_layout, name="decoded")
        pipeline = Pipeline(m, (*self.at, *self.cuts(fmt)), self.stages)

        sign = self.code[-1]
        first = self.code[-2]
        special = Signal()
        m.d.comb += special.eq(~self.code[:-1].any())

        # After the run, the terminating bit is on top; what follows is {exponent, fraction}.
        pipeline.beside = {"sign": sign, "special": special}
        shifted, run, first = normalize_at(
            m, self.code[: fmt.n - 2], first, name="regime",
            cut=lambda place, **values: pipeline.cut(f"regime_{place}", **values),
        )  # fmt: skip
        sign, special = pipeline.beside.values()
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
        pipeline.beside = {}
        (decoded,) = pipeline.cut("decoded", raw=raw)
        m.d.comb += self.raw.eq(decoded)
        return m
