import pytest

from positcore.cli import main

ADD = ["export", "add", "--format", "8,2"]


def test_a_unit_without_a_clock_comes_with_registers_and_again_is_the_same(tmp_path, capsys):
    out = tmp_path / "add"
    assert main([*ADD, "-o", str(out)]) == 0
    first = {path.name: path.read_text() for path in out.iterdir()}
    assert {name.rsplit(".", 1)[1] for name in first} == {"v", "xdc", "sdc", "lpf", "pdc", "core"}
    assert any(name.endswith("_registered.v") for name in first)
    assert not any(str(tmp_path) in text for text in first.values())
    assert main([*ADD, "-o", str(out)]) == 0
    assert {path.name: path.read_text() for path in out.iterdir()} == first
    assert [path.name for path in tmp_path.iterdir()] == ["add"]


def test_period_and_part_reach_the_files(tmp_path):
    assert (
        main([*ADD, "--stages", "2", "--tool", "vivado", "--part", "xcku3p", "--period", "4", "-o", str(tmp_path)]) == 0
    )
    assert "-period 4.000 " in next(tmp_path.glob("*.xdc")).read_text()
    assert 'part: "xcku3p"' in next(tmp_path.glob("*.core")).read_text()
    assert not list(tmp_path.glob("*_registered.v"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tool", "ise"], "tool must be one of vivado, quartus, diamond, radiant or all, not ise"),
        (["--period", "0"], "the period must be 0.1 to 1000000 ns, not 0"),
        (["--period", "nan"], "the period must be 0.1 to 1000000 ns, not nan"),
        (["--part", "x"], "a part belongs to one tool"),
        (["--tool", "vivado", "--part", "x y"], "a part is letters, digits, - and _, not 'x y'"),
    ],
)
def test_what_cannot_be_is_said(tmp_path, capsys, words, message):
    assert main([*ADD, *words, "-o", str(tmp_path / "new")]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_other_files_stay(tmp_path, capsys):
    (tmp_path / "notes").write_text("mine")
    assert main([*ADD, "-o", str(tmp_path)]) == 2
    assert "holds notes, not of this export" in capsys.readouterr().err
    assert main([*ADD, "-o", str(tmp_path), "--force"]) == 0
    assert (tmp_path / "notes").read_text() == "mine"
    assert main([*ADD, "-o", str(tmp_path / "notes")]) == 2
    assert "is a file; name a folder" in capsys.readouterr().err
