"""`SimulatedBoard`: a board, compiled, between the levels of its two wires: nothing but these goes in or comes out."""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np
from numpy.typing import NDArray

from positcore.hw.board import BoardDesign, GemmBoard
from positcore.hw.emit import FlatUnit, emit_rtlil
from positcore.sim.lockstep import Alter
from positcore.sim.native import compile_library

__all__ = ["Levels", "SimulatedBoard", "wire_levels"]

Levels = NDArray[np.uint8]

_DRIVER = """
#include "driver.h"
using namespace positcore;
EXPORT Unit *create() { return new Unit; }
EXPORT void destroy(Unit *unit) { delete unit; }
EXPORT void run(Unit *unit, const uint8_t *rx, uint8_t *tx, uint8_t *leds, int64_t cycles, int reset) {
  for (int64_t cycle = 0; cycle < cycles; ++cycle) {
    put(unit->p_rst, reset), put(unit->p_rx, rx[cycle]);
    evaluate(*unit);
    tx[cycle] = get(unit->p_tx), leds[cycle] = get(unit->p_leds);
    step(*unit);
  }
}
"""


def wire_levels(sent: bytes, *, stop: int = 1) -> Levels:
    """The levels of bytes on a wire, one a bit: a start bit, the bits from the lowest on, and the stop bit."""
    rows = np.unpackbits(np.frombuffer(sent, np.uint8)[:, None], axis=1, bitorder="little")
    return np.hstack([np.zeros((len(rows), 1), np.uint8), rows, np.full((len(rows), 1), stop, np.uint8)]).ravel()


class SimulatedBoard:
    """One circuit, which begins in reset's state.

    Parameters
    ----------
    board : BoardDesign
    alter : callable, optional
        What changes its RTLIL: how tests plant faults, and netlists take its place.
    optimize : str
        The compiler's optimization flag.

    Raises
    ------
    MissingToolError
        If there is no C++ compiler.
    """

    def __init__(self, board: BoardDesign, alter: Alter | None = None, *, optimize: str = "-O2"):
        self.board = board
        self._library = _library(board, alter, optimize)
        self._unit = self._library.create()
        self.reset()

    def __del__(self) -> None:
        if hasattr(self, "_unit"):
            self._library.destroy(self._unit)

    def reset(self) -> None:
        """Reset the board."""
        self.run(np.ones(4, np.uint8), reset=True)

    def run(self, levels: Levels, *, reset: bool = False) -> tuple[Levels, Levels]:
        """What is on tx and on the LEDs while these levels are on rx, one a cycle."""
        levels = np.ascontiguousarray(levels, np.uint8)
        tx, leds = np.empty_like(levels), np.empty_like(levels)
        pointers = [array.ctypes.data for array in (levels, tx, leds)]
        self._library.run(self._unit, *pointers, len(levels), int(reset))
        return tx, leds


@cache
def _library(board: BoardDesign, alter: Alter | None, optimize: str) -> ctypes.CDLL:
    """The compiled circuit: elaborating it alone takes seconds, and circuits of one board share it."""
    flat = FlatUnit(GemmBoard(board))
    rtlil = emit_rtlil(flat, "unit", flat.signals)
    library = compile_library(alter(rtlil) if alter else rtlil, _DRIVER, optimize=optimize)
    library.create.restype = ctypes.c_void_p
    library.destroy.argtypes = [ctypes.c_void_p]
    library.run.argtypes = [*[ctypes.c_void_p] * 4, ctypes.c_int64, ctypes.c_int]
    return library
