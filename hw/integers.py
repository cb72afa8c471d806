"""Posits and integers: the nearest integral posit, and conversions from and to integers of 8 to 64 bits."""

from __future__ import annotations

from fractions import Fraction

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from positcore.format import PositFormat
from positcore.hw.decode import Decoder
from positcore.hw.encode import Encoder
from positcore.hw.parameters import check_bits, check_format, check_signed, check_stages
from positcore.hw.pipeline import Pipeline
from positcore.hw.raw import significand
from positcore.hw.shifters import normalize_sticky, shift_right_sticky
from positcore.rational import round_fraction, value_of

__all__ = ["FromInteger", "IntegralRounder", "ToInteger"]


class IntegralRounder(wiring.Component):
    """The integral posit nearest to a code, ties to the even integer. Latency `stages` cycles, one code a cycle.

    Nothing is decoded. Where |a| ≥ 1, the bits right of the point are cut off the code itself and the unit is rounded
    there: a carry runs on into exponent and regime, as codes count up. How many bits that are follows from a
    comparison of the code with that of each power of two up to 2^fraction_bits. Below 1 the result is 0 or ±1,
    by a comparison with 1/2. NaR stays NaR.

    Parameters
    ----------
    fmt : PositFormat
    stages : int
        0..2: registers after the comparisons and the rounding, in this order of preference.

    Members
    -------
    a : In(n)
    code : Out(n)

    References
    ----------
    Posit Working Group, "Standard for Posit Arithmetic (2022)", §5.2, nearestInt.
    """

    CUTS = ("compared", "rounded")

    def __init__(self, fmt: PositFormat, *, stages: int = 0):
        self.fmt = check_format("IntegralRounder", fmt)
        self.stages = check_stages("IntegralRounder", stages, self.CUTS)
        super().__init__({"a": In(fmt.n), "code": Out(fmt.n)})

    @property
    def latency(self) -> int:
        """Cycles from a code to the result."""
        return self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic."""
        m = Module()
        fmt = self.fmt
        pipeline = Pipeline(m, self.CUTS, self.stages)

        # |a|, less an ulp if a < 0: so that −2^s, which is integral anyway, counts as below 2^s.
        sign = self.a[-1]
        size = Signal(fmt.n - 1)
        m.d.comb += size.eq(self.a[:-1] ^ sign.replicate(fmt.n - 1))
        mask = Signal(fmt.fraction_bits, name="mask")
        m.d.comb += [mask[j].eq(_below(size, code)) for j, code in enumerate(_ends_of_fractions(fmt))]
        half = _floor_of_half(fmt)
        up = Signal()
        m.d.comb += up.eq(Mux(sign, ~_below(size, half), ~_below(size, half + 1)))
        a, mask, small, up = pipeline.cut("compared", a=self.a, mask=mask, small=~size[-1], up=up)

        # Add half a unit, less an ulp where the integer below is even: a tie then stays there. The unit of 1 ≤ |a| < 2
        # is the hidden bit: the integer below is 1 or −2.
        odd = Signal()
        if fmt.fraction_bits:
            unit = mask & ~Cat(mask[1:], Const(0, 1))  # the place right of the unit
            m.d.comb += odd.eq((a[1 : fmt.fraction_bits] & unit[:-1]).any() | (unit[-1] & ~a[-1]))
        total = Signal(fmt.n)
        rounded = Signal(fmt.n)
        m.d.comb += total.eq(a + mask[1:] + odd)
        m.d.comb += rounded.eq(total & ~Cat(mask, Const(0, fmt.n - len(mask))))
        one = Cat(Const(0, fmt.n - 2), up, a[-1] & up)
        (code,) = pipeline.cut("rounded", code=Mux(small, one, rounded))
        m.d.comb += self.code.eq(code)
        return m


class FromInteger(wiring.Component):
    """The code nearest to an integer. Latency `stages` cycles, one integer a cycle.

    The integer is normalized as it stands, in two's complement, and rounded. The most negative signed integer gives
    NaR; every unsigned one is a number.

    Parameters
    ----------
    fmt : PositFormat
    bits : 8, 16, 32 or 64
        Width of the integer.
    signed : bool
    stages : int
        0..3: registers after the normalization, the shift into the encoding and the rounding, in this order of
        preference.

    Members
    -------
    value : In(signed(bits)) or In(bits)
    code : Out(n)

    References
    ----------
    Posit Working Group, "Standard for Posit Arithmetic (2022)", §6.
    """

    CUTS = ("normalized", "shifted", "rounded")

    def __init__(self, fmt: PositFormat, *, bits: int, signed: bool = True, stages: int = 0):
        self.fmt = check_format("FromInteger", fmt)
        self.bits = check_bits("FromInteger", bits)
        self.signed = check_signed("FromInteger", signed)
        self.stages = check_stages("FromInteger", stages, self.CUTS)
        super().__init__({"value": In(Shape(bits, signed)), "code": Out(fmt.n)})

    @property
    def latency(self) -> int:
        """Cycles from an integer to its code."""
        return self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        pipeline = Pipeline(m, self.CUTS, self.stages)
        sign = self.value[-1] if self.signed else Const(0, 1)
        magnitude = self.value[:-1] if self.signed else self.value[:]
        width = len(magnitude)
        keep = self.fmt.fraction_bits + 2
        if 4 * keep > 3 * width:  # little would be saved
            keep = width
        shifted, run, sticky = normalize_sticky(m, magnitude, sign, keep, name="norm")
        nothing = Signal()
        if keep == width:
            m.d.comb += nothing.eq(~magnitude.any())
        else:  # the same from fewer bits: else nothing is left of −2^i alone, and that had a run
            m.d.comb += nothing.eq(~shifted.any() & ~sticky & ~(sign & run.any()))
        fraction, sticky, run, sign, zero, nar = pipeline.cut(
            "normalized",
            fraction=shifted[:-1],
            sticky=sticky,
            run=run,
            sign=sign,
            zero=nothing & ~sign,
            nar=nothing & sign,
        )
        m.submodules.encode = encode = Encoder(
            self.fmt,
            scale_bits=1 + (width - 1).bit_length(),
            fraction_bits=len(fraction),
            stages=max(0, self.stages - 1),
        )
        m.d.comb += [
            encode.raw.fraction.eq(fraction),
            encode.raw.scale.eq(width - 1 - run),  # −1 for the integer −1
            encode.raw.sign.eq(sign),
            encode.raw.zero.eq(zero),
            encode.raw.nar.eq(nar),
            encode.raw.sticky.eq(sticky),
            self.code.eq(encode.code),
        ]
        return m


class ToInteger(wiring.Component):
    """The integer nearest to a code, ties to the even one. Latency `stages` cycles, one code a cycle.

    The significand is shifted right, with sticky, from the place where it has the largest scale that fits, and
    rounded once. NaR and what does not fit after rounding give the integer whose only set bit is the top one.

    Parameters
    ----------
    fmt : PositFormat
    bits : 8, 16, 32 or 64
        Width of the integer.
    signed : bool
    stages : int
        0..3: registers after the shift, the decoder and the rounding, in this order of preference.

    Members
    -------
    code : In(n)
    value : Out(signed(bits)) or Out(bits)

    References
    ----------
    Posit Working Group, "Standard for Posit Arithmetic (2022)", §6.
    """

    CUTS = ("shifted", "decoded", "rounded")

    def __init__(self, fmt: PositFormat, *, bits: int, signed: bool = True, stages: int = 0):
        self.fmt = check_format("ToInteger", fmt)
        self.bits = check_bits("ToInteger", bits)
        self.signed = check_signed("ToInteger", signed)
        self.stages = check_stages("ToInteger", stages, self.CUTS)
        super().__init__({"code": In(fmt.n), "value": Out(Shape(bits, signed))})

    @property
    def latency(self) -> int:
        """Cycles from a code to its integer."""
        return self.stages

    @property
    def width(self) -> int:
        """Bits, with a sign, that are computed: those of the integer, or of ±maxpos if that is narrower."""
        return min(self.bits + (not self.signed), self.fmt.max_scale + 2)

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        fmt, width, top = self.fmt, self.width, self.width - 2
        pipeline = Pipeline(m, self.CUTS, self.stages)
        m.submodules.decode = decode = Decoder(fmt)
        m.d.comb += decode.code.eq(self.code)
        (raw,) = pipeline.cut("decoded", raw=decode.raw)

        # With the scale `top` the integer bits of the significand are the top two of the integer.
        value = significand(raw)
        below = max(1, fmt.fraction_bits - top)  # bits right of the point
        value = Cat(Const(0, top + below - fmt.fraction_bits), value)
        amount = Signal(signed(max(fmt.scale_bits, (top + 1).bit_length() + 1) + 1))
        m.d.comb += amount.eq(top - raw.scale)
        excess = Const(0, 1) if fmt.max_scale <= top else amount[-1]
        shifted, sticky = shift_right_sticky(m, value, amount[:-1], name="align")
        shifted, sticky, excess = pipeline.cut(
            "shifted", shifted=shifted, sticky=sticky | shifted[: below - 1].any(), excess=excess | raw.nar
        )

        integer = shifted[below:]
        rounded = Signal(signed(width))
        m.d.comb += rounded.eq((integer + (shifted[below - 1] & (integer[0] | sticky)))[:width].as_signed())
        # One that rounds up to 2^(width − 1) wraps to the most negative one, which has the top bit or a sign.
        invalid = excess if self.signed else excess | rounded[-1]
        (result,) = pipeline.cut("rounded", result=Mux(invalid, 1 << (self.bits - 1), rounded)[: self.bits])
        m.d.comb += self.value.eq(result)
        return m


def _below(size: Value, code: int) -> Value:
    """Whether size < code, without the zeros at the end of code."""
    if code >= 1 << len(size):
        return Const(1, 1)
    if code == 0:
        return Const(0, 1)
    zeros = (code & -code).bit_length() - 1
    return size[zeros:] < (code >> zeros)


def _ends_of_fractions(fmt: PositFormat) -> list[int]:
    """For each bit of the longest fraction, the code of the least power of two from which on the unit is not above it.

    A code of the scale s ≥ 0 has n − 3 − es − ⌊s / 2^es⌋ fraction bits, of which all but s are right of the point.
    """
    ends = []
    for bit in range(fmt.fraction_bits):
        scale = 0
        while fmt.fraction_bits - (scale >> fmt.es) - scale > bit:
            scale += 1
        ends.append(round_fraction(fmt, 1 << scale))
    return ends


def _floor_of_half(fmt: PositFormat) -> int:
    """The greatest code whose value is not above 1/2."""
    half = Fraction(1, 2)
    code = round_fraction(fmt, half)
    value = value_of(fmt, code)
    return code if value is not None and value <= half else code - 1
