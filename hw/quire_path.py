"""`QuirePath`: the data path of the units that sum products exactly, from codes to the code of their sum."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from positcore.hw.decode import Decoder
from positcore.hw.parameters import check_lanes, check_spec, check_stages
from positcore.hw.pipeline import Pipeline
from positcore.hw.quire import QuireAccumulator, most_segments
from positcore.hw.quire_rounder import SumRounder
from positcore.hw.term import ProductTerm
from positcore.mac import MacSpec

__all__ = ["QuirePath"]


class QuirePath(wiring.Component):
    """Pairs of codes in, `lanes` of them a cycle; the codes of their sums out. Latency 1 + `stages` cycles.

    Terms with `read` give the code of the sum up to them, themselves included; those with `clear` leave 0 behind.

    Parameters
    ----------
    spec : MacSpec
    lanes : int
        Products in each cycle, at least 1.
    stages : int
        0..len(cuts(spec, lanes=lanes)): registers besides the accumulator's own.
    dsp : bool
        Whether products are operators of which tools make DSPs.
    tag_bits : int
        0 for none.

    Members
    -------
    i : In({a: codes of spec.a, b: codes of spec.b, read, clear, tag})
        The tag, of `tag_bits`, comes out with the code.
    o : Out({code, tag})
    i_valid : In(1)
    o_valid : Out(1)
    enable : In(1)
        The cycles in which it moves.
    """

    def __init__(self, spec: MacSpec, *, lanes: int = 1, stages: int = 0, dsp: bool = False, tag_bits: int = 0):
        self.spec = check_spec("QuirePath", spec)
        self.lanes = check_lanes("QuirePath", lanes, spec)
        self.stages = check_stages("QuirePath", stages, self.cuts(spec, lanes=lanes))
        self.dsp = dsp
        self.tag_bits = tag_bits
        tag = {"tag": tag_bits} if tag_bits else {}
        a, b = data.ArrayLayout(spec.a.n, lanes), data.ArrayLayout(spec.b.n, lanes)
        terms = data.StructLayout({"a": a, "b": b, "read": 1, "clear": 1, **tag})
        result = data.StructLayout({"code": spec.out.n, **tag})
        flags = {"i_valid": In(1), "o_valid": Out(1), "enable": In(1)}
        super().__init__({"i": In(terms), "o": Out(result), **flags})

    @staticmethod
    def cuts(spec: MacSpec, *, lanes: int = 1) -> tuple[str, ...]:
        """Where it can be cut, in order of preference; `carry_…` lie between the segments of the
        accumulator, `lanes_…` behind the levels of the sum of the lanes, from the last one on.
        """
        carries = [f"carry_{index}" for index in range(1, most_segments(spec))]
        lane_sums = [f"lanes_{level}" for level in range(1, (lanes - 1).bit_length() + 1)]
        inner = [cut for cut in ProductTerm.cuts(spec) if cut not in ("aligned", "product")]
        return (
            "aligned", "selected", "product", *lane_sums, *carries, "normalized", "searched", "decoded",
            "shifted", "flagged", *inner, "halved", "rounded",
        )  # fmt: skip

    @property
    def latency(self) -> int:
        """Cycles from the last terms of a sum to its code."""
        return 1 + self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        spec, enable = self.spec, self.enable
        all_cuts = self.cuts(spec, lanes=self.lanes)
        pipeline = Pipeline(m, all_cuts, self.stages, valid=self.i_valid, enable=enable)

        def made(cuts: tuple[str, ...]) -> int:
            return sum(pipeline.made(cut) for cut in cuts)

        # Beside each part run the flags of what is in it, with as many registers.
        raws: dict[str, Any] = {}
        for lane in range(self.lanes):
            for name, fmt in (("a", spec.a), ("b", spec.b)):
                m.submodules[f"decode_{name}{lane}"] = decoder = Decoder(fmt)
                m.d.comb += decoder.code.eq(self.i[name][lane])
                raws[f"{name}{lane}"] = decoder.raw
        flags = Cat(self.i.read, self.i.clear, self.i.tag if self.tag_bits else Const(0, 0))
        flags, *decoded = pipeline.cut("decoded", flags=flags, **raws)
        inside = ProductTerm.cuts(spec)
        terms = [ProductTerm(spec, dsp=self.dsp, stages=made(inside)) for _ in range(self.lanes)]
        for lane, term in enumerate(terms):
            m.submodules[f"term_{lane}"] = EnableInserter(enable)(term)
            m.d.comb += [term.a.eq(decoded[2 * lane]), term.b.eq(decoded[2 * lane + 1])]
        for cut in inside:
            (flags,) = pipeline.cut(cut, flags=flags)

        segments = 1 + made(tuple(cut for cut in all_cuts if cut.startswith("carry_")))
        levels = made(tuple(cut for cut in all_cuts if cut.startswith("lanes_")))
        m.submodules.accumulator = accumulator = QuireAccumulator(
            spec, lanes=self.lanes, segments=segments, levels=levels, tag_bits=self.tag_bits
        )
        m.d.comb += [accumulator.terms[lane].eq(term.term) for lane, term in enumerate(terms)]
        m.d.comb += [
            accumulator.nar.eq(Cat(term.nar for term in terms).any()),
            accumulator.read.eq(flags[0]),
            accumulator.clear.eq(flags[1]),
            accumulator.valid.eq(pipeline.valid),
            accumulator.enable.eq(enable),
        ]
        pipeline.valid = accumulator.done

        rounder = SumRounder(spec, stages=made(SumRounder.CUTS))
        m.submodules.rounder = EnableInserter(enable)(rounder)
        tag: Value = Const(0, 0)
        if self.tag_bits:
            m.d.comb += accumulator.tag.eq(flags[2:])
            tag = accumulator.total_tag
        for cut in SumRounder.CUTS:
            (tag,) = pipeline.cut(cut, tag=tag) if self.tag_bits else (pipeline.cut(cut), tag)[1:]
        m.d.comb += [
            rounder.total.eq(accumulator.total),
            rounder.nar.eq(accumulator.total_nar),
            self.o.code.eq(rounder.code),
            self.o_valid.eq(pipeline.valid),
        ]
        if self.tag_bits:
            m.d.comb += self.o.tag.eq(tag)
        return m
