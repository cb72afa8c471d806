"""What damages the frames on a wire, repeatably."""

import random

from positcore.hw.link_protocol import FLAG

KINDS = ("corrupt", "drop", "duplicate", "late", "cut", "noise")


class Injector:
    """Bytes → bytes: some of the frames among them damaged. `faults` counts those."""

    def __init__(self, seed, rate, kinds=KINDS):
        self.random, self.rate, self.kinds = random.Random(seed), rate, kinds
        self.faults, self._contents, self._copy = 0, bytearray(), b""

    def __call__(self, received):
        out = bytearray()
        for byte in received:
            if byte != FLAG:
                self._contents.append(byte)
            elif self._contents:
                late, self._copy = self._copy, b""
                out += late + self._frame(bytes(self._contents))
                self._contents.clear()
        return bytes(out)

    def _frame(self, contents):
        flag, rng = bytes([FLAG]), self.random
        whole = flag + contents + flag
        if rng.random() >= self.rate:
            return whole
        self.faults += 1
        kind = rng.choice(self.kinds)
        if kind == "drop":
            return b""
        if kind == "duplicate":
            return whole * 2
        if kind == "late":  # once more, before the next one
            self._copy = whole
            return whole
        if kind == "cut":
            return whole[: rng.randrange(1, len(whole))]
        if kind == "noise":
            return rng.randbytes(rng.randrange(1, 20)) + whole
        damaged = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(1, len(damaged) - 1)] ^= 1 << rng.randrange(8)
        return bytes(damaged)
