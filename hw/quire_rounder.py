"""`SumRounder`: the code of a quire's sum; in it `QuireRounder`, which finds the unrounded raw form."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from positcore.hw.encode import Encoder
from positcore.hw.parameters import check_spec, check_stages
from positcore.hw.pipeline import Pipeline
from positcore.hw.raw import RawLayout
from positcore.hw.shifters import normalize_sticky
from positcore.mac import MacSpec

__all__ = ["QuireRounder", "SumRounder"]

WORDS = 8  # of the window, at most: one is selected at once, and normalized further


class QuireRounder(wiring.Component):
    """The unrounded raw form of an accumulator. Latency `stages` cycles, one sum a cycle.

    Only the window of bits that can decide the output's code is looked at: what lies above it saturates, what
    lies below it is sticky. The window is cut into at most eight words; the highest that is not all sign is selected
    with as many bits below it as a code can need, and these few bits are normalized.

    Parameters
    ----------
    spec : MacSpec
    stages : int
        0..4: registers after the selection, the search for the word, the test of each, and half of the normalization,
        in this order of preference.

    Members
    -------
    total : In(signed(accumulator_bits))
    nar : In(1)
    raw : Out(RawLayout(…, sticky=True))
    """

    CUTS = ("selected", "searched", "flagged", "halved")

    def __init__(self, spec: MacSpec, *, stages: int = 0):
        self.spec = check_spec("QuireRounder", spec)
        self.stages = check_stages("QuireRounder", stages, self.CUTS)
        bits = spec.window_bits + self._has_overflow + 1  # a zero below ends the run of a negative sum's ones
        self._word = 1 << (-(-bits // WORDS) - 1).bit_length()
        # Words end at multiples of their width above the point, so that the scale needs no subtraction.
        top = spec.window_top + self._has_overflow
        self._above = -top % self._word
        self._words = -(-(bits + self._above) // self._word)
        self._top_word = (top + self._above) // self._word - 1
        scales = range((self._top_word + 1 - self._words) * self._word, (self._top_word + 1) * self._word)
        fraction_bits = min(spec.out.fraction_bits + 1, bits - 1)
        self.raw_layout = RawLayout(Shape.cast(scales).width, fraction_bits, sticky=True)
        super().__init__({"total": In(signed(spec.accumulator_bits)), "nar": In(1), "raw": Out(self.raw_layout)})

    @property
    def latency(self) -> int:
        """Cycles from a sum to its raw form."""
        return self.stages

    @property
    def _has_overflow(self) -> bool:
        """Whether the accumulator reaches above the window."""
        spec = self.spec
        return spec.window_top + spec.accumulator_fraction_bits < spec.accumulator_bits - 1

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        spec = self.spec
        low = spec.accumulator_fraction_bits - spec.window_fraction_bits
        high = low + spec.window_bits
        sign = self.total[-1]
        window = self.total[low:high]
        if self._has_overflow:  # one bit more, which differs from the sign where any bit above does
            overflow = Signal()
            m.d.comb += overflow.eq(self.total[high:-1] != sign.replicate(spec.accumulator_bits - 1 - high))
            window = Cat(window, overflow ^ sign)
        word, words = self._word, self._words
        below_window = word * words - len(window) - self._above
        window = Cat(Const(0, below_window), window, sign.replicate(self._above))

        # Of each word, from the top, whether it is all zeros or all ones; and of what lies below the bits that are
        # selected with it, down to what is selected with the next one, whether there is a one.
        wanted = word + self.raw_layout.fraction_bits
        ends = [max(0, len(window) - at * word - wanted) for at in range(words)]
        zeros, ones, parts = (Signal(words, name=name) for name in ("zeros", "ones", "parts"))
        for at in range(words):
            bits = window[len(window) - (at + 1) * word : len(window) - at * word]
            m.d.comb += [
                zeros[at].eq(~bits.any()),
                ones[at].eq(bits.all()),
                parts[at].eq(window[max(0, ends[at] - word) : ends[at]].any()),
            ]
        pipeline = Pipeline(m, self.CUTS, self.stages)
        window, zeros, ones, parts, lowest, sign, nar = pipeline.cut(
            "flagged", window=window, zeros=zeros, ones=ones, parts=parts, lowest=self.total[:low].any(), sign=sign,
            nar=self.nar,
        )  # fmt: skip

        # The first word with a bit that is not the sign, or else the last one.
        chosen = Signal(words, name="chosen")
        below = Signal(words, name="below")
        for at in range(words):
            above = Mux(sign, ones[:at].all(), zeros[:at].all()) if at else Const(1, 1)
            plain = Mux(sign, ones[at], zeros[at]) if at < words - 1 else Const(0, 1)
            m.d.comb += [chosen[at].eq(above & ~plain), below[at].eq(parts[at:].any() | lowest)]
        zero = ~sign & zeros.all() & ~lowest
        window, chosen, below, sign, zero, nar = pipeline.cut(
            "searched", window=window, chosen=chosen, below=below, sign=sign, zero=zero, nar=nar
        )

        selected = Signal(min(wanted, len(window)), name="selected")
        number = Signal(range(self._top_word + 1 - words, self._top_word + 1), name="word_number")
        picked: Value = Const(0, len(selected))
        numbers: Value = Const(0, len(number))
        for at in range(words):
            bits = window[ends[at] : len(window) - at * word]
            picked = picked | (Cat(Const(0, len(selected) - len(bits)), bits) & chosen[at].replicate(len(selected)))
            own = Const(self._top_word - at, Shape(len(number), True)).as_unsigned()
            numbers = numbers | (own & chosen[at].replicate(len(number)))
        m.d.comb += [selected.eq(picked), number.eq(numbers)]
        selected, number, sticky, sign, zero, nar = pipeline.cut(
            "selected", selected=selected, number=number, sticky=(chosen & below).any(), sign=sign, zero=zero, nar=nar
        )

        # The run within the word in two steps: the higher bits of its length, and then the lower ones.
        keep = self.raw_layout.fraction_bits + 1
        least = 1 << ((word.bit_length() - 1) // 2)
        shifted, high, lost = normalize_sticky(
            m, selected, sign, keep + least - 1, name="coarse", longest=word - 1, least=least
        )
        shifted, high, sticky, number, sign, zero, nar = pipeline.cut(
            "halved", shifted=shifted, high=high, sticky=sticky | lost, number=number, sign=sign, zero=zero, nar=nar
        )
        shifted, low_run, lost = normalize_sticky(m, shifted, sign, keep, name="fine", longest=least - 1)
        m.d.comb += [
            self.raw.sign.eq(sign),
            self.raw.scale.eq(Cat(~low_run, ~high, number).as_signed()),
            self.raw.fraction.eq(shifted[-keep:][:-1]),
            self.raw.sticky.eq(sticky | lost),
            self.raw.zero.eq(zero),
            self.raw.nar.eq(nar),
        ]
        return m


class SumRounder(wiring.Component):
    """The code of a quire's sum, rounded once. Latency `stages` cycles, one sum a cycle.

    Parameters
    ----------
    spec : MacSpec
    stages : int
        0..7: registers after the selection of a word, the normalization, the search for the word, the rounder's shift,
        the test of each word, half of the normalization, and the rounding, in this order of preference.

    Members
    -------
    total : In(signed(accumulator_bits))
    nar : In(1)
    code : Out(n)
    """

    CUTS = ("selected", "normalized", "searched", "shifted", "flagged", "halved", "rounded")

    def __init__(self, spec: MacSpec, *, stages: int = 0):
        self.spec = check_spec("SumRounder", spec)
        self.stages = check_stages("SumRounder", stages, self.CUTS)
        super().__init__({"total": In(signed(spec.accumulator_bits)), "nar": In(1), "code": Out(spec.out.n)})

    @property
    def latency(self) -> int:
        """Cycles from a sum to its code."""
        return self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        pipeline = Pipeline(m, self.CUTS, self.stages)
        inside = sum(map(pipeline.made, QuireRounder.CUTS))
        m.submodules.find = find = QuireRounder(self.spec, stages=inside)
        (unrounded,) = pipeline.cut("normalized", unrounded=find.raw)
        m.submodules.encode = encode = Encoder(
            self.spec.out, scale_bits=find.raw_layout.scale_bits, fraction_bits=find.raw_layout.fraction_bits,
            stages=int(pipeline.made("shifted")),
        )  # fmt: skip
        (code,) = pipeline.cut("rounded", code=encode.code)
        m.d.comb += [find.total.eq(self.total), find.nar.eq(self.nar), encode.raw.eq(unrounded), self.code.eq(code)]
        return m
