"""Elementary functions on tensors of codes, by the tables of `positcore.functions`, kept on the device."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.functions import table
from positcore.nn.device.blocks import blockwise
from positcore.nn.device.codes import as_codes, check_codes, stored_dtype

__all__ = ["function", "table_on"]


def function(fmt: PositFormat, name: str, codes: Tensor) -> Tensor:
    """A function of codes of `fmt`, n ≤ 16, correctly rounded; NaR gives NaR.

    Parameters
    ----------
    fmt : PositFormat
    name : str
        As in `positcore.functions`: exp, log, tanh, sigmoid, ….
    codes : integer tensor of codes, 0..2^n − 1

    Returns
    -------
    tensor of PyTorch's twin of `fmt.dtype`, the shape and device of `codes`

    Raises
    ------
    TypeError, ValueError
        If `codes` is not a tensor of codes, there is no such function, or n > 16.
    MissingToolError
        If the table must be computed and mpmath is not installed.
    """
    stored = check_codes(fmt, codes, name)
    entries = table_on(fmt, name, stored.device)
    result = blockwise(name, lambda c: entries[c.to(torch.int64) & fmt.mask], stored_dtype(fmt), stored)
    return as_codes(fmt, result)


@lru_cache(maxsize=128)
def table_on(fmt: PositFormat, name: str, device: torch.device) -> Tensor:
    """The table of a function on a device, copied there once: (2^n,) in `stored_dtype(fmt)`."""
    return torch.from_numpy(table(fmt, name).copy()).view(stored_dtype(fmt)).to(device)
