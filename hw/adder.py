"""`Adder`: the sum or the difference of two codes."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from positcore.format import PositFormat
from positcore.hw.decode import Decoder
from positcore.hw.encode import Encoder
from positcore.hw.parameters import check_format, check_stages
from positcore.hw.pipeline import Pipeline
from positcore.hw.raw import significand
from positcore.hw.shifters import normalize, shift_right_sticky

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
        0..5: registers after the sum, the alignment, the normalization, the decoders and the rounding, in
        this order of preference.

    Members
    -------
    a, b : In(n)
    code : Out(n)
    """

    CUTS = ("summed", "aligned", "normalized", "decoded", "rounded")

    def __init__(self, fmt: PositFormat, *, subtract: bool = False, stages: int = 0):
        self.fmt = check_format("Adder", fmt)
        if not isinstance(subtract, bool):
            raise TypeError(f"Adder: subtract must be True or False, not {subtract!r}")
        self.subtract = subtract
        self.stages = check_stages("Adder", stages, self.CUTS)
        super().__init__({"a": In(fmt.n), "b": In(fmt.n), "code": Out(fmt.n)})

    @property
    def latency(self) -> int:
        """Cycles from a pair of codes to its result."""
        return self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        fmt = self.fmt
        pipeline = Pipeline(m, self.CUTS, self.stages)
        m.submodules.decode_a = decode_a = Decoder(fmt)
        m.submodules.decode_b = decode_b = Decoder(fmt)
        m.d.comb += [decode_a.code.eq(self.a), decode_b.code.eq(self.b)]
        a, b = pipeline.cut("decoded", a=decode_a.raw, b=decode_b.raw)

        # Swap so that the larger scale is on the left, and align the other under it.
        difference = Signal(signed(fmt.scale_bits + 1))
        swapped = Signal()
        align_shift = Signal(fmt.scale_bits)
        m.d.comb += [
            difference.eq(a.scale - b.scale),
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
        aligned, sticky = shift_right_sticky(m, minor, align_shift, name="align")
        nar = a.nar | b.nar
        major, aligned, sticky, swapped, scale, nar = pipeline.cut(
            "aligned", major=major, aligned=aligned, sticky=sticky, swapped=swapped, scale=scale, nar=nar
        )

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
        total, sticky, scale, nar = pipeline.cut("summed", total=total, sticky=sticky, scale=scale, nar=nar)

        sign = total[-1]
        shifted, run = normalize(m, total[:-1], sign, name="norm")
        m.submodules.encode = encode = Encoder(fmt, scale_bits=fmt.sum_scale_bits, fraction_bits=len(total) - 2)
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
        m.d.comb += encode.raw.eq(unrounded)
        (code,) = pipeline.cut("rounded", code=encode.code)
        m.d.comb += self.code.eq(code)
        return m
