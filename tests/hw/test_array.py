"""The systolic array: tiles back to back under stalls against the golden matrix product."""

from dataclasses import dataclass

import numpy as np
import pytest

import positcore as pc
from positcore.hw.array import SystolicArray
from positcore.sim.stream import NativeStream
from tests.hw.tails import ordinary

pytestmark = pytest.mark.rtl

F8 = pc.PositFormat(8, 2)
DEPTH = len(SystolicArray.cuts(pc.MacSpec(F8)))


@dataclass(frozen=True)
class Kind:
    kind: str = "dot"


@dataclass(frozen=True)
class ArrayDesign:
    """What `NativeStream` asks of a design."""

    spec: pc.MacSpec
    rows: int
    columns: int
    stages: int = 0
    unit: Kind = Kind("stream")

    def component(self):
        return SystolicArray(self.spec, rows=self.rows, columns=self.columns, stages=self.stages)


def tiles_of(spec, rows, columns, depths, rng):
    """Random tiles with NaR and zeros in some: (steps of A, steps of B, last, codes of all rows)."""
    a_steps, b_steps, last, want = [], [], [], []
    for depth in depths:
        a = rng.integers(0, 1 << spec.a.n, (depth, rows))
        b = rng.integers(0, 1 << spec.b.n, (depth, columns))
        a[(a == spec.a.nar) & (rng.random(a.shape) < 0.97)] = 0
        b[(b == spec.b.nar) & (rng.random(b.shape) < 0.97)] = 0
        a_steps.append(a)
        b_steps.append(b)
        last += [0] * (depth - 1) + [1]
        want.append(pc.matmul(spec, a.T.astype(spec.a.dtype), b.astype(spec.b.dtype)))
    return np.concatenate(a_steps), np.concatenate(b_steps), np.array(last), np.concatenate(want)


def run(design, depths, seed=0, **stalls):
    a, b, last, want = tiles_of(design.spec, design.rows, design.columns, depths, np.random.default_rng(seed))
    native = NativeStream(design, optimize="-O0")
    got, cycles = native.run({"a": a, "b": b, "last": last}, len(want), seed=seed, **stalls)
    n = design.spec.out.n
    codes = np.asarray(got["code"]).reshape(len(want), -1)
    if codes.shape[1] == 1 and design.columns > 1:
        codes = (codes >> (n * np.arange(design.columns))) & design.spec.out.mask
    np.testing.assert_array_equal(codes, want)
    np.testing.assert_array_equal(got["last"], np.arange(len(want)) % design.rows == design.rows - 1)
    return cycles


MIXED = pc.MacSpec((F8, pc.PositFormat(6, 1)), pc.PositFormat(5, 0, underflow=True), pc.Quire(9))


@pytest.mark.parametrize("stages", ordinary(range(DEPTH + 1), lambda depth: depth == DEPTH))
def test_tiles_back_to_back(stages):
    depths = [7, 1, 2, 30, 3, 4, 1, 1, 16, 5] * 3
    for valid, ready in ((256, 256), (100, 60)):
        run(ArrayDesign(pc.MacSpec(F8), 2, 2, stages), depths, seed=stages, valid_share=valid, ready_share=ready)


@pytest.mark.parametrize(
    "shape", ordinary([(1, 3), (1, 1), (4, 1), (3, 2), (2, 5)], lambda shape: shape == (1, 1)), ids=str
)
def test_shapes(shape):
    run(ArrayDesign(MIXED, *shape, 5), [1, 2, 5, 3, 40, 1, 9], seed=3, valid_share=200, ready_share=150)


def test_no_bubble_between_tiles():
    """As many cycles as steps, and the latency, and the rows of the last tile."""
    depths = [4, 9, 4, 4, 20, 5] * 10
    rows, columns, stages = 3, 1, 6
    latency = columns + stages
    assert run(ArrayDesign(pc.MacSpec(F8), rows, columns, stages), depths) == sum(depths) + latency + rows - 1


def test_parameters_are_checked(unbuilt):
    spec = pc.MacSpec(F8)
    with pytest.raises(TypeError, match=r"SystolicArray: spec must be a MacSpec such as .*, not PositFormat"):
        SystolicArray(F8, rows=2, columns=2)
    with pytest.raises(ValueError, match=r"SystolicArray: rows must be an integer in 1..64, not 0"):
        SystolicArray(spec, rows=0, columns=2)
    with pytest.raises(TypeError, match=r"SystolicArray: columns must be an integer in 1..64, not 2.0"):
        SystolicArray(spec, rows=2, columns=2.0)
    with pytest.raises(ValueError, match=rf"SystolicArray: stages must be an integer in 0..{DEPTH} .*, not -1"):
        SystolicArray(spec, rows=2, columns=2, stages=-1)
    with pytest.raises(TypeError, match="the accumulator must be"):
        SystolicArray(pc.MacSpec(F8, accumulator=pc.Fused()), rows=2, columns=2)
