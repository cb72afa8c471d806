import os
import re
import subprocess
import sys
from functools import cache

import pytest

import positcore as pc
from positcore.errors import MissingToolError
from positcore.hw.emit import clock_ports, emit_verilog, instance_template, unit_ports, write_verilog
from positcore.hw.units import UNITS, Design
from positcore.sim.verilog import check_verilog, find_verilator, lint_verilog
from tests.hw.examples import example
from tests.hw.tails import ordinary

F8 = pc.PositFormat(8, 2)
DESIGNS = [
    *(example(name, F8) for name in UNITS),
    *(example(name, F8, 99) for name in UNITS),
    *(example(name, pc.PositFormat(2, 4, underflow=True), 1) for name in UNITS),
    Design.of("mac", pc.MacSpec((F8, pc.PositFormat(6, 0)), pc.PositFormat(16, 2), pc.Quire(7)), 2),
    Design.of("add", pc.PositFormat(32, 2)),
    Design.of("fma", pc.PositFormat(16, 2), 28),
]


@cache
def text_of(design):
    return emit_verilog(design)


@pytest.mark.parametrize(
    "design", ordinary(DESIGNS, lambda design: design.stages != 1 or not design.cuts), ids=lambda design: design.name
)
def test_text(design):
    text = text_of(design)
    assert check_verilog(text) == ""
    assert text.startswith(f"// {design.name}: ")
    assert f"// made by:  positcore {pc.__version__}\n// again by: {design.command} -o {design.name}.v\n" in text
    assert text.isascii()
    assert "\\" not in text  # no escaped names
    assert "__" not in text
    assert os.getcwd() not in text
    assert not re.search(r"(?<![/\w])/(?:home|work|tmp|usr)", text)
    modules = re.findall(r"^module (\w+)", text, re.MULTILINE)
    assert modules[0] == design.name
    assert len(set(modules)) == len(modules)
    for module in text.split("endmodule"):
        assigned = re.findall(r"^  assign (\S+) =", module, re.MULTILINE)
        assert len(set(assigned)) == len(assigned)
    assert all(name.startswith(f"{design.name}_") for name in modules[1:])
    head = re.search(rf"^module {design.name} \(\n(.*?)\n\);", text, re.MULTILINE | re.DOTALL)[1]
    ports = [re.fullmatch(r"  (input|output) +wire +(?:\[(\d+):0\])? *(\w+),?", line) for line in head.splitlines()]
    assert [(port[3], port[1], int(port[2] or 0) + 1) for port in ports] == [
        (port.name, port.direction, port.width) for port in (*clock_ports(design), *unit_ports(design))
    ]


@pytest.mark.parametrize(
    "design", ordinary(DESIGNS, lambda design: design.stages or not design.cuts), ids=lambda design: design.name
)
def test_nothing_to_be_warned_of(design):
    """Verilator's lint with all its warnings, those of style too, and without a waiver outside of the text."""
    try:
        find_verilator()
    except MissingToolError as error:
        pytest.skip(str(error))
    assert lint_verilog(text_of(design), design.name) == ""


@pytest.mark.parametrize("name", UNITS)
def test_instance_of_the_header(name):
    design = example(name, F8, 1)
    text = emit_verilog(design)
    template = "".join(re.findall(r"^//   (.*\n)", text, re.MULTILINE))
    assert template == instance_template(design)
    ports = (*clock_ports(design), *unit_ports(design))
    nets = "".join(f"  wire [{port.width - 1}:0] {port.name};\n" for port in ports)
    assert check_verilog(f"{text}\nmodule user;\n{nets}{template}endmodule\n") == ""


def test_lint_speaks_up():
    try:
        find_verilator()
    except MissingToolError as error:
        pytest.skip(str(error))
    said = lint_verilog("module top (input wire [1:0] a, output wire b);\n  assign b = a;\nendmodule\n", "top")
    assert "WIDTHTRUNC" in said


def test_readable_hierarchy():
    text = emit_verilog(Design.of("add", F8, 1))
    assert re.findall(r"^module (\w+)", text, re.MULTILINE) == [
        "posit_add_8_2_s1", "posit_add_8_2_s1_core", "posit_add_8_2_s1_encoder", "posit_add_8_2_s1_decoder",
    ]  # fmt: skip
    assert "  posit_add_8_2_s1_decoder decode_a (\n    .code     (a),\n" in text
    assert "  posit_add_8_2_s1_decoder decode_b (\n    .code     (b),\n" in text


def test_ports_of_the_mac():
    design = Design.of("mac", F8)
    assert [(port.name, port.direction, port.width) for port in unit_ports(design)] == [
        ("i_a", "input", 8), ("i_b", "input", 8), ("i_last", "input", 1), ("i_valid", "input", 1),
        ("i_ready", "output", 1), ("o_code", "output", 8), ("o_valid", "output", 1), ("o_ready", "input", 1),
    ]  # fmt: skip
    assert [port.name for port in clock_ports(design)] == ["clk", "rst"]
    assert clock_ports(Design.of("add", F8)) == ()


def test_text_is_the_same_in_every_process(tmp_path):
    program = (
        "import sys, positcore as pc\n"
        "from positcore.hw.emit import emit_verilog\n"
        "from positcore.hw.units import Design\n"
        "sys.stdout.write(emit_verilog(Design.of('mac', pc.PositFormat(8, 2), 3)))"
    )
    texts = [
        subprocess.run(
            [sys.executable, "-c", program], cwd=folder, env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed, folder in (("1", tmp_path), ("2", "/"))
    ]  # fmt: skip
    assert texts[0] == texts[1] == emit_verilog(Design.of("mac", F8, 3))


def test_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    design = Design.of("decode", F8)
    path = write_verilog(design, tmp_path / "unit.v")
    assert path.read_text() == emit_verilog(design)
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    monkeypatch.setattr(os, "replace", _fail)
    with pytest.raises(OSError, match="planted"):
        write_verilog(design, tmp_path / "other.v")
    assert [file.name for file in tmp_path.iterdir()] == ["unit.v"]


def test_place_of_the_file_is_checked(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"no folder .*missing to write unit.v in; create it"):
        write_verilog(Design.of("decode", F8), tmp_path / "missing" / "unit.v")
    with pytest.raises(IsADirectoryError, match=r"is a folder; name a file such as posit_decode_8_2.v"):
        write_verilog(Design.of("decode", F8), tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match=r"write_verilog: .*unit\.v cannot be written: .* is not writable"):
        write_verilog(Design.of("decode", F8), tmp_path / "unit.v")


def _fail(*args):
    raise OSError("planted")


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
