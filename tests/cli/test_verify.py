from __future__ import annotations

import json
import re

import pytest

import positcore as pc
from positcore import PositFormat
from positcore.cli import main
from positcore.hw.decode import Decoder
from positcore.hw.divider import IterativeDivider
from positcore.hw.emit import emit_verilog
from positcore.hw.units import Design

pytestmark = pytest.mark.rtl


def run(capsys, *words):
    status = main(["verify", *words])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_exhaustive(capsys):
    status, out, err = run(capsys, "add", "--format", "8,2", "--exhaustive")
    assert (status, err) == (0, "")
    assert out.startswith("add posit<8,2>: 65,536 vectors (all inputs), 0 mismatches, ")


def test_a_unit_with_parameters_of_its_own(capsys):
    status, out, err = run(capsys, "to-int", "--format", "6,1", "--bits", "8", "--unsigned")
    assert (status, err) == (0, "")
    assert out.startswith("to-int posit<6,1>, uint8: 64 vectors (all inputs), 0 mismatches, ")


@pytest.mark.parametrize(
    ("words", "spec"),
    [
        ("mac --format 6,1 --accumulator rounded", "mac posit<6,1> → posit<6,1>, rounded"),
        ("dot --format 6,1 --accumulator aligned:3,7", "dot posit<6,1> → posit<6,1>, aligned(3 lanes, 7 bits)"),
        ("sqrt-iterative --format 6,1 --radix 4", "sqrt-iterative posit<6,1>"),
    ],
)
def test_streams(capsys, words, spec):
    status, out, err = run(capsys, *words.split(), "--vectors", "300")
    assert (status, err) == (0, "")
    assert out.startswith(f"{spec}: 300 vectors (seed 0), 0 mismatches, ")


def test_json(capsys):
    words = ["mac", "--format", "8,2", "--output-format", "16,2", "--vectors", "400", "--seed", "3", "--stages", "1"]
    status, out, _ = run(capsys, *words, "--json")
    shown = json.loads(out)
    assert status == 0
    assert shown.pop("seconds") > 0
    assert shown.pop("vectors_per_s") > 0
    coverage = shown.pop("coverage")
    assert set(coverage) == {"a", "b", "length", "result", "pace"}
    assert all(set(group) == {"bins", "covered", "least", "holes"} for group in coverage.values())
    assert shown == {
        "unit": "mac", "spec": "posit<8,2> → posit<16,2>, quire", "stages": 1, "exhaustive": False,
        "command": "positcore verify mac --format 8,2 --output-format 16,2 --stages 1 --vectors 400 --seed 3",
        "inputs": "drawn", "total": 400, "vectors": 400, "mismatches": 0, "seed": 3, "engine": "native",
        "netlist": "rtlil", "version": pc.__version__, "runs": 0, "mismatch": None,
    }  # fmt: skip


def test_coverage_and_its_holes_are_told(capsys):
    status, out, _ = run(capsys, "abs", "--format", "6,1")
    assert status == 0
    assert re.search(r"^  native simulation of the rtlil, positcore \S+$", out, re.MULTILINE)
    assert re.search(r"^  a +20 of +20 bins$", out, re.MULTILINE)
    assert re.search(r"^  result +11 of +20 bins; no input gives - k=-4, - k=-3, .* and 3 more$", out, re.MULTILINE)
    status, out, _ = run(capsys, "abs", "--format", "6,1", "--vectors", "5")
    assert re.search(r"^  a .*; holes: ", out, re.MULTILINE)


def test_report_files(capsys, tmp_path):
    stem = str(tmp_path / "reports" / "add")
    status, out, _ = run(capsys, "add", "--format", "6,1", "--report", stem)
    assert status == 0
    assert (tmp_path / "reports" / "add.txt").read_text() == out
    assert json.loads((tmp_path / "reports" / "add.json").read_text())["vectors"] == 4096


def test_mismatch(capsys, monkeypatch, tmp_path):
    original = Decoder.elaborate

    def elaborate(self, platform):
        m = original(self, platform)
        m.d.comb += self.raw.nar.eq(0)
        return m

    monkeypatch.setattr(Decoder, "elaborate", elaborate)
    status, out, err = run(capsys, "decode", "--format", "6,1", "--waveforms", str(tmp_path))
    assert (status, out) == (1, "")
    assert "decode[posit<6,1>]: RTL and golden model differ" in err
    assert "nar      RTL 0 != golden 1" in err
    assert (tmp_path / "posit_decode_6_1_mismatch.vcd").exists()
    status, out, _ = run(
        capsys, "decode", "--format", "6,1", "--waveforms", str(tmp_path), "--json", "--report", str(tmp_path / "r")
    )
    shown = json.loads(out)
    assert status == 1
    assert shown == json.loads((tmp_path / "r.json").read_text())
    assert (shown["mismatches"], shown["vectors"]) == (1, 0)
    assert shown["mismatch"]["again"] == "positcore verify decode --format 6,1 --inputs code=32"
    assert shown["mismatch"]["inputs"] == {"code": [32]}
    assert (shown["mismatch"]["got"]["nar"], shown["mismatch"]["want"]["nar"]) == (0, 1)
    assert shown["mismatch"]["waveform"].endswith("_mismatch.vcd")
    assert "RTL and golden model differ" in (tmp_path / "r.txt").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("hypot --format 8,2", "unknown unit 'hypot'; the units are: "),
        ("add --format 8,2 --vectors 0", "vectors must be a positive integer, not 0: nothing would be checked"),
        ("mul --format 32,2 --exhaustive", "has 2^64 inputs, more than 2^32; use vectors and a seed"),
        ("add --format 8,2 --restart", "there is no state to restart from; name it with --state FILE"),
        (
            "dot --format 8,2 --accumulator aligned:2,7 --exhaustive",
            "dot takes dot products of any length; use vectors",
        ),
        ("mac --format 8,2 --exhaustive", "mac takes dot products of any length; use vectors and a seed"),
    ],
)
def test_usage(capsys, words, message):
    status, out, err = run(capsys, *words.split())
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_missing_compiler(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("POSITCORE_CACHE", str(tmp_path))
    status, _, err = run(capsys, "decode", "--format", "4,1")
    assert status == 2
    assert "no-such-compiler not found" in err
    assert "apt-get install g++" in err


def test_an_input_is_parsed(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["verify", "add", "--format", "8,2", "--inputs", "a:3"])
    assert "an input is given as NAME=V or NAME=V,V,... in integers, not 'a:3'" in capsys.readouterr().err


def test_a_failing_compiler(capsys, monkeypatch, tmp_path):
    compiler = tmp_path / "g++"
    compiler.write_text('#!/bin/sh\necho "no room in here" >&2\n[ "$1" = --version ]\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("POSITCORE_CACHE", str(tmp_path / "cache"))
    status, _, err = run(capsys, "decode", "--format", "4,1")
    assert (status, err) == (2, f"positcore: {compiler} failed on a simulation: no room in here\n")


def test_a_broken_handshake_is_a_failed_check(capsys, monkeypatch):
    original = IterativeDivider.elaborate

    def elaborate(self, platform):
        m = original(self, platform)
        m.d.comb += self.o.valid.eq(0)
        return m

    monkeypatch.setattr(IterativeDivider, "elaborate", elaborate)
    status, out, err = run(capsys, "div-iterative", "--format", "4,1", "--exhaustive")
    assert (status, out) == (1, "")
    assert err == (
        "positcore: div-iterative[posit<4,1>]: the stream got stuck: items or results were lost\n"
        "  campaign positcore verify div-iterative --format 4,1 --exhaustive\n"
    )


def test_bench(capsys):
    words = ["sqrt-iterative", "--format", "6,1", "--bench", "icarus", "--packets", "12", "--seed", "2"]
    status, out, err = run(capsys, *words)
    assert (status, err) == (0, "")
    assert out.startswith("sqrt-iterative posit<6,1>: 12 packets, ")
    assert "(seed 2, Icarus Verilog version" in out
    assert "\ncoverage: " in out
    status, out, _ = run(capsys, *words, "--json")
    shown = json.loads(out)
    assert (status, shown["packets"], shown["seed"]) == (0, 12, 2)
    assert shown["holes"]


def test_bench_usage(capsys):
    status, out, err = run(capsys, "add", "--format", "6,1", "--bench", "icarus")
    assert (status, out) == (2, "")
    assert err.startswith("positcore: bench: add has no handshake; the units that have one are ")
    status, _, err = run(capsys, "mac", "--format", "6,1", "--packets", "3")
    assert (status, err) == (2, "positcore: verify: --packets is of a bench; add --bench icarus, or drop it\n")
    status, _, err = run(capsys, "gemm", "--format", "6,1", "--rows", "2", "--columns", "2", "--block-design")
    assert (status, err) == (2, "positcore: verify: --block-design is of a bench; add --bench icarus, or drop it\n")
    status, _, err = run(capsys, "mac", "--format", "6,1", "--bench", "icarus", "--block-design")
    assert (status, err) == (2, "positcore: bench: there is no block design of mac; gemm has one\n")


def test_bench_that_fails(capsys, monkeypatch, tmp_path):
    text = emit_verilog(Design.of("sqrt-iterative", PositFormat(6, 1))).replace("busy <= 1'b0;", "busy <= busy;")
    monkeypatch.setattr("positcore.sim.bench.run.emit_verilog", lambda design: text)
    words = ["sqrt-iterative", "--format", "6,1", "--bench", "icarus", "--packets", "20", "--waveforms", str(tmp_path)]
    status, out, err = run(capsys, *words)
    assert (status, out) == (1, "")
    assert err.startswith("positcore: sqrt-iterative[posit<6,1>]: ")
    assert "; again: positcore verify sqrt-iterative --format 6,1 --bench icarus --packets 20 --seed 0" in err
    assert (tmp_path / "posit_sqrt_iterative_6_1_bench.fst").exists()
