"""Frames damaged on both ways never give a wrong product; and the same check sees a host that does not look."""

import numpy as np
import pytest

import positcore as pc
from positcore.fpga.board.host import Board
from positcore.fpga.board.serial_link import SerialLink
from positcore.fpga.board.virtual import VirtualBoard
from positcore.hw import link_protocol
from tests.fpga.board.injector import Injector
from tests.hw.board_bench import SMALL, SPEC

pytestmark = pytest.mark.rtl


def wrong_products(faults, *, rate=0.3, seed=1, most_wrong=None, **injected):
    """Products on a wire with so many faulty frames: those done, and those wrong or failed, `most_wrong` at most."""
    ways = Injector(seed, rate, **injected), Injector(seed + 1, rate, **injected)
    rng, done, wrong = np.random.default_rng(seed), 0, 0
    with VirtualBoard(SMALL, to_board=ways[0], to_host=ways[1]) as virtual:  # noqa: SIM117
        with Board(virtual.port, round(SMALL.baud), latency=0.05) as board:
            while sum(way.faults for way in ways) < faults:
                a, b = rng.integers(0, 16, (3, 5)).astype(np.uint8), rng.integers(0, 16, (5, 4)).astype(np.uint8)
                try:
                    wrong += not np.array_equal(board.matmul(a, b), pc.matmul(SPEC, a, b))
                except (ValueError, RuntimeError):
                    wrong += 1
                done += 1
                if wrong == most_wrong:
                    break
    return done, wrong


def test_damaged_frames_give_no_wrong_product():
    done, wrong = wrong_products(60)
    assert done > 0
    assert wrong == 0


@pytest.mark.slow
def test_ten_thousand_damaged_frames_give_no_wrong_product():
    assert wrong_products(10_000)[1] == 0


def test_a_host_that_ignores_the_check_is_seen(monkeypatch):
    checked = link_protocol._checked

    def unchecked(contents):
        end = len(contents) - link_protocol.CHECK_BYTES
        if end < link_protocol.HEAD_BYTES or end > link_protocol.HEAD_BYTES + link_protocol.MOST_BODY:
            return checked(contents)
        session, sequence, operation = link_protocol._HEAD.unpack_from(contents)
        return link_protocol.Frame(session, sequence, operation, contents[link_protocol.HEAD_BYTES : end])

    monkeypatch.setattr(link_protocol, "_checked", unchecked)
    assert wrong_products_or_error(40, kinds=("corrupt",), seed=3)


def test_a_host_that_ignores_the_sequence_is_seen(monkeypatch):
    monkeypatch.setattr(SerialLink, "_is_answer", lambda self, found, operation: found.session == self._session)
    assert wrong_products_or_error(40, kinds=("late",), seed=3)


def wrong_products_or_error(faults, **injected):
    """Whether the check finds anything: wrong products, or a board that cannot even be opened."""
    try:
        return wrong_products(faults, most_wrong=1, **injected)[1] > 0
    except (ValueError, OSError, RuntimeError):
        return True
