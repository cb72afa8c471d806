"""`WordMaster`: reads and writes one register after another over AXI4-Lite."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from positcore.hw.registers import PAGE, WORD, axi_lite

__all__ = ["WordMaster"]


class WordMaster(wiring.Component):
    """One access at a time: `start` with what to do, and some cycles later `done` with the answer.

    Members
    -------
    start : In(1)
        While no access is under way: do what `write`, `address` and `word` say, which must not change until `done`.
    write : In(1)
    address : In(12)
    word : In(32)
    done : Out(1)
        For one cycle: `response` and, of a read, `found` are the answer, in this cycle alone.
    response : Out(2)
    found : Out(32)
    bus : Out(axi_lite())
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1), "write": In(1), "address": In(PAGE), "word": In(WORD),
                "done": Out(1), "response": Out(2), "found": Out(WORD), "bus": Out(axi_lite()),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """Three requests that are offered until taken, and two answers that are waited for."""
        m = Module()
        bus, waiting = self.bus, Signal()
        for valid, ready, mine in (
            (bus.awvalid, bus.awready, self.write),
            (bus.wvalid, bus.wready, self.write),
            (bus.arvalid, bus.arready, ~self.write),
        ):
            with m.If(self.start):
                m.d.sync += valid.eq(mine)
            with m.Elif(ready):
                m.d.sync += valid.eq(0)
        m.d.comb += [
            bus.awaddr.eq(self.address), bus.araddr.eq(self.address), bus.wdata.eq(self.word), bus.wstrb.eq(-1),
            bus.bready.eq(waiting & self.write), bus.rready.eq(waiting & ~self.write),
            self.done.eq((bus.bvalid & bus.bready) | (bus.rvalid & bus.rready)),
            self.response.eq(Mux(self.write, bus.bresp, bus.rresp)), self.found.eq(bus.rdata),
        ]  # fmt: skip
        m.d.sync += waiting.eq((waiting | self.start) & ~self.done)
        return m
