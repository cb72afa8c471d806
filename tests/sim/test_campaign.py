import re
import shlex
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

import positcore as pc
from positcore.cli import main
from positcore.hw.decode import Decoder
from positcore.hw.units import UNITS, Design
from positcore.sim.campaign import _plan, verify
from positcore.sim.directed import directed_codes, random_dots
from positcore.text import code_text
from tests import yosys
from tests.hw.examples import OPTIONS

pytestmark = pytest.mark.rtl


@pytest.fixture(autouse=True)
def _waveforms_elsewhere(monkeypatch, tmp_path):
    """A mismatch writes its waveform where the command runs."""
    monkeypatch.chdir(tmp_path)


F = pc.PositFormat(6, 1)


def drop_nar(rtlil):
    """The encoder gives the rounded code where NaR was."""
    return re.sub(r"(connect \\S) \\raw \[\d+\](\s+connect \\A .*\s+connect \\B 6'100000)", r"\1 1'0\2", rtlil)


def test_report():
    calls = []
    report = verify(
        "add", F, exhaustive=True, waveforms=None, optimize="-O1", progress=lambda *done: calls.append(done)
    )
    assert (report.vectors, report.mismatches, report.exhaustive, report.seed) == (4096, 0, True, None)
    assert str(report).startswith("add posit<6,1>: 4,096 vectors (all inputs), 0 mismatches, ")
    assert calls == [(4096, 4096)]
    assert report.coverage["a × b"]["covered"] == report.coverage["a × b"]["bins"] == 400
    assert report.vectors_per_s > 0
    drawn = verify("add", F, vectors=70_000, seed=9, waveforms=None, optimize="-O1")
    assert (drawn.vectors, drawn.exhaustive, drawn.seed) == (70_000, False, 9)


def test_mismatch_is_told_with_all_that_helps(tmp_path):
    with pytest.raises(pc.MismatchError) as error:
        verify("add", F, exhaustive=True, waveforms=tmp_path, optimize="-O1", alter=drop_nar)
    text = str(error.value)
    assert "add[posit<6,1>]: RTL and golden model differ" in text
    assert re.search(r"^  a        0b\d{6} = ", text, re.MULTILINE)
    assert re.search(r"^  code     RTL 0b\d{6} = .* != golden 0b100000 = NaR$", text, re.MULTILINE)
    assert "  campaign positcore verify add --format 6,1 --exhaustive\n" in text
    assert "  again    positcore verify add --format 6,1 --inputs a=0 b=32\n" in text
    path = tmp_path / "posit_add_6_1_mismatch.vcd"
    assert f"  waveform {path}" in text
    assert "$var" in path.read_text()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    command = re.search(r"golden   python (.*)$", text, re.MULTILINE)[1]
    done = subprocess.run([sys.executable, *shlex.split(command)], capture_output=True, text=True)
    assert done.stdout == "32\n", done.stderr


@pytest.mark.parametrize("options", [{}, {"radix": 4}])
@pytest.mark.parametrize("unit", ["div-iterative", "sqrt-iterative"])
def test_streams_of_items(unit, options):
    report = verify(unit, F, waveforms=None, optimize="-O1", **options)
    assert (report.vectors, report.exhaustive) == (4096 if unit == "div-iterative" else 64, True)
    assert verify(unit, F, vectors=500, seed=3, waveforms=None, optimize="-O1", **options).vectors == 500


def test_mismatch_of_a_stream(tmp_path):
    with pytest.raises(pc.MismatchError) as error:
        verify("div-iterative", F, exhaustive=True, waveforms=tmp_path, optimize="-O1", alter=drop_nar)
    text = str(error.value)
    assert "  campaign positcore verify div-iterative --format 6,1 --exhaustive\n" in text
    assert "  again    positcore verify div-iterative --format 6,1 --inputs a=0 b=0\n" in text
    assert (tmp_path / "posit_div_iterative_6_1_mismatch.vcd").exists()
    command = re.search(r"golden   python (.*)$", text, re.MULTILINE)[1]
    done = subprocess.run([sys.executable, *shlex.split(command)], capture_output=True, text=True)
    assert done.stdout == "32\n", done.stderr


def test_mismatch_of_a_dot_product(tmp_path):
    with pytest.raises(pc.MismatchError) as error:
        verify("mac", F, vectors=300, seed=1, stages=2, waveforms=tmp_path, optimize="-O1", alter=drop_nar)
    text = str(error.value)
    assert "positcore verify mac --format 6,1 --stages 2 --vectors 300 --seed 1" in text
    assert (tmp_path / "posit_mac_6_1_quire31_s2_mismatch.vcd").exists()
    command = re.search(r"golden   python (.*)$", text, re.MULTILINE)[1]
    done = subprocess.run([sys.executable, *shlex.split(command)], capture_output=True, text=True)
    assert done.stdout == "32\n", done.stderr


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"unit": "hypot"}, ValueError, "unknown unit 'hypot'; the units are: decode"),
        ({"vectors": 0}, ValueError, "vectors must be a positive integer, not 0: nothing would be checked"),
        ({"vectors": 2.5}, TypeError, "vectors must be a positive integer, not 2.5"),
        ({"vectors": 5, "exhaustive": True}, ValueError, "drop vectors, or exhaustive"),
        (
            {"spec": pc.PositFormat(32), "exhaustive": True},
            ValueError,
            r"has 2\^64 inputs, more than 2\^32; use vectors",
        ),
        ({"unit": "mac", "exhaustive": True}, ValueError, "mac takes dot products of any length; use vectors"),
        ({"spec": "8,2"}, TypeError, "add: spec must be a MacSpec"),
        ({"stages": 19}, ValueError, r"add: stages must be an integer in 0..18"),
        ({"seed": -1}, ValueError, "verify: seed must be an integer from 0 on, not -1"),
        ({"engine": "fast"}, ValueError, "verify: the engine is native or graph, not 'fast'"),
        ({"netlist": "vhdl"}, ValueError, "verify: the netlist is verilog or rtlil, not 'vhdl'"),
        ({"unit": "mac", "engine": "graph"}, ValueError, "mac speaks a handshake, which a graph does not; use the nat"),
        ({"inputs": {"a": [1], "b": [2]}, "vectors": 3}, ValueError, "inputs are all that is compared; drop vectors"),
        ({"inputs": {"a": [1]}}, ValueError, r"add\[posit<6,1>\] has the inputs a, b; give each of them, and no other"),
        ({"inputs": {"a": [1], "b": []}}, ValueError, "as many values of each input are needed, at least one"),
        ({"inputs": {"a": [64], "b": [0]}}, ValueError, r"input a is an integer in 0..63, not 64"),
        (
            {"unit": "from-int", "bits": 8, "inputs": {"value": [128]}},
            ValueError,
            r"input value is an integer in -128..127, not 128",
        ),
        (
            {"unit": "dot", "lanes": 2, "inputs": {"a": [1], "b": [2]}},
            ValueError,
            "takes chunks of 2 terms, which 1 values do not fill",
        ),
        (
            {"inputs": {"a": [1], "b": [1]}, "state": "x.json"},
            ValueError,
            "given inputs are no campaign to go on with; drop the state, or the inputs",
        ),
    ],
)
def test_what_cannot_be_verified(options, error, message):
    with pytest.raises(error, match=message):
        verify(**{"unit": "add", "spec": F} | options)


def test_vectors_depend_on_the_seed_alone():
    draws = [directed_codes(pc.PositFormat(16), 1000, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()


def test_directed_vectors_cover_the_format():
    fmt = pc.PositFormat(16, 2)
    codes = directed_codes(fmt, 50_000, np.random.default_rng(0))
    lengths = {len(re.match("0+|1+", f"{code & fmt.maxpos_code:015b}")[0]) for code in np.unique(codes).tolist()}
    assert lengths == set(range(1, 16))
    assert {0, fmt.nar, 1, fmt.mask, fmt.maxpos_code, fmt.nar + 1} <= set(codes.tolist())


def test_directed_dots_cover_lengths_nar_and_cancellation():
    spec = pc.MacSpec(pc.PositFormat(8, 2))
    a, b, lengths = random_dots(spec, 2000, np.random.default_rng(0))
    assert a.size == b.size == lengths.sum()
    assert lengths.min() == 1
    assert lengths.max() == 64
    assert (a == 0x80).any()
    assert (b == 0x80).any()
    ends = np.cumsum(lengths)
    dots = [pc.dot(spec, a[e - n : e], b[e - n : e]) for e, n in zip(ends, lengths, strict=True)]
    assert 100 < dots.count(0) < 1500


@pytest.mark.parametrize(
    ("code", "text"),
    [(0b01011010, "0b01011010 = 0|10|11|010 = 10.0"), (0x80, "0b10000000 = NaR"), (0, "0b00000000 = 0.0"),
     (0xFF, "0b11111111 = 1|1111111 = -5.960464477539063e-08"), (1, "0b00000001 = 0|0000001 = 5.960464477539063e-08")],
)  # fmt: skip
def test_code_text(code, text):
    assert code_text(pc.PositFormat(8, 2), code) == text


# What a reproducer runs ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "options", "vectors"),
    [
        ("sub", {}, None),
        ("div-iterative", {}, None),
        ("quire", {}, 500),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in [
            ("gemm", {"rows": 2, "columns": 2, "depth": 4}, 200), ("to-int", {"bits": 8}, None),
            ("mac", {}, 300), ("dot", {"lanes": 2}, 300),
        ]),
    ],
)  # fmt: skip
def test_the_reproducer_reproduces(unit, options, vectors, monkeypatch, capsys):
    """The line of the message, given to the command, finds the same difference on that input alone."""
    override(monkeypatch)
    with pytest.raises(pc.MismatchError) as error:
        verify(unit, F, vectors=vectors, waveforms=None, optimize="-O0", **options)
    words = shlex.split(re.search(r"^  again    positcore (.*)$", str(error.value), re.MULTILINE)[1])
    assert main([*words, "--waveforms", ""]) == 1
    again = capsys.readouterr().err.removeprefix("positcore: ")
    told = str(error.value).partition("  campaign ")[0]
    assert again.startswith(told)


def override(monkeypatch):
    """NaR is decoded as a number."""
    original = Decoder.elaborate

    def elaborate(self, platform):
        m = original(self, platform)
        m.d.comb += self.raw.nar.eq(0)
        return m

    monkeypatch.setattr(Decoder, "elaborate", elaborate)


@pytest.mark.parametrize("unit", ["add", "mac", "gemm"])
def test_given_inputs(unit):
    options = {"rows": 2, "columns": 2, "depth": 4} if unit == "gemm" else {}
    report = verify(unit, F, inputs={"a": [3], "b": [5]}, waveforms=None, optimize="-O0", **options)
    assert report.command.endswith("--inputs a=3 b=5")
    assert (report.inputs, report.vectors) == ("given", 5 if unit in ("div-iterative", "mac") else 1)


# All cores, engines, netlists --------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["add", "mac"])
def test_any_number_of_threads_gives_the_same(unit):
    reports = []
    for count in (1, 3):
        with threads(count):
            reports.append(verify(unit, F, vectors=3_000, seed=4, waveforms=None, optimize="-O1"))
    first, second = (replace(report, seconds=0.0) for report in reports)
    assert first == second


@contextmanager
def threads(count):
    before = pc.get_num_threads()
    pc.set_num_threads(count)
    yield
    pc.set_num_threads(before)


def test_a_graph_is_the_emitted_verilog():
    yosys.prepare()
    report = verify("mul", F, exhaustive=True, engine="graph", stages=2, waveforms=None)
    assert (report.engine, report.netlist, report.vectors) == ("graph", "verilog", 4096)
    with pytest.raises(
        pc.MismatchError, match=r"(?s)mul.*again +positcore verify mul --format 6,1 --stages 2 --inputs a"
    ):
        verify("mul", F, exhaustive=True, engine="graph", stages=2, waveforms=None, alter=one_difference)


def one_difference(verilog):
    assert " + " in verilog, "the fault found no place"
    return verilog.replace(" + ", " - ", 1)


def test_a_graph_with_a_register_too_few(monkeypatch):
    yosys.prepare()
    unit = replace(UNITS["add"], latency=lambda spec, stages: stages + 1)
    monkeypatch.setitem(UNITS, "add", unit)
    with pytest.raises(ValueError, match=r"verify: add\[posit<6,1>\] has 1 registers before an output, not 2"):
        verify("add", F, exhaustive=True, engine="graph", stages=1, waveforms=None)


def test_a_graph_is_taken_where_there_are_many_inputs():
    plans = [_plan(Design.of("add", pc.PositFormat(n)), True, None, None, 0, None, None, "", None) for n in (8, 16)]
    assert [(plan.engine, plan.netlist, plan.total) for plan in plans] == [
        ("native", "rtlil", 1 << 16), ("graph", "verilog", 1 << 32)
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["add", "mac"])
def test_the_compiled_verilog_is_the_compiled_rtlil(name):
    """The very text, read by Yosys and compiled, gives the golden results, too, at the same vectors and stalls."""
    yosys.prepare()
    assert both_netlists(name) == ["verilog", "rtlil"]


@pytest.mark.slow
@pytest.mark.parametrize("name", UNITS)
def test_the_compiled_verilog_of_every_unit(name):
    yosys.prepare()
    assert both_netlists(name) == ["verilog", "rtlil"]


def both_netlists(name):
    options, found = OPTIONS.get(name, {}), []
    for netlist in ("verilog", "rtlil"):
        report = verify(name, F, vectors=500, seed=2, netlist=netlist, waveforms=None, optimize="-O0", **options)
        found.append(report)
    assert replace(found[0], seconds=0.0, netlist="") == replace(found[1], seconds=0.0, netlist="")
    return [report.netlist for report in found]


def test_short_streams_meet_every_pace():
    report = verify("mac", F, vectors=60, waveforms=None, optimize="-O1")
    assert report.coverage["pace"]["holes"] == []


def test_drawn_operations_meet_every_bin():
    report = verify("quire", F, vectors=30_000, waveforms=None, optimize="-O1")
    assert {name: group["holes"] for name, group in report.coverage.items()} == {name: [] for name in report.coverage}
