"""Exported folders, as those who get them read them: Tcl, Yosys, FuseSoC and Verilator. No vendor's tool is there."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import positcore as pc
from positcore.fpga.export import TOOLS, export_files, write_export
from positcore.fpga.vendors.fusesoc_core import core_name
from positcore.hw.block_design import block_design_ports
from positcore.hw.units import UNITS
from positcore.sim.verilog import find_verilator
from positcore.sim.yosys import run_yosys
from tests import yosys
from tests.hw.examples import example

SPEC = pc.PositFormat(6, 1)
OFTEN = ("add", "mac", "gemm")  # one without a clock, one with one, and one with a wrapper of its own
FUSESOC = """
import sys
from fusesoc.main import main
core, *targets = sys.argv[1:]
for target in targets:
    sys.argv = ["fusesoc", "--cores-root", ".", "run", "--setup", "--target", target, core]
    main()
"""


@cache
def exported(name):
    """The design of a unit, and the texts of its export."""
    design = example(name, pc.MacSpec(SPEC) if UNITS[name].accumulators else SPEC, 1)
    return design, export_files(design)


def top_of(files):
    return re.search(r"Top module `(\w+)`", files["README.md"])[1]


class Vendor:
    """A tool that reads Tcl, and knows no command but notes each one."""

    def __init__(self):
        self.tcl = pytest.importorskip("tkinter").Tcl()
        self.calls = []
        self.tcl.createcommand("unknown", self._note)
        self.tcl.eval("proc exit args {}")

    def _note(self, *words):
        self.calls.append(words)
        return "0"

    def run(self, path):
        """The calls of a script, in the folder where it lies."""
        self.tcl.eval(f"cd {{{path.parent}}}")
        self.tcl.eval(f"source {{{path.name}}}")
        return self.calls


@pytest.mark.parametrize(
    "name", [each if each in OFTEN else pytest.param(each, marks=pytest.mark.slow) for each in UNITS]
)
def test_each_unit_is_read_by_yosys_and_its_constraints_name_its_ports(name, tmp_path):
    yosys.prepare()
    design, files = exported(name)
    top = top_of(files)
    text = "".join(text for path, text in files.items() if path.startswith("rtl/"))
    netlist = json.loads(
        run_yosys("verilog", text, (f"hierarchy -check -top {top}", "blackbox", "write_json"), "the test of exports")
    )
    ports = {port: len(each["bits"]) for port, each in netlist["modules"][top]["ports"].items()}
    assert f"{sum(ports.values())} bits of ports" in files["README.md"]
    clock = "aclk" if name == "gemm" else "clk"
    assert clock in ports
    write_export(files, tmp_path)
    for tool in TOOLS.values():
        path = tmp_path / tool.name / f"{design.name}.{tool.suffix}"
        if tool.suffix == "lpf":
            assert path.read_text() == f'FREQUENCY PORT "{clock}" 100.000000 MHZ;\n'
        else:
            assert Vendor().run(path) == [
                ("get_ports", clock),
                ("create_clock", "-name", clock, "-period", "10.000", "0"),
            ]
    calls = Vendor().run(tmp_path / "quartus" / "virtual_pins.tcl")
    pins = [name for *words, name in calls if words == ["set_instance_assignment", "-name", "VIRTUAL_PIN", "ON", "-to"]]
    assert len(pins) == len(calls)
    assert sorted(pins) == sorted(port + "[*]" * (width > 1) for port, width in ports.items() if port != clock)


@pytest.mark.parametrize("name", OFTEN)
def test_scripts_name_files_that_lie_there_and_all_of_them(name, tmp_path):
    design, files = exported(name)
    write_export(files, tmp_path)
    for tool in TOOLS.values():
        folder = tmp_path / tool.name
        vendor = Vendor()
        for ending in tool.scripts:
            vendor.run(folder / f"{design.name}{ending}.tcl")
        words = [word for call in vendor.calls for word in call]
        named = {word for word in words if re.search(r"\.(v|xdc|sdc|lpf|pdc|tcl)$", word)}
        expected = {f"../{path}" for path in files if path.startswith("rtl/")} | {f"{design.name}.{tool.suffix}"}
        assert named == expected
        assert all((folder / path).is_file() for path in named)
        assert {tool.part, top_of(files)} <= set(words)
        assert tool.hook == "" or (folder / tool.hook).read_text() in files.values()


@pytest.mark.parametrize("name", OFTEN)
def test_no_text_names_a_place_of_this_machine(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, files = exported(name)
    for path, text in files.items():
        assert not re.search(r"(^|[\s\"'{=(])/(?![/*\s])", text, re.MULTILINE), path
        assert not any(place in text for place in ("positcore-", str(Path.home()), os.getcwd(), "~/")), path
        assert text.endswith("\n"), path
        assert not re.search(r"[ \t]$", text, re.MULTILINE), path


def fusesoc(folder, core, *targets):
    """Let FuseSoC set up some targets of a core in a folder; gives the folders of the builds, by target."""
    home = {f"XDG_{kind}_HOME": str(folder / kind) for kind in ("CONFIG", "CACHE", "DATA")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FUSESOC, core, *targets],
        cwd=folder, env=os.environ | home, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ERROR" not in done.stdout + done.stderr
    (build,) = (folder / "build").iterdir()
    return {path.name.partition("-")[0]: path for path in build.iterdir()}


@pytest.mark.parametrize("name", OFTEN)
def test_fusesoc_sets_up_each_target(name, tmp_path):
    pytest.importorskip("fusesoc")
    design, files = exported(name)
    write_export(files, tmp_path)
    folders = fusesoc(tmp_path, core_name(design.name), "lint", *TOOLS)
    assert set(folders) == {"lint", *TOOLS}
    sources = {Path(path).name for path in files if path.startswith("rtl/")}
    for tool in TOOLS.values():
        text = "".join(path.read_text() for path in folders[tool.name].glob("*.tcl"))
        assert {tool.part, top_of(files)} <= set(re.findall(r"[\w-]+", text))
        assert {Path(path).name for path in re.findall(r"src/\S+\.v\b", text)} == sources
        assert f"{design.name}.{tool.suffix}" in text
        assert tool.hook in text
    verilator, environment = find_verilator()
    (command,) = folders["lint"].glob("*.vc")
    done = subprocess.run(
        [verilator, "-Wall", "-f", command.name],
        cwd=folders["lint"], env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_another_core_may_depend_on_it(tmp_path):
    pytest.importorskip("fusesoc")
    design, files = exported("mac")
    write_export(files, tmp_path / "mac")
    (tmp_path / "chip.v").write_text(f"module chip; {design.name} unit (); endmodule\n")
    (tmp_path / "chip.core").write_text(
        "CAPI=2:\nname: ::chip:0\nfilesets:\n  rtl:\n    files: [chip.v: {file_type: verilogSource}]\n"
        f"    depend: [{core_name(design.name)}]\n"
        "targets:\n  default: {filesets: [rtl], toplevel: chip, flow: lint, flow_options: {tool: verilator}}\n"
    )
    folders = fusesoc(tmp_path, "::chip:0", "default")
    (command,) = folders["default"].glob("*.vc")
    assert [Path(line).name for line in command.read_text().splitlines() if line.endswith(".v")] == [
        f"{design.name}.v", "chip.v",
    ]  # fmt: skip


def test_only_a_gemm_has_a_header_and_a_table_of_registers():
    _, files = exported("mac")
    assert not any(path.startswith("software/") for path in files)
    assert "## Registers" not in files["README.md"]
    design, files = exported("gemm")
    assert f"#define {design.name.upper()}_SHAPE_COLUMNS" in files[f"software/{design.name}.h"]
    assert "| 0x20 | `control` | write |" in files["README.md"]


def test_the_page_names_each_file():
    for name in OFTEN:
        _, files = exported(name)
        listed = re.findall(r"^    (\S+)  +\S", files["README.md"], re.MULTILINE)
        assert all(any(path.startswith(entry) for entry in listed) for path in set(files) - {"README.md"})
        assert all(any(path.startswith(entry) for path in files) for entry in listed if "/" in entry or "." in entry)


def test_the_documentation_names_each_part_command_and_port():
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    for tool in TOOLS.values():
        commands = ", ".join(f"`{command.format(name='NAME')}`" for command in tool.commands)
        assert f"| `{tool.name}` | {tool.part} | {commands} |" in page
    rows = re.findall(r"^\| `(\w+)` \| [^|]* \| ([a-z, ]*) ?\|$", page, re.MULTILINE)
    ports = [f"{bus}_{signal}" if signal else bus for bus, row in rows for signal in re.split(r",? ", row.strip())]
    design, _ = exported("gemm")
    assert ports == [port.name for port in block_design_ports(design)]


def test_edalize_is_asked_for_only_when_it_is_needed(monkeypatch):
    monkeypatch.setattr("positcore.fpga.vendors.projects.find_spec", lambda name: None)
    with pytest.raises(pc.MissingToolError, match=r'package edalize not found, .*: pip install "positcore\[export\]"'):
        exported.__wrapped__("neg")


def test_a_failure_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    write_export({"a/b": "old\n", "c": "old\n"}, tmp_path / "x")
    written = []

    def fail(self, data):
        written.append(self.name)
        if len(written) > 2:
            raise OSError("no room")
        return write(self, data)

    write = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="no room"):
        write_export({"a/b": "new\n", "d/e": "new\n", "c": "new\n"}, tmp_path / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["a", "c"]
    assert (tmp_path / "x" / "a" / "b").read_text() == (tmp_path / "x" / "c").read_text() == "old\n"
