"""The backend `board`: matrix products on a board at a serial port; all else is the golden model's."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from positcore.fpga.board.errors import BoardError
from positcore.fpga.board.host import Board
from positcore.fpga.boards.description import BOARDS
from positcore.fpga.build import plan
from positcore.gemm import matmul
from positcore.hw.link_protocol import DEFAULT_BAUD, board_word
from positcore.mac import MacSpec, Quire
from positcore.rational import round_fraction

__all__ = ["PORT_VARIABLE", "BoardMachine", "find_port"]

PORT_VARIABLE = "POSITCORE_BOARD"

Codes = NDArray[np.unsignedinteger[Any]]


def find_port(port: str | None = None, baud: int | None = None) -> tuple[str, int]:
    """The port of a board and its baud; what is not told is as $POSITCORE_BOARD says: PORT or PORT@BAUD.

    Raises
    ------
    ValueError
        If no port is named, or a baud is no positive number.
    """
    named = os.environ.get(PORT_VARIABLE, "") if port is None else port
    name, at, rate = named.partition("@")
    if not name:
        raise ValueError(
            f"board: no port is named; set {PORT_VARIABLE}, such as {PORT_VARIABLE}=/dev/ttyUSB0 or "
            "/dev/ttyUSB0@115200; `positcore board list` shows the ports, `positcore board simulate` makes one"
        )
    if at and not (rate.isdecimal() and int(rate)):
        raise ValueError(f"board: after @ stands the baud of {name}, such as {DEFAULT_BAUD}, not {rate!r}")
    if baud is not None and baud < 1:
        raise ValueError(f"board: the baud must be positive, not {baud}")
    return name, baud or int(rate or DEFAULT_BAUD)


class BoardMachine:
    """What `positcore.nn.codes.CodesBackend` runs products on: the board of $POSITCORE_BOARD, opened when first used.

    A board has a gemm and no unit for elements, so that the operations on these, and sums that go on over several
    operations, are the golden model's. So are, of another spec than the board's, the sums of elements in losses and
    optimizers: products with a column of ones, and of one row with one column. A matrix product of another spec is an
    error.

    Attributes
    ----------
    run : None
        There are no other units.
    counts : Counter
        Products of codes done on the board so far.
    """

    run = None

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._board: Board | None = None
        self._place: tuple[str, int] | None = None

    def matmul(self, spec: MacSpec, a: Codes, b: Codes, bias: Codes | None = None) -> Codes:
        """bias + a @ b for codes (M, K) and (K, N).

        Raises
        ------
        ValueError
            If no port is named, or the spec is not the board's.
        BoardError
            If the board cannot be used; the next product looks for it anew.
        """
        board = self._open()
        if spec != board.spec:
            if _sums_elements(spec, a, b):
                return matmul(spec, a, b, bias)
            raise ValueError(_misfit(spec, board))
        (m, k), n = a.shape, b.shape[1]
        if not m or not n or (not k and bias is None):
            return np.zeros((m, n), spec.out.dtype)
        try:
            codes = board.matmul(a, b, bias)
        except BoardError:
            self.close()
            raise
        self.counts[f"board {board.rows}×{board.columns}[{spec}]"] += m * n * (k + (bias is not None))
        return codes

    def close(self) -> None:
        """Let go of the port."""
        if self._board is not None:
            self._board.close()
        self._board = None

    def _open(self) -> Board:
        place = find_port()
        if self._board is None or place != self._place:
            self.close()
            self._board, self._place = Board(*place), place
        return self._board


def _sums_elements(spec: MacSpec, a: Codes, b: Codes) -> bool:
    """Whether a product is a sum of elements: one row times one column, or rows times a column of ones."""
    return b.shape[1] == 1 and (len(a) == 1 or bool((b == round_fraction(spec.b, 1)).all()))


def _misfit(spec: MacSpec, board: Board) -> str:
    """That a product is not of a board's spec, and how to build what it takes."""
    message = f"board: this product is of {spec}, and the board computes {board.spec}"
    if not isinstance(spec.accumulator, Quire) or len({spec.a, spec.b, spec.out}) > 1:
        return f"{message}; boards are built for one format and a quire: take a policy such as O12-L12-FBG8q"
    word = board.registers()["board"]
    name = next((name for name in BOARDS if board_word(name) == word), "ulx3s")
    return f"{message}; build one that fits: {plan(name, spec=spec).command} -o out/{name}"
