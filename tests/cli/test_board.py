import json
import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from positcore.cli import main
from positcore.fpga.board import serial_link, virtual
from positcore.fpga.board.machine import PORT_VARIABLE
from tests.fpga.board.test_selftest import SPECS, GoldenBoard


def run(capsys, *words):
    status = main(["board", *words])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


class FakeBoard(GoldenBoard):
    """What the command opens."""

    opened: tuple = ()

    def __init__(self, *place):
        FakeBoard.opened = place
        super().__init__(SPECS[0], self.wrong_ones)
        self.link = SimpleNamespace(port=place[0], baud=place[1])

    wrong_ones = ()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def registers(self):
        words = {"clock_hz": 40_000_000, "clocks_per_bit": 40, "done": 1234, "repeated": 2, "dropped": 3}
        return {"board": int.from_bytes(b"ulx3", "little"), **words}


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr("positcore.fpga.board.host.Board", FakeBoard)
    monkeypatch.setattr(FakeBoard, "wrong_ones", ())
    return FakeBoard


def test_info(capsys, fake, monkeypatch):
    monkeypatch.setenv(PORT_VARIABLE, "/dev/ttyA@500000")
    status, out, err = run(capsys, "info")
    assert (status, err, fake.opened) == (0, "", ("/dev/ttyA", 500_000))
    assert out.splitlines() == [
        "/dev/ttyA: ulx3, gemm[posit<8,2> → posit<8,2>, quire]",
        "  array     2 × 3 cells, buffers of 8 steps",
        "  clock     40 MHz",
        "  UART      1000000 baud, 40 clocks a bit",
        "  requests  1,234 done, 2 answered again",
        "  frames    3 dropped",
    ]
    status, out, err = run(capsys, "info", "--json", "--port", "/dev/ttyB")
    facts = json.loads(out)
    assert (facts["port"], facts["baud"], facts["board"], facts["rows"]) == ("/dev/ttyB", 1_000_000, "ulx3", 2)
    assert (facts["format_a"], facts["carry_bits"], facts["done"], facts["link"]) == ("posit<8,2>", 31, 1234, "posi 1")


def test_selftest(capsys, fake):
    status, out, err = run(capsys, "selftest", "--port", "/dev/ttyB", "--products", "4")
    assert (status, err) == (0, "")
    assert out.startswith("4 products of posit<8,2> → posit<8,2>, quire, ")
    status, out, err = run(capsys, "selftest", "--port", "/dev/ttyB", "--products", "3", "--seed", "9", "--json")
    assert json.loads(out)["products"] == 3


def test_a_selftest_that_fails_is_exit_status_1(capsys, fake, monkeypatch):
    monkeypatch.setattr(FakeBoard, "wrong_ones", (1,))
    status, out, err = run(capsys, "selftest", "--port", "/dev/ttyB", "--products", "2")
    assert status == 1
    assert "1 differ" in out
    assert re.match(r"positcore: board: 1 of \d+ codes differ; product 1 with seed 0: \(1, 1\) x \(1, 1\)", err)


def test_a_selftest_that_cannot_be_opens_no_port(capsys, fake, monkeypatch):
    monkeypatch.setattr(FakeBoard, "opened", ())
    for words, message in ((("--products", "0"), "products must be at least 1, not 0"),
                           (("--seed", "-1"), "the seed must be 0 or more, not -1")):  # fmt: skip
        assert run(capsys, "selftest", "--port", "/dev/ttyB", *words) == (2, "", f"positcore: selftest: {message}\n")
    assert fake.opened == ()


def test_list(capsys, monkeypatch):
    found = [SimpleNamespace(device=f"/dev/ttyUSB{n}", description="FT231X", hwid=f"USB {n}") for n in (1, 0)]
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: found)
    assert run(capsys, "list") == (0, "/dev/ttyUSB0  FT231X  USB 0\n/dev/ttyUSB1  FT231X  USB 1\n", "")
    assert json.loads(run(capsys, "list", "--json")[1])[1] == {
        "port": "/dev/ttyUSB1", "description": "FT231X", "hardware": "USB 1"
    }  # fmt: skip
    found.clear()
    assert run(capsys, "list")[1] == "no serial ports; plug a board in, or try `positcore board simulate`\n"
    assert run(capsys, "list", "--json")[1] == "[]\n"


def test_what_is_wrong_with_a_port(capsys, monkeypatch, silent_port):
    monkeypatch.delenv(PORT_VARIABLE, raising=False)
    status, out, err = run(capsys, "info")
    assert (status, out) == (2, "")
    assert err.startswith("positcore: board: no port is named; set POSITCORE_BOARD, such as")
    assert run(capsys, "info", "--port", "/dev/ttyNONE")[2] == (
        "positcore: board: there is no port /dev/ttyNONE; plug the board in, or name another one\n"
    )
    assert run(capsys, "selftest", "--port", "/dev/ttyNONE", "--baud", "-1")[2] == (
        "positcore: board: the baud must be positive, not -1\n"
    )
    monkeypatch.setattr(serial_link, "_SIMULATED_BAUD", 10**9)
    monkeypatch.setattr(serial_link, "_LATENCY", 0.01)
    status, out, err = run(capsys, "selftest", "--port", silent_port, "--baud", "9600")
    assert (status, out) == (2, "")
    assert err.startswith(
        f"positcore: board: nothing answers on {silent_port} at 9600 baud; check the cable, that the board"
    )


def test_usage(capsys):
    for words, message in (
        ([], "the following arguments are required: ACTION"),
        (["burn"], "invalid choice: 'burn'"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(["board", *words])
        assert message in capsys.readouterr().err
    assert run(capsys, "simulate", "--board", "nope")[2].startswith("positcore: unknown board 'nope'; the boards are:")


class FakeVirtualBoard:
    """A board whose simulation takes no time."""

    port, cycles, netlist = "/dev/pts/77", 12_345, None

    def __init__(self, design, netlist):
        FakeVirtualBoard.netlist = netlist

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass


def test_simulate(capsys, monkeypatch):
    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(virtual, "VirtualBoard", FakeVirtualBoard)
    monkeypatch.setattr("time.sleep", interrupted)
    status, out, err = run(capsys, "simulate", "--board", "icebreaker", "--depth", "32")
    assert status == 0
    assert "compiling posit_gemm_8_2_quire7_1x1x32_dsp_s1_icebreaker, if it was not yet" in err
    assert out.splitlines() == [
        "/dev/pts/77: icebreaker with gemm[posit<8,2> → posit<8,2>, quire7, 1 × 1 cells, 32 steps], its RTL in "
        "simulation; Ctrl-C ends it",
        "use it: POSITCORE_BOARD=/dev/pts/77@1000000 positcore board selftest",
        "12,345 clock cycles simulated",
    ]
    assert not FakeVirtualBoard.netlist
    status, out, err = run(capsys, "simulate", "--board", "icebreaker", "--depth", "32", "--netlist")
    assert status == 0
    assert "32 steps], its netlist in simulation; Ctrl-C ends it" in out
    assert FakeVirtualBoard.netlist


@pytest.mark.rtl
@pytest.mark.slow
def test_a_simulated_board_is_asked_and_tested_by_other_processes():
    words = ["simulate", "--board", "icebreaker", "--format", "4,0", "--depth", "8", "--stages", "0"]
    command = [sys.executable, "-m", "positcore", "board"]
    with subprocess.Popen([*command, *words], stdout=subprocess.PIPE, text=True) as served:
        served.stdout.readline()
        place = re.search(r"POSITCORE_BOARD=(\S+)", served.stdout.readline())[1]
        environment = os.environ | {PORT_VARIABLE: place}

        def ask(*words):
            return subprocess.run([*command, *words], env=environment, capture_output=True, text=True)

        facts = json.loads(ask("info", "--json").stdout)
        assert (facts["board"], facts["rows"], facts["depth"], facts["clock_hz"]) == ("iceb", 1, 8, 12_000_000)
        tested = ask("selftest", "--products", "10")
        assert (tested.returncode, ", 0 differ" in tested.stdout) == (0, True)
        served.send_signal(signal.SIGTERM)
        assert "clock cycles simulated" in served.stdout.read()
    assert served.returncode == 0
