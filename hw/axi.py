"""AXI4-Stream ports for vectors of posit codes, one code a lane, as arrays of codes lie in memory."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from positcore.format import PositFormat
from positcore.hw.parameters import check_format

__all__ = ["CodeSink", "CodeSource", "axi_stream", "check_vector", "lane_bits"]

MOST_LANES = 256


def check_vector(unit: str, name: str, lanes: object) -> int:
    """`lanes` itself, if a vector may have as many codes."""
    if isinstance(lanes, bool) or not isinstance(lanes, int):
        raise TypeError(f"{unit}: {name} must be an integer in 1..{MOST_LANES}, not {lanes!r}")
    if not 1 <= lanes <= MOST_LANES:
        raise ValueError(f"{unit}: {name} must be an integer in 1..{MOST_LANES}, not {lanes}")
    return lanes


def axi_stream(data_bits: int, *, last: bool = False) -> wiring.Signature:
    """The signals of an AXI4-Stream, as its source sees them: tdata, tvalid, tready and, if asked for, tlast.

    There is no tkeep and no tstrb: all bytes of every beat are data. Source: AMBA 4 AXI4-Stream Protocol
    Specification (ARM IHI 0051A), §2.
    """
    members = {"tdata": Out(data_bits)} | ({"tlast": Out(1)} if last else {}) | {"tvalid": Out(1), "tready": In(1)}
    return wiring.Signature(members)


def lane_bits(fmt: PositFormat) -> int:
    """Bits of a code's lane: those of the format's dtype, 8, 16 or 32, so that a beat is a row of an array of codes."""
    return 8 * fmt.dtype.itemsize


class CodeSource(wiring.Component):
    """Takes an AXI4-Stream, and gives a stream of vectors of codes. Combinational.

    Lane i, code i of the vector, is at bits i·w … i·w + n − 1 of tdata, w = 8, 16 or 32 the bits of a lane; those
    above n are ignored. A master's tlast and tkeep stay unconnected.

    Parameters
    ----------
    fmt : PositFormat
    lanes : int
        Codes in a vector, 1..256.

    Members
    -------
    axis : In(axi_stream(lanes · w))
    o : Out(stream.Signature(ArrayLayout(n, lanes)))
    """

    def __init__(self, fmt: PositFormat, lanes: int):
        self.fmt = check_format("CodeSource", fmt)
        self.lanes = check_vector("CodeSource", "lanes", lanes)
        vector = data.ArrayLayout(fmt.n, lanes)
        super().__init__({"axis": In(axi_stream(lanes * lane_bits(fmt))), "o": Out(stream.Signature(vector))})

    def elaborate(self, platform: object) -> Module:
        """The wires."""
        m = Module()
        codes = [self.axis.tdata.word_select(lane, lane_bits(self.fmt))[: self.fmt.n] for lane in range(self.lanes)]
        m.d.comb += [
            self.o.payload.eq(Cat(codes)),
            self.o.valid.eq(self.axis.tvalid),
            self.axis.tready.eq(self.o.ready),
        ]
        return m


class CodeSink(wiring.Component):
    """Takes a stream of vectors of codes, and gives an AXI4-Stream with tlast. Combinational.

    Lanes are as in `CodeSource`; the bits above n are 0.

    Parameters
    ----------
    fmt : PositFormat
    lanes : int

    Members
    -------
    i : In(stream.Signature({code: ArrayLayout(n, lanes), last}))
    axis : Out(axi_stream(lanes · w, last=True))
    """

    def __init__(self, fmt: PositFormat, lanes: int):
        self.fmt = check_format("CodeSink", fmt)
        self.lanes = check_vector("CodeSink", "lanes", lanes)
        vector = data.StructLayout({"code": data.ArrayLayout(fmt.n, lanes), "last": 1})
        axis = axi_stream(lanes * lane_bits(fmt), last=True)
        super().__init__({"i": In(stream.Signature(vector)), "axis": Out(axis)})

    def elaborate(self, platform: object) -> Module:
        """The wires."""
        m = Module()
        padding = Const(0, lane_bits(self.fmt) - self.fmt.n)
        m.d.comb += [
            self.axis.tdata.eq(Cat(Cat(self.i.payload.code[lane], padding) for lane in range(self.lanes))),
            self.axis.tlast.eq(self.i.payload.last),
            self.axis.tvalid.eq(self.i.valid),
            self.i.ready.eq(self.axis.tready),
        ]
        return m
