"""A gemm in Python, written from docs/gemm.md: registers, and the order in which its streams carry what."""

import numpy as np

import positcore as pc
from positcore.rational import round_fraction


class ModelGemm:
    """A `GemmDevice` that computes each tile with the golden model."""

    def __init__(self, spec, *, rows, columns, depth):
        self.spec, self.rows, self.columns, self.depth = spec, rows, columns, depth
        self.words = {0x28: 0, 0x2C: 0, 0x30: 0, 0x34: 0}  # mode, steps, row_tiles, column_tiles
        self.constants = {
            0x00: 0x6D6D6567, 0x04: 1, 0x08: rows | columns << 16, 0x0C: depth,
            **{address: self.format_word(fmt) for address, fmt in ((0x10, spec.a), (0x14, spec.b), (0x18, spec.out))},
            0x1C: spec.quire.carry_bits,
        }  # fmt: skip
        self.done = self.rejected = self.started = False

    @staticmethod
    def format_word(fmt):
        return fmt.n | fmt.es << 8 | fmt.underflow << 16 | (0 if fmt.flush is None else fmt.flush + 1) << 24

    def read(self, address):
        if address == 0x24:
            return self.done << 1 | self.rejected << 2
        return self.constants[address] if address in self.constants else self.words[address]

    def write(self, address, word):
        if address != 0x20:
            assert address in self.words
            self.words[address] = word
        elif word == 1:
            mode, steps, row_tiles, column_tiles = self.words.values()
            length = steps + (mode & 1) + (mode >> 1 & 1)
            self.rejected = not (steps and row_tiles and column_tiles) or length > self.spec.quire.capacity
            self.started, self.done = not self.rejected, False
        elif word == 2:
            self.started = self.done = self.rejected = False

    def exchange(self, a, b, size):
        assert self.started
        mode, steps, row_tiles, column_tiles = self.words.values()
        bias_rows, bias_columns, hold_a, hold_b = (mode >> bit & 1 for bit in range(4))
        beats_a = iter(np.frombuffer(a, self.spec.a.dtype).reshape(-1, self.rows))
        beats_b = iter(np.frombuffer(b, self.spec.b.dtype).reshape(-1, self.columns))
        length_a, length_b = steps + bias_rows, steps + bias_columns
        assert not hold_a or length_a <= self.depth
        assert not hold_b or length_b * column_tiles <= self.depth

        def panel(beats, length):
            return np.array([next(beats) for _ in range(length)])

        one_a, one_b = (round_fraction(fmt, 1) for fmt in (self.spec.a, self.spec.b))
        kept_b, tiles = {}, []
        for _ in range(row_tiles):
            kept_a = None
            for column in range(column_tiles):
                if kept_a is None or not hold_a:
                    kept_a = panel(beats_a, length_a)
                if column not in kept_b or not hold_b:
                    kept_b[column] = panel(beats_b, length_b)
                left, right = kept_a, kept_b[column]
                if bias_columns:
                    left = np.concatenate([np.full((1, self.rows), one_a, left.dtype), left])
                if bias_rows:
                    right = np.insert(right, bias_columns, one_b, axis=0)
                tiles.append(pc.matmul(self.spec, left.T.copy(), right))
        assert next(beats_a, None) is None
        assert next(beats_b, None) is None
        out = np.concatenate(tiles).tobytes()
        assert len(out) == size
        self.done, self.started = True, False
        return out


def random_codes(rng, fmt, *shape):
    """Codes without NaR."""
    found = rng.integers(0, 1 << fmt.n, shape).astype(fmt.dtype)
    return np.where(found == fmt.nar, 0, found).astype(fmt.dtype)


def traffic(job):
    """How many bytes a job moves."""
    return len(job.bytes_a) + len(job.bytes_b) + job.size
