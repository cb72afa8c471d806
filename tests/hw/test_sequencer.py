"""`StepSequencer`: every step of random jobs, in order, under a consumer that pauses."""

import random

import pytest
from amaranth.sim import Simulator

from positcore.hw.sequencer import StepSequencer

pytestmark = pytest.mark.rtl


def steps_of(job):
    """(use_a, use_b, keep_a, keep_b, rewind_a, rewind_b, last) of each step."""
    for row in range(job["row_tiles"]):
        for column in range(job["column_tiles"]):
            keep_a = job["hold_a"] and column < job["column_tiles"] - 1
            keep_b = job["hold_b"] and row < job["row_tiles"] - 1
            whole_b = column == job["column_tiles"] - 1
            uses = [(0, 1)] * job["bias_columns"] + [(1, 0)] * job["bias_rows"] + [(1, 1)] * job["steps"]
            for at, (use_a, use_b) in enumerate(uses):
                last = at == len(uses) - 1
                yield use_a, use_b, keep_a, keep_b, keep_a and last, keep_b and last and whole_b, last


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_random_jobs(share):
    rng = random.Random(5)
    sequencer = StepSequencer()
    fields = ("use_a", "use_b", "keep_a", "keep_b", "rewind_a", "rewind_b", "last")

    async def bench(ctx):
        for _ in range(60):
            job = {name: rng.randint(1, 4) for name in ("steps", "row_tiles", "column_tiles")}
            job |= {name: rng.getrandbits(1) for name in ("hold_a", "hold_b", "bias_rows", "bias_columns")}
            for name, value in job.items():
                ctx.set(sequencer.job[name], value)
            assert not ctx.get(sequencer.running)
            ctx.set(sequencer.start, 1)
            await ctx.tick()
            cycles = 0
            for step in steps_of(job):
                while True:
                    ready = rng.random() < share
                    ctx.set(sequencer.o.ready, ready)
                    ctx.set(sequencer.start, rng.getrandbits(1))  # ignored
                    assert ctx.get(sequencer.running)
                    assert ctx.get(sequencer.o.valid)
                    assert [ctx.get(sequencer.o.payload[name]) for name in fields] == [int(value) for value in step]
                    cycles += 1
                    await ctx.tick()
                    ctx.set(sequencer.start, 0)
                    if ready:
                        break
            ctx.set(sequencer.o.ready, 1)
            assert not ctx.get(sequencer.o.valid)
            assert share < 1 or cycles == len(list(steps_of(job)))

    simulator = Simulator(sequencer)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_the_largest_counts():
    """A count of 2^32 − 1 does not end at once, and counts down."""
    sequencer = StepSequencer()

    async def bench(ctx):
        for name in ("steps", "row_tiles", "column_tiles"):
            ctx.set(sequencer.job[name], (1 << 32) - 1)
        ctx.set(sequencer.start, 1)
        ctx.set(sequencer.o.ready, 1)
        for _ in range(20):
            await ctx.tick()
            assert ctx.get(sequencer.running)
            assert not ctx.get(sequencer.o.payload.last)

    simulator = Simulator(sequencer)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
