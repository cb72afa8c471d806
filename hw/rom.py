"""`FunctionTable`: a correctly rounded elementary function, read from its proven table."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from positcore.format import PositFormat
from positcore.hw.parameters import check_format, check_function, check_stages
from positcore.tables import table

__all__ = ["FunctionTable"]


class FunctionTable(wiring.Component):
    """f(a), rounded once, from a ROM of 2^n codes. Latency `stages` cycles, one code a cycle.

    The contents are the golden model's own table, each entry proven (`positcore.elementary`).

    Parameters
    ----------
    fmt : PositFormat
        n ≤ 16.
    function : str
        exp, tanh, sigmoid, ...: a function of `positcore.functions` that has tables.
    stages : int
        0: LUTs or distributed memory. 1: a registered read, of which synthesis makes block RAM.

    Members
    -------
    a : In(n)
    code : Out(n)
    """

    CUTS = ("read",)

    def __init__(self, fmt: PositFormat, *, function: str, stages: int = 0):
        self.fmt = check_format("FunctionTable", fmt)
        self.function = check_function("FunctionTable", fmt, function)
        self.stages = check_stages("FunctionTable", stages, self.CUTS)
        super().__init__({"a": In(fmt.n), "code": Out(fmt.n)})

    @property
    def latency(self) -> int:
        """Cycles from a code to the function's."""
        return self.stages

    def elaborate(self, platform: object) -> Module:
        """The memory and its port."""
        m = Module()
        codes = table(self.fmt, self.function).tolist()
        m.submodules.rom = rom = memory.Memory(shape=self.fmt.n, depth=len(codes), init=codes)
        port = rom.read_port(domain="sync" if self.stages else "comb")
        m.d.comb += [port.addr.eq(self.a), self.code.eq(port.data)]
        return m
