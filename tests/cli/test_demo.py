import json

import pytest

from positcore.cli import demo, main
from positcore.nn import replay


@pytest.mark.rtl
def test_demo(tmp_path, capsys):
    assert main(["demo", "--epochs", "1", "--images", "128", "-o", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "1/4  Verilog of a posit<8,2> quire MAC" in out
    assert "RTL = golden" in out
    assert "codes of one step, 0 differ" in out
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "endmodule" in (tmp_path / "posit_mac_8_2_quire31.v").read_text()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert {report["unit"] for report in summary["verification"]} == set(demo.UNITS)
    assert all(report["mismatches"] == 0 and report["vectors"] > 0 for report in summary["verification"])
    assert sum(row["codes"] for row in summary["replay"]) > 400_000
    assert all(row["differing"] == 0 for row in summary["replay"])


@pytest.mark.rtl
def test_a_difference_in_the_replay_fails(tmp_path, capsys, monkeypatch):
    wrong = replay.Comparison("3 output", "posit<8,2>", 100, 2, (0, 5))
    monkeypatch.setattr(demo, "_replay", lambda trainer: ([wrong], 1.0))
    monkeypatch.setattr(demo, "UNITS", ("decode",))
    assert main(["demo", "--epochs", "1", "--images", "64", "-o", str(tmp_path)]) == 1
    assert "replay: 3 output: 2 codes differ, the first at (0, 5)" in capsys.readouterr().err


def test_errors(tmp_path, capsys):
    assert main(["demo", "--images", "9000", "-o", str(tmp_path)]) == 2
    assert "--images must be in 64..5000, the shipped subset, not 9000" in capsys.readouterr().err
