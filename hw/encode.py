"""`Encoder`: the one rounder, from any unrounded raw form to a code."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from positcore.format import PositFormat
from positcore.hw.parameters import check_format, check_stages
from positcore.hw.pipeline import Pipeline
from positcore.hw.raw import RawLayout
from positcore.hw.shifters import increment, shift_right_sticky

__all__ = ["Encoder"]


class Encoder(wiring.Component):
    """The code nearest to an unrounded number. Latency `stages` cycles, one number a cycle.

    Regime, exponent and fraction are shifted as one into the infinitely long encoding, in two's complement
    as it stands, and rounded to the nearest code, ties to the even one. A nonzero number never becomes 0 or NaR:
    it saturates at ±minpos and ±maxpos. In the underflow variant |x| ≤ minpos / 2^(2^es) becomes 0, and in the
    flush variant |x| < minpos / 2^flush.

    The significand may be cut short, with sticky, provided that fraction_bits is at least that of the format
    plus one or nothing was cut.

    Parameters
    ----------
    fmt : PositFormat
        The format of the code.
    scale_bits : int
        Width of the signed scale that comes in; any value in it is rounded correctly.
    fraction_bits : int
        Width of the fraction that comes in.
    stages : int
        0..len(cuts(fmt)): registers after the shift, the rounding, the shift's amount and the direction of the
        rounding, in this order of preference, and then inside the shift.
    at : tuple of str, optional
        Which of the cuts are made, in place of the first `stages`.

    Members
    -------
    raw : In(RawLayout(scale_bits, fraction_bits, sticky=True))
    code : Out(n)

    References
    ----------
    Posit Working Group, "Standard for Posit Arithmetic (2022)", §4.1; G. Raposo, 2021, eq. 6 (underflow).
    """

    CUTS = ("shifted", "rounded")

    def __init__(
        self,
        fmt: PositFormat,
        *,
        scale_bits: int,
        fraction_bits: int,
        stages: int = 0,
        at: tuple[str, ...] | None = None,
    ):
        self.fmt = check_format("Encoder", fmt)
        self.raw_layout = RawLayout(scale_bits, fraction_bits, sticky=True)
        self.at = self.cuts(fmt)[: check_stages("Encoder", stages, self.cuts(fmt))] if at is None else at
        assert set(self.at) <= set(self.cuts(fmt))
        self.stages = len(self.at)
        super().__init__({"raw": In(self.raw_layout), "code": Out(fmt.n)})

    @staticmethod
    def parts(fmt: PositFormat) -> dict[str, int]:
        """Where it can be cut, in the order of the data, with the delays between, as for `balanced`."""
        inner = {f"shift_{1 << level}": 1 for level in reversed(range(1, fmt.regime_count_bits))}
        return {"amount": 3} | inner | {"shifted": 2, "decided": 1, "rounded": 2 + fmt.n // 10}

    @staticmethod
    def cuts(fmt: PositFormat) -> tuple[str, ...]:
        """Where it can be cut, in order of preference."""
        first = (*Encoder.CUTS, "amount", "decided")
        return first + tuple(cut for cut in Encoder.parts(fmt) if cut not in first)

    @property
    def latency(self) -> int:
        """Cycles from a number to its code."""
        return self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        fmt = self.fmt
        raw = self.raw
        pipeline = Pipeline(m, (*self.at, *self.cuts(fmt)), self.stages)

        # {regime, exponent} as it will stand in the code is the scale XOR sign; the regime's run length less one.
        scale = Signal(signed(max(self.raw_layout.scale_bits, fmt.es + 1)))
        m.d.comb += scale.eq(raw.scale)
        exponent, negative = scale[: fmt.es] ^ raw.sign.replicate(fmt.es), scale[-1] ^ raw.sign
        regime = scale[fmt.es : -1]
        run = Signal(len(regime), name="run")
        m.d.comb += run.eq(regime ^ scale[-1].replicate(len(regime)))

        # From a run of n − 1 bits on, no terminator, exponent or fraction is left in the code.
        full = Signal()
        amount = Signal(fmt.regime_count_bits)
        m.d.comb += [full.eq(run >= fmt.n - 2), amount.eq(Mux(full, fmt.n - 2, run))]

        # The top n bits of the pattern are the n − 1 bits after the sign and the guard bit.
        pattern = Cat(raw.fraction, exponent, negative, ~negative)
        below = max(0, len(pattern) - fmt.n)
        low_sticky = raw.sticky | pattern[:below].any()
        pattern = Cat(Const(0, max(0, fmt.n - len(pattern))), pattern[below:])

        tiny = negative ^ raw.sign  # |x| < 1: rounds towards zero at the end of the range
        vanishing = Signal()
        if fmt.underflow:
            m.d.comb += vanishing.eq(tiny & (run >= fmt.n - 1))
        elif fmt.flush is not None:
            # A negative number's magnitude is in (2^−power − 1, 2^−power], the end where nothing follows.
            power, least = (scale ^ raw.sign.replicate(len(scale)).as_signed()), fmt.max_scale + fmt.flush
            inside = raw.fraction.any() | raw.sticky
            m.d.comb += vanishing.eq(Mux(raw.sign, (power > least) | ((power == least) & inside), power < -least))
        at_end = full & ~tiny if fmt.underflow else full
        pipeline.beside = {
            "sign": raw.sign, "vanishing": vanishing, "zero": raw.zero, "nar": raw.nar,
            "low_sticky": low_sticky, "at_end": at_end,
        }  # fmt: skip
        pattern, amount = pipeline.cut("amount", pattern=pattern, amount=amount)
        shifted, shift_sticky = shift_right_sticky(
            m, pattern, amount, name="regime", cut=lambda place, **values: pipeline.cut(f"shift_{place}", **values)
        )
        sign, vanishing, zero, nar, low_sticky, at_end = pipeline.beside.values()
        pipeline.beside = {"vanishing": vanishing, "zero": zero, "nar": nar}
        sticky = low_sticky | shift_sticky | at_end
        sign, body, guard, sticky = pipeline.cut(
            "shifted", sign=sign, body=shifted[1:], guard=shifted[0], sticky=sticky
        )
        vanishing, zero, nar = pipeline.beside.values()

        # At the end of the range the guard bit is 1 only where the body is 0, which must become 1.
        round_up = Signal()
        m.d.comb += round_up.eq(guard & (body[0] | sticky))
        if fmt.variant:
            with m.If(vanishing):
                m.d.comb += round_up.eq(sign)
        pipeline.beside = {"zero": zero, "nar": nar}
        sign, body, round_up = pipeline.cut("decided", sign=sign, body=body, round_up=round_up)
        zero, nar = pipeline.beside.values()
        rounded = increment(m, Cat(body, sign), round_up, name="round")
        code = Signal(fmt.n)
        m.d.comb += code.eq(Mux(nar, fmt.nar, Mux(zero, 0, rounded)))
        pipeline.beside = {}
        (code,) = pipeline.cut("rounded", code=code)
        m.d.comb += self.code.eq(code)
        return m
