"""A board, compiled, between the levels of its two wires: nothing but these goes in or comes out."""

import numpy as np

import positcore as pc
from positcore.hw.board import BoardDesign
from positcore.hw.link_protocol import Deframer, Operation, frame
from positcore.hw.units import Design
from positcore.sim.board import SimulatedBoard
from positcore.sim.board import wire_levels as bits

CHUNK = 2048

# The board of all tests that need none in particular: its simulation is compiled once.
SPEC = pc.MacSpec(pc.PositFormat(4, 0), accumulator=pc.Quire(7))
SMALL = BoardDesign(Design.of("gemm", SPEC, rows=2, columns=3, depth=8), clock_hz=1_000_000)


class BoardBench:
    """One circuit. `sent` and `received` are bytes on the wires."""

    def __init__(self, board, alter=None):
        self.board = board
        self._circuit = SimulatedBoard(board, alter)
        self.restart()

    def restart(self):
        """Reset the board, and forget what came."""
        self.cycles, self.leds, self._levels = 0, 0, np.ones(0, np.uint8)
        self._run(np.ones(4, np.uint8), reset=True)
        self._levels = np.ones(0, np.uint8)

    def wire(self, levels):
        """Put levels on the board's rx, one a cycle."""
        self._run(np.ascontiguousarray(levels, np.uint8))

    def send(self, sent):
        self.wire(bits(sent).repeat(self.board.clocks_per_bit))

    def receive(self, quiet=CHUNK):
        """What the board sends until it is quiet for so many cycles."""
        while True:
            before = len(self._levels)
            self._run(np.ones(quiet, np.uint8))
            if self._levels[before:].all():
                break
        levels, clocks, found = self._levels, self.board.clocks_per_bit, bytearray()
        while (low := np.flatnonzero(levels == 0)).size:
            centres = levels[low[0] + clocks // 2 :: clocks][:10]
            assert (centres[0], centres[9]) == (0, 1)
            found += np.packbits(centres[1:9], bitorder="little").tobytes()
            levels = levels[low[0] + clocks // 2 + 9 * clocks :]
        self._levels = np.ones(0, np.uint8)
        return bytes(found)

    def frames(self, sent, quiet=CHUNK):
        """Send bytes; the frames that the board sends then, and nothing besides."""
        self.send(sent)
        deframer = Deframer()
        found = deframer.feed(self.receive(quiet))
        assert not deframer.dropped
        return found

    def answer(self, sent):
        """The one frame that the board sends for these bytes."""
        found = self.frames(sent)
        assert len(found) == 1
        return found[0]

    def _run(self, levels, reset=False):
        tx, leds = self._circuit.run(levels, reset=reset)
        self.cycles += len(levels)
        self.leds |= int(np.bitwise_or.reduce(leds, initial=0))
        self._levels = np.concatenate([self._levels, tx])


class PlainHost:
    """A `GemmDevice` with a wire that damages nothing: one request after another, each answered."""

    def __init__(self, bench, session=0x7E7D):
        self.bench, self.session, self.sequence = bench, session, 0
        _, _, _, self.greeting = self.request(Operation.HELLO)

    def request(self, operation, body=b""):
        self.sequence = (self.sequence + 1) & 0xFFFF
        found = self.bench.answer(frame(self.session, self.sequence, operation, body))
        assert found[:3] == (self.session, self.sequence, operation + 0x80)
        return found

    def read(self, address):
        body = self.request(Operation.READ, address.to_bytes(2, "little")).body
        assert len(body) == 5
        assert body[0] == 0
        return int.from_bytes(body[1:], "little")

    def write(self, address, word):
        assert self.request(Operation.WRITE, address.to_bytes(2, "little") + word.to_bytes(4, "little")).body == b"\0"

    def trade(self, a, b, wanted):
        """One EXCHANGE: bytes taken of a, of b, and the results."""
        counts = b"".join(count.to_bytes(2, "little") for count in (len(a), len(b), wanted))
        body = self.request(Operation.EXCHANGE, counts + a + b).body
        return int.from_bytes(body[:2], "little"), int.from_bytes(body[2:4], "little"), body[4:]

    def exchange(self, a, b, size, piece=120):
        found = b""
        while a or b or len(found) < size:
            taken_a, taken_b, more = self.trade(a[:piece], b[:piece], min(size - len(found), piece))
            assert taken_a or taken_b or more
            a, b, found = a[taken_a:], b[taken_b:], found + more
        return found
