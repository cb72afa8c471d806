"""A board between the levels of its wires: products through frames, requests done once, and what is dropped."""

import numpy as np
import pytest

import positcore as pc
from positcore.hw.board import BoardDesign
from positcore.hw.driver import GemmDriver
from positcore.hw.link_protocol import GREETING, Operation, frame
from positcore.hw.units import Design
from tests.hw.board_bench import BoardBench, PlainHost

pytestmark = pytest.mark.rtl

SPEC = pc.MacSpec(pc.PositFormat(4, 0), accumulator=pc.Quire(7))


@pytest.fixture(scope="module")
def bench():
    return BoardBench(BoardDesign(Design.of("gemm", SPEC, rows=2, columns=3, depth=8)))


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
    damaged[6] ^= 1
    for wrong in (
        bytes(damaged),
        frame(host.session, 2, 9),
        frame(host.session, 2, Operation.READ, b"\0"),
        frame(host.session ^ 1, 2, Operation.READ, b"\0\0"),
        frame(host.session, 3, Operation.READ, b"\0\0"),
    ):
        assert host.bench.frames(wrong) == []
    assert host.read(0x1014) == 5
