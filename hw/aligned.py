"""`AlignedDot`: dot products in chunks, whose terms are cut to a common grid, added, and rounded once."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from positcore.hw.decode import Decoder
from positcore.hw.parameters import check_dsp, check_spec, check_stages
from positcore.hw.pipeline import Pipeline, deliver
from positcore.hw.product import significand_product
from positcore.hw.raw import RawLayout
from positcore.hw.rounder import RawRounder, exact_code
from positcore.hw.shifters import normalize_sticky
from positcore.mac import Aligned, MacSpec

__all__ = ["AlignedDot"]


class AlignedDot(wiring.Component):
    """Takes dot products in chunks of `lanes` pairs, one chunk a cycle: acc ← round(acc + the products, cut to a grid).

    The grid of a chunk is 2^(e − width), e the largest scale among its nonzero terms, the accumulator one of them; a
    product's scale is the sum of its operands'. Each exact term, in two's complement, is shifted right under that
    scale and loses what is below the grid; the terms are summed exactly, normalized once and rounded once. `last`
    marks the final chunk of a dot product, whose unused lanes are zeros; the next chunk starts another one at once,
    from zero. NaR in any term makes that dot product NaR, and no other. A bias is a first chunk of one term (bias, 1),
    exact where the width is at least its format's fraction bits.

    Each term's shift depends on the accumulator, so that a loop of one cycle aligns, adds, normalizes and rounds; the
    accumulator stays decoded in it. Decoders, products and the largest scale of the products lie before it, the
    encoder behind it. Throughput is one chunk a cycle, and one result a cycle where the consumer takes them; latency
    is 1 + `stages` cycles from the last chunk to its result. Where the consumer stalls, chunks go in until two results
    wait, and nothing is lost. Reset drops what was begun.

    Parameters
    ----------
    spec : MacSpec
        With an `Aligned` accumulator.
    stages : int
        0..4: registers before the loop, after the products, the decoders and the final encoding, in this order of
        preference, besides the accumulator's own.
    dsp : bool
        Whether the products are left to the tool, which then may take DSPs.

    Members
    -------
    i : In(stream.Signature({a, b, last}))
        Arrays of codes, `a` and `b`, with as many as there are lanes, lane 0 in the lowest bits.
    o : Out(stream.Signature({code}))
    """

    CUTS = ("largest", "product", "decoded", "encoded")

    def __init__(self, spec: MacSpec, *, stages: int = 0, dsp: bool = False):
        self.spec = check_spec("AlignedDot", spec, (Aligned,))
        self.stages = check_stages("AlignedDot", stages, self.CUTS)
        self.dsp = check_dsp("AlignedDot", dsp)
        assert isinstance(spec.accumulator, Aligned)
        self.lanes, self.width = spec.accumulator.lanes, spec.accumulator.width
        chunk = data.StructLayout(
            {"a": data.ArrayLayout(spec.a.n, self.lanes), "b": data.ArrayLayout(spec.b.n, self.lanes), "last": 1}
        )
        result = data.StructLayout({"code": spec.out.n})
        super().__init__({"i": In(stream.Signature(chunk)), "o": Out(stream.Signature(result))})

    @classmethod
    def cuts(cls, spec: MacSpec) -> tuple[str, ...]:
        """Where its pipeline can be cut, in order of preference."""
        return cls.CUTS

    @property
    def latency(self) -> int:
        """Cycles from the last chunk of a dot product to its result."""
        return 1 + self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        spec, fmt, lanes = self.spec, self.spec.out, range(self.lanes)
        enable = Signal()
        pipeline = Pipeline(m, self.CUTS, self.stages, valid=self.i.valid, enable=enable)
        raws = {}
        for lane in lanes:
            for side, source, codes in (("a", spec.a, self.i.payload.a), ("b", spec.b, self.i.payload.b)):
                m.submodules[f"decode_{side}_{lane}"] = decode = Decoder(source)
                m.d.comb += decode.code.eq(codes[lane])
                raws[f"{side}_{lane}"] = decode.raw
        *held, last = pipeline.cut("decoded", **raws, last=self.i.payload.last)
        raws = dict(zip(raws, held, strict=True))

        reach = max(spec.a.max_scale + spec.b.max_scale + 2, fmt.max_scale + 1)
        self._scale_shape = Shape.cast(range(-reach, reach + 1))
        values: dict[str, Value] = {}
        nar = Signal()
        m.d.comb += nar.eq(Cat(raw.nar for raw in raws.values()).any())
        for lane in lanes:
            a, b = raws[f"a_{lane}"], raws[f"b_{lane}"]
            scale = Signal(self._scale_shape, name=f"scale_{lane}")
            m.d.comb += scale.eq(a.scale + b.scale)
            values |= {
                f"product_{lane}": significand_product(m, a, b, dsp=self.dsp),
                f"scale_{lane}": scale,
                f"lead_{lane}": self._lead(m, scale, a, b, lane),
                f"nonzero_{lane}": ~(a.zero | b.zero),
            }
        *held, nar, last = pipeline.cut("product", **values, nar=nar, last=last)
        values = dict(zip(values, held, strict=True))

        largest, some = self._largest(m, [(values[f"lead_{lane}"], values[f"nonzero_{lane}"]) for lane in lanes])
        terms = {f"{kind}_{lane}": values[f"{kind}_{lane}"] for lane in lanes for kind in ("product", "scale")}
        *held, largest, some, nar, last = pipeline.cut(
            "largest", **terms, largest=largest, some=some, nar=nar, last=last
        )
        terms = dict(zip(terms, held, strict=True))

        # The accumulator, and the sum of a finished dot product.
        total = Signal(RawLayout.of(fmt), init={"zero": 1})
        total_next, result = Signal.like(total, name="total_next"), Signal(RawLayout.of(fmt), reset_less=True)
        done = Signal()
        pairs = [(terms[f"product_{lane}"], terms[f"scale_{lane}"]) for lane in lanes]
        self._round(m, self._sum(m, pairs, largest, some, nar, total), total_next)
        with m.If(enable):
            m.d.sync += done.eq(pipeline.valid & last)
            with m.If(pipeline.valid):
                m.d.sync += [total.eq(total_next), result.eq(total_next)]
                with m.If(last):
                    m.d.sync += total.eq(total.shape().const({"zero": 1}))
        pipeline.valid = done

        (code,) = pipeline.cut("encoded", code=exact_code(m, result, fmt))
        deliver(m, self.i, self.o, enable=enable, result=code, valid=pipeline.valid)
        return m

    def _lead(self, m: Module, scale: Value, a: data.View, b: data.View, lane: int) -> Value:
        """The sum of the magnitudes' scales, one more than that of the raw ones for each −2^k, a significand of −2."""
        lead = Signal(self._scale_shape, name=f"lead_{lane}")
        minus_twos = [raw.sign & ~raw.fraction.any() for raw in (a, b)]
        m.d.comb += lead.eq(scale + Cat(minus_twos[0] ^ minus_twos[1], minus_twos[0] & minus_twos[1]))
        return lead

    def _largest(self, m: Module, leads: list[tuple[Value, Value]]) -> tuple[Value, Value]:
        """(the largest scale of nonzero terms, whether there is one)."""
        while len(leads) > 1:
            following = leads[len(leads) & ~1 :]
            for (x, x_nonzero), (y, y_nonzero) in zip(leads[::2], leads[1::2], strict=False):
                larger, below = Signal(self._scale_shape), Signal()
                m.d.comb += [
                    below.eq(_key(x, x_nonzero) < _key(y, y_nonzero)),
                    larger.eq(Mux(below, y, x)),
                ]
                following.append((larger, x_nonzero | y_nonzero))
            leads = following
        return leads[0]

    def _sum(
        self,
        m: Module,
        terms: list[tuple[Value, Value]],
        largest: Value,
        some: Value,
        nar: Value,
        total: data.View,
    ) -> data.View:
        """The unrounded sum of the accumulator and products, (product, scale), on the grid of the largest scale."""
        spec = self.spec
        # A −2^k has the significand −1, so that its scale is that of its magnitude.
        minus_two = total.sign & ~total.fraction.any()
        significand = Cat(total.fraction, ~(total.zero | (total.sign & ~minus_two)), total.sign).as_signed()
        above = Signal(signed(self._scale_shape.width + 1))  # the accumulator's scale less the largest, less one
        leads = Signal()
        scale = Signal(self._scale_shape)
        m.d.comb += [
            above.eq(total.scale + ~largest + minus_two),
            leads.eq(~total.zero & (~above[-1] | ~some)),
            scale.eq(Mux(leads, total.scale + minus_two, largest)),
        ]
        distance = ~above & ~leads.replicate(len(above))
        aligned = [self._aligned(m, significand, spec.out.fraction_bits, distance, name="total")]
        for index, (product, own) in enumerate(terms):
            shift = Signal(self._scale_shape.width + 1, name=f"shift_{index}")
            m.d.comb += shift.eq(scale - own)
            aligned.append(self._aligned(m, product, spec.product_fraction_bits, shift, name=f"align_{index}"))
        sum_ = _tree(m, aligned)

        integer_bits = len(sum_) - self.width
        sign = sum_[-1]
        fraction_bits = min(len(sum_) - 2, spec.out.fraction_bits + 1)
        shifted, run, lost = normalize_sticky(m, sum_[:-1], sign, fraction_bits + 1, name="norm")
        unrounded = Signal(RawLayout(max(len(scale), len(run) + 1) + 1, fraction_bits, sticky=True), name="unrounded")
        m.d.comb += [
            unrounded.sign.eq(sign),
            unrounded.scale.eq(scale + (integer_bits - 2) - run),
            unrounded.fraction.eq(shifted),
            unrounded.sticky.eq(lost),
            unrounded.zero.eq(~sum_.any()),
            unrounded.nar.eq(nar | total.nar),
        ]
        return unrounded

    def _aligned(self, m: Module, value: Value, fraction_bits: int, shift: Value, *, name: str) -> Value:
        """A term in units of the grid, its floor: below 4 in magnitude, so of 3 integer bits."""
        fill = max(0, self.width - fraction_bits)
        shifted = _floor_shift(m, Cat(Const(0, fill), value), shift, name=name)
        return shifted[fraction_bits + fill - self.width :][: self.width + 3].as_signed()

    def _round(self, m: Module, unrounded: data.View, rounded: data.View) -> None:
        """Round to the raw form of the output's format, in which 0 has neither sign nor fraction."""
        fmt = self.spec.out
        layout = unrounded.shape()
        fill = max(0, fmt.fraction_bits + 1 - layout.fraction_bits)
        m.submodules.round = rounder = RawRounder(
            fmt, scale_bits=layout.scale_bits, fraction_bits=layout.fraction_bits + fill
        )
        m.d.comb += [
            rounder.unrounded.fraction.eq(Cat(Const(0, fill), unrounded.fraction)),
            rounder.unrounded.scale.eq(unrounded.scale),
            rounder.unrounded.sign.eq(unrounded.sign),
            rounder.unrounded.zero.eq(unrounded.zero),
            rounder.unrounded.nar.eq(unrounded.nar),
            rounder.unrounded.sticky.eq(unrounded.sticky),
            rounded.eq(rounder.raw),
            rounded.sign.eq(rounder.raw.sign & ~rounder.raw.zero),
            rounded.fraction.eq(rounder.raw.fraction & ~rounder.raw.zero.replicate(fmt.fraction_bits)),
        ]


def _key(scale: Value, nonzero: Value) -> Value:
    """An unsigned number that orders scales, those of zeros below all."""
    return Cat(scale[:-1], ~scale[-1], nonzero)


def _floor_shift(m: Module, value: Value, amount: Value, *, name: str) -> Value:
    """The floor of a signed value / 2^amount: what is negative is complemented, so that zeros come in from the left.

    The smallest step comes first, as the carry chain before it gives its bit first, and what shifts all out last.
    """
    sign = value[-1]
    width = len(value) - 1
    flipped = Signal(width, name=f"{name}_flipped")
    m.d.comb += flipped.eq(value[:-1] ^ sign.replicate(width))
    levels = min(len(amount), width.bit_length())
    shifted: Value = flipped
    for level in range(levels):
        moved = Signal(width, name=f"{name}_{1 << level}")
        m.d.comb += moved.eq(Mux(amount[level], shifted >> (1 << level), shifted))
        shifted = moved
    kept = Signal(name=f"{name}_kept")
    m.d.comb += kept.eq(~amount[levels:].any())
    return Cat((shifted & kept.replicate(width)) ^ sign.replicate(width), sign).as_signed()


def _tree(m: Module, terms: list[Value]) -> Value:
    """The exact sum of signed values, pair by pair, the longest last.

    The lowest bit of each sum stands apart, so that every one becomes a carry chain: left as they are, synthesis makes
    one compressor tree of them all, of twice the LUTs.
    """
    level = 0
    while len(terms) > 1:
        odd = len(terms) % 2
        following = terms[:odd]
        for index, (x, y) in enumerate(zip(terms[odd::2], terms[odd + 1 :: 2], strict=True)):
            upper = Signal(signed(max(len(x), len(y))), name=f"sum_{level}_{index}")
            m.d.comb += upper.eq(x[1:].as_signed() + y[1:].as_signed() + (x[0] & y[0]))
            following.append(Cat(x[0] ^ y[0], upper).as_signed())
        terms, level = following, level + 1
    return terms[0]
