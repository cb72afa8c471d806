"""Operations on tensors of codes, each correctly rounded once: add, sub, mul, div, sqrt, fma, fms, neg, convert.

The codes are those of `positcore.arithmetic`; operands broadcast as PyTorch's do.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.nn.device.blocks import blockwise
from positcore.nn.device.codec import decode_signed, encode_signed
from positcore.nn.device.codes import as_codes, check_codes, check_one_device, packed, signed, stored_dtype
from positcore.nn.device.odd import fma_to_odd, product_to_odd, quotient_to_odd, root_to_odd, sum_to_odd

__all__ = ["add", "convert", "div", "fma", "fms", "mul", "neg", "sqrt", "sub"]


def add(fmt: PositFormat, a: Tensor, b: Tensor) -> Tensor:
    """a + b on codes of `fmt`, rounded once; NaR if an operand is.

    Parameters
    ----------
    fmt : PositFormat
    a, b : integer tensors of codes, 0..2^n − 1
        On one device, of shapes that broadcast.

    Returns
    -------
    tensor of PyTorch's twin of `fmt.dtype`, the broadcast shape

    Raises
    ------
    TypeError, ValueError
        If an operand is not a tensor of codes, or shapes or devices do not fit.
    """
    return _on_codes("add", sum_to_odd, fmt, a, b)


def sub(fmt: PositFormat, a: Tensor, b: Tensor) -> Tensor:
    """a − b on codes of `fmt`, rounded once; parameters and errors as for `add`."""
    return _on_codes("sub", lambda x, y: sum_to_odd(x, -y), fmt, a, b)


def mul(fmt: PositFormat, a: Tensor, b: Tensor) -> Tensor:
    """a · b on codes of `fmt`, rounded once; parameters and errors as for `add`."""
    return _on_codes("mul", product_to_odd, fmt, a, b)


def div(fmt: PositFormat, a: Tensor, b: Tensor) -> Tensor:
    """a / b on codes of `fmt`, rounded once; x / 0 is NaR; parameters and errors as for `add`."""
    return _on_codes("div", quotient_to_odd, fmt, a, b)


def sqrt(fmt: PositFormat, a: Tensor) -> Tensor:
    """√a on codes of `fmt`, rounded once; a < 0 is NaR; parameters and errors as for `add`."""
    return _on_codes("sqrt", root_to_odd, fmt, a)


def fma(fmt: PositFormat, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """a · b + c on codes of `fmt`, rounded once; parameters and errors as for `add`."""
    return _on_codes("fma", fma_to_odd, fmt, a, b, c)


def fms(fmt: PositFormat, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """a · b − c on codes of `fmt`, rounded once; parameters and errors as for `add`."""
    return _on_codes("fms", lambda x, y, z: fma_to_odd(x, y, -z), fmt, a, b, c)


def neg(fmt: PositFormat, a: Tensor) -> Tensor:
    """−a, exact: the two's complement of the code; 0 and NaR stay; parameters and errors as for `add`."""
    stored = check_codes(fmt, a, "neg")
    return as_codes(fmt, blockwise("neg", lambda c: packed(fmt, -signed(fmt, c)), stored_dtype(fmt), stored))


def convert(src: PositFormat, dst: PositFormat, codes: Tensor) -> Tensor:
    """Codes of `src` rounded to codes of `dst`; NaR stays NaR; errors as for `add`."""
    stored = check_codes(src, codes, "convert")

    def block(c: Tensor) -> Tensor:
        return packed(dst, encode_signed(dst, decode_signed(src, signed(src, c))))

    return as_codes(dst, blockwise("convert", block, stored_dtype(dst), stored))


def _on_codes(name: str, op: Callable[..., Tensor], fmt: PositFormat, *operands: Tensor) -> Tensor:
    stored = [check_codes(fmt, x, name) for x in operands]
    check_one_device(name, *stored)

    def block(*codes: Tensor) -> Tensor:
        return packed(fmt, encode_signed(fmt, op(*[decode_signed(fmt, signed(fmt, c)) for c in codes])))

    with torch.no_grad():
        return as_codes(fmt, blockwise(name, block, stored_dtype(fmt), *stored))
