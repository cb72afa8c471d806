import os
import re
import subprocess
import sys

import pytest

import positcore as pc
from positcore.hw.emit import clock_ports, emit_verilog, unit_ports, write_verilog
from positcore.hw.units import UNITS, Design
from positcore.sim.verilog import check_verilog
from tests.hw.examples import example

F8 = pc.PositFormat(8, 2)
DESIGNS = [
    *(example(name, F8) for name in UNITS),
    *(example(name, F8, len(UNITS[name].cuts)) for name in UNITS),
    *(example(name, pc.PositFormat(2, 4, underflow=True), 1) for name in UNITS),
    Design.of("mac", pc.MacSpec((F8, pc.PositFormat(6, 0)), pc.PositFormat(16, 2), pc.Quire(7)), 2),
    Design.of("add", pc.PositFormat(32, 2)),
]


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_text(design):
    text = emit_verilog(design)
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
    assert all(name.startswith(f"{design.name}_core") for name in modules[1:])
    ports = re.search(rf"^module {design.name}\((.*)\);", text, re.MULTILINE)[1].split(", ")
    assert sorted(ports) == sorted(port.name for port in (*clock_ports(design), *unit_ports(design)))


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


def test_place_of_the_file_is_checked(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*missing to write unit.v in; create it"):
        write_verilog(Design.of("decode", F8), tmp_path / "missing" / "unit.v")
    with pytest.raises(IsADirectoryError, match=r"is a folder; name a file such as posit_decode_8_2.v"):
        write_verilog(Design.of("decode", F8), tmp_path)


def _fail(*args):
    raise OSError("planted")


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
