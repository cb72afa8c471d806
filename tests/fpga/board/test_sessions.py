"""Boards that are reset in mid-work, and formats of two bytes."""

import numpy as np
import pytest

import positcore as pc
from positcore.fpga.board import serial_link
from positcore.fpga.board.errors import BoardError, SessionLost
from positcore.fpga.board.host import Board
from positcore.fpga.board.selftest import selftest
from positcore.fpga.board.serial_link import SerialLink
from positcore.fpga.board.virtual import VirtualBoard
from positcore.hw.board import BoardDesign
from positcore.hw.units import Design
from tests.hw.board_bench import SMALL, SPEC

pytestmark = pytest.mark.rtl


@pytest.fixture
def board(virtual, monkeypatch):
    monkeypatch.setattr(serial_link, "LONGEST_WAIT", 0.2)
    with Board(virtual.port, round(SMALL.baud), latency=0.1) as found:
        yield found


def operands():
    rng = np.random.default_rng(5)
    return rng.integers(0, 16, (5, 9)).astype(np.uint8), rng.integers(0, 16, (9, 4)).astype(np.uint8)


def resets(monkeypatch, virtual, times):
    """The board is reset before so many exchanges: the gemm forgets its job, and the link its session."""
    exchange, left = SerialLink.exchange, [times]

    def after_reset(self, a, b, size):
        if left[0]:
            left[0] -= 1
            virtual.reset()
        return exchange(self, a, b, size)

    monkeypatch.setattr(SerialLink, "exchange", after_reset)


def test_a_product_whose_session_is_lost_begins_anew(board, virtual, monkeypatch):
    a, b = operands()
    resets(monkeypatch, virtual, 1)
    before = board.statistics.sessions
    np.testing.assert_array_equal(board.matmul(a, b), pc.matmul(SPEC, a, b))
    assert board.statistics.sessions == before + 1
    assert board.statistics.retries >= serial_link.TRIES - 1


def test_three_lost_sessions_are_an_error_and_the_next_product_is_right(board, virtual, monkeypatch):
    a, b = operands()
    resets(monkeypatch, virtual, 3)
    with pytest.raises(SessionLost, match=r"no answer on .* to 8 tries of (READ|EXCHANGE); begin a new session"):
        board.matmul(a, b)
    np.testing.assert_array_equal(board.matmul(a, b), pc.matmul(SPEC, a, b))


def test_a_board_that_is_unplugged(monkeypatch):
    monkeypatch.setattr(serial_link, "LONGEST_WAIT", 0.01)
    a, b = operands()
    with VirtualBoard(SMALL) as virtual, Board(virtual.port, round(SMALL.baud)) as board:
        np.testing.assert_array_equal(board.matmul(a, b), pc.matmul(SPEC, a, b))
        virtual.unplug()
        with pytest.raises(BoardError, match="is gone or takes no bytes"):
            board.matmul(a, b)


@pytest.mark.slow
def test_formats_of_two_bytes_and_biases():
    """Every kind of operand and bias, with beats of two and four bytes."""
    spec = pc.MacSpec(pc.PositFormat(16, 1), accumulator=pc.Quire(7))
    design = BoardDesign(Design.of("gemm", spec, rows=1, columns=2, depth=4))
    with VirtualBoard(design) as virtual, Board(virtual.port) as board:
        report = selftest(board, 30)
    assert (report.products, report.differing, report.spec) == (30, 0, str(spec))
