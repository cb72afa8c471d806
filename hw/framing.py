"""Frames on a stream of bytes: what `link_protocol.frame` and `Deframer` do, in hardware."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from positcore.hw.link_protocol import CHECK_BYTES, ESCAPE, FLAG, FLIP, HEAD_BYTES, MOST_CONTENTS

__all__ = ["CONTENTS", "FrameReceiver", "FrameTransmitter"]

CONTENTS = data.StructLayout({"byte": 8, "last": 1})  # of what goes into a frame


class FrameReceiver(wiring.Component):
    """Finds frames in bytes, gives their contents as they come, and says at the end of each whether it was good.

    A byte a cycle. Whoever takes the contents must not use them before `good`.

    Members
    -------
    byte, valid : In(8), In(1)
        A byte has come.
    broken : In(1)
        Something came that is no byte: its frame is bad.
    blocked : In(1)
        What comes now is bad, and nothing is written.
    write : Out(1)
        A byte of the contents has come: `content`, at `position` from 0 on. The check is among them.
    good : Out(1)
        For one cycle: the frame that ended is whole, and `length` says how many bytes its contents have, less the
        check.
    dropped : Out(1)
        For one cycle: a frame ended that is not.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "byte": In(8), "valid": In(1), "broken": In(1), "blocked": In(1),
                "write": Out(1), "content": Out(8), "position": Out(range(MOST_CONTENTS + 2)),
                "good": Out(1), "dropped": Out(1), "length": Out(range(MOST_CONTENTS + 2)),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        """A count of the contents, which stops beyond the most that there may be, and what makes a frame bad."""
        m = Module()
        m.submodules.check = check = CRC32_ISO_HDLC().create()
        escaped, bad, content, flag = (Signal(name=name) for name in ("escaped", "bad", "is_content", "is_flag"))
        whole = Signal()
        m.d.comb += [
            flag.eq(self.valid & (self.byte == FLAG)),
            content.eq(self.valid & (self.byte != FLAG) & (escaped | (self.byte != ESCAPE))),
            self.content.eq(self.byte ^ Mux(escaped, FLIP, 0)),
            self.write.eq(content & ~self.blocked),
            check.data.eq(self.content),
            check.valid.eq(content),
            check.start.eq(flag),
            whole.eq(
                check.match_detected & ~bad & ~escaped & ~self.blocked
                & (self.position >= HEAD_BYTES + CHECK_BYTES) & (self.position <= MOST_CONTENTS)
            ),
        ]  # fmt: skip
        m.d.sync += [self.good.eq(flag & whole), self.dropped.eq(flag & ~whole & (bad | escaped | self.position.any()))]
        with m.If(self.broken | (self.valid & ~flag & self.blocked)):
            m.d.sync += bad.eq(1)
        with m.If(flag):
            m.d.sync += [escaped.eq(0), bad.eq(0), self.position.eq(0), self.length.eq(self.position - CHECK_BYTES)]
        with m.Elif(content):
            m.d.sync += escaped.eq(0)
            with m.If(self.position <= MOST_CONTENTS):
                m.d.sync += self.position.eq(self.position + 1)
        with m.Elif(self.valid):
            m.d.sync += escaped.eq(1)
        return m


class FrameTransmitter(wiring.Component):
    """Puts contents into frames, with their check, between flags.

    Members
    -------
    i : In(stream.Signature({byte, last}))
        Contents, less the check.
    o : Out(stream.Signature(8))
        Bytes for the wire.
    """

    def __init__(self) -> None:
        super().__init__({"i": In(stream.Signature(CONTENTS)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform: object) -> Module:
        """Flag, contents, check, flag; an escape before those bytes that need one."""
        m = Module()
        m.submodules.check = check = CRC32_ISO_HDLC().create()
        escaped, needs = Signal(), Signal()
        byte = Signal(8)
        number = Signal(range(CHECK_BYTES))
        m.d.comb += [
            needs.eq((byte == FLAG) | (byte == ESCAPE)),
            check.data.eq(self.i.payload.byte),
            check.valid.eq(self.i.valid & self.i.ready),
        ]

        def send() -> Value:
            """Offer the byte, in two if it needs an escape; gives whether it is gone."""
            m.d.comb += self.o.payload.eq(Mux(escaped, byte ^ FLIP, Mux(needs, ESCAPE, byte)))
            with m.If(self.o.valid & self.o.ready):
                m.d.sync += escaped.eq(needs & ~escaped)
            return self.o.valid & self.o.ready & (escaped | ~needs)

        with m.FSM():
            with m.State("OPEN"):
                m.d.comb += [self.o.payload.eq(FLAG), self.o.valid.eq(self.i.valid), check.start.eq(1)]
                with m.If(self.i.valid & self.o.ready):
                    m.next = "CONTENTS"
            with m.State("CONTENTS"):
                m.d.comb += [byte.eq(self.i.payload.byte), self.o.valid.eq(self.i.valid)]
                gone = send()
                m.d.comb += self.i.ready.eq(gone)
                m.d.sync += number.eq(0)
                with m.If(gone & self.i.payload.last):
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.d.comb += [
                    byte.eq(Array(check.crc.word_select(place, 8) for place in range(CHECK_BYTES))[number]),
                    self.o.valid.eq(1),
                ]
                with m.If(send()):
                    m.d.sync += number.eq(number + 1)
                    with m.If(number == CHECK_BYTES - 1):
                        m.next = "CLOSE"
            with m.State("CLOSE"):
                m.d.comb += [self.o.payload.eq(FLAG), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.next = "OPEN"
        return m
