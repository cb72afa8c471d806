"""The lanes of AXI4-Streams: a beat is a row of an array of codes."""

import numpy as np
import pytest
from amaranth.sim import Simulator

import positcore as pc
from positcore.hw.axi import CodeSink, CodeSource, lane_bits
from tests.reference import format_id

pytestmark = pytest.mark.rtl

FORMATS = [pc.PositFormat(5, 1), pc.PositFormat(8, 2), pc.PositFormat(12, 2), pc.PositFormat(32, 2)]


def simulate(component, bench):
    simulator = Simulator(component)
    simulator.add_testbench(bench)
    simulator.run()


def little(codes):
    return int.from_bytes(codes.astype(codes.dtype.newbyteorder("<")).tobytes(), "little")


@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
@pytest.mark.parametrize("lanes", [1, 3])
def test_a_beat_is_a_row_in_memory(fmt, lanes):
    rng = np.random.default_rng(lanes)
    source, sink = CodeSource(fmt, lanes), CodeSink(fmt, lanes)
    assert len(source.axis.tdata) == len(sink.axis.tdata) == 8 * fmt.dtype.itemsize * lanes
    above = sum(((1 << lane_bits(fmt)) - 1 - fmt.mask) << lane_bits(fmt) * lane for lane in range(lanes))

    async def take(ctx):
        for _ in range(20):
            codes = rng.integers(0, fmt.mask + 1, lanes).astype(fmt.dtype)
            for valid, ready, noise in ((0, 1, 0), (1, 0, above), (1, 1, above)):
                ctx.set(source.axis.tdata, little(codes) | noise)
                ctx.set(source.axis.tvalid, valid)
                ctx.set(source.o.ready, ready)
                assert (ctx.get(source.o.valid), ctx.get(source.axis.tready)) == (valid, ready)
                assert [ctx.get(source.o.payload[lane]) for lane in range(lanes)] == codes.tolist()

    async def give(ctx):
        for last in (0, 1, 1, 0):
            codes = rng.integers(0, fmt.mask + 1, lanes).astype(fmt.dtype)
            for lane in range(lanes):
                ctx.set(sink.i.payload.code[lane], int(codes[lane]))
            ctx.set(sink.i.payload.last, last)
            ctx.set(sink.i.valid, last)
            ctx.set(sink.axis.tready, 1 - last)
            assert ctx.get(sink.axis.tdata) == little(codes)
            assert ctx.get(sink.axis.tlast) == ctx.get(sink.axis.tvalid) == last
            assert ctx.get(sink.i.ready) == 1 - last

    simulate(source, take)
    simulate(sink, give)


def test_parameters_are_checked(unbuilt):
    for kind in (CodeSource, CodeSink):
        with pytest.raises(TypeError, match=rf"{kind.__name__}: fmt must be a PositFormat such as .*, not 8"):
            kind(8, 4)
        for lanes in (0, 257):
            with pytest.raises(ValueError, match=rf"{kind.__name__}: lanes must be an integer in 1..256, not {lanes}"):
                kind(FORMATS[0], lanes)
        with pytest.raises(TypeError, match=rf"{kind.__name__}: lanes must be an integer in 1..256, not True"):
            kind(FORMATS[0], True)
