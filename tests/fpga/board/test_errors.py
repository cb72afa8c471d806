"""What a user meets when there is no board, or another one."""

import os
import tty
from errno import EACCES, EAGAIN, EBUSY, ENOENT, ENXIO

import pytest

from positcore.errors import GemmError
from positcore.fpga.board import serial_link
from positcore.fpga.board.errors import BoardError, SessionLost
from positcore.fpga.board.host import Board
from positcore.fpga.board.serial_link import SerialLink


def test_no_such_port():
    with pytest.raises(BoardError, match="there is no port /dev/ttyNONE; plug the board in"):
        Board("/dev/ttyNONE")


def test_nothing_answers(silent_port):
    with pytest.raises(BoardError, match=r"nothing answers on .* at 1000000 baud; check the cable"):
        SerialLink(silent_port, latency=0.001)


def test_what_answers_is_of_another_baud(silent_port, monkeypatch):
    """Bytes come, but no frames."""
    monkeypatch.setattr(serial_link.serial.Serial, "read", lambda self, size: b"U")
    with pytest.raises(BoardError, match=r"what comes from .* at 9600 baud makes no frame; name the baud that the"):
        SerialLink(silent_port, 9600, latency=0.001)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ((EACCES, "could not open port"), "may not be opened; join the group that"),
        ((EAGAIN, "Could not exclusively lock port"), "is in use by another program; end that one"),
        ((EBUSY, "could not open port"), "is in use by another program; end that one"),
        ((ENOENT, "could not open port /tmp/clock/Permission"), "there is no port /dev/ttyUSB7; plug the board in"),
        ((ENXIO, "could not open port"), "there is no port /dev/ttyUSB7; plug the board in"),
        (("(25, 'Inappropriate ioctl for device')",), r"cannot be opened at 1000000 baud \(\(25, 'Inappropriate"),
    ],
)
def test_a_port_that_cannot_be_opened(monkeypatch, error, message):
    def refuse(*args, **options):
        raise serial_link.serial.SerialException(*error)

    monkeypatch.setattr(serial_link.serial, "Serial", refuse)
    with pytest.raises(BoardError, match=message):
        SerialLink("/dev/ttyUSB7")


def test_a_path_is_not_read_as_an_error(tmp_path):
    with pytest.raises(BoardError, match=r"there is no port /.*/clock/ttyUSB0; plug the board in, or name another"):
        SerialLink(str(tmp_path / "clock" / "ttyUSB0"))


def test_what_is_no_terminal(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(BoardError, match=r"fifo cannot be opened at 1000000 baud \(Could not configure port"):
        SerialLink(str(tmp_path / "fifo"))


@pytest.mark.parametrize("baud", [1 << 31, 99999999999])
def test_a_baud_that_is_too_large(silent_port, baud):
    with pytest.raises(BoardError, match=f"cannot be opened at {baud} baud .*; name another port or baud"):
        SerialLink(silent_port, baud)


def test_a_gemm_that_stands_still(silent_port, monkeypatch):
    link = greeted(monkeypatch, silent_port, serial_link.GREETING)
    monkeypatch.setattr(link, "_beats", (1, 1, 1))
    monkeypatch.setattr(link, "request", lambda operation, body: bytes(serial_link.TAKEN_HEAD))
    with pytest.raises(GemmError, match="the gemm stands still with 2 bytes of A and 1 of B left and 0 of 3 come"):
        link.exchange(b"ab", b"c", 3)
    link.close()


def greeted(monkeypatch, port, greeting):
    monkeypatch.setattr(SerialLink, "request", lambda self, operation, body=b"", tries=0: greeting)
    return SerialLink(port, latency=0.001)


def test_another_device(monkeypatch, silent_port):
    with pytest.raises(BoardError, match="is no positcore board: b'nope"):
        greeted(monkeypatch, silent_port, b"nope\x01")


def test_another_version(monkeypatch, silent_port):
    with pytest.raises(BoardError, match="speaks version 9 of the link, not 1; configure"):
        greeted(monkeypatch, silent_port, b"posi\x09")


def test_vanished_device(monkeypatch):
    master, slave = os.openpty()
    tty.setraw(slave)
    with monkeypatch.context() as patched:
        link = greeted(patched, os.ttyname(slave), serial_link.GREETING)
    os.close(slave)
    os.close(master)
    with pytest.raises(BoardError, match="is gone or takes no bytes"):
        link.read(0)
    link.close()


def test_a_lost_session(monkeypatch, silent_port):
    with monkeypatch.context() as patched:
        link = greeted(patched, silent_port, serial_link.GREETING)
    monkeypatch.setattr(serial_link, "LONGEST_WAIT", 0.001)
    with pytest.raises(SessionLost, match=r"no answer on .* to 8 tries of READ; begin a new session"):
        link.read(0)
    link.close()


def test_a_port_in_use(monkeypatch, silent_port):
    link = greeted(monkeypatch, silent_port, serial_link.GREETING)
    with pytest.raises(BoardError, match="is in use by another program"):
        SerialLink(silent_port)
    link.close()


def test_shares_are_whole_beats_of_both():
    assert serial_link._shares(10_000, 10_000, 2, 3) == (406, 609)
    assert serial_link._shares(0, 10_000, 2, 3) == (0, 1017)
    assert serial_link._shares(10_000, 30, 2, 3) == (988, 30)
