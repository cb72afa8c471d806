"""`Divider` and `IterativeDivider`: the quotient of two codes."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from positcore.format import PositFormat
from positcore.hw.decode import Decoder
from positcore.hw.encode import Encoder
from positcore.hw.parameters import check_format, check_stages
from positcore.hw.pipeline import Pipeline
from positcore.hw.raw import significand
from positcore.hw.rows import END_CUTS, SHORTEST_CHAIN, digits_per_cycle, row_cuts, spread_cuts

__all__ = ["Divider", "IterativeDivider"]


class Divider(wiring.Component):
    """a / b, rounded once; a / 0 is NaR. Latency `stages` cycles, one pair a cycle.

    The signed significands are divided by non-restoring rows, which add or subtract the divisor by its sign and that
    of the remainder. These decisions are the bits of the quotient in two's complement, and they make its floor if a
    remainder of 0 counts as one of the divisor's sign: where the divisor is negative, remainders are kept one unit
    lower. The quotient is exact where the last remainder is the divisor's negative.

    Parameters
    ----------
    fmt : PositFormat
    stages : int
        Registers after the last row, the decoders and the rounding, in this order of preference, and then
        between rows, evenly apart; at most as many as `Divider.cuts(fmt)` has.

    Members
    -------
    a, b : In(n)
    code : Out(n)

    References
    ----------
    M. D. Ercegovac, T. Lang, "Division and Square Root: Digit-Recurrence Algorithms and Implementations", 1994.
    """

    CUTS = END_CUTS

    def __init__(self, fmt: PositFormat, *, stages: int = 0):
        self.fmt = check_format("Divider", fmt)
        self.stages = check_stages("Divider", stages, self.cuts(fmt))
        super().__init__({"a": In(fmt.n), "b": In(fmt.n), "code": Out(fmt.n)})

    @staticmethod
    def cuts(fmt: PositFormat) -> tuple[str, ...]:
        """Where the pipeline for a format can be cut: `CUTS`, and between its rows."""
        return row_cuts(_rows(fmt))

    @property
    def latency(self) -> int:
        """Cycles from a pair of codes to its result."""
        return self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        fmt = self.fmt
        rows = _rows(fmt)
        pipeline = Pipeline(m, spread_cuts(rows, self.stages), self.stages)
        m.submodules.decode_a = decode_a = Decoder(fmt)
        m.submodules.decode_b = decode_b = Decoder(fmt)
        m.d.comb += [decode_a.code.eq(self.a), decode_b.code.eq(self.b)]
        a, b = pipeline.cut("decoded", a=decode_a.raw, b=decode_b.raw)

        divisor: Value = significand(b)
        remainder, quotient = _first_row(m, significand(a), divisor)
        scale, zero, nar = _special(m, fmt, a, b)
        for row in range(1, rows + 1):
            remainder, digit = _row(m, remainder, divisor, name=f"row_{row}")
            remainder, divisor, quotient, scale, zero, nar = pipeline.cut(
                f"row_{row}" if row < rows else "computed",
                remainder=remainder, divisor=divisor, quotient=Cat(digit, quotient), scale=scale, zero=zero, nar=nar,
            )  # fmt: skip

        m.submodules.encode = encode = _rounder(fmt, rows)
        m.d.comb += _unrounded(m, encode.raw, remainder, divisor, quotient, scale, zero, nar)
        (code,) = pipeline.cut("rounded", code=encode.code)
        m.d.comb += self.code.eq(code)
        return m


class IterativeDivider(wiring.Component):
    """a / b, rounded once, by one row of `Divider` in each cycle, or by two; a / 0 is NaR.

    One pair is in work at a time. Latency is 1 + ceil((fraction_bits + 3) / log2(radix)) cycles, and one result
    comes each latency cycles: the next pair enters in the cycle in which a result is taken. A result waits,
    unchanged, until it is taken. Reset drops what was begun.

    Parameters
    ----------
    fmt : PositFormat
    radix : int
        2 or 4: one or two binary digits a cycle.

    Members
    -------
    i : In(stream.Signature({a, b}))
    o : Out(stream.Signature({code}))
    """

    def __init__(self, fmt: PositFormat, *, radix: int = 2):
        self.fmt = check_format("IterativeDivider", fmt)
        self._step = digits_per_cycle("IterativeDivider", radix)
        self.radix = radix
        operands, result = data.StructLayout({"a": fmt.n, "b": fmt.n}), data.StructLayout({"code": fmt.n})
        super().__init__({"i": In(stream.Signature(operands)), "o": Out(stream.Signature(result))})

    @property
    def latency(self) -> int:
        """Cycles from a pair of codes to its result, and from one pair to the next."""
        return 1 + -(-_rows(self.fmt) // self._step)

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        fmt = self.fmt
        rows = (self.latency - 1) * self._step
        m.submodules.decode_a = decode_a = Decoder(fmt)
        m.submodules.decode_b = decode_b = Decoder(fmt)
        a, b = decode_a.raw, decode_b.raw
        m.d.comb += [decode_a.code.eq(self.i.payload.a), decode_b.code.eq(self.i.payload.b)]

        # The one before the quotient's digits reaches the top when all of them are there.
        busy = Signal()
        digits = Signal(rows + 1, reset_less=True)
        done = Signal()
        m.d.comb += [
            done.eq(busy & digits[-1]),
            self.o.valid.eq(done),
            self.i.ready.eq(~busy | (done & self.o.ready)),
        ]

        start, first = _first_row(m, significand(a), significand(b))
        scale, zero, nar = _special(m, fmt, a, b)
        held = [
            Signal.like(value, name=name, reset_less=True)
            for name, value in (("scale", scale), ("zero", zero), ("nar", nar), ("first", first))
        ]
        remainder = Signal(signed(fmt.significand_bits + 1), reset_less=True)
        divisor = Signal(signed(fmt.significand_bits + 1), reset_less=True)
        following, quotient = remainder, digits
        for row in range(self._step):
            following, digit = _row(m, following, divisor, name=f"row_{row}")
            quotient = Cat(digit, quotient)
        with m.If(self.i.ready):
            m.d.sync += [
                busy.eq(self.i.valid), digits.eq(1), remainder.eq(start), divisor.eq(significand(b)),
                *(register.eq(value) for register, value in zip(held, (scale, zero, nar, first), strict=True)),
            ]  # fmt: skip
        with m.Elif(~done):
            m.d.sync += [remainder.eq(following), digits.eq(quotient)]

        m.submodules.encode = encode = _rounder(fmt, rows)
        scale, zero, nar, first = held
        m.d.comb += _unrounded(m, encode.raw, remainder, divisor, Cat(digits[:-1], first), scale, zero, nar)
        m.d.comb += self.o.payload.code.eq(encode.code)
        return m


def _rows(fmt: PositFormat) -> int:
    """Digits after the first: one more than the rounder needs, since a quotient may lie a binade below 1."""
    return fmt.fraction_bits + 3


def _special(m: Module, fmt: PositFormat, a: data.View, b: data.View) -> tuple[Value, Value, Value]:
    """(scale, zero, nar) of a quotient whose significand lies in [1, 2) or [−2, −1)."""
    scale = Signal(signed(fmt.product_scale_bits), name="scale_start")
    m.d.comb += scale.eq(a.scale - b.scale)
    return scale, a.zero, a.nar | b.nar | b.zero


def _first_row(m: Module, dividend: Value, divisor: Value) -> tuple[Value, Value]:
    """(remainder, digit) of the signs alone; the digit is 1 where the divisor was subtracted, and weighs 1."""
    lowered = Signal(signed(len(dividend)), name="lowered")
    remainder = Signal(signed(len(dividend)), name="remainder_start")
    alike = Signal(name="alike")
    m.d.comb += [
        alike.eq(~(dividend[-1] ^ divisor[-1])),
        lowered.eq(dividend - divisor[-1]),
        remainder.eq(lowered + (divisor ^ alike.replicate(len(divisor))).as_signed() + alike),
    ]
    return remainder, alike


def _row(m: Module, remainder: Value, divisor: Value, *, name: str) -> tuple[Value, Value]:
    """(remainder, digit) of the row after a remainder, whose doubled value ends in the divisor's sign.

    The lowest bit is then the same in every row, and only its carry goes into the chain of the others, unless so few
    are left that tools would not make a chain of them.
    """
    sign, low = divisor[-1], 1 if len(divisor) > SHORTEST_CHAIN else 0
    digit = Signal(name=f"{name}_digit")
    carry = Signal(name=f"{name}_carry")
    above = Signal(len(divisor) - low, name=f"{name}_above")
    following = Signal(signed(len(divisor)), name=f"{name}_remainder")
    doubled = Cat(sign, remainder[:-1])
    m.d.comb += [
        digit.eq(~(remainder[-1] ^ sign)),
        carry.eq(Mux(digit, sign | ~divisor[0], sign & divisor[0]) if low else digit),
        above.eq(doubled[low:] + (divisor[low:] ^ digit.replicate(len(above))) + carry),
        following.eq(Cat((sign ^ divisor[0]).replicate(low), above)),
    ]
    return following, digit


def _rounder(fmt: PositFormat, rows: int) -> Encoder:
    return Encoder(fmt, scale_bits=fmt.product_scale_bits, fraction_bits=rows - 1)


def _unrounded(
    m: Module, raw: data.View, remainder: Value, divisor: Value, quotient: Value, scale: Value, zero: Value, nar: Value
) -> list[Assign]:
    """The raw form of a quotient of two integer bits, the first digit's complement and the second.

    It lies in [1, 2) or [−2, −1), or it is brought there by one place; −1/2, a power of two, needs a second one,
    but its fraction is empty in either place.
    """
    low, ones, sign = quotient[:-2], quotient[-2], ~quotient[-1]
    narrow, outlier = Signal(), Signal()
    # remainder + divisor is 0, or −1 for a negative divisor: bit by bit, with the carries that this would have.
    negative = divisor[-1].replicate(len(divisor))
    carries = Cat(Const(0, 1), (remainder | divisor)[:-1]) | negative
    return [
        narrow.eq(~(ones ^ sign)),
        outlier.eq(narrow & sign & low[-1]),
        raw.sign.eq(sign),
        raw.scale.eq(scale + Cat(narrow & ~outlier, narrow).as_signed()),
        raw.fraction.eq(Mux(narrow, Cat(Const(0, 1), low[:-1]), low)),
        raw.sticky.eq(((remainder ^ divisor).as_unsigned() ^ carries).any()),
        raw.zero.eq(zero),
        raw.nar.eq(nar),
    ]
