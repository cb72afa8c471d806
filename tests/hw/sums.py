"""What must hold of each unit that sums products in a stream, whatever its accumulator."""

from functools import cache

import numpy as np

import positcore as pc
from positcore.hw.units import Design
from positcore.sim.campaign import verify
from positcore.sim.directed import directed_codes
from positcore.sim.stream import NativeMac

F8 = pc.PositFormat(8, 2)
FORMATS = [  # of inputs and output
    (F8, F8),
    ((F8, pc.PositFormat(6, 1)), pc.PositFormat(16, 2)),
    (pc.PositFormat(6, 1), pc.PositFormat(5, 0, underflow=True)),
    (pc.PositFormat(16, 1), F8),
    (pc.PositFormat(8, 1), pc.PositFormat(8, 1, underflow=True)),
    (F8, pc.PositFormat(8, 2, flush=0)),
    (F8, pc.PositFormat(5, 1, flush=7)),
    (pc.PositFormat(5, 4), pc.PositFormat(32, 0)),
    (pc.PositFormat(2, 0), pc.PositFormat(2, 4)),
    (pc.PositFormat(3, 1), pc.PositFormat(8, 2, underflow=True)),
    (pc.PositFormat(32, 2), pc.PositFormat(32, 2)),
]


@cache
def compiled(design: Design) -> NativeMac:
    """The simulation of a design, as `check_dots` compiles it."""
    return NativeMac(design, optimize="-O1")


def check_dots(design, vectors=2000):
    """Random dot products under random stalls are the golden model's, none lost, none doubled."""
    name, stages, extra = design.unit.name, design.stages, design.options | design.choices
    assert verify(name, design.spec, vectors=vectors, seed=4, stages=stages, waveforms=None, optimize="-O1", **extra)


def check_throughput(design, items=512):
    """An item in each cycle, and a result in each where every item is a whole sum; then the latency."""
    rng = np.random.default_rng(1)
    shape = (items, design.terms)
    codes = {"a": directed_codes(design.spec.a, items * design.terms, rng).reshape(shape)}
    codes["b"] = directed_codes(design.spec.b, items * design.terms, rng).reshape(shape)
    for length in (1, 4):
        inputs = codes | {"last": np.arange(items) % length == length - 1}
        got, cycles = compiled(design).run(inputs, items // length)
        assert cycles == items + design.latency
        np.testing.assert_array_equal(got["code"], design.golden(inputs)["code"])
