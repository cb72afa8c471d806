"""`BoardTop`: the clock, the reset and the pins of a board, around the Verilog that is simulated as well."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import ClockDomain, ClockSignal, Elaboratable, Instance, Module, ResetSignal, Signal
from amaranth.lib import io
from amaranth.lib.cdc import FFSynchronizer

from positcore.fpga.boards.description import Board
from positcore.fpga.boards.pll import find_pll
from positcore.hw.board import LEDS, BoardDesign, emit_board

__all__ = ["BoardTop"]

START_US = 20  # iCE40's block RAMs read as zeroes for some 3 µs after configuration


class BoardTop(Elaboratable):
    """A board's top: its oscillator's clock, through a PLL unless it is what the design wants, reset, and the design.

    The reset holds from configuration on until the PLL was locked for 20 µs, and begins again when the lock is lost.
    The design comes in as the text that `emit_board` gives.

    Parameters
    ----------
    board : Board
    design : BoardDesign
        Its clock is made of the board's.

    Raises
    ------
    ValueError
        If the board's PLL cannot make that clock.
    """

    def __init__(self, board: Board, design: BoardDesign):
        self.board, self.design = board, design
        same = design.clock_hz == board.in_hz
        self.pll = None if same else find_pll(board.family, board.in_hz, design.clock_hz)

    def elaborate(self, platform: Any) -> Module:
        """Pins, clock, reset, and an instance of the Verilog."""
        m = Module()
        m.domains.sync = domain = ClockDomain()
        domain.clk.name = "clk"
        pin = platform.request(self.board.clock, dir="-")
        locked = Signal()
        if self.pll is not None and self.board.family == "ice40":
            m.submodules.pll = self.pll.instance(pin.io, locked)
        else:
            m.submodules.oscillator = oscillator = io.Buffer("i", pin)
            if self.pll is None:
                m.d.comb += [domain.clk.eq(oscillator.i), locked.eq(1)]
            else:
                m.submodules.pll = self.pll.instance(oscillator.i, locked)
        self._elaborate_reset(m, locked)

        uart = platform.request("uart", 0, dir={"rx": "-", "tx": "-"} | self._unused(platform))
        m.submodules.rx, m.submodules.tx = rx, tx = io.Buffer("i", uart.rx), io.Buffer("o", uart.tx)
        leds = Signal(len(LEDS))
        for resource, number, bit in self.board.leds:
            m.submodules[f"led_{bit}"] = led = io.Buffer("o", platform.request(resource, number, dir="-"))
            m.d.comb += led.o.eq(leds[bit])
        platform.add_file("board.v", emit_board(self.design))
        m.submodules.unit = Instance(
            self.design.name, i_clk=ClockSignal(), i_rst=ResetSignal(), i_rx=rx.i, o_tx=tx.o, o_leds=leds
        )
        return m

    def _unused(self, platform: Any) -> dict[str, str]:
        """The UART's other wires, which are left alone."""
        wires = platform.lookup("uart", 0).ios
        return {wire.name: "-" for wire in wires if getattr(wire, "name", None)}

    def _elaborate_reset(self, m: Module, locked: Signal) -> None:
        m.domains.start = start = ClockDomain(reset_less=True, local=True)
        m.d.comb += start.clk.eq(ClockSignal())
        held = Signal()
        m.submodules.lock = FFSynchronizer(locked, held, o_domain="start", stages=3)
        last = START_US * self.design.clock_hz // 1_000_000
        timer, released, reset = Signal(range(last + 1)), Signal(), Signal(init=1)
        with m.If(~held):
            m.d.start += timer.eq(0)
        with m.Elif(~released):
            m.d.start += timer.eq(timer + 1)
        m.d.comb += [released.eq(timer == last), ResetSignal().eq(reset)]
        m.d.start += reset.eq(~(released & held))
