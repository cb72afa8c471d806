"""Frames, there and back through every kind of damage; and the table of registers in the documentation."""

import random
import zlib
from pathlib import Path

import pytest

from positcore.hw import link_protocol as link
from positcore.hw.link_protocol import Deframer, Frame, Operation, board_registers, board_word, frame
from positcore.hw.registers import register_table


def frames_in(received, pieces=1):
    deframer, found = Deframer(), []
    for start in range(0, len(received), pieces):
        found += deframer.feed(received[start : start + pieces])
    return found, deframer.dropped


@pytest.mark.parametrize("pieces", [1, 3, 4096])
def test_frames_come_back(pieces):
    rng = random.Random(1)
    bodies = [b"", bytes(range(256)), b"\x7e\x7d" * 512, rng.randbytes(1024)]
    sent = [Frame(rng.randrange(1 << 16), rng.randrange(1 << 16), rng.randrange(256), body) for body in bodies]
    assert frames_in(b"".join(frame(*each) for each in sent), pieces) == (sent, 0)


def test_a_frame_byte_by_byte():
    contents = b"\x7e\x12\x7d\x00\x01"
    check = zlib.crc32(contents).to_bytes(4, "little")
    assert frame(0x127E, 0x007D, Operation.HELLO) == b"\x7e\x7d\x5e\x12\x7d\x5d\x00\x01" + check + b"\x7e"
    assert not {0x7E, 0x7D} & set(check)


def test_one_flag_between_frames_and_empty_frames():
    one = frame(1, 2, 3, b"abc")
    assert frames_in(b"\x7e\x7e" + one + one[1:] + b"\x7e")[0] == [Frame(1, 2, 3, b"abc")] * 2


def test_damage_is_dropped_and_counted():
    good = frame(1, 2, 3, b"abc")
    for bit in range(8, 8 * (len(good) - 1)):
        wrong = bytearray(good)
        wrong[bit // 8] ^= 1 << bit % 8
        found, dropped = frames_in(bytes(wrong) + good)
        assert found == [Frame(1, 2, 3, b"abc")]
        assert dropped >= 1
    for wrong in (
        b"\x7eabcdefg\x7e",
        good[:-1] + b"\x7d\x7e",
        b"\x7e" + bytes(5000) + b"\x7e",
        b"noise\x7e",
        b"\x7d\x7e",
    ):
        assert frames_in(wrong + good) == ([Frame(1, 2, 3, b"abc")], 1)
    contents = bytes(link.MOST_CONTENTS - link.CHECK_BYTES + 1)  # a right check, and one byte too many
    assert frames_in(b"\x7e" + contents + zlib.crc32(contents).to_bytes(4, "little") + b"\x7e") == ([], 1)


def test_numbers_that_do_not_fit():
    for wrong, message in (
        ((1 << 16, 0, 1), r"frame: session must be in 0..65535, not 65536"),
        ((0, -1, 1), r"frame: sequence must be in 0..65535, not -1"),
        ((0, 0, 256), r"frame: operation must be in 0..255, not 256"),
        ((0, 0, 1, bytes(1025)), r"frame: length of body must be in 0..1024, not 1025"),
    ):
        with pytest.raises(ValueError, match=message):
            frame(*wrong)


def test_the_page_says_the_same():
    text = (Path(__file__).parents[2] / "docs" / "link.md").read_text(encoding="utf-8")
    assert register_table(board_registers("ulx3s", clock_hz=1, clocks_per_bit=1)) in text
    for operation in Operation:
        assert f"| 0x{operation:02x} {operation.name} |" in text
    assert f"at most {link.MOST_OPERANDS} bytes together and {link.MOST_RESULTS} bytes" in text
    assert f"moved for {link.PATIENCE} cycles" in text
    assert board_word("ulx3s") == int.from_bytes(b"ulx3", "little")
