import re

import pytest

import positcore as pc
from positcore.hw.emit import emit_verilog
from positcore.hw.units import Design
from positcore.sim.bench import run_bench

pytestmark = pytest.mark.rtl

F8 = pc.PositFormat(8, 2)


@pytest.mark.parametrize(
    ("spec", "stages"), [(F8, 0), (F8, 2), (pc.MacSpec((F8, pc.PositFormat(6, 1)), pc.PositFormat(16, 2)), 5)]
)
def test_streams_under_random_stalls_and_resets(spec, stages):
    report = run_bench(spec, stages=stages, dots=150, seed=stages)
    assert report.simulator in ("icarus", "verilator")
    assert report.results > 50
    assert report.resets > 0
    assert report.cycles > 1000


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        (pc.MacSpec(pc.PositFormat(6, 1), accumulator=pc.Rounded()), {"stages": 4}),
        (pc.MacSpec(pc.PositFormat(6, 1), accumulator=pc.Aligned(3, 7)), {"unit": "dot", "stages": 1}),
    ],
    ids=["rounded", "aligned"],
)
def test_other_accumulators(spec, options):
    report = run_bench(spec, dots=60, seed=1, **options)
    assert report.results > 20
    assert report.resets > 0


def test_other_units():
    with pytest.raises(ValueError, match=r"add has no dot products; take mac or dot, or positcore.sim.campaign.verify"):
        run_bench(F8, unit="add")


@pytest.mark.parametrize(
    ("fault", "replacement", "message"),
    [
        (r"\(i_last \?", "(1'b0 ?", r"dot product \d+: RTL \d+ != golden \d+"),
        (r"(?<!//     )\.o_valid +\(o_valid\)", ".o_valid ()", "an output is undefined"),
        (r"done <= i_valid & i_last", "done <= i_valid | i_last", r"a result more|RTL \d+ != golden|became"),
    ],
)
def test_planted_faults(fault, replacement, message):
    spec = pc.MacSpec(F8, accumulator=pc.Fused())
    text, count = re.subn(fault, replacement, emit_verilog(Design.of("mac", spec)))
    assert count == 1
    with pytest.raises(pc.MismatchError, match=message) as error:
        run_bench(spec, dots=60, verilog=text)
    assert "again: positcore.sim.bench.run_bench(" in str(error.value)


def test_verilog_that_does_not_compile():
    with pytest.raises(pc.MismatchError, match="no outcome"):
        run_bench(F8, dots=2, verilog="module")


def test_nothing_to_check():
    with pytest.raises(ValueError, match="dots must be a positive integer, not 0: nothing would be checked"):
        run_bench(F8, dots=0)


def test_missing_simulator(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pc.MissingToolError, match=r"Icarus \(iverilog\) not found, .*: apt-get install iverilog"):
        run_bench(F8)
