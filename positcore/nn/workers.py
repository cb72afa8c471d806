"""Exact sums over the workers of `torch.distributed`: quires are exchanged as integers and rounded once.

An all-reduce adds floats in an order of its own. Digits of quires are integers, whose sum has no order, so any number
of workers ends with the same bits. Where the sums are a simulation's, each worker sends its terms. With one process, or
no process group, everything here is the identity.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from positcore.nn.backends import Sums
from positcore.nn.term_sums import TermBlock, TermSums
from positcore.quire import QuireArray

__all__ = ["active", "gathered", "rank", "summed", "total"]


def active() -> bool:
    """Whether there are other workers."""
    return torch.distributed.is_available() and torch.distributed.is_initialized() and _size() > 1


def total(number: int) -> int:
    """The sum of one integer of every worker."""
    if not active():
        return number
    numbers = torch.tensor([number])
    torch.distributed.all_reduce(numbers)
    return int(numbers[0])


def rank() -> int:
    """The number of this worker among all."""
    return torch.distributed.get_rank() if active() else 0


def gathered(x: Tensor) -> list[Tensor]:
    """The tensors of all workers, by their number; they are of one shape and dtype."""
    if not active():
        return [x]
    parts = [torch.empty_like(x) for _ in range(_size())]
    torch.distributed.all_gather(parts, x.contiguous())
    return parts


def summed(quires: Sums) -> Sums:
    """The sums of the quires of all workers, on every one of them; layouts and shapes must agree."""
    if not active():
        return quires
    if hasattr(quires, "each"):  # of two backends that are compared
        both: Sums = quires.each(summed)
        return both
    if isinstance(quires, TermSums):
        return quires.of_all(_of_every_worker(quires.blocks))
    assert isinstance(quires, QuireArray)
    digits = torch.from_numpy(quires.digits)
    torch.distributed.all_reduce(digits)
    return QuireArray.from_digits(quires.spec, digits.numpy())


def _of_every_worker(blocks: list[TermBlock]) -> list[TermBlock]:
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, blocks)
    return [block for part in parts for block in part]


def _size() -> int:
    return torch.distributed.get_world_size()
