"""`QuireMac`: dot products of any length, summed exactly and rounded once; `QuireDot`: the same, several lanes wide."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from positcore.hw.parameters import check_dsp, check_lanes, check_spec, check_stages
from positcore.hw.pipeline import deliver
from positcore.hw.quire_path import QuirePath
from positcore.mac import MacSpec

__all__ = ["QuireDot", "QuireMac"]


class QuireMac(wiring.Component):
    """Takes the terms of dot products one a cycle, and gives the code of each sum, rounded once.

    A term is a pair of codes; `last` marks the final one of a dot product, and the next term starts another
    one at once, without a bubble. NaR in any term makes that dot product NaR, and no other. The accumulator
    wraps: more than `spec.quire.capacity` terms may overflow it. A bias is a first term (bias, 1.0).

    Throughput is one term a cycle, and one result a cycle where the consumer takes them; latency is
    1 + `stages` cycles from the last term to its result. Where the consumer stalls, terms go in until two results
    wait, and nothing is lost. Reset drops what was begun.

    Parameters
    ----------
    spec : MacSpec
    stages : int
        0..len(cuts(spec)): registers besides the accumulator's own.
    dsp : bool
        Whether the product is an operator of which tools make a DSP.

    Members
    -------
    i : In(stream.Signature({a, b, last}))
    o : Out(stream.Signature({code}))
    """

    def __init__(self, spec: MacSpec, *, stages: int = 0, dsp: bool = False):
        self.spec = check_spec("QuireMac", spec)
        self.dsp = check_dsp("QuireMac", dsp)
        self.stages = check_stages("QuireMac", stages, self.cuts(spec))
        term = data.StructLayout({"a": spec.a.n, "b": spec.b.n, "last": 1})
        result = data.StructLayout({"code": spec.out.n})
        super().__init__({"i": In(stream.Signature(term)), "o": Out(stream.Signature(result))})

    @staticmethod
    def cuts(spec: MacSpec) -> tuple[str, ...]:
        """Where its pipeline can be cut, in order of preference."""
        return QuirePath.cuts(spec)

    @property
    def latency(self) -> int:
        """Cycles from the last term of a dot product to its result."""
        return 1 + self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        path = QuirePath(self.spec, stages=self.stages, dsp=self.dsp)
        term = self.i.payload
        m.d.comb += [
            path.i.a[0].eq(term.a), path.i.b[0].eq(term.b), path.i.read.eq(term.last), path.i.clear.eq(term.last)
        ]  # fmt: skip
        m.submodules.path = path
        m.d.comb += path.i_valid.eq(self.i.valid)
        deliver(m, self.i, self.o, enable=path.enable, result=path.o, valid=path.o_valid)
        return m


class QuireDot(wiring.Component):
    """Takes the terms of dot products `lanes` a cycle, and gives the code of each sum, rounded once.

    As `QuireMac` in all else. A dot product whose length is no multiple of `lanes` is filled up with zeros; the
    `lanes` products of a cycle are summed before they reach the one accumulator and the one rounder.

    Parameters
    ----------
    spec : MacSpec
    lanes : int
        Products in each cycle, 1..64.
    stages : int
        0..len(cuts(spec, lanes=lanes)): registers besides the accumulator's own.
    dsp : bool
        Whether products are operators of which tools make DSPs.

    Members
    -------
    i : In(stream.Signature({a: ArrayLayout(n, lanes), b: ArrayLayout(n, lanes), last}))
    o : Out(stream.Signature({code}))
    """

    def __init__(self, spec: MacSpec, *, lanes: int, stages: int = 0, dsp: bool = False):
        self.spec = check_spec("QuireDot", spec)
        self.lanes = check_lanes("QuireDot", lanes, spec)
        self.dsp = check_dsp("QuireDot", dsp)
        self.stages = check_stages("QuireDot", stages, self.cuts(spec, lanes=lanes))
        a, b = data.ArrayLayout(spec.a.n, lanes), data.ArrayLayout(spec.b.n, lanes)
        result = data.StructLayout({"code": spec.out.n})
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout({"a": a, "b": b, "last": 1}))),
                "o": Out(stream.Signature(result)),
            }
        )

    @staticmethod
    def cuts(spec: MacSpec, *, lanes: int) -> tuple[str, ...]:
        """Where its pipeline can be cut, in order of preference."""
        return QuirePath.cuts(spec, lanes=lanes)

    @property
    def latency(self) -> int:
        """Cycles from the last terms of a dot product to its result."""
        return 1 + self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        path = QuirePath(self.spec, lanes=self.lanes, stages=self.stages, dsp=self.dsp)
        terms = self.i.payload
        m.d.comb += [
            path.i.a.eq(terms.a), path.i.b.eq(terms.b), path.i.read.eq(terms.last), path.i.clear.eq(terms.last)
        ]  # fmt: skip
        m.submodules.path = path
        m.d.comb += path.i_valid.eq(self.i.valid)
        deliver(m, self.i, self.o, enable=path.enable, result=path.o, valid=path.o_valid)
        return m
