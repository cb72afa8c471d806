import os

import pytest

from positcore.cli import main

ADD = ["export", "add", "--format", "8,2"]


def texts(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_unit_without_a_clock_comes_with_registers_and_again_is_the_same(tmp_path, capsys):
    out = tmp_path / "add"
    assert main([*ADD, "-o", str(out)]) == 0
    assert (
        capsys.readouterr().out
        == f"{out}: posit_add_8_2_registered for vivado, quartus, diamond, radiant; see README.md\n"
    )
    first = texts(out)
    assert sorted(first) == [
        "README.md",
        "diamond/posit_add_8_2.lpf",
        "diamond/posit_add_8_2.tcl",
        "diamond/posit_add_8_2_run.tcl",
        "posit_add_8_2.core",
        "quartus/posit_add_8_2.sdc",
        "quartus/posit_add_8_2.tcl",
        "quartus/virtual_pins.tcl",
        "radiant/posit_add_8_2.pdc",
        "radiant/posit_add_8_2.tcl",
        "radiant/posit_add_8_2_run.tcl",
        "rtl/posit_add_8_2.v",
        "rtl/posit_add_8_2_registered.v",
        "vivado/out_of_context.tcl",
        "vivado/posit_add_8_2.tcl",
        "vivado/posit_add_8_2.xdc",
        "vivado/posit_add_8_2_synth.tcl",
    ]
    assert main([*ADD, "-o", str(out)]) == 0
    assert texts(out) == first
    assert [path.name for path in tmp_path.iterdir()] == ["add"]


def test_period_and_part_reach_the_files(tmp_path):
    assert (
        main([*ADD, "--stages", "2", "--tool", "vivado", "--part", "xcku3p", "--period", "4", "-o", str(tmp_path)]) == 0
    )
    found = texts(tmp_path)
    assert "-period 4.000 " in found["vivado/posit_add_8_2_s2.xdc"]
    assert "set_property part xcku3p [current_project]" in found["vivado/posit_add_8_2_s2.tcl"]
    assert 'part: "xcku3p"' in found["posit_add_8_2_s2.core"]
    assert "Vivado, for xcku3p:" in found["README.md"]
    assert not any("registered" in path or path.startswith("quartus") for path in found)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tool", "ise"], "tool must be one of vivado, quartus, diamond, radiant or all, not ise"),
        (["--period", "0"], "the period must be 0.1 to 1000000 ns, not 0"),
        (["--period", "nan"], "the period must be 0.1 to 1000000 ns, not nan"),
        (["--part", "x"], "a part belongs to one tool"),
        (["--tool", "vivado", "--part", "x y"], "a part is letters, digits, - and _, not 'x y'"),
        (["--tool", "vivado", "--part", ""], "a part is letters, digits, - and _, not ''"),
        (["--tool", "quartus", "--part", "xc7z020clg400-1"], "xc7z020clg400-1 is no part of Quartus, which takes"),
    ],
)
def test_what_cannot_be_is_said(tmp_path, capsys, words, message):
    assert main([*ADD, *words, "-o", str(tmp_path / "new")]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_without_edalize(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("positcore.fpga.vendors.projects.find_spec", lambda name: None)
    assert main([*ADD, "-o", str(tmp_path / "new")]) == 2
    assert "edalize not found, needed for the project scripts of vendors" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_other_files_stay(tmp_path, capsys):
    (tmp_path / "vivado").mkdir()
    (tmp_path / "vivado" / "notes").write_text("mine")
    assert main([*ADD, "-o", str(tmp_path)]) == 2
    assert "holds vivado/notes, not of this export" in capsys.readouterr().err
    assert main([*ADD, "-o", str(tmp_path), "--force"]) == 0
    assert (tmp_path / "vivado" / "notes").read_text() == "mine"
    assert main([*ADD, "-o", str(tmp_path / "vivado" / "notes")]) == 2
    assert "is a file; name a folder" in capsys.readouterr().err


def test_the_folder_of_a_shell_and_a_link_stay_what_they_are(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    monkeypatch.chdir(tmp_path / "there")
    assert main([*ADD, "--tool", "vivado", "-o", "."]) == 0
    assert "README.md" in os.listdir(".")
    assert main([*ADD, "--tool", "vivado", "-o", str(tmp_path / "link")]) == 0
    assert (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "there"]


def test_a_folder_that_may_not_be_written_to(tmp_path, capsys, monkeypatch):
    def emit(*args):
        raise AssertionError("the work began")

    monkeypatch.setattr("os.access", lambda path, mode: False)
    monkeypatch.setattr("positcore.fpga.export.emit_verilog", emit)
    assert main([*ADD, "-o", str(tmp_path / "new")]) == 2
    assert f"export: {tmp_path}/new cannot be written: {tmp_path} is not writable" in capsys.readouterr().err
