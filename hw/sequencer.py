"""`StepSequencer`: which rows of the operands' buffers each step of a matrix product takes."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from positcore.hw.registers import WORD

__all__ = ["JOB", "StepSequencer"]

JOB = data.StructLayout(
    {
        "steps": WORD, "row_tiles": WORD, "column_tiles": WORD,
        "bias_rows": 1, "bias_columns": 1, "hold_a": 1, "hold_b": 1, "whole": 1,
    }
)  # fmt: skip


class StepSequencer(wiring.Component):
    """Counts the steps of a job: for each panel of A, for each panel of B, the bias, if any, and K products.

    A step that takes a row of a buffer says whether the row is to be kept for another pass, and whether that pass
    begins after it (see `ReplayBuffer`): a panel of A for the next panel of B, all of B for the next panel of A.
    One step a cycle, the first in the cycle after `start`.

    Members
    -------
    start : In(1)
        Begin, if not running.
    job : In(JOB)
        Must not change while the sequencer is running.

        - steps, row_tiles, column_tiles: K, the panels of A and those of B, each at least 1.
        - bias_rows, bias_columns: a tile begins with a step that takes a row of A's buffer only, or of B's only;
          with both, B's is first.
        - hold_a, hold_b: a panel of A, or all of B, stays in its buffer for the next pass; else it comes anew.
        - whole: not for the sequencer (see `GemmEngine`).
    running : Out(1)
    o : Out(stream.Signature({use_a, use_b, keep_a, keep_b, rewind_a, rewind_b, last}))
        The steps; `last` marks a tile's.
    """

    def __init__(self) -> None:
        step = dict.fromkeys(("use_a", "use_b", "keep_a", "keep_b", "rewind_a", "rewind_b", "last"), 1)
        signature = {"start": In(1), "job": In(JOB), "running": Out(1)}
        super().__init__(signature | {"o": Out(stream.Signature(data.StructLayout(step)))})

    def elaborate(self, platform: object) -> Module:
        """Three nested countdowns, and whether the next step is a bias."""
        m = Module()
        job, step = self.job, self.o.payload
        taken, last, keep_a, keep_b, bias_a, bias_b = (
            Signal(name=name) for name in ("taken", "last", "keep_a", "keep_b", "bias_a", "bias_b")
        )
        product, column, row = (_Countdown(name) for name in ("product", "column", "row"))
        m.d.comb += [
            self.o.valid.eq(self.running),
            taken.eq(self.running & self.o.ready),
            step.use_a.eq(~bias_b),
            step.use_b.eq(bias_b | ~bias_a),
            last.eq(product.last & ~bias_a & ~bias_b),
            keep_a.eq(job.hold_a & ~column.last),
            keep_b.eq(job.hold_b & ~row.last),
            step.last.eq(last),
            step.keep_a.eq(keep_a),
            step.keep_b.eq(keep_b),
            step.rewind_a.eq(keep_a & last),
            step.rewind_b.eq(keep_b & last & column.last),
        ]
        begin_tile = [product.load(job.steps), bias_a.eq(job.bias_rows), bias_b.eq(job.bias_columns)]
        with m.If(self.start & ~self.running):
            m.d.sync += [self.running.eq(1), begin_tile, column.load(job.column_tiles), row.load(job.row_tiles)]
        with m.If(taken):
            with m.If(bias_b):
                m.d.sync += bias_b.eq(0)
            with m.Elif(bias_a):
                m.d.sync += bias_a.eq(0)
            with m.Elif(~product.last):
                m.d.sync += product.next()
            with m.Else():
                m.d.sync += begin_tile
                with m.If(~column.last):
                    m.d.sync += column.next()
                with m.Else():
                    m.d.sync += [column.load(job.column_tiles), row.next(), self.running.eq(~row.last)]
        return m


class _Countdown:
    """A counter from n down to 1, which knows a cycle ahead that the 1 comes: no comparison follows it."""

    def __init__(self, name: str):
        self.count = Signal(WORD, name=f"{name}_count", reset_less=True)
        self.last = Signal(name=f"{name}_last", reset_less=True)

    def load(self, count: Value) -> list[Statement]:
        """Begin with n = count ≥ 1."""
        return [self.count.eq(count), self.last.eq(count == 1)]

    def next(self) -> list[Statement]:
        """One less."""
        return [self.count.eq(self.count - 1), self.last.eq(self.count == 2)]
