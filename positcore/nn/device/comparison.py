"""What codes tell without decoding, on tensors: comparisons, minimum, maximum, sign, magnitude, and neighbors.

As `positcore.comparison`: the integer order of two's complement, NaR below everything and equal to itself.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.nn.device.blocks import blockwise
from positcore.nn.device.codes import as_codes, check_codes, check_one_device, packed, signed, stored_dtype

__all__ = ["abs", "equal", "less", "less_equal", "maximum", "minimum", "next_down", "next_up", "sign"]


def equal(fmt: PositFormat, a: Tensor, b: Tensor) -> Tensor:
    """Where a = b, as two's-complement integers: NaR equals NaR.

    Parameters
    ----------
    fmt : PositFormat
    a, b : integer tensors of codes, 0..2^n − 1
        On one device, of shapes that broadcast.

    Returns
    -------
    tensor of bool, the broadcast shape

    Raises
    ------
    TypeError, ValueError
        If an operand is not a tensor of codes, or shapes or devices do not fit.
    """
    return _compared("equal", torch.eq, fmt, a, b)


def less(fmt: PositFormat, a: Tensor, b: Tensor) -> Tensor:
    """Where a < b, as two's-complement integers: NaR is below everything else; otherwise as `equal`."""
    return _compared("less", torch.lt, fmt, a, b)


def less_equal(fmt: PositFormat, a: Tensor, b: Tensor) -> Tensor:
    """Where a ≤ b, as two's-complement integers: NaR is below everything else; otherwise as `equal`."""
    return _compared("less_equal", torch.le, fmt, a, b)


def minimum(fmt: PositFormat, a: Tensor, b: Tensor) -> Tensor:
    """The lesser of two codes in the order of `less`, as codes; NaR, the least, if an operand is NaR."""
    return _chosen("minimum", torch.minimum, fmt, a, b)


def maximum(fmt: PositFormat, a: Tensor, b: Tensor) -> Tensor:
    """The greater of two codes in the order of `less`, as codes; the other operand if one is NaR."""
    return _chosen("maximum", torch.maximum, fmt, a, b)


def abs(fmt: PositFormat, a: Tensor) -> Tensor:
    """|a|, exact, as codes; NaR stays NaR; errors as for `equal`."""
    return _chosen("abs", torch.abs, fmt, a)


def sign(fmt: PositFormat, a: Tensor) -> Tensor:
    """The posits 1, −1 and 0 by the sign of a; NaR stays NaR (Posit Standard 2022, §5.2); errors as for `equal`."""
    one = fmt.nar >> 1
    return _chosen("sign", lambda x: torch.where(x == -fmt.nar, x, torch.sign(x) * one), fmt, a)


def next_up(fmt: PositFormat, a: Tensor) -> Tensor:
    """The code after a in two's complement, which wraps: maxpos gives NaR, NaR gives −maxpos; errors as for `equal`."""
    return _chosen("next_up", lambda x: x + 1, fmt, a)


def next_down(fmt: PositFormat, a: Tensor) -> Tensor:
    """The code before a in two's complement, which wraps: −maxpos gives NaR, NaR gives maxpos; see `next_up`."""
    return _chosen("next_down", lambda x: x - 1, fmt, a)


def _compared(name: str, op: Callable[..., Tensor], fmt: PositFormat, a: Tensor, b: Tensor) -> Tensor:
    x, y = check_codes(fmt, a, name), check_codes(fmt, b, name)
    check_one_device(name, x, y)
    return blockwise(name, lambda p, q: op(signed(fmt, p), signed(fmt, q)), torch.bool, x, y)


def _chosen(name: str, op: Callable[..., Tensor], fmt: PositFormat, *operands: Tensor) -> Tensor:
    """A function of two's-complement integers whose low n bits are the result's code."""
    stored = [check_codes(fmt, x, name) for x in operands]
    check_one_device(name, *stored)

    def block(*codes: Tensor) -> Tensor:
        return packed(fmt, op(*[signed(fmt, c) for c in codes]))

    return as_codes(fmt, blockwise(name, block, stored_dtype(fmt), *stored))
