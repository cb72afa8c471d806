"""`Board`: matrix products on a board, whatever happens on its wire."""

from __future__ import annotations

from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from positcore.fpga.board.errors import SessionLost
from positcore.fpga.board.serial_link import LinkStatistics, SerialLink
from positcore.hw.driver import GemmDriver
from positcore.hw.link_protocol import DEFAULT_BAUD, board_registers
from positcore.mac import MacSpec

__all__ = ["Board"]

SESSIONS = 3  # that a product may take


class Board:
    """A board on a serial port; closes it at the end of a `with` block.

    Parameters
    ----------
    port, baud, latency
        As for `SerialLink`.

    Attributes
    ----------
    spec : MacSpec
        What it was built for.
    rows, columns, depth : int
        Of its gemm.

    Raises
    ------
    BoardError
        As `SerialLink`.
    ValueError
        If the gemm behind the link has registers of another version.
    """

    def __init__(self, port: str, baud: int = DEFAULT_BAUD, latency: float | None = None):
        self.link = SerialLink(port, baud, latency)
        try:
            self._driver = GemmDriver(self.link)
        except BaseException:
            self.link.close()
            raise
        self._unfinished = False
        self.spec: MacSpec = self._driver.spec
        self.rows, self.columns, self.depth = self._driver.rows, self._driver.columns, self._driver.depth

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the port."""
        self.link.close()

    @property
    def statistics(self) -> LinkStatistics:
        """Of the link."""
        return self.link.statistics

    def registers(self) -> dict[str, int]:
        """The words of the board's own registers, by name."""
        return {
            register.name: self.link.read(register.address)
            for register in board_registers("any", clock_hz=0, clocks_per_bit=0)
        }

    def matmul(self, a: ArrayLike, b: ArrayLike, bias: ArrayLike | None = None) -> NDArray[np.unsignedinteger]:
        """A·B + bias, codes in, codes out; parameters and errors as of `positcore.hw.gemm_job.plan`.

        If the session is lost, the product is begun anew in another one.

        Raises
        ------
        SessionLost
            If three sessions were lost.
        BoardError
            If the board is gone.
        """
        if self._unfinished:  # an error or an interrupt left the gemm within a job
            self.link.hello()
        self._unfinished = True
        product = self._product(a, b, bias)
        self._unfinished = False
        return product

    def _product(self, a: ArrayLike, b: ArrayLike, bias: ArrayLike | None) -> NDArray[np.unsignedinteger]:
        for last in (False,) * (SESSIONS - 1) + (True,):
            try:
                return self._driver.matmul(a, b, bias)
            except SessionLost:
                if last:
                    raise
                self.link.hello()
        raise AssertionError("the last session returns or raises")
