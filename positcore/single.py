"""Rounding in float32, for narrow formats: the same steps as on float64, in twice as many lanes of a vector unit.

Numba widens integers of 32 bits to 64 in every operation, which would take the lanes back; so the two functions that
work on bits are written in the compiler's own terms. Kernels call `nearest` and `to_odd`, which take either width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import overload

from positcore.codec import round_value
from positcore.format import PositFormat
from positcore.jit import llvm_intrinsic
from positcore.mac import MacSpec
from positcore.odd import adjust_to_odd

__all__ = ["fits_single", "flushed_for", "nearest", "to_odd"]

_I32 = ir.IntType(32)
_LOWEST, _HIGHEST = -126, 127  # scales of normal float32 values


def fits_single(spec: MacSpec) -> bool:
    """Whether products and sums of these formats are float32 values with float32 errors, far from over- and underflow.

    Every value is a multiple of its format's minpos, and every product one of minpos_a·minpos_b: where these are
    normal float32 values, so are the errors of TwoSum and of a fused multiply-add. Rounded to odd, 24 bits are enough
    for a format with at most 22 significand bits.
    """
    products = spec.a.max_scale + spec.b.max_scale
    return (
        max(spec.a.significand_bits, spec.b.significand_bits, spec.out.significand_bits) <= 22
        and max(products, spec.out.max_scale) + 1 <= _HIGHEST
        and -max(products, spec.out.max_scale) >= _LOWEST
    )


def flushed_for(fmt: PositFormat, dtype: Any) -> int:
    """`fmt.flushed`, the bits of a float64, as those of the largest float of `dtype` that is not above it."""
    if dtype == np.float64:
        return fmt.flushed
    most = np.int64(fmt.flushed).view(np.float64)
    bits = int(np.float32(most).view(np.int32))
    return bits - 1 if np.int32(bits).view(np.float32) > most else bits


def nearest(x: float, n: int, es: int, flushed: int) -> float:
    """In kernels: `positcore.codec.round_value` of a float64 or float32; `flushed` is bits of that width."""
    raise NotImplementedError("nearest is for compiled kernels")


def to_odd(value: float, error: float) -> float:
    """In kernels: `positcore.odd.adjust_to_odd` of float64s or float32s."""
    raise NotImplementedError("to_odd is for compiled kernels")


@overload(nearest, strict=False)  # its annotations are not those of the lambdas
def _nearest(x: Any, n: Any, es: Any, flushed: Any) -> Any:
    if x == types.float32:
        return lambda x, n, es, flushed: _round_single(x, n, es, flushed)
    return lambda x, n, es, flushed: round_value(x, n, es, flushed)


@overload(to_odd, strict=False)
def _to_odd(value: Any, error: Any) -> Any:
    if value == types.float32:
        return lambda value, error: _odd_single(value, error)
    return lambda value, error: adjust_to_odd(value, error)


def _larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed(">", a, b), a, b)


def _smaller(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


@llvm_intrinsic
def _round_single(typingctx: Any, x: Any, n: Any, es: Any, flushed: Any) -> Any:
    """`round_value`, step by step, on a float32."""

    def build(context: Any, b: Any, signature: Any, args: Any) -> Any:
        n, es, flushed = (b.trunc(arg, _I32) for arg in args[1:])
        bits = b.bitcast(args[0], _I32)
        bias, top = _I32(127 << 23), b.shl(b.shl(b.sub(n, _I32(2)), es), _I32(23))
        size = b.and_(bits, _I32(0x7FFFFFFF))
        scaled = b.sub(_smaller(b, _larger(b, size, b.sub(bias, top)), b.add(bias, top)), bias)
        negative = b.ashr(scaled, _I32(31))
        run = b.xor(b.ashr(scaled, b.add(es, _I32(23))), negative)
        room = b.sub(b.sub(n, _I32(3)), run)
        dropped = b.sub(b.add(es, _I32(23)), _larger(b, room, _I32(0)))
        kept = b.and_(b.ashr(scaled, dropped), _I32(1))
        last = b.select(b.icmp_signed(">", room, _I32(0)), kept, b.and_(negative, _I32(1)))
        half = b.sub(b.shl(_I32(1), b.sub(dropped, _I32(1))), _I32(1))
        rounded = b.shl(b.ashr(b.add(b.add(scaled, half), last), dropped), dropped)
        rounded = b.or_(b.add(rounded, bias), b.and_(bits, _I32(-(1 << 31))))
        rounded = b.select(b.icmp_signed("<=", size, flushed), _I32(0), rounded)
        rounded = b.select(b.icmp_signed(">=", size, _I32(0x7F800000)), _I32(0x7FC00000), rounded)
        return b.bitcast(rounded, ir.FloatType())

    return types.float32(types.float32, types.int64, types.int64, types.int64), build


@llvm_intrinsic
def _odd_single(typingctx: Any, value: Any, error: Any) -> Any:
    """`adjust_to_odd`, step by step, on float32s."""

    def build(context: Any, b: Any, signature: Any, args: Any) -> Any:
        bits, error = (b.bitcast(arg, _I32) for arg in args)
        step = b.or_(b.ashr(b.xor(error, bits), _I32(31)), _I32(1))
        even = b.icmp_signed("==", b.and_(bits, _I32(1)), _I32(0))
        inexact = b.and_(b.fcmp_unordered("!=", args[1], ir.FloatType()(0.0)), even)
        return b.bitcast(b.select(inexact, b.add(bits, step), bits), ir.FloatType())

    return types.float32(types.float32, types.float32), build
