"""`Board`: what a board is, and what is built for it unless told otherwise; `board`: the one of a name."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from positcore.errors import MissingToolError
from positcore.format import PositFormat
from positcore.fpga.targets import Device
from positcore.hw.link_protocol import DEFAULT_BAUD
from positcore.mac import MacSpec, Quire

__all__ = ["BOARDS", "Board", "board"]


@dataclass(frozen=True)
class Board:
    """A board: its part, its pins, and the array that suits it.

    Parameters
    ----------
    name, summary : str
        What users call it, and what it is.
    family : str
        ecp5 or ice40.
    platform : str
        The class of amaranth-boards that knows its pins: `ulx3s:ULX3S_85F_Platform`.
    device : Device
        Its part, and what nextpnr is told of it.
    clock : str
        The resource of its oscillator.
    in_hz : int
        What that runs at.
    leds : tuple of (str, int, int)
        Resource and number of an LED, and the bit of `GemmBoard.leds` that it shows.
    spec : MacSpec
        Of the array unless told, as all below.
    rows, columns, depth, stages : int
    frequency_hz : int
        The clock of the array.
    baud : int
        Of the UART.
    """

    name: str
    summary: str
    family: str
    platform: str
    device: Device
    clock: str
    in_hz: int
    leds: tuple[tuple[str, int, int], ...]
    spec: MacSpec
    rows: int
    columns: int
    depth: int
    stages: int
    frequency_hz: int
    baud: int

    @property
    def bitstream(self) -> str:
        """The name of its bitstream's file."""
        return f"{self.name}.{'bit' if self.family == 'ecp5' else 'bin'}"

    @property
    def loader(self) -> str:
        """The command that loads that file into the board: into ECP5's memory, or iCEBreaker's flash."""
        return f"openFPGALoader -b {self.name.partition('_')[0]} {self.bitstream}"

    def open_platform(self) -> Any:
        """The board's platform, with its pins.

        Raises
        ------
        MissingToolError
            If amaranth-boards is not installed.
        """
        module, _, name = self.platform.partition(":")
        with warnings.catch_warnings():  # amaranth-boards 0.0.21 is older than Amaranth 0.5
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                return getattr(import_module(f"amaranth_boards.{module}"), name)()
            except ModuleNotFoundError as error:
                if not (error.name or "").startswith("amaranth_boards"):
                    raise
                raise MissingToolError(
                    "Python package amaranth-boards", "bitstreams", 'pip install "positcore[fpga]"'
                ) from None


def _ulx3s(name: str, size: str) -> Board:
    return Board(
        name, f"ULX3S with ECP5 LFE5U-{size}", "ecp5", f"ulx3s:ULX3S_{size}_Platform",
        Device(
            f"LFE5U-{size}, CABGA381, speed grade 6", "nextpnr-ecp5",
            (f"--{size[:-1]}k", "--package", "CABGA381", "--speed", "6"),
        ),
        "clk25", 25_000_000, tuple(("led", number, number) for number in range(4)),
        MacSpec(PositFormat(8, 2), accumulator=Quire(31)), 4, 4, 256, 4, 40_000_000, DEFAULT_BAUD,
    )  # fmt: skip


BOARDS: dict[str, Board] = {
    entry.name: entry
    for entry in (
        _ulx3s("ulx3s", "85F"),
        _ulx3s("ulx3s_12f", "12F"),
        _ulx3s("ulx3s_25f", "25F"),
        _ulx3s("ulx3s_45f", "45F"),
        Board(
            "icebreaker", "iCEBreaker with iCE40 UP5K", "ice40", "icebreaker:ICEBreakerPlatform",
            Device("iCE40UP5K, SG48", "nextpnr-ice40", ("--up5k", "--package", "sg48")),
            "clk12", 12_000_000, (("led_g", 0, 0), ("led_r", 0, 3)),
            MacSpec(PositFormat(8, 2), accumulator=Quire(7)), 1, 1, 64, 1, 12_000_000, DEFAULT_BAUD,
        ),
    )
}  # fmt: skip


def board(name: str) -> Board:
    """The board of a name.

    Raises
    ------
    ValueError
        If there is none; the message lists those that there are.
    """
    if name not in BOARDS:
        raise ValueError(f"unknown board {name!r}; the boards are: {', '.join(BOARDS)}")
    return BOARDS[name]
