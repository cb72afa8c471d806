"""What a user meets when there is no board, or another one."""

import os
import tty

import pytest

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
    ("said", "message"),
    [
        ("[Errno 13] could not open port: [Errno 13] Permission denied: 'x'", "may not be opened; join the group that"),
        ("Could not exclusively lock port: [Errno 11]", "is in use by another program; end that one"),
        ("(25, 'Inappropriate ioctl for device')", r"cannot be opened at 1000000 baud \(\(25, 'Inappropriate"),
    ],
)
def test_a_port_that_cannot_be_opened(monkeypatch, said, message):
    def refuse(*args, **options):
        raise serial_link.serial.SerialException(said)

    monkeypatch.setattr(serial_link.serial, "Serial", refuse)
    with pytest.raises(BoardError, match=message):
        SerialLink("/dev/ttyUSB7")


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
