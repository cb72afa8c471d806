"""A board between the levels of its wires: products through frames, requests done once, and what is dropped."""

import zlib

import numpy as np
import pytest

import positcore as pc
from positcore.hw.driver import GemmDriver
from positcore.hw.link_protocol import (
    ESCAPE,
    EXCHANGE_HEAD,
    FLAG,
    GREETING,
    MOST_BODY,
    MOST_RESULTS,
    PATIENCE,
    Operation,
    frame,
)
from tests.hw.board_bench import SMALL, SPEC, BoardBench, PlainHost, bits

pytestmark = pytest.mark.rtl


@pytest.fixture(scope="module")
def bench():
    return BoardBench(SMALL)


@pytest.fixture
def host(bench):
    bench.restart()
    return PlainHost(bench)


def test_product_through_frames(host):
    assert host.greeting == GREETING
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 16, (5, 9)).astype(np.uint8), rng.integers(0, 16, (9, 7)).astype(np.uint8)
    np.testing.assert_array_equal(GemmDriver(host).matmul(a, b), pc.matmul(SPEC, a, b))


def test_a_request_is_done_once_and_answered_twice(host):
    request = frame(host.session, 2, Operation.READ, b"\0\0")
    assert host.bench.frames(request) == host.bench.frames(request)
    host.sequence = 2
    assert [host.read(0x100C), host.read(0x1010), host.read(0x1014)] == [3, 1, 0]


def test_what_is_dropped(host):
    damaged = bytearray(frame(host.session, 2, Operation.READ, b"\0\0"))
    damaged[-2] ^= 1  # of the check
    for wrong in (
        bytes(damaged),
        frame(host.session, 2, 9),
        frame(host.session, 2, Operation.READ, b"\0"),
        frame(host.session ^ 1, 2, Operation.READ, b"\0\0"),
        frame(host.session, 3, Operation.READ, b"\0\0"),
    ):
        assert host.bench.frames(wrong) == []
    assert host.read(0x1014) == 5


READ = Operation.READ, b"\0\0"
DROPPED = 0x1014


def answers(host):
    """Whether the next request is answered as if nothing had been."""
    return host.read(0) == int.from_bytes(b"gemm", "little")


@pytest.mark.parametrize(
    ("noise", "dropped"),
    [
        (bytes([FLAG] * 5), 0),
        (b"\x00\x55\xff", 1),
        (bytes([FLAG, 1, 2, 3, ESCAPE, FLAG]), 1),
        (bytes([ESCAPE, FLAG]), 1),
        (bytes(range(60)), 1),
        (bytes(1) * (MOST_BODY + 30), 1),
    ],
    ids=["flags", "bytes", "aborted", "abort alone", "long", "too long"],
)
def test_noise_before_a_frame(host, noise, dropped):
    host.bench.send(noise)
    assert answers(host)
    assert host.read(DROPPED) == dropped


def test_a_frame_with_too_long_a_body_is_dropped(host):
    """Right in all else: its body is as long as its counts say, and its check is that of its contents."""
    host.session, host.sequence = 0x1234, 7
    host.request(Operation.HELLO)
    counts = (MOST_BODY + 1 - EXCHANGE_HEAD).to_bytes(2, "little") + bytes(4)
    contents = bytes([0x34, 0x12, 9, 0, Operation.EXCHANGE]) + counts.ljust(MOST_BODY + 1, b"\0")
    contents += zlib.crc32(contents).to_bytes(4, "little")
    assert not {FLAG, ESCAPE} & {*contents}
    assert host.bench.frames(bytes([FLAG]) + contents + bytes([FLAG])) == []
    assert answers(host)
    assert host.read(DROPPED) == 1


def test_a_frame_that_is_cut_is_dropped_with_the_next_flag(host):
    whole = frame(host.session, 2, *READ)
    for length in range(1, len(whole)):
        assert host.bench.frames(whole[:length]) == []
        assert host.bench.frames(bytes([FLAG])) == [] or length == len(whole) - 1
        host.bench.restart()
        host.sequence = 0
        host.request(Operation.HELLO)
    assert answers(host)


def test_a_byte_without_a_stop_bit_spoils_its_frame(host):
    request, clocks = frame(host.session, 2, *READ), host.bench.board.clocks_per_bit
    levels = bits(request).reshape(-1, 10)
    levels[4, 9] = 0  # the wire is low where it must be high
    host.bench.wire(np.insert(levels.ravel(), 50, np.ones(10, np.uint8)).repeat(clocks))
    assert host.bench.receive() == b""
    assert answers(host)
    assert host.read(DROPPED) == 1


def test_a_short_pulse_is_no_start_bit(host):
    idle = np.ones(host.bench.board.clocks_per_bit, np.uint8)
    for width in range(1, len(idle) // 2 - 1):
        pulse = idle.copy()
        pulse[:width] = 0
        host.bench.wire(np.concatenate([idle, pulse, idle, idle]))
    assert answers(host)
    assert host.read(DROPPED) == 0


@pytest.mark.parametrize("percent", [-2, 2])
def test_a_sender_whose_clock_differs(host, percent):
    levels = bits(frame(host.session, 2, *READ))
    edges = np.round(np.arange(len(levels) + 1) * host.bench.board.clocks_per_bit * (1 + percent / 100)).astype(int)
    host.bench.wire(levels.repeat(np.diff(edges)))
    assert len(host.bench.receive()) > 10


def test_what_comes_while_the_board_answers_is_dropped(host):
    assert len(host.bench.frames(frame(host.session, 2, *READ) + frame(host.session, 3, *READ))) == 1
    host.sequence = 2
    assert host.read(DROPPED) == 1


@pytest.mark.parametrize("flags", range(1, 12, 2))
def test_flags_while_a_request_is_done_change_nothing(host, flags):
    """What comes meanwhile has another length than the request, whose answer goes by that."""
    host.sequence += 1
    body = (2).to_bytes(2, "little") + bytes(2) + bytes(2) + bytes(2)
    sent = frame(host.session, host.sequence, Operation.EXCHANGE, body) + bytes([FLAG] * flags)
    found = host.bench.answer(sent)
    assert found.body == bytes([2, 0, 0, 0])
    host.sequence += 1
    found = host.bench.answer(frame(host.session, host.sequence, *READ) + bytes([FLAG]))
    assert found.body == b"\0gemm"


def test_results_are_given_though_a_frame_comes_meanwhile(host):
    driver = GemmDriver(host)
    for register, value in (("mode", 0), ("steps", 1), ("row_tiles", 1), ("column_tiles", 1)):
        driver.write(register, value)
    driver.command("start")
    host.sequence += 1
    body = b"".join(count.to_bytes(2, "little") for count in (2, 3, 9)) + bytes([4] * 5)  # more than comes: patience
    request = frame(host.session, host.sequence, Operation.EXCHANGE, body)
    found = host.bench.answer(request + frame(host.session, host.sequence, *READ))
    assert found.body == bytes([2, 0, 3, 0]) + bytes([4] * 6)


def test_patience_ends_an_exchange_of_one_stream_alone(host):
    """Without a job the gemm takes beats until its rings are full; the rest is left, and the link is not blocked."""
    before = host.bench.cycles
    taken_a, taken_b, found = host.trade(bytes(80), b"", 3)
    assert (taken_b, found) == (0, b"")
    assert 0 < taken_a < 80
    assert taken_a % 2 == 0
    assert host.bench.cycles - before > PATIENCE
    assert answers(host)


def test_a_beat_that_was_not_filled(host):
    """An odd byte of A, whose beats have two, is neither taken nor part of the next exchange's."""
    assert host.trade(bytes(3), b"", 0)[0] == 2
    host.session, host.sequence = 0x4321, 0
    host.request(Operation.HELLO)
    a = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(GemmDriver(host).matmul(a, a.T), pc.matmul(SPEC, a, a.T))


def test_hello_in_a_job_resets_the_gemm(host):
    driver = GemmDriver(host)
    for register, value in (("steps", 3), ("row_tiles", 1), ("column_tiles", 1)):
        driver.write(register, value)
    driver.command("start")
    assert driver.status("busy")
    host.trade(bytes([8, 8]), b"", 0)
    host.session, host.sequence = 0x1234, 7
    host.request(Operation.HELLO)
    assert not driver.status("busy")
    a = np.full((2, 3), 4, np.uint8)
    np.testing.assert_array_equal(driver.matmul(a, a.T), pc.matmul(SPEC, a, a.T))


@pytest.mark.parametrize("address", [0x0FFC, 0x1FFC, 0x2000, 0x8000])
def test_addresses_that_are_refused(host, address):
    where = address.to_bytes(2, "little")
    assert host.request(Operation.WRITE, where + bytes(4)).body == b"\2"
    assert host.request(Operation.READ, where).body[0] == 2
    assert answers(host)


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (Operation.HELLO, b"\0"),
        (Operation.READ, bytes(3)),
        (Operation.WRITE, bytes(5)),
        (Operation.EXCHANGE, bytes(5)),
        (Operation.EXCHANGE, bytes([2, 0, 0, 0, 0, 0, 1])),
        (Operation.EXCHANGE, bytes([0, 0, 0, 0]) + (MOST_RESULTS + 1).to_bytes(2, "little")),
        (0x00, b""),
        (0x81, b""),
    ],
)
def test_requests_of_a_wrong_form(host, operation, body):
    assert host.bench.frames(frame(host.session, 2, operation, body)) == []
    assert answers(host)
    assert host.read(DROPPED) == 1


def test_a_board_that_was_not_greeted_drops_all_else(bench):
    bench.restart()
    assert bench.frames(frame(0, 1, *READ)) == []
    assert PlainHost(bench).read(DROPPED) == 1
