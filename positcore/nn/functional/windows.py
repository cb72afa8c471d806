"""Windows of pooling: which inputs each output sees along an axis, and blocks of windows of one size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Block", "Sets", "adaptive", "blocks", "reached", "sliding", "sliding_count"]

Sets = tuple[tuple[int, ...], ...]  # for each output, the inputs in its window, in order


def sliding_count(size: int, kernel: int, stride: int, padding: int, dilation: int = 1, ceil_mode: bool = False) -> int:
    """The number of windows along an axis, as PyTorch counts them: none begins in the padding at the end."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (-(-span // stride) if ceil_mode else span // stride) + 1
    return count - (ceil_mode and (count - 1) * stride >= size + padding)


def sliding(size: int, count: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> Sets:
    """`count` windows along an axis of `size` inputs."""
    starts = (i * stride - padding for i in range(count))
    return tuple(tuple(j for t in range(kernel) if 0 <= (j := start + t * dilation) < size) for start in starts)


def adaptive(size: int, count: int) -> Sets:
    """`count` windows from ⌊i·size/count⌋ to before ⌈(i + 1)·size/count⌉."""
    return tuple(tuple(range(i * size // count, -(-(i + 1) * size // count))) for i in range(count))


def reached(sets: Sets, size: int) -> Sets:
    """The other way around: for each of `size` inputs, the outputs whose windows it is in."""
    found: list[list[int]] = [[] for _ in range(size)]
    for i, window in enumerate(sets):
        for j in window:
            found[j].append(i)
    return tuple(map(tuple, found))


@dataclass(frozen=True)
class Block:
    """Windows of one size: the places (R,) and (C,) of their outputs, and their inputs (R, kr) and (C, kc)."""

    rows: Tensor
    columns: Tensor
    row_windows: Tensor
    column_windows: Tensor

    def take(self, x: Tensor) -> Tensor:
        """The windows of planes (M, H, W), row by row: (M, R, C, kr·kc)."""
        taken = x[:, self.row_windows[:, :, None, None], self.column_windows]  # (M, R, kr, C, kc)
        m, r, kr, c, kc = taken.shape
        return taken.transpose(2, 3).reshape(m, r, c, kr * kc)

    def pick(self, y: Tensor) -> Tensor:
        """The outputs of planes (M, OH, OW): (M, R, C)."""
        return y[:, self.rows[:, None], self.columns]

    def put(self, y: Tensor, values: Tensor) -> None:
        """Outputs (M, R, C) into planes (M, OH, OW)."""
        y[:, self.rows[:, None], self.columns] = values


def blocks(rows: Sets, columns: Sets, device: torch.device) -> Iterator[Block]:
    """All windows that are not empty, in blocks."""
    for i, row_windows in _by_length(rows, device):
        for j, column_windows in _by_length(columns, device):
            yield Block(i, j, row_windows, column_windows)


def _by_length(sets: Sets, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    lengths: dict[int, list[int]] = {}
    for i, window in enumerate(sets):
        lengths.setdefault(len(window), []).append(i)

    def tensor(values: Sequence[Sequence[int]] | Sequence[int]) -> Tensor:
        return torch.tensor(values, device=device)

    return [(tensor(which), tensor([sets[i] for i in which])) for length, which in lengths.items() if length]
