"""`GemmBoard`: all that is on a board, between its pins: a gemm, and the link over which a host uses it."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from positcore.hw.emit import FlatUnit, emit_modules, module_header
from positcore.hw.gemm import Gemm
from positcore.hw.link import Link
from positcore.hw.link_protocol import DEFAULT_BAUD, board_registers
from positcore.hw.uart import LEAST_CLOCKS, UartReceiver, UartTransmitter, check_clocks_per_bit
from positcore.hw.units import Design
from positcore.version import __version__

__all__ = ["LEDS", "BoardDesign", "GemmBoard", "emit_board"]

LEDS = ("alive", "busy", "traffic", "error")
BLINKS_A_SECOND = 16  # of the clock that the LEDs go by


@dataclass(frozen=True)
class BoardDesign:
    """What is on a board: a gemm, the board's name, and the clocks.

    Parameters
    ----------
    design : Design
        Of the unit gemm.
    board : str
        Its name: at least one letter, ASCII.
    clock_hz : int
        Of the gemm and the link. With the default of both there are `DEFAULT_BAUD` bits a second on the wire.
    clocks_per_bit : int
        Of the UART, 8..65535.

    Raises
    ------
    TypeError, ValueError
        If the design is of another unit, or a parameter is out of its range.
    """

    design: Design
    board: str = "virtual"
    clock_hz: int = LEAST_CLOCKS * DEFAULT_BAUD
    clocks_per_bit: int = LEAST_CLOCKS

    def __post_init__(self) -> None:
        if not isinstance(self.design, Design) or self.design.unit.name != "gemm":
            raise TypeError(f"BoardDesign: design must be a Design of the unit gemm, not {self.design}")
        if not isinstance(self.board, str) or not self.board.isascii() or not self.board.isidentifier():
            raise ValueError(f"BoardDesign: board must be a name in ASCII letters such as ulx3s, not {self.board!r}")
        if isinstance(self.clock_hz, bool) or not isinstance(self.clock_hz, int) or not 0 < self.clock_hz < 1 << 32:
            raise ValueError(f"BoardDesign: clock_hz must be an integer in 1..{(1 << 32) - 1}, not {self.clock_hz!r}")
        check_clocks_per_bit("BoardDesign", self.clocks_per_bit)

    @property
    def name(self) -> str:
        """The name of the emitted module."""
        return f"{self.design.name}_{self.board}"

    @property
    def baud(self) -> float:
        """Bits a second on the wire."""
        return self.clock_hz / self.clocks_per_bit


class GemmBoard(wiring.Component):
    """A gemm behind a UART: the same hardware on every board and in simulation, less the clock's source and the pins.

    Parameters
    ----------
    board : BoardDesign

    Members
    -------
    rx, tx : In(1), Out(1)
        The UART's wires, high when idle; `rx` may be of any clock.
    leds : Out(4)
        From bit 0 on: alive, blinking; busy with a request; traffic on a wire; error: a frame was dropped.
    """

    def __init__(self, board: BoardDesign):
        self.board = board
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "leds": Out(len(LEDS))})

    def elaborate(self, platform: object) -> Module:
        """Receiver → link → transmitter, and the link on the ports of the gemm."""
        m = Module()
        board = self.board
        m.submodules.gemm = gemm = board.design.component()
        assert isinstance(gemm, Gemm)
        m.submodules.link = link = Link(
            board_registers(board.board, clock_hz=board.clock_hz, clocks_per_bit=board.clocks_per_bit),
            a_bits=len(gemm.s_axis_a.tdata), b_bits=len(gemm.s_axis_b.tdata), c_bits=len(gemm.m_axis_c.tdata),
        )  # fmt: skip
        m.submodules.receiver = receiver = UartReceiver(board.clocks_per_bit)
        m.submodules.transmitter = transmitter = UartTransmitter(board.clocks_per_bit)
        m.d.comb += [
            receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx),
            link.byte.eq(receiver.byte), link.valid.eq(receiver.valid), link.broken.eq(receiver.broken),
        ]  # fmt: skip
        wiring.connect(m, link.o, transmitter.i)
        wiring.connect(m, link.m_axil, gemm.s_axil)
        wiring.connect(m, link.m_axis_a, gemm.s_axis_a)
        wiring.connect(m, link.m_axis_b, gemm.s_axis_b)
        wiring.connect(m, gemm.m_axis_c, link.s_axis_c)
        traffic = receiver.valid | ~transmitter.tx
        self._elaborate_leds(m, link.busy, traffic, link.dropped | receiver.broken)
        return m

    def _elaborate_leds(self, m: Module, *events: Value) -> None:
        """Each event lights its LED until the next but one tick, long enough to be seen."""
        period = max(self.board.clock_hz // BLINKS_A_SECOND, 2)
        timer = Signal(range(period))
        tick, phase = Signal(), Signal(3)
        m.d.comb += tick.eq(timer == 0)
        m.d.sync += [timer.eq(Mux(tick, period - 1, timer - 1)), phase.eq(phase + tick)]
        m.d.comb += self.leds[0].eq(phase[-1])
        for number, event in enumerate(events, 1):
            seen = Signal(2, name=f"seen_{LEDS[number]}")
            with m.If(event):
                m.d.sync += seen.eq(3)
            with m.Elif(tick):
                m.d.sync += seen.eq(seen >> 1)
            m.d.comb += self.leds[number].eq(seen[0])


def emit_board(board: BoardDesign) -> str:
    """The Verilog-2001 of a board: ports clk, rst, rx, tx and leds; the same text for the same board and version."""
    flat = FlatUnit(GemmBoard(board))
    facts = {
        "spec": board.design.spec_text,
        "board": f"{board.board}, {board.clock_hz} Hz, {board.clocks_per_bit} clocks a bit",
        "made by": f"positcore {__version__}",
    }
    summary = "a gemm behind a UART, all that is between the pins of a board"
    header = module_header(board.name, summary, facts, ["clk", "rst", *flat.signals])
    return header + emit_modules(flat, board.name, flat.signals)
