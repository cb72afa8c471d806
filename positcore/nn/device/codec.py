"""Tensors of codes and of float64s: encode, decode and round, bit for bit as `positcore.codec`, on any device.

The same integer arithmetic on the bits of float64s as in `encode_bits`, `decode_bits` and `round_value` there, one
tensor operation at a time. Public functions take and give tensors; the others work on whole blocks: codes as
sign-extended int64, values as float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.nn.device.bits import BIAS, INFINITY, MAGNITUDE, float_bits, float_from_bits, leading_zeros, ones_below
from positcore.nn.device.blocks import blockwise
from positcore.nn.device.codes import as_codes, check_codes, check_floats, packed, signed, stored_dtype
from positcore.nn.tensors import dtype_of

__all__ = ["decode", "decode_signed", "decode_stored", "encode", "encode_signed", "quantize", "round_float"]

_TOP = -(1 << 63)


def encode_signed(fmt: PositFormat, x: Tensor) -> Tensor:
    """Codes, as sign-extended int64, of float64s: rounded to nearest, ties to the even code; inf and nan give NaR."""
    n, es = fmt.n, fmt.es
    bits = float_bits(x)
    magnitude = bits & MAGNITUDE
    scaled = magnitude - BIAS  # scale · 2^52 + fraction
    k = scaled >> (52 + es)
    run = (k ^ (k >> 63)).clamp_(max=n)
    seed = torch.where(k >= 0, _TOP, 1 << 62)  # the regime's last two bits, 10 or 01, at the top
    word = seed | ((scaled & ((1 << (52 + es)) - 1)) << (10 - es))
    encoding = word >> run  # the arithmetic shift repeats the regime's first bit
    encoding |= (word & ones_below(run)) != 0
    dropped = 65 - n
    code = (encoding >> dropped) & fmt.maxpos_code
    rest = encoding & ((1 << dropped) - 1)
    code += rest + (code & 1) > (1 << (dropped - 1))
    code = code.clamp_(1, fmt.maxpos_code)
    code = torch.where(bits < 0, -code, code)
    code = torch.where(magnitude <= fmt.flushed, 0, code)
    return torch.where(magnitude >= INFINITY, -fmt.nar, code)


def decode_signed(fmt: PositFormat, codes: Tensor) -> Tensor:
    """The exact float64 values of sign-extended int64 codes; NaR gives nan."""
    es = fmt.es
    body = codes.abs() << (65 - fmt.n)
    run = leading_zeros(body ^ (body >> 63)).clamp_(max=62)
    k = torch.where(body < 0, run - 1, -run)
    tail = ((body << (run + 1)) >> (12 - es)) & ((1 << (52 + es)) - 1)
    value = float_from_bits((k << (52 + es)) + tail + BIAS)
    value = torch.where(codes < 0, -value, value)
    value = torch.where(codes == 0, 0.0, value)
    return torch.where(codes == -fmt.nar, torch.nan, value)


def round_float(fmt: PositFormat, x: Tensor) -> Tensor:
    """Float64s rounded to the nearest posit values: what encoding and decoding gives, in fewer steps."""
    n, es, top = fmt.n, fmt.es, fmt.max_scale
    size = float_bits(x) & MAGNITUDE
    scaled = size.clamp((1023 - top) << 52, (1023 + top) << 52) - BIAS
    k = scaled >> (52 + es)
    sign = k >> 63
    room = (n - 3 - (k ^ sign)).clamp_(min=0)
    dropped = 52 + es - room
    last = torch.where(room > 0, (scaled >> dropped) & 1, sign & 1)
    scaled = (scaled + ones_below(dropped - 1) + last) >> dropped << dropped
    value = float_from_bits(scaled + BIAS)
    value = torch.where(x < 0.0, -value, value)
    value = torch.where(size <= fmt.flushed, 0.0, value)
    return torch.where(size >= INFINITY, torch.nan, value)


def encode(fmt: PositFormat, x: Tensor) -> Tensor:
    """Round a tensor of floats to codes, each correctly: nearest, ties to the even code.

    Parameters
    ----------
    fmt : PositFormat
    x : float tensor of any shape, on any device that has float64
        Infinities and nan give NaR.

    Returns
    -------
    tensor of PyTorch's twin of `fmt.dtype`, the shape and device of `x`

    Raises
    ------
    TypeError
        If `x` is not a tensor of floats, or its device has no float64.
    """
    check_floats("encode", x)
    result = blockwise("encode", lambda v: packed(fmt, encode_signed(fmt, v.double())), stored_dtype(fmt), x.detach())
    return as_codes(fmt, result)


def decode(fmt: PositFormat, codes: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """The exact values of a tensor of codes; NaR gives nan.

    Parameters
    ----------
    fmt : PositFormat
    codes : integer tensor of codes, 0..2^n − 1
    dtype : torch.float64, or torch.float32 where `fmt.tensor_dtype` is float32

    Returns
    -------
    tensor of `dtype`, the shape and device of `codes`

    Raises
    ------
    TypeError, ValueError
        If `codes` are not integers or not codes of the format, or `dtype` does not hold the values.
    """
    if dtype not in (torch.float64, dtype_of(fmt)):
        raise TypeError(f"decode: the values of {fmt} are exact in {dtype_of(fmt)} or torch.float64, not in {dtype}")
    return decode_stored(fmt, check_codes(fmt, codes, "decode"), dtype)


def decode_stored(fmt: PositFormat, stored: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """`decode` of codes that `check_codes` gave."""
    return blockwise("decode", lambda c: decode_signed(fmt, signed(fmt, c)).to(dtype), dtype, stored)


def quantize(fmt: PositFormat, x: Tensor) -> Tensor:
    """Floats rounded to the nearest values of `fmt`; inf and nan give NaR (nan).

    Parameters
    ----------
    fmt : PositFormat
    x : float tensor of any shape

    Returns
    -------
    tensor of `fmt.tensor_dtype`, the shape and device of `x`

    Raises
    ------
    TypeError
        If `x` is not a tensor of floats, or its device has no float64.
    """
    check_floats("quantize", x)
    dtype = dtype_of(fmt)
    return blockwise("quantize", lambda v: round_float(fmt, v.double()).to(dtype), dtype, x.detach())
