"""Operations on float tensors that hold posit values, on any device: the twins of those in `positcore.nn.tensors`.

Results are in `fmt.tensor_dtype` on the operands' device; NaR is nan. They know nothing of autograd. As everywhere in
PyTorch, a tensor of no dimensions may be on the CPU where the others are on a device.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from positcore.format import PositFormat
from positcore.nn.device.blocks import blockwise
from positcore.nn.device.codec import decode_signed, encode_signed, round_float
from positcore.nn.device.codes import check_floats, signed
from positcore.nn.device.functions import table_on
from positcore.nn.device.odd import fma_to_odd, product_to_odd, quotient_to_odd, root_to_odd, sum_to_odd
from positcore.nn.tensors import dtype_of

__all__ = ["add", "div", "exp", "fma", "log", "look_up", "mul", "sqrt", "sub"]


def add(fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
    """x + y, rounded once to `fmt`.

    Parameters
    ----------
    fmt : PositFormat
    x, y : float tensors that hold posit values
        On one device, of shapes that broadcast.

    Returns
    -------
    tensor of `fmt.tensor_dtype`, the broadcast shape

    Raises
    ------
    TypeError, ValueError
        If an operand is not a tensor of floats on a device that has float64, or shapes or devices do not fit.
    """
    return _apply("add", sum_to_odd, fmt, x, y)


def sub(fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
    """x − y, rounded once to `fmt`; otherwise as `add`."""
    return _apply("sub", lambda p, q: sum_to_odd(p, -q), fmt, x, y)


def mul(fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
    """x · y, rounded once to `fmt`; otherwise as `add`."""
    return _apply("mul", product_to_odd, fmt, x, y)


def div(fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
    """x / y, rounded once to `fmt`; x / 0 is NaR; otherwise as `add`."""
    return _apply("div", quotient_to_odd, fmt, x, y)


def sqrt(fmt: PositFormat, x: Tensor) -> Tensor:
    """√x, rounded once to `fmt`; x < 0 is NaR; otherwise as `add`."""
    return _apply("sqrt", root_to_odd, fmt, x)


def fma(fmt: PositFormat, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """x · y + z, rounded once to `fmt`; otherwise as `add`."""
    return _apply("fma", fma_to_odd, fmt, x, y, z)


def exp(fmt: PositFormat, x: Tensor) -> Tensor:
    """e^x, correctly rounded to `fmt` (n ≤ 16); `x` holds values of `fmt`."""
    return look_up(fmt, "exp", x)


def log(fmt: PositFormat, x: Tensor) -> Tensor:
    """The natural logarithm, correctly rounded to `fmt` (n ≤ 16); `x` holds values of `fmt`."""
    return look_up(fmt, "log", x)


def look_up(fmt: PositFormat, name: str, x: Tensor) -> Tensor:
    """The function `name` of `positcore.functions` on values of `fmt`, n ≤ 16; errors as for `add` and `function`."""
    check_floats(name, x)
    entries, dtype = table_on(fmt, name, x.device), dtype_of(fmt)

    def block(v: Tensor) -> Tensor:
        codes = encode_signed(fmt, v.double()) & fmt.mask
        return decode_signed(fmt, signed(fmt, entries[codes])).to(dtype)

    return blockwise(name, block, dtype, x.detach())


def _apply(name: str, op: Callable[..., Tensor], fmt: PositFormat, *operands: Tensor) -> Tensor:
    device = next((x.device for x in operands if isinstance(x, Tensor) and not _is_number(x)), None)
    operands = tuple(x.to(device) if device is not None and _is_number(x) else x for x in operands)
    check_floats(name, *operands)
    dtype = dtype_of(fmt)

    def block(*values: Tensor) -> Tensor:
        return round_float(fmt, op(*[v.double() for v in values])).to(dtype)

    return blockwise(name, block, dtype, *[x.detach() for x in operands])


def _is_number(x: object) -> bool:
    return isinstance(x, Tensor) and x.ndim == 0 and x.device.type == "cpu"
