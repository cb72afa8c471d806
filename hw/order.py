"""What codes tell without decoding: comparison, minimum, maximum, negation, magnitude and sign."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from positcore.format import PositFormat
from positcore.hw.parameters import check_format, check_stages
from positcore.hw.pipeline import Pipeline

__all__ = ["Comparator", "Magnitude", "Maximum", "Minimum", "Negator", "Sign"]


class _CodeUnit(wiring.Component):
    """A unit of integer logic on codes, with one cut before its outputs."""

    CUTS = ("result",)
    OPERANDS: tuple[str, ...] = ("a",)

    def __init__(self, fmt: PositFormat, *, stages: int = 0):
        name = type(self).__name__
        self.fmt = check_format(name, fmt)
        self.stages = check_stages(name, stages, self.CUTS)
        super().__init__({port: In(fmt.n) for port in self.OPERANDS} | self._outputs())

    def _outputs(self) -> dict[str, wiring.Member]:
        return {"code": Out(self.fmt.n)}

    @property
    def latency(self) -> int:
        """Cycles from the operands to the result."""
        return self.stages

    def elaborate(self, platform: object) -> Module:
        """The logic."""
        m = Module()
        results = self._results()
        registers = Pipeline(m, self.CUTS, self.stages).cut("result", **results)
        for port, value in zip(results, registers, strict=True):
            m.d.comb += getattr(self, port).eq(value)
        return m

    def _results(self) -> dict[str, Value]:
        """The value of each output."""
        raise NotImplementedError


class Comparator(_CodeUnit):
    """a < b, a ≤ b and a = b in the order of the standard. Latency `stages` cycles, one pair a cycle.

    Codes order as two's-complement integers do: NaR is below everything else and equal to itself.

    Parameters
    ----------
    fmt : PositFormat
    stages : int
        0 or 1: a register at the result.

    Members
    -------
    a, b : In(n)
    lt, le, eq : Out(1)

    References
    ----------
    Posit Working Group, "Standard for Posit Arithmetic (2022)", §5.3.
    """

    OPERANDS = ("a", "b")

    def _outputs(self) -> dict[str, wiring.Member]:
        return {"lt": Out(1), "le": Out(1), "eq": Out(1)}

    def _results(self) -> dict[str, Value]:
        less, equal = self.a.as_signed() < self.b.as_signed(), self.a == self.b
        return {"lt": less, "le": less | equal, "eq": equal}


class Minimum(_CodeUnit):
    """The lesser of a and b in the order of `Comparator`: NaR, if one is. Latency `stages` cycles, one pair a cycle.

    Parameters
    ----------
    fmt : PositFormat
    stages : int
        0 or 1: a register at the result.

    Members
    -------
    a, b : In(n)
    code : Out(n)
    """

    OPERANDS = ("a", "b")

    def _results(self) -> dict[str, Value]:
        return {"code": Mux(self.a.as_signed() < self.b.as_signed(), self.a, self.b)}


class Maximum(_CodeUnit):
    """The greater of a and b in the order of `Comparator`: the other one, if one is NaR. Otherwise as `Minimum`."""

    OPERANDS = ("a", "b")

    def _results(self) -> dict[str, Value]:
        return {"code": Mux(self.a.as_signed() < self.b.as_signed(), self.b, self.a)}


class Negator(_CodeUnit):
    """−a, exact: the two's complement, which keeps 0 and NaR. Latency `stages` cycles, one code a cycle.

    Parameters
    ----------
    fmt : PositFormat
    stages : int
        0 or 1: a register at the result.

    Members
    -------
    a : In(n)
    code : Out(n)

    References
    ----------
    Posit Working Group, "Standard for Posit Arithmetic (2022)", §5.2.
    """

    def _results(self) -> dict[str, Value]:
        return {"code": (-self.a)[: self.fmt.n]}


class Magnitude(_CodeUnit):
    """|a|, exact; NaR stays NaR. Otherwise as `Negator`."""

    def _results(self) -> dict[str, Value]:
        sign = self.a[-1]
        return {"code": ((self.a ^ sign.replicate(self.fmt.n)) + sign)[: self.fmt.n]}


class Sign(_CodeUnit):
    """The posit 1, −1 or 0 by the sign of a; NaR stays NaR. Otherwise as `Negator`.

    The codes of 1, −1, 0 and NaR are two bits, then zeros: the sign of a, and whether another of its bits is set.
    """

    def _results(self) -> dict[str, Value]:
        return {"code": Cat(Const(0, self.fmt.n - 2), self.a[:-1].any(), self.a[-1])}
