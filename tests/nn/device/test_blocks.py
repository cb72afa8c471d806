import numpy as np
import pytest
import torch

from positcore.nn.device.blocks import blockwise, tiles
from tests.nn.device.drawing import cut_blocks, same, to


@pytest.mark.parametrize("items", [1, 7, 100, 10_000])
@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (500, 3), (60, 70), (1, 900), (900, 1), (0, 5), (5, 0)], ids=str)
def test_tiles_cover_a_matrix_once(shape, items):
    times = np.zeros(shape, int)
    for at in tiles(*shape, items):
        times[at] += 1
        assert times[at].size <= items
    assert (times == 1).all()


def test_tiles_are_few():
    assert len(list(tiles(1000, 1000, 10_000))) == 100  # about square, so that operands are read few times
    assert len(list(tiles(10, 1_000_000, 100_000))) == 100
    assert len(list(tiles(1_000_000, 10, 100_000))) == 100


def test_blocks_are_no_larger_than_told(device, monkeypatch):
    cut_blocks(monkeypatch, 10)
    sizes = []

    def add(x, y):
        sizes.append(max(x.numel(), y.numel()))
        return x + y

    a, b = np.arange(42.0).reshape(6, 7), np.array([[3.0]])
    assert same(blockwise("add", add, torch.float64, to(device, a), to(device, b)), a + b)
    assert sizes == [10, 10, 10, 10, 2]
