"""The image of a `QuireArray` is what the RTL's accumulator holds: the RTL rounds it to the same codes."""

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

import positcore as pc
from positcore.hw.encode import Encoder
from positcore.hw.quire_rounder import QuireRounder
from tests.reference import format_id

F8 = pc.PositFormat(8, 2)
SPECS = [
    pc.MacSpec(F8),
    pc.MacSpec(pc.PositFormat(16, 1), F8, pc.Quire(15)),
    pc.MacSpec((F8, pc.PositFormat(6, 1)), pc.PositFormat(5, 0, underflow=True), pc.Quire(7)),
]


@pytest.mark.parametrize("spec", SPECS, ids=format_id)
def test_the_rtl_rounds_the_image(spec):
    rng = np.random.default_rng(1)
    quires = pc.QuireArray(spec, 300)
    for _ in range(3):
        a, b = (rng.integers(0, 1 << f.n, quires.size) for f in (spec.a, spec.b))
        quires.add_product(np.where(a == spec.a.nar, 0, a), np.where(b == spec.b.nar, 0, b))
    m = Module()
    m.submodules.rounder = rounder = QuireRounder(spec)
    layout = rounder.raw_layout
    m.submodules.encode = encode = Encoder(spec.out, scale_bits=layout.scale_bits, fraction_bits=layout.fraction_bits)
    m.d.comb += encode.raw.eq(rounder.raw)
    codes = []

    async def feed(context):
        for image in quires.image:
            context.set(rounder.total, image - (image >> (spec.accumulator_bits - 1) << spec.accumulator_bits))
            codes.append(context.get(encode.code))

    simulator = Simulator(m)
    simulator.add_testbench(feed)
    simulator.run()
    assert codes == quires.round().tolist()
    assert len(set(codes)) > 4
