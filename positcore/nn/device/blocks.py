"""Elementwise work in blocks: as much at a time as keeps temporaries small."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

__all__ = ["block_items", "blockwise", "tiles"]

_ON_CPU = 1 << 16
_ON_DEVICE = 1 << 22  # a few hundred MiB of temporaries, and enough to fill a GPU


def block_items(device: torch.device) -> int:
    """Elements that one step works on; its temporaries take some hundred bytes for each."""
    return _ON_CPU if device.type == "cpu" else _ON_DEVICE


def blockwise(name: str, op: Callable[..., Tensor], dtype: torch.dtype, *operands: Tensor) -> Tensor:
    """`op` of broadcast operands, a block at a time; an operand of one item stays one item.

    Parameters
    ----------
    name : str
        What error messages begin with.
    op : callable
        From 1-D blocks to a block of `dtype`.
    dtype : torch.dtype
    operands : tensors of one device, in any layout

    Raises
    ------
    ValueError
        If the shapes do not broadcast.
    """
    try:
        shape = np.broadcast_shapes(*[x.shape for x in operands])
    except ValueError:
        shapes = " and ".join(str(tuple(x.shape)) for x in operands)
        raise ValueError(f"{name}: operands of shapes {shapes} do not broadcast") from None
    device = operands[0].device
    out = torch.empty(shape, dtype=dtype, device=device)
    flat, step = out.view(-1), block_items(device)
    sources = [x.reshape(-1) if x.numel() == 1 else x.expand(shape).reshape(-1) for x in operands]
    for i in range(0, flat.numel(), step):
        flat[i : i + step] = op(*[x if x.numel() == 1 else x[i : i + step] for x in sources])
    return out


def tiles(rows: int, columns: int, items: int) -> Iterator[tuple[slice, slice]]:
    """Tiles of a matrix, about square where they must be cut both ways, of at most `items` elements."""
    side = max(1, int(items**0.5))
    width = columns if columns <= side or rows * columns <= items else max(side, items // max(1, rows))
    width = max(1, min(width, columns))
    height = max(1, items // width)
    for i in range(0, rows, height):
        for j in range(0, columns, width):
            yield slice(i, i + height), slice(j, j + width)
