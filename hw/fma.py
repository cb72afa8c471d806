"""`FusedMultiplyAdd`: a · b + c or a · b − c, rounded once."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from positcore.format import PositFormat
from positcore.hw.decode import Decoder
from positcore.hw.encode import Encoder
from positcore.hw.parameters import check_dsp, check_format, check_stages
from positcore.hw.pipeline import Pipeline, add_delay, balanced
from positcore.hw.product import product_parts, significand_product
from positcore.hw.raw import significand
from positcore.hw.shifters import count_bits, normalize_at, normalize_parts, shift_right_sticky

__all__ = ["FusedMultiplyAdd"]

INTEGER_BITS = 4  # of a sum of a product in (−4, 4] and an addend in [−2, 2]
GUARD_BITS = 2  # right of the product: down to the fourth part of it, it can cancel the addend to its last bit


class FusedMultiplyAdd(wiring.Component):
    """a · b + c, or a · b − c, rounded once. Latency `stages` cycles, one triple a cycle.

    The exact product of the significands and the addend meet as in an adder: that of the smaller scale is
    shifted right, with sticky, under the other, and their sum in two's complement is normalized by the length of
    its leading run. Bits are lost only where the terms lie so far apart that they cancel by one binade at most.
    Zero has no scale of its own: it is always the one that is shifted.

    The distance of the scales is not negated where the addend is the larger: its one's complement is the distance
    less one, and the product enters one place lower.

    Parameters
    ----------
    fmt : PositFormat
    subtract : bool
        False: a · b + c. True: a · b − c.
    stages : int
        0..len(cuts(fmt)): registers, at those of the cuts that divide the path most evenly.
    dsp : bool
        Whether the product is written as one operator, of which tools make DSPs, instead of rows that suit LUTs and
        carry chains; changes no bit.

    Members
    -------
    a, b, c : In(n)
    code : Out(n)
    """

    CUTS = ("decoded", "recoded", "product", "swapped", "summed", "normalized", "shifted", "rounded")

    def __init__(self, fmt: PositFormat, *, subtract: bool = False, stages: int = 0, dsp: bool = False):
        self.fmt = check_format("FusedMultiplyAdd", fmt)
        if not isinstance(subtract, bool):
            raise TypeError(f"FusedMultiplyAdd: subtract must be True or False, not {subtract!r}")
        self.subtract = subtract
        self.dsp = check_dsp("FusedMultiplyAdd", dsp)
        self.stages = check_stages("FusedMultiplyAdd", stages, self.cuts(fmt))
        super().__init__({"a": In(fmt.n), "b": In(fmt.n), "c": In(fmt.n), "code": Out(fmt.n)})

    @staticmethod
    def parts(fmt: PositFormat) -> dict[str, int]:
        """Where the pipeline can be cut, in the order of the data, with the delays between, as for `balanced`."""
        width = _sum_width(fmt)
        shifts = range(1, min(_scale_bits(fmt), count_bits(width)))
        return (
            Decoder.parts(fmt)
            | product_parts(fmt.fraction_bits + 2)
            | {"swapped": 3}
            | {f"align_{1 << level}": 1 for level in reversed(shifts)}
            | {"aligned": 1, "summed": add_delay(width)}
            | normalize_parts(width - 1, "norm")
            | {"normalized": 4}
            | Encoder.parts(fmt)
        )

    @staticmethod
    def cuts(fmt: PositFormat) -> tuple[str, ...]:
        """Where the pipeline for a format can be cut, in the order of the data."""
        return tuple(FusedMultiplyAdd.parts(fmt))

    @property
    def latency(self) -> int:
        """Cycles from a triple of codes to its result."""
        return self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        fmt = self.fmt
        pipeline = Pipeline(m, balanced(self.parts(fmt), self.stages), self.stages)
        decoders = pipeline.among(Decoder.cuts(fmt))
        m.submodules.decode_a = decode_a = Decoder(fmt, at=decoders)
        m.submodules.decode_b = decode_b = Decoder(fmt, at=decoders)
        m.submodules.decode_c = decode_c = Decoder(fmt, at=decoders)
        m.d.comb += [decode_a.code.eq(self.a), decode_b.code.eq(self.b), decode_c.code.eq(self.c)]
        a, b, c = decode_a.raw, decode_b.raw, decode_c.raw

        scale_bits = _scale_bits(fmt)
        addend = Signal(signed(fmt.significand_bits + 1 + self.subtract))
        scale = Signal(signed(scale_bits))
        m.d.comb += [
            addend.eq(-significand(c) if self.subtract else significand(c)),
            scale.eq(a.scale + b.scale),
        ]
        pipeline.beside = {
            "addend": addend,
            "scale": scale,
            "addend_scale": c.scale,
            "product_zero": a.zero | b.zero,
            "addend_zero": c.zero,
            "nar": a.nar | b.nar | c.nar,
        }

        def cut(place: str, **values: Any) -> tuple[Any, ...]:
            behind = pipeline.cut(place, **values)
            if place == "recoded":
                difference = Signal(signed(scale_bits + 1))
                m.d.comb += difference.eq(pipeline.beside["scale"] - pipeline.beside["addend_scale"])
                pipeline.beside["difference"] = difference
            return behind

        product = Signal(signed(2 * fmt.significand_bits + 2))
        m.d.comb += product.eq(significand_product(m, a, b, dsp=self.dsp, cut=cut))
        (product,) = pipeline.cut("product", product=product)
        addend, scale, addend_scale, product_zero, addend_zero, nar, difference = pipeline.beside.values()

        # Where a term is 0 the shift does not matter: it is the one that is shifted.
        swapped = Signal()
        align_shift = Signal(scale_bits)
        m.d.comb += [
            swapped.eq(product_zero | (difference[-1] & ~addend_zero)),
            align_shift.eq(difference ^ difference[-1].replicate(len(difference))),
        ]
        width = _sum_width(fmt)
        above = Signal(signed(width))
        below = Signal(signed(width))
        major = Signal(signed(width))
        sum_scale = Signal(signed(scale_bits))
        placed = Cat(Const(0, fmt.fraction_bits + GUARD_BITS), addend).as_signed()
        m.d.comb += [
            above.eq(Mux(swapped, placed, product << GUARD_BITS)),
            below.eq(Mux(swapped, product << (GUARD_BITS - 1), placed)),
            major.eq(above),
            sum_scale.eq(Mux(swapped, addend_scale, scale)),
        ]
        pipeline.beside = {"major": major, "scale": sum_scale, "nar": nar}
        below, align_shift = pipeline.cut("swapped", below=below, align_shift=align_shift)
        aligned, sticky = shift_right_sticky(
            m, below, align_shift, name="align", cut=lambda place, **values: pipeline.cut(f"align_{place}", **values)
        )
        aligned, sticky = pipeline.cut("aligned", aligned=aligned, sticky=sticky)
        major, sum_scale, nar = pipeline.beside.values()

        total = Signal(signed(width))
        m.d.comb += total.eq(major + aligned)
        pipeline.beside = {"sticky": sticky, "scale": sum_scale, "nar": nar}
        (total,) = pipeline.cut("summed", total=total)

        shifted, run, sign = normalize_at(
            m, total[:-1], total[-1], name="norm", cut=lambda place, **values: pipeline.cut(f"norm_{place}", **values)
        )
        sticky, sum_scale, nar = pipeline.beside.values()
        pipeline.beside = {}
        m.submodules.encode = encode = Encoder(
            fmt, scale_bits=scale_bits, fraction_bits=width - 2, at=pipeline.among(Encoder.parts(fmt))
        )
        unrounded = Signal(encode.raw_layout)
        m.d.comb += [
            unrounded.sign.eq(sign),
            unrounded.scale.eq(sum_scale + (INTEGER_BITS - 2) - run),
            unrounded.fraction.eq(shifted),
            unrounded.sticky.eq(sticky),
            unrounded.zero.eq(run.all() & ~sign),
            unrounded.nar.eq(nar),
        ]
        (unrounded,) = pipeline.cut("normalized", unrounded=unrounded)
        m.d.comb += [encode.raw.eq(unrounded), self.code.eq(encode.code)]
        return m


def _scale_bits(fmt: PositFormat) -> int:
    """Bits of the scale of the exact sum, which is a multiple of minpos² and below 4·maxpos², and of a product of 0."""
    return Shape.cast(range(-2 * fmt.max_scale - 2, 2 * fmt.max_scale + 2)).width


def _sum_width(fmt: PositFormat) -> int:
    """Bits of the sum of the product and the addend, the one under the other."""
    return 2 * fmt.fraction_bits + GUARD_BITS + INTEGER_BITS
