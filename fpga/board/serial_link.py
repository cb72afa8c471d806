"""`SerialLink`: the registers and streams of a board's gemm, over a serial port (docs/link.md)."""

from __future__ import annotations

import secrets
import struct
import time
from dataclasses import dataclass
from errno import EACCES, EAGAIN, EBUSY, ENODEV, ENOENT, ENXIO, EPERM

import serial

from positcore.errors import GemmError
from positcore.format import PositFormat
from positcore.fpga.board.errors import BoardError, SessionLost
from positcore.hw.gemm_registers import BY_NAME
from positcore.hw.link_protocol import (
    CHECK_BYTES,
    DEFAULT_BAUD,
    GREETING,
    HEAD_BYTES,
    MAGIC,
    MOST_BODY,
    MOST_OPERANDS,
    MOST_RESULTS,
    RESPONSE,
    TAKEN_HEAD,
    VERSION,
    Deframer,
    Frame,
    Operation,
    frame,
)  # fmt: skip

__all__ = ["LinkStatistics", "SerialLink"]

TRIES = 8  # of a request, until its session is taken for lost
GREETING_TRIES = 5
LONGEST_WAIT = 1.0  # seconds more than the bytes take, for one answer
STALLS = 3  # exchanges in a row in which nothing moved
_LATENCY = 0.1
_SIMULATED = "/dev/pts/"  # where a board in simulation is, on a machine of whatever load
_SIMULATED_BAUD = 2000  # that such a one keeps up with
_TICK = 0.02  # seconds for which a read waits


@dataclass
class LinkStatistics:
    """What a link did so far.

    Attributes
    ----------
    sessions, requests : int
        Begun, and answered.
    retries : int
        Requests sent again.
    dropped : int
        Frames from the board whose check was wrong, and the like.
    foreign : int
        Whole frames from the board that answer no request of now: late or repeated answers.
    bytes_sent, bytes_received : int
        On the wire.
    """

    sessions: int = 0
    requests: int = 0
    retries: int = 0
    dropped: int = 0
    foreign: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


class SerialLink:
    """A `GemmDevice` at the other end of a serial port. Each request is done once, or there is an error.

    Parameters
    ----------
    port : str
        Such as /dev/ttyUSB0, or the port of a `VirtualBoard`.
    baud : int
        As the board was built for.
    latency : float, optional
        Seconds that a first answer may take beyond its bytes on the wire; further tries get twice as much, up to 1 s.
        0.1 unless told; on a pseudo-terminal, behind which is a simulation, bytes then take as long as at 2000 baud.

    Raises
    ------
    BoardError
        If there is no such port or it is in use, nothing answers, or what answers is no board of this version.
    """

    def __init__(self, port: str, baud: int = DEFAULT_BAUD, latency: float | None = None):
        self.port, self.baud, self.latency = port, baud, _LATENCY if latency is None else latency
        self._pace = min(baud, _SIMULATED_BAUD) if latency is None and port.startswith(_SIMULATED) else baud
        self.statistics = LinkStatistics()
        self._session = self._sequence = 0
        self._beats: tuple[int, int, int] | None = None
        try:
            self._serial = serial.Serial(port, baud, timeout=_TICK, write_timeout=5, exclusive=True)
        except (OSError, ValueError, OverflowError) as error:
            raise BoardError(_cannot_open(port, baud, error)) from None
        try:
            self.hello()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the port; the board stays as it is."""
        self._serial.close()

    def hello(self) -> None:
        """Begin a session: the board resets its gemm.

        Raises
        ------
        BoardError
            As for the class.
        """
        self._session, self._sequence = secrets.randbits(16), secrets.randbits(16)
        self._deframer = Deframer()
        before = self.statistics.bytes_received
        try:
            greeting = self.request(Operation.HELLO, tries=GREETING_TRIES)
        except SessionLost:
            if self.statistics.bytes_received > before:
                raise BoardError(
                    f"board: what comes from {self.port} at {self.baud} baud makes no frame; name the baud that the "
                    "board was built for, or another port"
                ) from None
            raise BoardError(
                f"board: nothing answers on {self.port} at {self.baud} baud; check the cable, that the board is "
                "configured, and its baud"
            ) from None
        if greeting[: len(MAGIC)] != MAGIC or len(greeting) != len(GREETING):
            raise BoardError(
                f"board: what answers on {self.port} is no positcore board: {greeting!r}; name another port"
            )
        if greeting != GREETING:
            raise BoardError(
                f"board: the board on {self.port} speaks version {greeting[-1]} of the link, not {VERSION}; configure "
                "it anew with this positcore's design"
            )
        self.statistics.sessions += 1

    def request(self, operation: Operation, body: bytes = b"", *, tries: int = TRIES) -> bytes:
        """The body of the answer to a request, which is sent until it is answered.

        Raises
        ------
        SessionLost
            If no try is answered.
        BoardError
            If the port is gone.
        """
        self._sequence = (self._sequence + 1) & 0xFFFF
        sent = frame(self._session, self._sequence, operation, body)
        wait = self.latency
        for number in range(tries):
            self.statistics.retries += number > 0
            try:
                self._serial.write(sent)
                self.statistics.bytes_sent += len(sent)
                found = self._answer(operation, self._wire_time(len(sent)) + wait)
            except OSError as error:
                raise BoardError(
                    f"board: {self.port} is gone or takes no bytes ({error}); plug the board in again, and begin anew"
                ) from None
            if found is not None:
                self.statistics.requests += 1
                return found.body
            wait = min(2 * wait, max(LONGEST_WAIT, self.latency))
        raise SessionLost(f"board: no answer on {self.port} to {tries} tries of {operation.name}; begin a new session")

    def _answer(self, operation: int, seconds: float) -> Frame | None:
        """The answer to the last request, if it comes in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            received = self._serial.read(max(self._serial.in_waiting, 1))
            self.statistics.bytes_received += len(received)
            before = self._deframer.dropped
            frames = self._deframer.feed(received)
            self.statistics.dropped += self._deframer.dropped - before
            answers = [found for found in frames if self._is_answer(found, operation)]
            self.statistics.foreign += len(frames) - len(answers)
            if answers:
                return answers[0]
        return None

    def _is_answer(self, found: Frame, operation: int) -> bool:
        return found[:3] == (self._session, self._sequence, operation + RESPONSE)

    def _wire_time(self, sent: int) -> float:
        """Seconds that a request and its longest answer are on the wire, each byte of the answer escaped."""
        longest = 2 * (HEAD_BYTES + MOST_BODY + CHECK_BYTES) + 2 if sent > 64 else 64
        return (sent + longest) * 10 / self._pace

    # The device --------------------------------------------------------------------------------------

    def read(self, address: int) -> int:
        """The word of a register, of the gemm or the board.

        Raises
        ------
        ValueError
            If there is no such register.
        SessionLost, BoardError
            As for `request`, here and below.
        """
        answer, word = struct.unpack("<BI", self._sized(5, Operation.READ, struct.pack("<H", address)))
        if answer:
            raise ValueError(f"board: there is no register at 0x{address:04X} to read; see docs/link.md")
        return int(word)

    def write(self, address: int, word: int) -> None:
        """Set a register.

        Raises
        ------
        ValueError
            If there is no such register, or it cannot be written now.
        """
        if self._sized(1, Operation.WRITE, struct.pack("<HI", address, word)) != b"\0":
            raise ValueError(f"board: the register at 0x{address:04X} takes no word now; see docs/gemm.md")

    def exchange(self, a: bytes, b: bytes, size: int) -> bytes:
        """Send a and b on their streams, while taking that many bytes of results.

        Raises
        ------
        GemmError
            If nothing moves any more.
        """
        beat_a, beat_b, beat_c = self._beat_sizes()
        found, at_a, at_b, stalls = bytearray(), 0, 0, 0
        while at_a < len(a) or at_b < len(b) or len(found) < size:
            size_a, size_b = _shares(len(a) - at_a, len(b) - at_b, beat_a, beat_b)
            wanted = min(size - len(found), MOST_RESULTS // beat_c * beat_c)
            piece = a[at_a : at_a + size_a] + b[at_b : at_b + size_b]
            body = self.request(Operation.EXCHANGE, struct.pack("<HHH", size_a, size_b, wanted) + piece)
            if len(body) < TAKEN_HEAD:
                raise BoardError(f"board: an answer of {len(body)} bytes to EXCHANGE; see docs/link.md")
            taken_a, taken_b = struct.unpack_from("<HH", body)
            found += body[TAKEN_HEAD:]
            at_a, at_b = at_a + taken_a, at_b + taken_b
            stalls = 0 if taken_a or taken_b or len(body) > TAKEN_HEAD else stalls + 1
            if stalls == STALLS:
                raise GemmError(
                    f"board: the gemm stands still with {len(a) - at_a} bytes of A and {len(b) - at_b} of B left and "
                    f"{len(found)} of {size} come; reset it"
                )
        return bytes(found)

    def _sized(self, size: int, operation: Operation, body: bytes) -> bytes:
        answer = self.request(operation, body)
        if len(answer) != size:
            raise BoardError(
                f"board: an answer of {len(answer)} bytes to {operation.name}, not {size}; see docs/link.md"
            )
        return answer

    def _beat_sizes(self) -> tuple[int, int, int]:
        """Bytes of a beat of A, B and C."""
        if self._beats is None:
            shape = self.read(BY_NAME["shape"].address)
            widths = [self.read(BY_NAME[f"format_{operand}"].address) & 0xFF for operand in "abc"]
            code_a, code_b, code_c = (PositFormat(n).dtype.itemsize for n in widths)
            rows, columns = shape & 0xFFFF, shape >> 16
            self._beats = rows * code_a, columns * code_b, columns * code_c
        return self._beats


def _shares(left_a: int, left_b: int, beat_a: int, beat_b: int) -> tuple[int, int]:
    """Bytes of A and of B for one request: as many beats of each, and more of one where the other ends."""
    beats = MOST_OPERANDS // (beat_a + beat_b)
    size_a, size_b = min(left_a, beats * beat_a), min(left_b, beats * beat_b)
    if size_a == left_a:
        size_b = min(left_b, (MOST_OPERANDS - size_a) // beat_b * beat_b)
    elif size_b == left_b:
        size_a = min(left_a, (MOST_OPERANDS - size_b) // beat_a * beat_a)
    return size_a, size_b


def _cannot_open(port: str, baud: int, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number in (EAGAIN, EBUSY):
        return f"board: {port} is in use by another program; end that one"
    if number in (EACCES, EPERM):
        return f"board: {port} may not be opened; join the group that owns it (often dialout)"
    if number in (ENOENT, ENODEV, ENXIO):
        return f"board: there is no port {port}; plug the board in, or name another one"
    return f"board: {port} cannot be opened at {baud} baud ({error}); name another port or baud"
