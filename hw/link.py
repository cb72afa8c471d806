"""`Link`: does what a host asks for in frames, on the registers and the streams of a gemm (docs/link.md)."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from positcore.hw.axi import axi_stream
from positcore.hw.bus_master import WordMaster
from positcore.hw.exchange import COUNT_BITS, BeatSink, BeatSource
from positcore.hw.framing import FrameReceiver, FrameTransmitter
from positcore.hw.gemm_registers import CONTROL
from positcore.hw.link_protocol import (
    BOARD_BASE,
    EXCHANGE_HEAD,
    GREETING,
    HEAD_BYTES,
    MOST_BODY,
    MOST_RESULTS,
    PATIENCE,
    RESPONSE,
    TAKEN_HEAD,
    Operation,
)
from positcore.hw.registers import SLVERR, WORD, Register, RegisterBank, axi_lite

__all__ = ["Link"]

ADDRESS_BITS = exact_log2(MOST_BODY)
ARGUMENTS = EXCHANGE_HEAD  # bytes at the beginning of a body that are looked at before anything is done
PAGE = BOARD_BASE.bit_length() - 1  # bits of an address within the gemm's registers, or the board's


class Link(wiring.Component):
    """The board's side of the link, between bytes of a UART and a gemm.

    A request is looked at when its check was found right, and done once. Its response is kept in a memory of its own,
    for the host may ask again. While it is done and answered, what comes in is dropped.

    Parameters
    ----------
    registers : tuple of Register
        The board's (`link_protocol.board_registers`).
    a_bits, b_bits, c_bits : int
        Bits of a beat of each stream.

    Members
    -------
    byte, valid, broken : In(8), In(1), In(1)
        As `UartReceiver` gives them.
    o : Out(stream.Signature(8))
        For `UartTransmitter`.
    m_axil : Out(axi_lite())
        The gemm's registers.
    m_axis_a, m_axis_b : Out(axi_stream(a_bits)), Out(axi_stream(b_bits))
    s_axis_c : In(axi_stream(c_bits, last=True))
    busy : Out(1)
        A request is being done and answered.
    dropped : Out(1)
        For one cycle: a frame was dropped.
    """

    def __init__(self, registers: tuple[Register, ...], *, a_bits: int, b_bits: int, c_bits: int):
        self.registers = registers
        super().__init__(
            {
                "byte": In(8), "valid": In(1), "broken": In(1), "o": Out(stream.Signature(8)),
                "m_axil": Out(axi_lite()), "m_axis_a": Out(axi_stream(a_bits)), "m_axis_b": Out(axi_stream(b_bits)),
                "s_axis_c": In(axi_stream(c_bits, last=True)), "busy": Out(1), "dropped": Out(1),
            }
        )  # fmt: skip
        self._bits = a_bits, b_bits, c_bits

    def elaborate(self, platform: object) -> Module:
        """Receiver → memory of the request → what it asks for → memory of the response → transmitter."""
        m = Module()
        m.submodules.receiver = receiver = FrameReceiver()
        m.submodules.transmitter = transmitter = FrameTransmitter()
        wiring.connect(m, transmitter.o, wiring.flipped(self.o))
        m.d.comb += [
            receiver.byte.eq(self.byte), receiver.valid.eq(self.valid), receiver.broken.eq(self.broken),
            receiver.blocked.eq(self.busy),
        ]  # fmt: skip
        self._elaborate_request(m, receiver)
        self._elaborate_response(m)
        self._elaborate_bus(m)
        self._elaborate_exchange(m)
        self._elaborate_steps(m, receiver, transmitter)
        return m

    def _elaborate_request(self, m: Module, receiver: FrameReceiver) -> None:
        """The head of a request in registers, its body in a memory."""
        self._head = head = Signal(8 * HEAD_BYTES)
        self._session, self._sequence, self._operation = head[:16], head[16:32], head[32:]
        m.submodules.request_memory = request = memory.Memory(shape=8, depth=MOST_BODY, init=[])
        write, read = request.write_port(), request.read_port()
        offset = Signal.like(receiver.position)
        m.d.comb += [
            offset.eq(receiver.position - HEAD_BYTES),
            write.addr.eq(offset),
            write.data.eq(receiver.content),
            write.en.eq(receiver.write & (offset < MOST_BODY)),
        ]
        with m.If(receiver.write & (receiver.position < HEAD_BYTES)):
            m.d.sync += head.eq(Cat(head, receiver.content)[8:])
        self._index = Signal(ADDRESS_BITS)
        # The condition always holds where it matters; tools need not make a bypass then.
        m.d.comb += [read.addr.eq(self._index), read.en.eq(~write.en)]
        self._fetched = read.data

    def _elaborate_response(self, m: Module) -> None:
        """The body of the response in a memory, and how long it is."""
        m.submodules.response_memory = response = memory.Memory(shape=8, depth=MOST_BODY, init=[])
        write, read = response.write_port(), response.read_port()
        self._put, self._place, self._given = Signal(), Signal(ADDRESS_BITS), Signal(8)
        self._position = Signal(COUNT_BITS)
        m.d.comb += [
            write.en.eq(self._put), write.addr.eq(self._place), write.data.eq(self._given),
            read.addr.eq(self._position), read.en.eq(~self._put),
        ]  # fmt: skip
        self._kept = read.data
        self._length = Signal(COUNT_BITS)
        self._answer_operation = Signal(8)

    def _elaborate_bus(self, m: Module) -> None:
        """One master for the gemm's registers and the board's."""
        self._arguments = Signal(8 * ARGUMENTS)
        self._counters = {name: Signal(WORD, name=f"count_{name}") for name in ("done", "repeated", "dropped")}
        m.submodules.master = self._master = master = WordMaster()
        own = tuple(
            Register(each.name, each.address - BOARD_BASE, each.kind, each.summary, each.value)
            for each in self.registers
        )
        m.submodules.registers = bank = RegisterBank(own)
        m.d.comb += [getattr(bank, name).eq(counter) for name, counter in self._counters.items()]
        self._board = board = Signal()
        for name, member in master.bus.signature.members.items():
            mine, gemm, other = (getattr(bus, name) for bus in (master.bus, self.m_axil, bank.bus))
            if member.flow == Out:
                of_one = name.endswith(("valid", "ready"))
                m.d.comb += [gemm.eq(mine & ~board if of_one else mine), other.eq(mine & board if of_one else mine)]
            else:
                m.d.comb += mine.eq(Mux(board, other, gemm))

    def _elaborate_exchange(self, m: Module) -> None:
        """Two sources, which take turns at the memory of the request, and a sink."""
        a_bits, b_bits, c_bits = self._bits
        m.submodules.source_a = self._a = a = BeatSource(a_bits)
        m.submodules.source_b = self._b = b = BeatSource(b_bits)
        m.submodules.sink = self._c = c = BeatSink(c_bits)
        wiring.connect(m, a.axis, wiring.flipped(self.m_axis_a))
        wiring.connect(m, b.axis, wiring.flipped(self.m_axis_b))
        wiring.connect(m, wiring.flipped(self.s_axis_c), c.axis)
        self._count_a, self._count_b, self._count_c = (self._arguments.word_select(word, 16) for word in range(3))
        m.d.comb += [
            a.count.eq(self._count_a), b.count.eq(self._count_b), c.count.eq(self._count_c),
            a.byte.eq(self._fetched), b.byte.eq(self._fetched),
            a.granted.eq(a.want), b.granted.eq(b.want & ~a.want),
        ]  # fmt: skip
        self._moves = Signal()
        m.d.comb += self._moves.eq(
            Cat(a.granted, b.granted, c.write, *(side.axis.tvalid & side.axis.tready for side in (a, b, c))).any()
        )

    def _elaborate_steps(self, m: Module, receiver: FrameReceiver, transmitter: FrameTransmitter) -> None:
        """What happens in which order."""
        greeted, repeat, refuse = Signal(), Signal(), Signal()
        session, last = Signal(16), Signal(16)
        step = Signal(range(ARGUMENTS + 2))
        idle_for = Signal(range(PATIENCE))
        answer, answer_bytes = Signal(8 * len(GREETING)), Signal(range(len(GREETING) + 1))
        body = Signal(COUNT_BITS)
        address, word = self._arguments[:16], self._arguments[16:]
        counters, master, a, b, c = self._counters, self._master, self._a, self._b, self._c
        drop = Signal()
        m.d.comb += self.dropped.eq(receiver.dropped | drop)
        m.d.sync += counters["dropped"].eq(counters["dropped"] + self.dropped)

        greeting, reading, writing, exchanging = (Signal(name=operation.name.lower()) for operation in Operation)
        right = Signal()
        m.d.sync += [
            greeting.eq((self._operation == Operation.HELLO) & (body == 0)),
            reading.eq((self._operation == Operation.READ) & (body == 2)),
            writing.eq((self._operation == Operation.WRITE) & (body == 6)),
            exchanging.eq(
                (self._operation == Operation.EXCHANGE)
                & (body == self._count_a + self._count_b + EXCHANGE_HEAD)
                & (self._count_c <= MOST_RESULTS)
            ),
            right.eq(greeted & (self._session == session)),
            repeat.eq(self._sequence == last),
        ]
        m.d.comb += [
            self._board.eq(address[PAGE]),
            refuse.eq(address[PAGE + 1 :].any()),
            master.address.eq(Mux(greeting, CONTROL.address, address[:PAGE])),
            master.word.eq(Mux(greeting, CONTROL.mask("reset"), word)),
            master.write.eq(~reading),
        ]
        with m.If(greeting):
            m.d.comb += [self._board.eq(0), refuse.eq(0)]

        with m.FSM() as states:
            with m.State("IDLE"):
                m.d.sync += [step.eq(0), body.eq(receiver.length - HEAD_BYTES)]  # which flags to come do not change
                with m.If(receiver.good):
                    m.next = "LOOK"
            with m.State("LOOK"):  # the arguments, and a cycle more for what is compared with them
                m.d.comb += self._index.eq(step)
                m.d.sync += step.eq(step + 1)
                with m.If((step != 0) & (step <= ARGUMENTS)):
                    m.d.sync += self._arguments.eq(Cat(self._arguments, self._fetched)[8:])
                with m.If(step == ARGUMENTS + 1):
                    m.next = "DECIDE"
            with m.State("DECIDE"):
                m.d.comb += [a.begin.eq(1), b.begin.eq(1), c.begin.eq(1)]
                m.d.sync += [idle_for.eq(0), self._position.eq(0), step.eq(0)]
                m.next = "IDLE"
                with m.If(~greeting & right & repeat):
                    m.d.sync += counters["repeated"].eq(counters["repeated"] + 1)
                    m.next = "HEAD"
                with m.Elif(
                    greeting | (right & (self._sequence == (last + 1)[:16]) & (reading | writing | exchanging))
                ):
                    m.d.sync += [
                        session.eq(self._session), last.eq(self._sequence), greeted.eq(1),
                        self._answer_operation.eq(self._operation | RESPONSE),
                        counters["done"].eq(counters["done"] + 1),
                    ]  # fmt: skip
                    with m.If(exchanging):
                        m.next = "EXCHANGE"
                    with m.Elif(refuse):
                        m.d.sync += [answer.eq(SLVERR), answer_bytes.eq(Mux(reading, 1 + WORD // 8, 1))]
                        m.next = "ANSWER"
                    with m.Else():
                        m.d.comb += master.start.eq(1)
                        m.next = "ACCESS"
                with m.Else():
                    m.d.comb += drop.eq(1)
            with m.State("ACCESS"), m.If(master.done):
                m.d.sync += [
                    answer.eq(Cat(master.response, C(0, 6), master.found)),
                    answer_bytes.eq(Mux(reading, 1 + WORD // 8, 1)),
                ]
                with m.If(greeting):
                    m.d.sync += [answer.eq(int.from_bytes(GREETING, "little")), answer_bytes.eq(len(GREETING))]
                m.next = "ANSWER"
            with m.State("EXCHANGE"):
                m.d.comb += [
                    a.enable.eq(1), b.enable.eq(1), c.enable.eq(1),
                    self._index.eq(Mux(a.granted, a.index, self._count_a + b.index) + EXCHANGE_HEAD),
                    self._put.eq(c.write), self._place.eq(c.index + TAKEN_HEAD), self._given.eq(c.byte),
                ]  # fmt: skip
                m.d.sync += idle_for.eq(Mux(self._moves, 0, idle_for + 1))
                all_moved = (a.taken == self._count_a) & (b.taken == self._count_b) & (c.index == self._count_c)
                with m.If((all_moved & c.idle) | ((idle_for == PATIENCE - 1) & ~self._moves)):
                    m.next = "TAKEN"
            with m.State("TAKEN"):
                m.d.sync += [
                    answer.eq(Cat(a.taken, C(0, 16 - COUNT_BITS), b.taken)),
                    answer_bytes.eq(TAKEN_HEAD),
                ]
                m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [self._put.eq(1), self._place.eq(self._position), self._given.eq(answer[:8])]
                m.d.sync += [
                    answer.eq(answer >> 8), answer_bytes.eq(answer_bytes - 1), self._position.eq(self._position + 1),
                    self._length.eq(Mux(exchanging, c.index, 0) + self._position + 1),
                ]  # fmt: skip
                with m.If(answer_bytes == 1):
                    m.d.sync += self._position.eq(0)
                    m.next = "HEAD"
            with m.State("HEAD"):
                kept_head = Cat(session, last, self._answer_operation)
                head_bytes = Array(kept_head.word_select(place, 8) for place in range(HEAD_BYTES))
                m.d.comb += [
                    transmitter.i.valid.eq(1),
                    transmitter.i.payload.byte.eq(head_bytes[step]),
                ]
                with m.If(transmitter.i.ready):
                    m.d.sync += step.eq(step + 1)
                    with m.If(step == HEAD_BYTES - 1):
                        m.next = "BODY"
            with m.State("BODY"):
                m.d.comb += [
                    transmitter.i.valid.eq(1),
                    transmitter.i.payload.byte.eq(self._kept),
                    transmitter.i.payload.last.eq(self._position + 1 == self._length),
                ]
                with m.If(transmitter.i.ready):
                    m.d.sync += self._position.eq(self._position + 1)
                    m.next = "FETCH"
                    with m.If(self._position + 1 == self._length):
                        m.next = "GONE"
            with m.State("FETCH"):
                m.next = "BODY"
            with m.State("GONE"), m.If(self.o.ready & ~self.o.valid):  # the closing flag is in the UART
                m.next = "IDLE"
        m.d.comb += self.busy.eq(~states.ongoing("IDLE"))
