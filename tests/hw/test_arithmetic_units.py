"""Adder, subtracter and multiplier: every pair of small formats against exact rationals, wider ones by campaign."""

import operator
from functools import lru_cache

import numpy as np
import pytest

import positcore as pc
from positcore.hw.adder import Adder
from positcore.hw.emit import FlatUnit
from positcore.hw.multiplier import Multiplier
from positcore.hw.units import UNITS, Design
from positcore.sim.campaign import verify
from positcore.sim.exhaustive import and_graph
from positcore.sim.verilog import run_verilog
from tests.hw.bundle import run_bundle
from tests.hw.tails import ordinary, some_depths
from tests.reference import BYTE_FORMATS, SMALL_FORMATS, all_pairs, exact, format_id

pytestmark = pytest.mark.rtl

OPERATIONS = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}
WIDE_FORMATS = [pc.PositFormat(12, 1), pc.PositFormat(32, 2)]


@lru_cache
def results_of_all_pairs(n):
    """Every pair of n-bit codes through all units of all formats of that width."""
    a, b = all_pairs(pc.PositFormat(n, 0))
    formats = [fmt for fmt in SMALL_FORMATS if fmt.n == n]
    designs = {f"{name}_{fmt.tag}": Design.of(name, fmt) for name in OPERATIONS for fmt in formats}
    return a, b, run_bundle(designs, {"a": a, "b": b})


@pytest.mark.slow
@pytest.mark.parametrize("fmt", SMALL_FORMATS, ids=format_id)
@pytest.mark.parametrize("name", OPERATIONS)
def test_all_pairs_of_small_formats(name, fmt):
    a, b, results = results_of_all_pairs(fmt.n)
    assert a.size == 1 << 2 * fmt.n
    for x, y, code in zip(a, b, results[f"{name}_{fmt.tag}"]["code"], strict=True):
        assert code == exact(fmt, OPERATIONS[name], x, y), f"{name}({fmt}, {x}, {y})"


@lru_cache
def results_of_byte_formats():
    a, b = all_pairs(BYTE_FORMATS[0])
    designs = {f"{name}_{fmt.tag}": Design.of(name, fmt) for name in OPERATIONS for fmt in BYTE_FORMATS}
    return a, b, run_bundle(designs, {"a": a, "b": b})


@pytest.mark.slow
@pytest.mark.parametrize("fmt", BYTE_FORMATS, ids=format_id)
@pytest.mark.parametrize("name", OPERATIONS)
def test_all_pairs_of_byte_formats(name, fmt):
    a, b, results = results_of_byte_formats()
    got = results[f"{name}_{fmt.tag}"]["code"]
    assert got.size == 1 << 16
    np.testing.assert_array_equal(got, getattr(pc, name)(fmt, a, b))


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
def test_exhaustive_campaign(name):
    report = verify(name, pc.PositFormat(8, 2), exhaustive=True, waveforms=None, optimize="-O1")
    assert report.vectors == 1 << 16


@pytest.mark.parametrize("fmt", ordinary(WIDE_FORMATS, lambda fmt: fmt.n == 32), ids=format_id)
@pytest.mark.parametrize("name", ordinary(OPERATIONS, lambda name: name != "sub"))
def test_directed_pairs_of_wide_formats(name, fmt):
    assert verify(name, fmt, vectors=200_000, seed=1, waveforms=None, optimize="-O1").vectors == 200_000


@pytest.mark.slow
@pytest.mark.parametrize("fmt", [pc.PositFormat(n, es) for n in (9, 14, 24, 31, 32) for es in range(5)], ids=format_id)
@pytest.mark.parametrize("name", OPERATIONS)
def test_long_campaigns(name, fmt):
    verify(name, fmt, vectors=5_000_000, seed=2, waveforms=None)


@pytest.mark.parametrize("text", ordinary(["16,2", "32,1"], lambda text: text == "16,2"))
@pytest.mark.parametrize("name", ["add", "sub", "mul", "fma"])
def test_wide_formats_in_most_stages(unbuilt, name, text):
    fmt = pc.PositFormat.parse(text)
    stages = len(Design.of(name, fmt).cuts)
    inputs = dict(zip("abc", np.random.default_rng(1).integers(0, 1 << fmt.n, (3, 10_000)), strict=True))
    inputs["b"][:5000] = (-inputs["a"][:5000] + inputs["b"][:5000] % 64) % (1 << fmt.n)  # sums that cancel
    operands = dict(list(inputs.items())[: UNITS[name].operands])
    graph = and_graph(FlatUnit(Design.of(name, fmt, stages).component()))
    assert graph.latency == {"code": stages}
    np.testing.assert_array_equal(graph.run(operands)["code"], getattr(pc, name)(fmt, *operands.values()))


# The Verilog text, at depths of its pipeline -----------------------------------------------------


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        pytest.param(name, depth, marks=[] if depth == len(unit.cuts(pc.posit8)) else pytest.mark.slow)
        for name, unit in (("add", Adder), ("sub", Adder), ("mul", Multiplier))
        for depth in some_depths(len(unit.cuts(pc.posit8)))
    ],
)
def test_verilog_at_depths(name, stages):
    fmt = pc.PositFormat(8, 2)
    a, b = all_pairs(fmt)
    design = Design.of(name, fmt, stages)
    assert design.latency == stages
    got = run_verilog(design, {"a": a, "b": b})["code"]
    np.testing.assert_array_equal(got, getattr(pc, name)(fmt, a, b))


@pytest.mark.parametrize("unit", [Adder, Multiplier])
def test_parameters_are_checked(unbuilt, unit):
    name = unit.__name__
    with pytest.raises(TypeError, match=rf"{name}: fmt must be a PositFormat such as .* not 8"):
        unit(8)
    with pytest.raises(TypeError, match=rf"{name}: stages must be an integer in 0\.\.\d+, not 1\.5"):
        unit(pc.PositFormat(8), stages=1.5)
    with pytest.raises(ValueError, match=rf"{name}: stages must be an integer in 0.*cut after: .*, not 99"):
        unit(pc.PositFormat(8), stages=99)


def test_subtract_is_a_bool(unbuilt):
    with pytest.raises(TypeError, match="Adder: subtract must be True or False, not 1"):
        Adder(pc.PositFormat(8), subtract=1)
