"""`ReplayBuffer`: random blocks, passes and stalls against a list; its throughput, and the block RAM it becomes."""

import random
import tempfile
from pathlib import Path

import pytest
from amaranth.sim import Simulator

from positcore.fpga.targets import TARGETS
from positcore.fpga.yosys import parse_netlist, run_yosys
from positcore.hw.buffers import ReplayBuffer
from positcore.hw.emit import FlatUnit, emit_modules

pytestmark = pytest.mark.rtl


def simulate(ring, bench):
    simulator = Simulator(ring)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("depth", [2, 4, 16])
def test_blocks_and_passes(depth):
    rng = random.Random(depth)
    ring = ReplayBuffer(9, depth=depth)
    blocks = [([rng.getrandbits(9) for _ in range(rng.randint(1, depth))], rng.randint(1, 3)) for _ in range(60)]
    written = [row for rows, _ in blocks for row in rows]
    reads = [  # row, keep, rewind
        (row, turn < passes, turn < passes and at == len(rows) - 1)
        for rows, passes in blocks
        for turn in range(1, passes + 1)
        for at, row in enumerate(rows)
    ]

    async def bench(ctx):
        sent, got, expected = 0, 0, None
        for _ in range(20_000):
            offers = sent < len(written) and rng.random() < 0.7
            ctx.set(ring.i.valid, offers)
            ctx.set(ring.i.payload, written[sent] if offers else rng.getrandbits(9))
            reads_now = got < len(reads) and bool(ctx.get(ring.available)) and rng.random() < 0.8
            ctx.set(ring.read, reads_now)
            ctx.set(ring.keep, reads[got][1] if reads_now else rng.getrandbits(1))
            ctx.set(ring.rewind, reads[got][2] if reads_now else rng.getrandbits(1))
            assert not ctx.get(ring.stuck)
            taken = offers and bool(ctx.get(ring.i.ready))
            await ctx.tick()
            sent += taken
            if reads_now:
                expected = reads[got][0]
                got += 1
            if expected is not None:
                assert ctx.get(ring.row) == expected  # until another is read
            if got == len(reads):
                break
        assert (sent, got) == (len(written), len(reads)), "stuck"

    simulate(ring, bench)


def test_one_row_a_cycle_in_and_out_while_a_block_is_repeated():
    """Blocks as long as the ring, each read twice: the next one streams in during the last pass, and is there."""
    depth, blocks = 8, 5
    ring = ReplayBuffer(16, depth=depth)

    async def bench(ctx):
        sent, seen = 0, []
        ctx.set(ring.i.valid, 1)
        for step in range(-1, 2 * depth * blocks):
            ctx.set(ring.i.payload, sent)
            if step >= 0:
                assert ctx.get(ring.available)
                keep = step % (2 * depth) < depth
                ctx.set(ring.read, 1)
                ctx.set(ring.keep, keep)
                ctx.set(ring.rewind, keep and step % depth == depth - 1)
            sent += ctx.get(ring.i.ready)
            await ctx.tick()
            if step >= 0:
                seen.append(ctx.get(ring.row))
        rows = list(range(depth * blocks))
        assert seen == [row for at in range(0, len(rows), depth) for _ in (1, 2) for row in rows[at : at + depth]]

    simulate(ring, bench)


def test_a_block_longer_than_the_ring_is_told():
    ring = ReplayBuffer(4, depth=4)

    async def bench(ctx):
        ctx.set(ring.i.valid, 1)
        ctx.set(ring.keep, 1)
        for row in range(4):
            ctx.set(ring.i.payload, row)
            await ctx.tick()
            assert not ctx.get(ring.stuck)
            ctx.set(ring.read, 1)
        await ctx.tick()
        assert ctx.get(ring.stuck)
        assert not ctx.get(ring.available)
        assert not ctx.get(ring.i.ready)

    simulate(ring, bench)


@pytest.mark.slow
@pytest.mark.synth
@pytest.mark.parametrize(
    ("target", "cell", "count"), [("ecp5", "DP16KD", 2), ("ice40", "SB_RAM40_4K", 8), ("xc7", "RAMB36E1", 1)]
)
def test_it_becomes_block_ram(target, cell, count):
    """32 bits × 1024 rows, and no flip-flops but those of three pointers and two flags: nothing helps the memory."""
    flat = FlatUnit(ReplayBuffer(32, depth=1024))
    text = emit_modules(flat, "unit", flat.signals)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "unit.v").write_text(text)
        run_yosys(
            f"read_verilog unit.v\n{TARGETS[target].fabric} -top unit\ntee -o statistics.json stat -json\n", folder
        )
        netlist = parse_netlist((folder / "statistics.json").read_text())
    assert netlist.cells[cell] == count
    assert TARGETS[target].count({k: v for k, v in netlist.cells.items() if k != cell}).flip_flops == 3 * 11 + 2


def test_parameters_are_checked(unbuilt):
    for depth in (0, 1, 3, 48, 1 << 17):
        with pytest.raises(
            ValueError, match=rf"ReplayBuffer: depth must be a power of two in 2..65536, .* not {depth}$"
        ):
            ReplayBuffer(8, depth=depth)
    with pytest.raises(TypeError, match=r"ReplayBuffer: depth must be a power of two in 2..65536, not 16.0"):
        ReplayBuffer(8, depth=16.0)
    with pytest.raises(ValueError, match="ReplayBuffer: width must be at least 1 bits, not 0"):
        ReplayBuffer(0, depth=16)
