"""`QuireAccumulator`: adds a product in each cycle, in segments whose carries run through registers.

Each segment, of whole words, works a cycle behind the one below it and takes that one's carry from a register. So the
clock depends on the length of a segment, and not on that of the quire, one product goes in each cycle, and nothing is
left to resolve when a sum is read: its segments, delayed until the highest is done, are the sum.

References
----------
U. Kulisch, "Computer Arithmetic and Validity", 2nd ed., 2013, ch. 8: accumulation by words. That carries run through
registers while the words enter askew is the systolic adder of H. T. Kung, "Why Systolic Architectures?", 1982.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from positcore.hw.parameters import check_lanes, check_spec
from positcore.hw.term import TermLayout
from positcore.mac import MacSpec

__all__ = ["QuireAccumulator", "most_segments"]

LEAST_SEGMENT = 32  # bits; shorter ones do not raise the clock


def most_segments(spec: MacSpec) -> int:
    """Into how many segments it pays to cut an accumulator."""
    return max(1, spec.accumulator_bits // LEAST_SEGMENT)


def segment_bits(spec: MacSpec, segments: int) -> list[range]:
    """The bits of each segment, from the lowest up, as even as they can be."""
    bits = spec.accumulator_bits
    return [range(bits * at // segments, bits * (at + 1) // segments) for at in range(segments)]


class QuireAccumulator(wiring.Component):
    """Adds terms, `lanes` of them a cycle, into segments that lie a cycle apart. Latency `segments` + `levels` cycles.

    Terms with `read` show the sum up to them, themselves included, after that latency; those with `clear` leave 0
    behind them. Sums wrap. NaR stays until a term clears it. The sum of the lanes is a tree of adders, and each of
    these is cut into the same segments as the accumulator's. It is as wide as products reach; above that the
    accumulator takes its sign.

    Parameters
    ----------
    spec : MacSpec
    lanes : int
        At least 1.
    segments : int
        1..most_segments(spec): how many parts the carries run through in as many cycles.
    levels : int
        0..bit_length(lanes − 1): how many levels of the tree, the last ones, have registers behind them.
    tag_bits : int
        Width of a tag that goes along with terms and their sum.

    Members
    -------
    terms : In(ArrayLayout(TermLayout(spec), lanes))
    nar, read, clear, valid : In(1)
        What is not valid changes nothing.
    enable : In(1)
        The cycles in which it moves.
    tag : In(tag_bits)
    total : Out(signed(accumulator_bits))
    total_tag : Out(tag_bits)
    total_nar, done : Out(1)
        `done` says that there is a sum: that of valid terms with `read`. In other cycles all are 0.
    """

    def __init__(self, spec: MacSpec, *, lanes: int = 1, segments: int = 1, levels: int = 0, tag_bits: int = 0):
        self.spec = check_spec("QuireAccumulator", spec)
        self.layout = TermLayout(spec)
        self.lanes = check_lanes("QuireAccumulator", lanes, spec)
        assert 1 <= segments <= most_segments(spec)
        assert 0 <= levels <= (lanes - 1).bit_length()
        self.segments = segments
        self.levels = levels
        self.tag_bits = tag_bits
        tags = {"tag": In(tag_bits), "total_tag": Out(tag_bits)} if tag_bits else {}
        flags = {"nar": In(1), "read": In(1), "clear": In(1), "valid": In(1), "enable": In(1)}
        sums = {"total": Out(signed(spec.accumulator_bits)), "total_nar": Out(1), "done": Out(1)}
        super().__init__({"terms": In(data.ArrayLayout(self.layout, lanes)), **flags, **sums, **tags})

    @property
    def latency(self) -> int:
        """Cycles from terms to the sum up to them."""
        return self.segments + self.levels

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        moving: list[Assign] = []  # in the cycles of `enable`

        def delayed(name: str, value: Value, *, init: int | None = None) -> Signal:
            register = Signal(Value.cast(value).shape(), name=name, reset_less=init is None)
            moving.append(register.eq(value))
            return register

        depth = (self.lanes - 1).bit_length()
        reach = min(self.spec.accumulator_bits, self.layout.words * self.layout.word_bits - self.layout.below + depth)
        terms: list[Any] = [self.terms[lane] for lane in range(self.lanes)]
        flags, valid = Cat(self.clear, self.read, self.nar, self.tag if self.tag_bits else Const(0, 0)), self.valid
        carries: list[Value] = [Const(0, 1)] * self.lanes
        extension: Value = Const(0, 1)  # the sign of the tree, for what lies above it
        parts: list[Value] = []
        for index, bits in enumerate(segment_bits(self.spec, self.segments)):
            if index:
                terms = [
                    data.View(self.layout, delayed(f"term_{lane}_{index}", Value.cast(term)))
                    for lane, term in enumerate(terms)
                ]
                flags, valid = delayed(f"flags_{index}", flags), delayed(f"valid_{index}", valid, init=0)
            width = max(0, min(bits.stop, reach) - bits.start)  # of the tree in this segment
            sums = [
                self._addend(m, term, range(bits.start, bits.start + width), f"addend_{lane}_{index}")
                for lane, term in enumerate(terms)
            ]
            carry_outs: list[Value] = []
            here, counts = flags, valid
            for level in range(depth):
                pairs: list[Value] = []
                for x, y in zip(sums[::2], sums[1::2], strict=False):
                    pair = Signal(width + 1, name=f"pair_{len(carry_outs)}_{index}")
                    m.d.comb += pair.eq(x + y + carries[len(carry_outs)])
                    carry_outs.append(delayed(f"carry_{len(carry_outs)}_{index}", pair[-1]))
                    pairs.append(pair[:-1])
                sums = [*pairs, *sums[len(sums) & ~1 :]]
                if level >= depth - self.levels:
                    sums = [delayed(f"sums_{level}_{at}_{index}", value) for at, value in enumerate(sums)]
                    here = delayed(f"flags_{level}_{index}", here)
                    counts = delayed(f"counts_{level}_{index}", counts, init=0)
            clear, read, nar = here[0], here[1], here[2]
            added = sums[0]
            if width < len(bits):
                # The sign stands at the top of the tree: in this segment, or below it, a cycle ago.
                sign = added[-1] if width else extension
                added = Cat(added, sign.replicate(len(bits) - width))
                extension = sign
            if index + 1 < self.segments:
                extension = delayed(f"extension_{index}", added[-1])

            total = Signal(len(added), name=f"total_{index}", reset_less=True)
            shown = Signal(len(added), name=f"shown_{index}", reset_less=True)
            following = Signal(len(added) + 1, name=f"sum_{index}")
            m.d.comb += following.eq(total + added + carries[-1])
            # Reset and clear as one condition above the enable: the synchronous reset of a flip-flop, without a LUT.
            with m.If(ResetSignal() | (self.enable & counts & clear)):
                m.d.sync += total.eq(0)
            with m.Elif(self.enable & counts):
                m.d.sync += total.eq(following[:-1])
            with m.If(self.enable & ~(counts & read)):
                m.d.sync += shown.eq(0)
            with m.Elif(self.enable):
                m.d.sync += shown.eq(following[:-1])
            carries = [*carry_outs, delayed(f"carry_{index}", following[-1])]
            part: Value = shown
            for step in range(index + 1, self.segments):  # wait for the segments above
                part = delayed(f"shown_{index}_{step}", part)
            parts.append(part)

        # NaR goes along with the highest segment.
        total_nar = Signal()
        with m.If(self.enable & counts):
            m.d.sync += total_nar.eq((total_nar | nar) & ~clear)
        m.d.comb += [
            self.total.eq(Cat(*parts)),
            self.total_nar.eq(delayed("shown_nar", (total_nar | nar) & counts & read)),
            self.done.eq(delayed("shown_valid", counts & read, init=0)),
        ]
        if self.tag_bits:
            m.d.comb += self.total_tag.eq(delayed("shown_tag", here[3:]))
        with m.If(self.enable):
            m.d.sync += moving
        return m

    def _addend(self, m: Module, term: Any, bits: range, name: str) -> Signal:
        """Some bits of the accumulator that a term adds to."""
        layout = self.layout
        word_bits, words = layout.word_bits, layout.words
        low, high = bits.start + layout.below, bits.stop + layout.below
        placed = Cat(
            ((term.odd if word % 2 else term.even) & term.hit[word].replicate(word_bits))
            | term.fill[word].replicate(word_bits)
            for word in range(low // word_bits, min(words, -(-high // word_bits)))
        )
        first = low // word_bits * word_bits
        part = placed[low - first : high - first]
        addend = Signal(len(bits), name=name)
        m.d.comb += addend.eq(Cat(part, self._sign(term).replicate(len(bits) - len(part))))
        return addend

    def _sign(self, term: Any) -> Value:
        """The sign of a term: the top bit of its highest word."""
        word = self.layout.words - 1
        return ((term.odd if word % 2 else term.even)[-1] & term.hit[word]) | term.fill[word]
