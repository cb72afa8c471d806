"""Between bytes and beats of AXI4-Streams: `BeatSource` for what is sent, `BeatSink` for what is taken."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from positcore.hw.axi import axi_stream
from positcore.hw.link_protocol import MOST_BODY
from positcore.hw.parameters import check_width

__all__ = ["COUNT_BITS", "BeatSink", "BeatSource"]

COUNT_BITS = MOST_BODY.bit_length()


class BeatSource(wiring.Component):
    """Asks for bytes, puts them together into beats, and offers those; counts what is taken.

    The first byte of a beat is its lowest one. A rest that fills no beat is not offered.

    Parameters
    ----------
    data_bits : int
        Of a beat: a multiple of 8.

    Members
    -------
    begin : In(1)
        Forget what was taken, and an unfinished beat.
    enable : In(1)
        Ask and offer. A beat that is offered is withdrawn without it.
    count : In(11)
        Bytes that there are.
    want : Out(1)
        Asks for the byte at `index`, counted from 0.
    index : Out(11)
    granted : In(1)
        It is being fetched: it stands on `byte` in the next cycle.
    byte : In(8)
    axis : Out(axi_stream(data_bits))
    taken : Out(11)
        Bytes in the beats that were taken.
    """

    def __init__(self, data_bits: int):
        self.size = check_width("BeatSource", "data_bits", data_bits, 8) // 8
        super().__init__(
            {
                "begin": In(1), "enable": In(1), "count": In(COUNT_BITS),
                "want": Out(1), "index": Out(COUNT_BITS), "granted": In(1), "byte": In(8),
                "axis": Out(axi_stream(8 * self.size)), "taken": Out(COUNT_BITS),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """A shift register of the beat, and three counts."""
        m = Module()
        beat = Signal(8 * self.size, reset_less=True)
        filled = Signal(range(self.size + 1))
        arriving, full = Signal(), Signal()
        m.d.comb += [
            full.eq(filled == self.size),
            self.want.eq(self.enable & ~full & ~arriving & (self.index != self.count)),
            self.axis.tdata.eq(beat),
            self.axis.tvalid.eq(self.enable & full),
        ]
        m.d.sync += arriving.eq(self.granted)
        with m.If(self.granted):
            m.d.sync += self.index.eq(self.index + 1)
        with m.If(arriving):
            m.d.sync += [beat.eq(Cat(beat, self.byte)[8:]), filled.eq(filled + 1)]
        with m.If(self.axis.tvalid & self.axis.tready):
            m.d.sync += [filled.eq(0), self.taken.eq(self.taken + self.size)]
        with m.If(self.begin):
            m.d.sync += [filled.eq(0), arriving.eq(0), self.index.eq(0), self.taken.eq(0)]
        return m


class BeatSink(wiring.Component):
    """Takes beats as far as they are wanted, and gives their bytes one by one, the lowest first.

    Parameters
    ----------
    data_bits : int
        Of a beat: a multiple of 8.

    Members
    -------
    begin : In(1)
        Forget what was received.
    enable : In(1)
        Take beats.
    count : In(11)
        Bytes that are wanted. A rest that is less than a beat is not taken.
    axis : In(axi_stream(data_bits, last=True))
    write : Out(1)
        `byte` is the one at `index`, counted from 0.
    index : Out(11)
        With `idle`, the bytes received.
    byte : Out(8)
    idle : Out(1)
        All bytes received were given.
    """

    def __init__(self, data_bits: int):
        self.size = check_width("BeatSink", "data_bits", data_bits, 8) // 8
        super().__init__(
            {
                "begin": In(1), "enable": In(1), "count": In(COUNT_BITS),
                "axis": In(axi_stream(8 * self.size, last=True)),
                "write": Out(1), "index": Out(COUNT_BITS), "byte": Out(8), "idle": Out(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """A shift register of the beat, and two counts."""
        m = Module()
        beat = Signal(8 * self.size, reset_less=True)
        held = Signal(range(self.size + 1))
        m.d.comb += [
            self.idle.eq(held == 0),
            self.axis.tready.eq(self.enable & self.idle & (self.index + self.size <= self.count)),
            self.byte.eq(beat[:8]),
            self.write.eq(~self.idle),
        ]
        with m.If(self.axis.tvalid & self.axis.tready):
            m.d.sync += [beat.eq(self.axis.tdata), held.eq(self.size)]
        with m.If(self.write):
            m.d.sync += [beat.eq(beat >> 8), held.eq(held - 1), self.index.eq(self.index + 1)]
        with m.If(self.begin):
            m.d.sync += self.index.eq(0)
        return m
