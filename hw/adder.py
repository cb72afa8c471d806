"""`Adder`: the sum or the difference of two codes."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from positcore.format import PositFormat
from positcore.hw.decode import Decoder
from positcore.hw.encode import Encoder
from positcore.hw.parameters import check_format, check_stages
from positcore.hw.pipeline import Pipeline, add_delay, balanced
from positcore.hw.raw import significand
from positcore.hw.shifters import count_bits, normalize_at, normalize_parts, shift_right_sticky

__all__ = ["Adder"]

INTEGER_BITS = 3  # of a sum of two significands, which lies in [−4, 4)
GUARD_BITS = 2  # cancellation of terms two or more binades apart costs one bit; the rounder needs one more


class Adder(wiring.Component):
    """a + b, or a − b, rounded once. Latency `stages` cycles, one pair a cycle.

    The significand of the smaller scale is shifted right, with sticky, under the other; their sum in two's
    complement is normalized by the length of its leading run. Zero needs no case of its own: its
    significand is 0 and its scale not above any other. The distance of the scales is not negated where that of b
    is the larger: its one's complement is the distance less one, and a enters one place lower. A difference adds
    the one's complement of b, and the missing unit enters as carry unless bits of b were shifted out: then floor
    and sticky already stand for the exact value.

    Parameters
    ----------
    fmt : PositFormat
    subtract : bool
        False: a + b. True: a − b.
    stages : int
        0..len(cuts(fmt)): registers, at those of the cuts that divide the path most evenly.

    Members
    -------
    a, b : In(n)
    code : Out(n)
    """

    CUTS = ("decoded", "compared", "swapped", "summed", "normalized", "shifted", "rounded")

    def __init__(self, fmt: PositFormat, *, subtract: bool = False, stages: int = 0):
        self.fmt = check_format("Adder", fmt)
        if not isinstance(subtract, bool):
            raise TypeError(f"Adder: subtract must be True or False, not {subtract!r}")
        self.subtract = subtract
        self.stages = check_stages("Adder", stages, self.cuts(fmt))
        super().__init__({"a": In(fmt.n), "b": In(fmt.n), "code": Out(fmt.n)})

    @staticmethod
    def parts(fmt: PositFormat) -> dict[str, int]:
        """Where the pipeline can be cut, in the order of the data, with the delays between, as for `balanced`."""
        width = fmt.fraction_bits + GUARD_BITS + INTEGER_BITS
        shifts = range(1, min(fmt.scale_bits, count_bits(fmt.significand_bits + 1 + GUARD_BITS)))
        return (
            Decoder.parts(fmt)
            | {"compared": 3, "swapped": 2}
            | {f"align_{1 << level}": 1 for level in reversed(shifts)}
            | {"aligned": 1, "summed": add_delay(width)}
            | normalize_parts(width - 1, "norm")
            | {"normalized": 4}
            | Encoder.parts(fmt)
        )

    @staticmethod
    def cuts(fmt: PositFormat) -> tuple[str, ...]:
        """Where the pipeline for a format can be cut, in the order of the data."""
        return tuple(Adder.parts(fmt))

    @property
    def latency(self) -> int:
        """Cycles from a pair of codes to its result."""
        return self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        fmt = self.fmt
        pipeline = Pipeline(m, balanced(self.parts(fmt), self.stages), self.stages)
        decoders = pipeline.among(Decoder.cuts(fmt))
        m.submodules.decode_a = decode_a = Decoder(fmt, at=decoders)
        m.submodules.decode_b = decode_b = Decoder(fmt, at=decoders)
        m.d.comb += [decode_a.code.eq(self.a), decode_b.code.eq(self.b)]
        a, b = decode_a.raw, decode_b.raw

        # Swap so that the larger scale is on the left, and align the other under it.
        difference = Signal(signed(fmt.scale_bits + 1))
        m.d.comb += difference.eq(a.scale - b.scale)
        a, b, difference = pipeline.cut("compared", a=a, b=b, difference=difference)
        swapped = Signal()
        align_shift = Signal(fmt.scale_bits)
        m.d.comb += [
            swapped.eq(difference[-1]),
            align_shift.eq(difference ^ swapped.replicate(fmt.scale_bits)),
        ]
        major = Signal(signed(fmt.significand_bits + 1))
        minor = Signal(signed(fmt.significand_bits + 1 + GUARD_BITS))
        scale = Signal(signed(fmt.scale_bits))
        m.d.comb += [
            major.eq(Mux(swapped, significand(b), significand(a))),
            minor.eq(Mux(swapped, significand(a) << (GUARD_BITS - 1), significand(b) << GUARD_BITS)),
            scale.eq(Mux(swapped, b.scale, a.scale)),
        ]
        pipeline.beside = {"major": major, "swapped": swapped, "scale": scale, "nar": a.nar | b.nar}
        minor, align_shift = pipeline.cut("swapped", minor=minor, align_shift=align_shift)
        aligned, sticky = shift_right_sticky(
            m, minor, align_shift, name="align", cut=lambda place, **values: pipeline.cut(f"align_{place}", **values)
        )
        aligned, sticky = pipeline.cut("aligned", aligned=aligned, sticky=sticky)
        major, swapped, scale, nar = pipeline.beside.values()

        left = Signal(signed(fmt.fraction_bits + GUARD_BITS + INTEGER_BITS), name="left")
        right = Signal(signed(fmt.fraction_bits + GUARD_BITS + INTEGER_BITS), name="right")
        total = Signal(signed(fmt.fraction_bits + GUARD_BITS + INTEGER_BITS), name="total")
        m.d.comb += [left.eq(Cat(Const(0, GUARD_BITS), major).as_signed()), right.eq(aligned)]
        if self.subtract:
            carry = swapped | ~sticky
            left = left ^ swapped.replicate(len(left))
            right = right ^ (~swapped).replicate(len(right))
            m.d.comb += total.eq(left + right + carry)
        else:
            m.d.comb += total.eq(left + right)
        pipeline.beside = {"sticky": sticky, "scale": scale, "nar": nar}
        (total,) = pipeline.cut("summed", total=total)

        shifted, run, sign = normalize_at(
            m, total[:-1], total[-1], name="norm", cut=lambda place, **values: pipeline.cut(f"norm_{place}", **values)
        )
        sticky, scale, nar = pipeline.beside.values()
        pipeline.beside = {}
        m.submodules.encode = encode = Encoder(
            fmt, scale_bits=fmt.sum_scale_bits, fraction_bits=len(total) - 2, at=pipeline.among(Encoder.parts(fmt))
        )
        unrounded = Signal(encode.raw_layout)
        m.d.comb += [
            unrounded.sign.eq(sign),
            unrounded.scale.eq(scale + 1 - run),
            unrounded.fraction.eq(shifted),
            unrounded.sticky.eq(sticky),
            unrounded.zero.eq(run.all() & ~sign),
            unrounded.nar.eq(nar),
        ]
        (unrounded,) = pipeline.cut("normalized", unrounded=unrounded)
        m.d.comb += [encode.raw.eq(unrounded), self.code.eq(encode.code)]
        return m
