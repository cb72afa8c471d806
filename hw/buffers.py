"""`ReplayBuffer`: rows in a ring of block RAM, read once or several times in order; and `SkidBuffer`."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import *
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from positcore.hw.parameters import check_width

__all__ = ["ReplayBuffer", "SkidBuffer", "check_depth"]

MOST_ROWS = 1 << 16


def check_depth(unit: str, depth: object) -> int:
    """`depth` itself, if a ring may have as many rows."""
    if isinstance(depth, bool) or not isinstance(depth, int):
        raise TypeError(f"{unit}: depth must be a power of two in 2..{MOST_ROWS}, not {depth!r}")
    if not 2 <= depth <= MOST_ROWS or depth & (depth - 1):
        raise ValueError(f"{unit}: depth must be a power of two in 2..{MOST_ROWS}, the rows of a buffer, not {depth}")
    return depth


class ReplayBuffer(wiring.Component):
    """A ring of rows: written as a stream, read in order, and again from the oldest row kept where that is told.

    A row that is read with `keep` stays; one that is read without it makes room for the next. `keep` must be the
    same for all rows of a block, whose last row `rewind` marks on every pass but the last. So a block of up to
    `depth` rows is read as often as needed, while what follows it streams into the rows that its last pass frees.
    One row in and one row out in each cycle; a row written can be read in the next cycle.

    The memory has one write port and one registered read port, which never meet at one address: every family's
    block RAM does that without help. Reset forgets all rows.

    Parameters
    ----------
    width : int
        Bits of a row.
    depth : int
        Rows: a power of two, at least 2.

    Members
    -------
    i : In(stream.Signature(width))
    available : Out(1)
        There is a row to read.
    read : In(1)
        Read it, where it is available: it stands on `row` from the next cycle on, until another is read.
    keep, rewind : In(1)
        With `read`: the row stays; the next row to read is the oldest that stayed.
    row : Out(width)
    stuck : Out(1)
        All rows are kept and read, none was the last of its block: the block is longer than the ring.
    """

    def __init__(self, width: int, *, depth: int):
        self.width = check_width("ReplayBuffer", "width", width, 1)
        self.depth = check_depth("ReplayBuffer", depth)
        super().__init__(
            {
                "i": In(stream.Signature(self.width)),
                "available": Out(1),
                "read": In(1),
                "keep": In(1),
                "rewind": In(1),
                "row": Out(self.width),
                "stuck": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The memory and three pointers, each a bit longer than an address."""
        m = Module()
        m.submodules.memory = ring = memory.Memory(shape=self.width, depth=self.depth, init=[])
        write, read = ring.write_port(), ring.read_port()
        address_bits = exact_log2(self.depth)
        written, next_read, oldest = (
            Signal(address_bits + 1, name=name) for name in ("written", "next_read", "oldest")
        )
        full = Signal()
        freed = Signal()  # a row that nobody needs again: the oldest one
        m.d.comb += [
            self.i.ready.eq(~full),
            write.en.eq(self.i.valid & ~full),
            write.addr.eq(written[:-1]),
            write.data.eq(self.i.payload),
            self.stuck.eq(full & ~self.available),
            read.addr.eq(next_read[:-1]),
            # The second condition always holds. It is there for synthesis tools, which cannot know that otherwise.
            read.en.eq(self.read & ~(write.en & (write.addr == read.addr))),
            self.row.eq(read.data),
            freed.eq(self.read & ~self.keep),
        ]
        # Whether the pointers are going to meet is compared before it is known who moves.
        with m.If(write.en):
            m.d.sync += written.eq(written + 1)
        with m.If(freed):
            m.d.sync += [oldest.eq(next_read + 1), full.eq(0)]
        with m.Elif(write.en):
            m.d.sync += full.eq((written - oldest)[: len(written)] == self.depth - 1)
        with m.If(self.read):
            m.d.sync += next_read.eq(Mux(self.rewind, oldest, next_read + 1))
        with m.If(write.en | (self.read & self.rewind)):
            m.d.sync += self.available.eq(1)
        with m.Elif(self.read):
            m.d.sync += self.available.eq((next_read + 1)[: len(written)] != written)
        return m


class SkidBuffer(wiring.Component):
    """Two registers in a stream, between which neither `valid` nor `ready` is a path. One item a cycle, latency 1.

    Parameters
    ----------
    shape : shape-like

    Members
    -------
    i : In(stream.Signature(shape))
    o : Out(stream.Signature(shape))
    """

    def __init__(self, shape: Any):
        self.shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        """The register at the output, and one for what comes while that is held."""
        m = Module()
        spare = Signal.like(self.i.payload, name="spare", reset_less=True)
        spared = Signal()
        m.d.comb += self.i.ready.eq(~spared)
        with m.If(self.o.ready | ~self.o.valid):
            m.d.sync += [
                self.o.payload.eq(Mux(spared, spare, self.i.payload)),
                self.o.valid.eq(spared | self.i.valid),
                spared.eq(0),
            ]
        with m.Elif(self.i.valid & ~spared):
            m.d.sync += spared.eq(1)
        with m.If(~spared):
            m.d.sync += spare.eq(self.i.payload)
        return m
