"""Mapping to a library of cells, and the reports that come of it."""

import hashlib
import json
import shlex
from dataclasses import replace
from importlib.resources import files

import jschon
import pytest

import positcore as pc
from positcore.cli import main
from positcore.fpga.kept import report_folder
from positcore.fpga.liberty import read_liberty
from positcore.fpga.place import Place, Routing
from positcore.fpga.report import SCHEMA
from positcore.fpga.static_timing import Step
from positcore.fpga.synthesis import synthesize
from positcore.fpga.yowasp import SynthesisError
from positcore.hw.units import Design

pytestmark = pytest.mark.filterwarnings("ignore:Please use rfc3986:DeprecationWarning")  # of jschon

LIBRARY = """library (tiny) {
  cell (INV) { area : 1; pin (A) { direction : input; } pin (Y) { direction : output; function : "!A"; } }
  cell (NAND) {
    area : 2; pin (A) { direction : input; } pin (B) { direction : input; }
    pin (Y) { direction : output; function : "!(A & B)"; }
  }
  cell (DFF) {
    area : 8; ff (IQ, IQN) { clocked_on : "C"; next_state : "D"; }
    pin (C) { direction : input; clock : true; } pin (D) { direction : input; }
    pin (Q) { direction : output; function : "IQ"; }
  }
}
"""
DESIGN = Design.of("mul", pc.posit8)


@pytest.fixture
def library(tmp_path):
    path = tmp_path / "tiny.lib"
    path.write_text(LIBRARY)
    return path


@pytest.fixture(scope="module")
def schema():
    jschon.create_catalog("2020-12")
    text = json.loads((files("positcore.fpga") / "report.schema.json").read_text())
    return jschon.JSONSchema(text, uri=jschon.URI("urn:positcore:report"))


CELLS = {"$scopeinfo": 2, "INV": 3, "NAND": 5, "DFF": 8}
NETLIST = json.dumps(
    {"modules": {"top": {"cells": {"u": {"type": "INV", "connections": {"A": [2], "Y": [3]}}}, "netnames": {}}}}
)


@pytest.fixture
def mapping(yosys, monkeypatch):
    """A Yosys that maps to CELLS; the scripts that it was given."""
    scripts = []

    def run(script, folder):
        scripts.append(script)
        assert (folder / "cells.lib").read_text().startswith("library (tiny)")
        counts = {"num_cells": sum(CELLS.values()), "num_cells_by_type": CELLS}
        design = {**counts, **({"area": 77.0, "sequential_area": 64.0} if "DFF" in CELLS else {})}
        (folder / "area.json").write_text(json.dumps({"creator": "Yosys", "modules": {"top": {}}, "design": design}))
        (folder / "mapped.json").write_text(NETLIST)

    monkeypatch.setattr("positcore.fpga.standard_cells.run_yosys", run)
    return scripts


def test_area_of_a_library(library, schema, mapping):
    report = synthesize(DESIGN, liberty=read_liberty(library))
    mapped = report.standard_cells
    assert (mapped.library, mapped.area, mapped.flip_flop_area, mapped.count) == ("tiny", 77, 64, 16)
    assert mapped.cells == {"DFF": 8, "INV": 3, "NAND": 5}
    assert report.command.endswith(f"--target ecp5 --liberty {library}")
    assert (mapped.sha256, report.version) == (hashlib.sha256(library.read_bytes()).hexdigest(), pc.__version__)
    assert (mapped.delay_ns, mapped.critical_path) == (None, ())
    lines = str(report).splitlines()
    assert "  cells             16   of tiny" in lines
    assert "  delay, ns          –   tiny has no tables of delays" in lines
    assert "  area              77   in the library's unit, 64 of it flip-flops" in lines
    assert schema.evaluate(jschon.JSON(json.loads(report.json()))).valid
    assert mapping == [
        "read_verilog unit.v\n"
        "synth -flatten -top posit_mul_8_2_registered\n"
        "setattr -unset init w:*\n"
        "dfflibmap -liberty cells.lib\n"
        "abc -liberty cells.lib -script +strash;ifraig;scorr;dc2;dch,-f;map,-B,0.9;topo;buffer,-c;topo;upsize;dnsize\n"
        "opt_clean\n"
        "tee -o area.json stat -json -liberty cells.lib\n"
        "write_json mapped.json\n"
    ]


def test_the_command_runs_from_elsewhere(tmp_path, mapping, capsys, monkeypatch):
    (tmp_path / "my cells").mkdir()
    path = tmp_path / "my cells" / "tiny.lib"
    path.write_text(LIBRARY)
    assert main(["synth", "mul", "--format", "8,2", "--liberty", str(path), "--json"]) == 0
    shown = capsys.readouterr().out
    monkeypatch.chdir("/")
    assert main([*shlex.split(json.loads(shown)["command"])[1:], "--json"]) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize(("cells", "shown"), [(3, 3), (13, 13), (30, 13)])
def test_delay_and_path(library, schema, mapping, cells, shown):
    report = synthesize(DESIGN, liberty=read_liberty(library))
    path = tuple(Step("INV", "A → Y", "rise", 0.125, "product" if place == 1 else "") for place in range(cells))
    timed = replace(report, standard_cells=replace(report.standard_cells, delay_ns=cells / 8, critical_path=path))
    lines = [line.strip() for line in str(timed).splitlines()]
    assert f"delay, ns    {cells / 8:>7.3f}   register to register, no wires: {8000 / cells:.0f} MHz" in lines
    first = lines.index(f"critical path in tiny: {cells / 8:.3f} ns")
    assert lines[first + 1 : first + 3] == ["0.125 INV A → Y rise", "0.125 INV A → Y rise product"]
    assert len(lines[first + 1 :]) == shown + 2
    assert (f"… {cells - 12} cells more, which --json lists" in lines) == (cells > shown)
    found = json.loads(timed.json())
    assert len(found["standard_cells"]["critical_path"]) == cells
    assert schema.evaluate(jschon.JSON(found)).valid


def test_kept_for_the_library_and_for_no_other(library, mapping):
    synthesize(DESIGN, liberty=read_liberty(library))
    synthesize(DESIGN, liberty=read_liberty(library))
    assert len(mapping) == 1
    library.write_text(LIBRARY.replace("area : 8", "area : 9"))
    synthesize(DESIGN, liberty=read_liberty(library))
    assert len(mapping) == 2


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"INV": 2, "$_DFF_P_": 1}, r"library tiny has no cells for these of the netlist: \$_DFF_P_"),
        ({"INV": 2}, r"Yosys's statistics have no area \('area'\); does tiny say its cells'"),
    ],
)
def test_what_a_library_lacks(library, mapping, monkeypatch, cells, message):
    monkeypatch.setitem(globals(), "CELLS", cells)
    with pytest.raises(SynthesisError, match=message):
        synthesize(DESIGN, liberty=read_liberty(library))
    assert len(list(report_folder().glob("*.json"))) == 1  # of Yosys's report on the FPGA alone


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# a page", "is no Liberty file: no library with cells is in it; it begins '# a page'"),
        ("library (a) { cell (INV) { area : 1; } }", "has no flip-flop, which the registers of a unit need"),
    ],
)
def test_what_is_no_library(library, capsys, text, message):
    library.write_text(text)
    assert main(["synth", "mul", "--format", "8,2", "--liberty", str(library)]) == 2
    assert message in capsys.readouterr().err
    assert main(["synth", "mul", "--format", "8,2", "--liberty", "absent.lib"]) == 2
    assert "no Liberty file absent.lib; name one such as cells.lib" in capsys.readouterr().err


def routed(report_of):
    """A `synthesize` whose reports were routed at 100 MHz."""
    routing = Routing(
        "a part", 100.0, 110.0, (90.0, 100.0, 110.0), {"LUT": 3}, {"LUT": 9}, 2, 4.0, 6.0, ("a", "b"), "tool"
    )

    def found(design, target, **options):
        return replace(report_of, routing=routing) if options["place"] == Place(3) else report_of

    return found


def test_a_clock_that_is_asked_for(monkeypatch, capsys, schema, yosys):
    monkeypatch.setattr("positcore.fpga.synthesis.synthesize", routed(synthesize(DESIGN)))
    command = ["synth", "mul", "--format", "8,2", "--place"]
    assert main([*command, "--frequency", "100"]) == 0
    assert "throughput     1e+08   items a second at the median clock" in capsys.readouterr().out
    assert main([*command, "--frequency", "120", "--json"]) == 1
    said = capsys.readouterr()
    assert "100.0 MHz, not the 120 that were asked for; critical path a → b; take more --stages than 0" in said.err
    found = json.loads(said.out)
    assert (found["throughput"], found["schema"]) == (1e8, SCHEMA)
    assert schema.evaluate(jschon.JSON(found)).valid
    assert not schema.evaluate(jschon.JSON(found | {"luts": "many"})).valid
    assert main(["synth", "mul", "--format", "8,2", "--frequency", "100"]) == 2
    assert "--frequency is a clock in MHz that --place must reach; add --place" in capsys.readouterr().err
