import json
from dataclasses import replace

import numpy as np
import pytest

import positcore as pc
from positcore.fpga.board.selftest import selftest
from positcore.fpga.board.serial_link import LinkStatistics
from tests.reference import format_id

SPECS = [
    pc.MacSpec(pc.PositFormat(8, 2)),
    pc.MacSpec((pc.PositFormat(12, 2), pc.PositFormat(5, 1)), pc.PositFormat(16, 2), pc.Quire(3)),
]


class GoldenBoard:
    """A board that computes by the golden model; `wrong` says which product's first code is altered."""

    rows, columns, depth = 2, 3, 8

    def __init__(self, spec, wrong=()):
        self.spec, self.wrong, self.seen = spec, wrong, []
        self.statistics = LinkStatistics(sessions=1)

    def matmul(self, a, b, bias=None):
        self.seen.append((a, b, bias))
        self.statistics.requests += 5
        self.statistics.retries += 1
        out = pc.matmul(self.spec, a, b, bias)
        if len(self.seen) in self.wrong:
            out[0, 0] ^= 1
        return out


@pytest.mark.parametrize("spec", SPECS, ids=format_id)
def test_corner_cases_and_others(spec):
    board, told = GoldenBoard(spec), []
    report = selftest(board, 60, progress=lambda done, total: told.append((done, total)))
    assert (report.products, report.differing, report.first) == (60, 0, "")
    assert report.codes == sum(a.shape[0] * b.shape[1] for a, b, _ in board.seen)
    assert told == [(done, 60) for done in range(1, 61)]
    assert report.link == LinkStatistics(sessions=0, requests=300, retries=60)
    lengths = {a.shape[1] for a, _, _ in board.seen}
    assert lengths >= ({1, 2, 8, 9, 256} if spec.quire.capacity > 256 else {1, 2, spec.quire.capacity - 1})
    assert any((a == spec.a.nar).all() for a, _, _ in board.seen)
    assert any((b == spec.b.nar).sum() == 1 for _, b, _ in board.seen)
    shapes = {None if bias is None else bias.shape[0] == 1 for _, _, bias in board.seen}
    assert shapes >= ({None, True, False} if spec.a == spec.b else {None, False})
    text = str(report)
    assert f"60 products of {spec}, {report.codes:,} codes compared with the golden model's, 0 differ" in text
    assert "frames      360 sent, 60 of them again; 0 damaged and 0 late ones came" in text
    assert json.loads(report.json())["link"]["retries"] == 60


def test_the_same_seed_gives_the_same_products():
    boards = [GoldenBoard(SPECS[0]) for _ in range(3)]
    for board, seed in zip(boards, (1, 1, 2), strict=True):
        selftest(board, 40, seed)
    assert all(np.array_equal(x[0], y[0]) for x, y in zip(boards[0].seen, boards[1].seen, strict=True))
    assert not all(np.array_equal(x[0], y[0]) for x, y in zip(boards[0].seen, boards[2].seen, strict=True))


def test_a_code_that_differs():
    report = selftest(GoldenBoard(SPECS[0], wrong=(2, 5)), 6, seed=7)
    assert report.differing == 2
    assert report.first.startswith("product 2 with seed 7: (2, 1) x (1, 3), any code times no NaR, bias by nothing")
    assert "element 0, 0: " in report.first
    assert f"first       {report.first}" in str(report)
    assert "first" not in str(replace(report, first=""))


def test_no_products():
    with pytest.raises(ValueError, match="selftest: products must be at least 1, not 0"):
        selftest(GoldenBoard(SPECS[0]), 0)


def test_a_negative_seed():
    with pytest.raises(ValueError, match="selftest: the seed must be 0 or more, not -1"):
        selftest(GoldenBoard(SPECS[0]), 1, -1)
