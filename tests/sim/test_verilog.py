import pytest

import positcore as pc
from positcore.hw.units import Design
from positcore.sim.verilog import check_verilog, run_verilog

pytestmark = pytest.mark.rtl

F8 = pc.PositFormat(8, 2)


def test_outputs_of_one_port_each_and_signed():
    got = run_verilog(Design.of("decode", F8), {"code": [0x40, 0xC0, 0, 0x80]})
    assert {name: column.tolist()[:2] for name, column in got.items()} == {
        "fraction": [0, 0], "scale": [0, -1], "sign": [0, 1], "zero": [0, 0], "nar": [0, 0],
    }  # fmt: skip
    assert got["zero"].tolist() == [0, 0, 1, 0]
    assert got["nar"].tolist() == [0, 0, 0, 1]


def test_bad_verilog_is_told():
    assert "syntax error" in check_verilog("module broken(;")


def test_streams_have_their_own_bench():
    with pytest.raises(ValueError, match=r"mac speaks a handshake; use positcore\.sim\.bench"):
        run_verilog(Design.of("mac", F8), {})


def test_missing_icarus(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pc.MissingToolError, match=r"Icarus \(iverilog\) not found, .*: apt-get install iverilog"):
        run_verilog(Design.of("add", F8), {"a": [0], "b": [0]})
