"""`QuireUnit`: the quire of the Posit Standard, with its operations."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from positcore.hw.parameters import check_dsp, check_spec, check_stages
from positcore.hw.pipeline import Pipeline, deliver
from positcore.hw.quire_path import QuirePath
from positcore.mac import MacSpec
from positcore.rational import round_fraction

__all__ = ["QuireOperation", "QuireUnit"]


class QuireOperation(enum.Enum, shape=3):  # type: ignore[call-arg]
    """What an item of `QuireUnit` does; in brackets the standard's name."""

    CLEAR = 0  # quire <- 0
    NEGATE = 1  # quire <- -quire [qNegate]
    ADD = 2  # quire <- quire + a [qAddP]
    SUBTRACT = 3  # quire <- quire - a [qSubP]
    MULTIPLY_ADD = 4  # quire <- quire + a * b [qMulAdd]
    MULTIPLY_SUBTRACT = 5  # quire <- quire - a * b [qMulSub]
    ROUND = 6  # gives the code nearest to the quire, which stays [qToP]
    ROUND_AND_CLEAR = 7  # the same, and quire <- 0


class QuireUnit(wiring.Component):
    """A quire that is cleared, negated, added to and rounded, one operation a cycle.

    NaR in an operand makes the quire NaR until it is cleared, and each rounding in between. Sums are exact as long as
    they stay below 2^carry_bits products of maxpos². ROUND and ROUND_AND_CLEAR give a result each, 1 + `stages` cycles
    later; throughput is one operation a cycle, whatever it is. Where the consumer stalls, operations go in until two
    results wait. Reset clears.

    Nothing is as wide as the quire but its adder: a difference adds the product of −a; NEGATE leaves the accumulator as
    it is, and from then on what is added is negated, and so is what is rounded, since rounding is symmetric.

    Parameters
    ----------
    spec : MacSpec
        a and b are of its input formats, results of its output format.
    stages : int
        0..len(cuts(spec)): registers besides the quire's own.
    dsp : bool
        Whether the product is an operator of which tools make a DSP.

    Members
    -------
    i : In(stream.Signature({a, b, operation: QuireOperation}))
        Operands that an operation does not have mean nothing.
    o : Out(stream.Signature({code}))

    References
    ----------
    Posit Working Group, "Standard for Posit Arithmetic (2022)", §5.11.
    """

    def __init__(self, spec: MacSpec, *, stages: int = 0, dsp: bool = False):
        self.spec = check_spec("QuireUnit", spec)
        self.stages = check_stages("QuireUnit", stages, self.cuts(spec))
        self.dsp = check_dsp("QuireUnit", dsp)
        item = data.StructLayout({"a": spec.a.n, "b": spec.b.n, "operation": QuireOperation})
        result = data.StructLayout({"code": spec.out.n})
        super().__init__({"i": In(stream.Signature(item)), "o": Out(stream.Signature(result))})

    @staticmethod
    def cuts(spec: MacSpec) -> tuple[str, ...]:
        """Where its pipeline can be cut, in order of preference."""
        return (*QuirePath.cuts(spec), "operated", "negated")

    @property
    def latency(self) -> int:
        """Cycles from a rounding to its result."""
        return 1 + self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        path = QuireOperations(self.spec, self.i.payload.shape(), self.stages, dsp=self.dsp)
        m.d.comb += Value.cast(path.i).eq(Value.cast(self.i.payload))
        m.submodules.path = path
        m.d.comb += path.i_valid.eq(self.i.valid)
        deliver(m, self.i, self.o, enable=path.enable, result=path.o, valid=path.o_valid)
        return m


class QuireOperations(wiring.Component):
    """Operations as products to add, flags, and whether a result is to be negated."""

    def __init__(self, spec: MacSpec, item: data.StructLayout, stages: int, *, dsp: bool):
        self.spec, self.stages, self.dsp = spec, stages, dsp
        result = data.StructLayout({"code": spec.out.n})
        flags = {"i_valid": In(1), "o_valid": Out(1), "enable": In(1)}
        super().__init__({"i": In(item), "o": Out(result), **flags})

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        spec, enable = self.spec, self.enable
        pipeline = Pipeline(m, QuireUnit.cuts(spec), self.stages, valid=self.i_valid, enable=enable)
        operation = self.i.operation
        kinds: dict[str, QuireOperation] = dict(QuireOperation.__members__)
        one = {name: Signal(name=f"is_{name.lower()}") for name in kinds}
        m.d.comb += [one[name].eq(operation == kind) for name, kind in kinds.items()]

        # Whether the quire is the negative of what the accumulator holds.
        negated = Signal()
        clear = one["CLEAR"] | one["ROUND_AND_CLEAR"]
        with m.If(enable & self.i_valid):
            m.d.sync += negated.eq((negated ^ one["NEGATE"]) & ~clear)

        adds = Signal()
        flips = Signal()
        a = Signal(spec.a.n, name="operand_a")
        b = Signal(spec.b.n, name="operand_b")
        m.d.comb += [
            adds.eq(one["ADD"] | one["SUBTRACT"] | one["MULTIPLY_ADD"] | one["MULTIPLY_SUBTRACT"]),
            flips.eq((one["SUBTRACT"] | one["MULTIPLY_SUBTRACT"]) ^ negated),
            # NaR and 0 are their own negatives.
            a.eq(Mux(adds, (self.i.a ^ flips.replicate(spec.a.n)) + flips, 0)),
            b.eq(Mux(one["MULTIPLY_ADD"] | one["MULTIPLY_SUBTRACT"], self.i.b, round_fraction(spec.b, 1))),
        ]
        read = one["ROUND"] | one["ROUND_AND_CLEAR"]
        a, b, read, clear, flipped = pipeline.cut("operated", a=a, b=b, read=read, clear=clear, flipped=negated)

        inside = QuirePath.cuts(spec)
        path = QuirePath(spec, stages=sum(map(pipeline.made, inside)), dsp=self.dsp, tag_bits=1)
        m.submodules.path = path
        m.d.comb += [
            path.i.a[0].eq(a), path.i.b[0].eq(b), path.i.read.eq(read), path.i.clear.eq(clear), path.i.tag.eq(flipped),
            path.i_valid.eq(pipeline.valid), path.enable.eq(enable),
        ]  # fmt: skip
        pipeline.valid = path.o_valid
        code = Signal(spec.out.n)
        m.d.comb += code.eq((path.o.code ^ path.o.tag.replicate(spec.out.n)) + path.o.tag)
        (code,) = pipeline.cut("negated", code=code)
        m.d.comb += [self.o.code.eq(code), self.o_valid.eq(pipeline.valid)]
        return m
