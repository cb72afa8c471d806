"""The link between a host and a board: its frames, its requests and the board's registers, as both sides see them."""

from __future__ import annotations

import struct
import zlib
from enum import IntEnum
from typing import NamedTuple

from positcore.hw.registers import Kind, Register

__all__ = [
    "BOARD_BASE", "CHECK_BYTES", "DEFAULT_BAUD", "ESCAPE", "EXCHANGE_HEAD", "FLAG", "FLIP", "GREETING", "HEAD_BYTES",
    "MAGIC", "MOST_BODY", "MOST_CONTENTS", "MOST_OPERANDS", "MOST_RESULTS", "PATIENCE", "RESPONSE", "TAKEN_HEAD",
    "VERSION", "Deframer", "Frame", "Operation", "board_registers", "board_word", "frame",
]  # fmt: skip

DEFAULT_BAUD = 1_000_000  # of boards and of hosts that are not told
FLAG, ESCAPE, FLIP = 0x7E, 0x7D, 0x20
HEAD_BYTES = 5  # session, sequence, operation
CHECK_BYTES = 4
MOST_BODY = 1024
MOST_CONTENTS = HEAD_BYTES + MOST_BODY + CHECK_BYTES
RESPONSE = 0x80  # more than its request's operation
MAGIC, VERSION = b"posi", 1
GREETING = MAGIC + bytes([VERSION])  # the body of a response to HELLO
EXCHANGE_HEAD = 6  # bytes before the operands
TAKEN_HEAD = 4  # bytes before the results
MOST_OPERANDS = MOST_BODY - EXCHANGE_HEAD  # of A and B together
MOST_RESULTS = MOST_BODY - TAKEN_HEAD
PATIENCE = 1024  # cycles for which an exchange goes on although nothing moves
BOARD_BASE = 0x1000  # the first address of the board's own registers; below are those of the gemm

_HEAD = struct.Struct("<HHB")


class Operation(IntEnum):
    """What a request asks for."""

    HELLO = 1
    READ = 2
    WRITE = 3
    EXCHANGE = 4


class Frame(NamedTuple):
    """What is in a frame, less its check."""

    session: int
    sequence: int
    operation: int
    body: bytes


def frame(session: int, sequence: int, operation: int, body: bytes = b"") -> bytes:
    """A frame as it is on the wire, between two flags.

    Source: RFC 1662 (Simpson, 1994), §4; the check is its FCS-32, zlib's CRC-32.

    Raises
    ------
    ValueError
        If a number does not fit its bytes, or the body is longer than 1024 bytes.
    """
    for name, number, most in (
        ("session", session, 0xFFFF), ("sequence", sequence, 0xFFFF), ("operation", operation, 0xFF),
        ("length of body", len(body), MOST_BODY),
    ):  # fmt: skip
        if not 0 <= number <= most:
            raise ValueError(f"frame: {name} must be in 0..{most}, not {number}")
    contents = _HEAD.pack(session, sequence, operation) + bytes(body)
    contents += zlib.crc32(contents).to_bytes(CHECK_BYTES, "little")
    for byte in (ESCAPE, FLAG):  # the escape first, or it would escape those of the flags
        contents = contents.replace(bytes([byte]), bytes([ESCAPE, byte ^ FLIP]))
    return bytes([FLAG]) + contents + bytes([FLAG])


class Deframer:
    """Finds the frames in what comes over a wire, in pieces of any size.

    Attributes
    ----------
    dropped : int
        Frames that were too short, too long or aborted, or whose check was wrong. What comes before the first flag
        counts as one, if it is anything.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._contents = bytearray()
        self._escaped = False

    def feed(self, received: bytes) -> list[Frame]:
        """The frames that these bytes complete."""
        frames = []
        for byte in received:
            if byte == FLAG:
                if self._contents or self._escaped:
                    found = None if self._escaped else _checked(bytes(self._contents))
                    self.dropped += found is None
                    frames += [found] if found else []
                self._contents.clear()
                self._escaped = False
            elif byte == ESCAPE and not self._escaped:
                self._escaped = True
            else:
                if len(self._contents) <= MOST_CONTENTS:  # one more is remembered: it makes the frame too long
                    self._contents.append(byte ^ FLIP if self._escaped else byte)
                self._escaped = False
        return frames


def _checked(contents: bytes) -> Frame | None:
    """The frame of these contents, if it is whole."""
    body_end = len(contents) - CHECK_BYTES
    if not HEAD_BYTES <= body_end <= HEAD_BYTES + MOST_BODY:
        return None
    if zlib.crc32(contents[:body_end]) != int.from_bytes(contents[body_end:], "little"):
        return None
    session, sequence, operation = _HEAD.unpack_from(contents)
    return Frame(session, sequence, operation, contents[HEAD_BYTES:body_end])


def board_word(name: str) -> int:
    """What the register `board` says of a board of that name: its first four letters, the first one lowest."""
    return int.from_bytes(name[:4].encode("ascii").ljust(4), "little")


def board_registers(board: str, *, clock_hz: int, clocks_per_bit: int) -> tuple[Register, ...]:
    """The registers of a board of that name."""
    return (
        Register(
            "board", BOARD_BASE, Kind.CONSTANT, "which board: the first four letters of its name", board_word(board)
        ),
        Register("clock_hz", BOARD_BASE + 0x04, Kind.CONSTANT, "of the gemm and the link", clock_hz),
        Register("clocks_per_bit", BOARD_BASE + 0x08, Kind.CONSTANT, "of the UART", clocks_per_bit),
        Register("done", BOARD_BASE + 0x0C, Kind.STATE, "requests done, modulo 2^32"),
        Register("repeated", BOARD_BASE + 0x10, Kind.STATE, "requests answered again"),
        Register("dropped", BOARD_BASE + 0x14, Kind.STATE, "frames dropped, for whatever reason"),
    )
