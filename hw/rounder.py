"""`RawRounder`: the number of a format nearest to an unrounded one, without going through its code."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from positcore.format import PositFormat
from positcore.hw.parameters import check_format
from positcore.hw.raw import RawLayout
from positcore.hw.shifters import shift_right_sticky

__all__ = ["RawRounder", "at_most", "exact_code"]


class RawRounder(wiring.Component):
    """The raw form of the posit nearest to an unrounded number, which is that of the encoder's code. Combinational.

    {scale, fraction} counts up as codes do, carries from the fraction through the exponent into the regime, but for
    the place of the last bit, which the length of the regime's run tells. So nothing is shifted: the bits below that
    place are filled with ones, the rounding adds at their end, and they are cleared.

    Parameters
    ----------
    fmt : PositFormat
        The format to round to.
    scale_bits : int
        Width of the signed scale that comes in; any value in it is rounded correctly.
    fraction_bits : int
        Width of the fraction that comes in, at least fmt.fraction_bits + 1.

    Members
    -------
    unrounded : In(RawLayout(scale_bits, fraction_bits, sticky=True))
    raw : Out(RawLayout.of(fmt))
        Of 0 and NaR only the flags mean anything.
    """

    def __init__(self, fmt: PositFormat, *, scale_bits: int, fraction_bits: int):
        self.fmt = check_format("RawRounder", fmt)
        self.unrounded_layout = RawLayout(max(scale_bits, fmt.scale_bits), fraction_bits, sticky=True)
        if fraction_bits <= fmt.fraction_bits:
            raise ValueError(
                f"RawRounder: fraction_bits must be at least {fmt.fraction_bits + 1} for {fmt}, not {fraction_bits}"
            )
        super().__init__({"unrounded": In(self.unrounded_layout), "raw": Out(RawLayout.of(fmt))})

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        fmt, unrounded = self.fmt, self.unrounded
        sign = unrounded.sign

        # {regime, exponent} as it would stand in the code, and the regime's run length less one.
        flipped = Signal.like(unrounded.scale, name="flipped")
        m.d.comb += flipped.eq(unrounded.scale ^ sign.replicate(len(flipped)).as_signed())
        negative = flipped[-1]
        run = Signal(len(flipped) - 1 - fmt.es)
        m.d.comb += run.eq(flipped[fmt.es : -1] ^ negative.replicate(len(run)))
        full = Signal()  # neither terminator nor exponent nor fraction is left in the code
        m.d.comb += full.eq(~at_most(run, fmt.n - 3))

        # A run of r leaves n − 3 − r bits of {exponent, fraction}: bit i is kept where r ≤ i − offset.
        tail = Cat(unrounded.fraction, flipped[: fmt.es])
        offset = len(tail) - (fmt.n - 3)
        keeps = Signal(len(tail) + 1)
        m.d.comb += keeps.eq(Cat(at_most(run, i - offset) for i in range(len(keeps))))
        is_last = keeps & ~Cat(Const(0, 1), keeps)[: len(keeps)]
        guard, sticky, last = Signal(), Signal(), Signal()
        m.d.comb += [
            guard.eq((tail & is_last[1:]).any()),
            sticky.eq(unrounded.sticky | (tail & ~keeps[1:]).any()),
            # Where no bit is left the terminator is the last one.
            last.eq((Cat(tail, negative) & is_last).any()),
        ]
        rounded = Signal(len(tail) + len(flipped) - fmt.es)
        m.d.comb += rounded.eq(Cat(tail | ~keeps[:-1], flipped[fmt.es :]) + (guard & (last | sticky)))

        # Beyond the end of the range: maxpos or minpos, or as codes count, the last or the first one.
        fraction = Signal(fmt.fraction_bits)
        scale = Signal(signed(fmt.scale_bits))
        low, high = len(unrounded.fraction) - fmt.fraction_bits, len(unrounded.fraction)
        end = Mux(negative, Const(-fmt.max_scale, signed(fmt.scale_bits)), Const(fmt.max_scale, signed(fmt.scale_bits)))
        kept_scale = rounded[high:] & Cat(keeps[high:-1], Const(-1, len(run) + 1))
        m.d.comb += [
            fraction.eq(Mux(full, 0, rounded[low:high] & keeps[low:high])),
            scale.eq(Mux(full, end, kept_scale) ^ sign.replicate(fmt.scale_bits)),
            self.raw.sign.eq(sign),
            self.raw.scale.eq(scale),
            self.raw.fraction.eq(fraction),
            self.raw.zero.eq(unrounded.zero | self._vanishing(m, flipped, run)),
            self.raw.nar.eq(unrounded.nar),
        ]
        return m

    def _vanishing(self, m: Module, flipped: Value, run: Value) -> Value:
        """Whether the variant makes the number 0."""
        fmt, unrounded = self.fmt, self.unrounded
        tiny = flipped[-1] ^ unrounded.sign  # |x| < 1
        inside = unrounded.fraction.any() | unrounded.sticky
        if fmt.underflow:
            # A positive power of two there is a tie, between 0 and minpos; a negative one has a longer run.
            tie = ~unrounded.sign & (run == fmt.n - 2) & ~inside & ~flipped[: fmt.es].any()
            return tiny & ((run >= fmt.n - 1) | tie)
        if fmt.flush is not None:
            # A negative number's magnitude is in (2^−power − 1, 2^−power], the end where nothing follows.
            power, least = flipped.as_signed(), fmt.max_scale + fmt.flush
            return Mux(unrounded.sign, (power > least) | ((power == least) & inside), power < -least)
        return Const(0, 1)


def exact_code(m: Module, raw: data.View, fmt: PositFormat) -> Value:
    """The code of a number of the format in its exact raw form: as `Encoder`, with nothing to round."""
    flipped = Signal.like(raw.scale, name="flipped")
    m.d.comb += flipped.eq(raw.scale ^ raw.sign.replicate(len(flipped)).as_signed())
    negative = flipped[-1]
    run = flipped[fmt.es : -1] ^ negative.replicate(len(flipped) - 1 - fmt.es)
    pattern = Cat(raw.fraction, flipped[: fmt.es], negative, ~negative)
    pattern = Cat(Const(0, max(0, fmt.n - 1 - len(pattern))), pattern)[-(fmt.n - 1) :]
    body, _ = shift_right_sticky(m, pattern, run, name="regime")
    special = raw.zero | raw.nar
    return Cat(body.as_unsigned() & ~special.replicate(fmt.n - 1), Mux(special, raw.nar, raw.sign))


def at_most(number: Value, bound: int) -> Value:
    """number ≤ bound, as logic: a comparison would become a carry chain."""
    if bound < 0:
        return Const(0, 1)
    if bound >> len(number):
        return Const(1, 1)
    result: Value = Const(1, 1)
    for place, bit in enumerate(number):
        result = ~bit | result if bound >> place & 1 else ~bit & result
    return result
