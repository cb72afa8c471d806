"""`SquareRoot` and `IterativeSquareRoot`: the square root of a code."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from positcore.format import PositFormat
from positcore.hw.decode import Decoder
from positcore.hw.encode import Encoder
from positcore.hw.parameters import check_format, check_stages
from positcore.hw.pipeline import Pipeline
from positcore.hw.rows import END_CUTS, digits_per_cycle, row_cuts, spread_cuts

__all__ = ["IterativeSquareRoot", "SquareRoot"]


class SquareRoot(wiring.Component):
    """√a, rounded once; of a negative number it is NaR. Latency `stages` cycles, one code a cycle.

    The significand, doubled where the scale is odd, lies in [1, 4), so that its root needs no normalization. A
    non-restoring row brings down two bits of it, and adds or subtracts the root so far by the sign of the remainder;
    each row is a bit wider than the one before. The root is exact where restoring the last remainder makes it 0.

    Parameters
    ----------
    fmt : PositFormat
    stages : int
        Registers after the last row, the decoder and the rounding, in this order of preference, and then between
        rows, evenly apart; at most as many as `SquareRoot.cuts(fmt)` has.

    Members
    -------
    a : In(n)
    code : Out(n)

    References
    ----------
    M. D. Ercegovac, T. Lang, "Division and Square Root: Digit-Recurrence Algorithms and Implementations", 1994.
    """

    CUTS = END_CUTS

    def __init__(self, fmt: PositFormat, *, stages: int = 0):
        self.fmt = check_format("SquareRoot", fmt)
        self.stages = check_stages("SquareRoot", stages, self.cuts(fmt))
        super().__init__({"a": In(fmt.n), "code": Out(fmt.n)})

    @staticmethod
    def cuts(fmt: PositFormat) -> tuple[str, ...]:
        """Where the pipeline for a format can be cut: `CUTS`, and between its rows."""
        return row_cuts(_rows(fmt))

    @property
    def latency(self) -> int:
        """Cycles from a code to its result."""
        return self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        fmt = self.fmt
        rows = _rows(fmt)
        pipeline = Pipeline(m, spread_cuts(rows, self.stages), self.stages)
        m.submodules.decode = decode = Decoder(fmt)
        m.d.comb += decode.code.eq(self.a)
        (a,) = pipeline.cut("decoded", a=decode.raw)

        remainder, rest = _first_row(m, a)
        root: Value = Const(1, 1)
        scale, zero, nar = a.scale >> 1, a.zero, a.nar | a.sign
        for row in range(1, rows + 1):
            remainder, digit = _row(m, remainder, root, rest[-2:], row + 3, name=f"row_{row}")
            remainder, root, rest, scale, zero, nar = pipeline.cut(
                f"row_{row}" if row < rows else "computed",
                remainder=remainder, root=Cat(digit, root), rest=rest[:-2], scale=scale, zero=zero, nar=nar,
            )  # fmt: skip

        m.submodules.encode = encode = _rounder(fmt, rows)
        m.d.comb += _unrounded(encode.raw, remainder, root, scale, zero, nar)
        (code,) = pipeline.cut("rounded", code=encode.code)
        m.d.comb += self.code.eq(code)
        return m


class IterativeSquareRoot(wiring.Component):
    """√a, rounded once, by one row of `SquareRoot` in each cycle, or by two; of a negative number it is NaR.

    One code is in work at a time. Latency is 1 + ceil((fraction_bits + 1) / log2(radix)) cycles, and one result
    comes each latency cycles: the next code enters in the cycle in which a result is taken. A result waits,
    unchanged, until it is taken. Reset drops what was begun.

    Parameters
    ----------
    fmt : PositFormat
    radix : int
        2 or 4: one or two binary digits a cycle.

    Members
    -------
    i : In(stream.Signature({a}))
    o : Out(stream.Signature({code}))
    """

    def __init__(self, fmt: PositFormat, *, radix: int = 2):
        self.fmt = check_format("IterativeSquareRoot", fmt)
        self._step = digits_per_cycle("IterativeSquareRoot", radix)
        self.radix = radix
        operand, result = data.StructLayout({"a": fmt.n}), data.StructLayout({"code": fmt.n})
        super().__init__({"i": In(stream.Signature(operand)), "o": Out(stream.Signature(result))})

    @property
    def latency(self) -> int:
        """Cycles from a code to its result, and from one code to the next."""
        return 1 + -(-_rows(self.fmt) // self._step)

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        fmt = self.fmt
        rows = (self.latency - 1) * self._step
        m.submodules.decode = decode = Decoder(fmt)
        a = decode.raw
        m.d.comb += decode.code.eq(self.i.payload.a)

        # The leading one of the root reaches the top when all digits are there.
        busy = Signal()
        root = Signal(rows + 1, reset_less=True)
        done = Signal()
        m.d.comb += [
            done.eq(busy & root[-1]),
            self.o.valid.eq(done),
            self.i.ready.eq(~busy | (done & self.o.ready)),
        ]

        start, fraction = _first_row(m, a)
        remainder = Signal(signed(rows + 3), reset_less=True)
        rest = Signal(max(len(fraction), 2 * self._step), reset_less=True)
        scale = Signal.like(a.scale, name="scale", reset_less=True)
        zero, nar = Signal(reset_less=True), Signal(reset_less=True)
        following, digits, left = remainder, root, rest
        for row in range(self._step):
            following, digit = _row(m, following, digits, left[-2:], rows + 3, name=f"row_{row}")
            digits, left = Cat(digit, digits), Cat(Const(0, 2), left[:-2])
        with m.If(self.i.ready):
            m.d.sync += [
                busy.eq(self.i.valid), root.eq(1), remainder.eq(start), scale.eq(a.scale >> 1),
                rest.eq(Cat(Const(0, len(rest) - len(fraction)), fraction)), zero.eq(a.zero), nar.eq(a.nar | a.sign),
            ]  # fmt: skip
        with m.Elif(~done):
            m.d.sync += [remainder.eq(following), root.eq(digits), rest.eq(left)]

        m.submodules.encode = encode = _rounder(fmt, rows)
        m.d.comb += _unrounded(encode.raw, remainder, root, scale, zero, nar)
        m.d.comb += self.o.payload.code.eq(encode.code)
        return m


def _rows(fmt: PositFormat) -> int:
    """Digits after the leading one: as many as the rounder needs."""
    return fmt.fraction_bits + 1


def _first_row(m: Module, a: data.View) -> tuple[Value, Value]:
    """(remainder, fraction bits) of the significand in [1, 4), whose root begins with 1; two bits a row."""
    odd = a.scale[0]
    fraction = Cat(Const(0, 1), a.fraction)  # of the single or double significand, with the second integer bit
    doubled = Signal(len(fraction) + 1, name="doubled")
    remainder = Signal(signed(3), name="remainder_start")
    m.d.comb += [
        doubled.eq(Mux(odd, Cat(fraction, Const(1, 1)), Cat(fraction[1:], Const(1, 2)))),
        remainder.eq(doubled[-2:] - 1),
    ]
    bits = doubled[:-2]
    return remainder, Cat(Const(0, len(bits) % 2), bits)


def _row(m: Module, remainder: Value, root: Value, brought: Value, width: int, *, name: str) -> tuple[Value, Value]:
    """(remainder, digit) of a row: 4·remainder + brought − (4·root + 1), or + (4·root + 3) below 0.

    Either term ends in 11, and the bit above is 0, since a root's last digit tells the remainder's sign: three bits
    need no carry chain, and are known before that sign. No bits are brought down to the later rows of a root.
    """
    positive = Signal(name=f"{name}_positive")
    passed = Signal(name=f"{name}_passed")  # a carry out of the bits brought down
    above = Signal(width - 3, name=f"{name}_above")
    following = Signal(signed(width), name=f"{name}_remainder")
    term = Cat(root[1:] ^ positive.replicate(len(root) - 1), positive).as_signed()
    m.d.comb += [
        positive.eq(~remainder[-1]),
        passed.eq(brought.any()),
        above.eq((remainder >> 1) + term + (remainder[0] & passed)),
        following.eq(Cat((brought - 1)[:2] if len(brought) else Const(3, 2), remainder[0] ^ passed, above)),
    ]
    return following, ~following[-1]


def _rounder(fmt: PositFormat, rows: int) -> Encoder:
    return Encoder(fmt, scale_bits=max(1, fmt.scale_bits - 1), fraction_bits=rows)


def _unrounded(raw: data.View, remainder: Value, root: Value, scale: Value, zero: Value, nar: Value) -> list[Assign]:
    """The raw form of a root of one integer bit; exact where the remainder is −(2·root + 1)."""
    return [
        raw.sign.eq(0),
        raw.scale.eq(scale),
        raw.fraction.eq(root[:-1]),
        raw.sticky.eq(~(remainder ^ Cat(Const(0, 1), root)).all()),
        raw.zero.eq(zero),
        raw.nar.eq(nar),
    ]
