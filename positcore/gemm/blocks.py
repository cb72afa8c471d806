"""Sums of float32 products in vector registers: the inner loops of direct convolutions, as LLVM's vector operations.

Their order is fixed. A sum along a block of `LANES` neighbours takes its terms one after another; a sum over
neighbours has a running sum in each lane, and the lanes are added in pairs. A product and its addition may be one
fused operation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils

from positcore.jit import llvm_intrinsic

__all__ = ["LANES", "PAIRINGS", "ROWS", "TALL", "TAPS", "add_dots", "add_products", "padded"]

LANES = 16 if binding.get_host_cpu_features().get("avx512f") else 8  # float32s in a vector
ROWS = 8  # outputs that `add_products` sums at a time, a vector each
TALL, TAPS = (4, 4) if LANES == 16 else (4, 2)  # rows of either operand whose products `add_dots` sums at a time
PAIRINGS = LANES.bit_length() - 1  # additions that join the lanes of a vector

_WORD, _HALF = ir.IntType(64), ir.IntType(32)
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_MAY_FUSE = ("contract",)


def _data(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    """The address of an array's first element."""
    return context.make_array(array_type)(context, builder, array).data


def _vector_at(builder: Any, base: Any, index: Any) -> Any:
    """The address of a vector whose first element has this index."""
    return builder.bitcast(builder.gep(base, [index]), _VECTOR.as_pointer())


def _number(value: int) -> Any:
    return ir.Constant(_WORD, value)


def _add_product(builder: Any, total: Any, x: Any, y: Any) -> None:
    """The vector at `total` becomes it + x·y."""
    product = builder.fmul(x, y, flags=_MAY_FUSE)
    builder.store(builder.fadd(builder.load(total), product, flags=_MAY_FUSE), total)


def _zeros(builder: Any, count: int) -> list[Any]:
    """Vectors of zeros in registers."""
    totals: list[Any] = [cgutils.alloca_once(builder, _VECTOR) for _ in range(count)]  # type: ignore[no-untyped-call]
    for total in totals:
        builder.store(ir.Constant(_VECTOR, [0.0] * LANES), total)
    return totals


@llvm_intrinsic
def add_products(
    typingctx: Any, x: Any, places: Any, weights: Any, first: Any, last: Any, start: Any, sums: Any, at: Any,
    stride: Any,
) -> Any:  # fmt: skip
    """sums[at + r·stride + lane] += Σ weights[k·ROWS + r] · x[places[k] + start + lane] over k in first..last − 1.

    For r < ROWS and lane < LANES; x, weights and sums are 1-D arrays of float32, places of intp. The products of one
    call are summed by themselves, in the order of k, and then added. No index is checked.
    """

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        images, offsets, factors, out = (_data(context, builder, signature.args[i], args[i]) for i in (0, 1, 2, 6))
        undefined, none = ir.Constant(_VECTOR, ir.Undefined), ir.Constant(ir.VectorType(_HALF, LANES), [0] * LANES)
        totals = _zeros(builder, ROWS)
        with cgutils.for_range_slice(builder, args[3], args[4], _number(1)) as (k, _):
            place = builder.add(builder.load(builder.gep(offsets, [k])), args[5])
            row = builder.load(_vector_at(builder, images, place), align=4)
            for r, total in enumerate(totals):
                index = builder.add(builder.mul(k, _number(ROWS)), _number(r))
                factor = builder.load(builder.gep(factors, [index]))
                spread = builder.insert_element(undefined, factor, ir.Constant(_HALF, 0))
                _add_product(builder, total, builder.shuffle_vector(spread, undefined, none), row)
        for r, total in enumerate(totals):
            spot = _vector_at(builder, out, builder.add(args[7], builder.mul(args[8], _number(r))))
            joined = builder.fadd(builder.load(spot, align=4), builder.load(total))
            builder.store(joined, spot, align=4)
        return context.get_dummy_value()

    word = types.int64
    return types.void(x, places, weights, word, word, word, sums, word, word), build


@llvm_intrinsic
def add_dots(
    typingctx: Any, rows: Any, at: Any, stride: Any, x: Any, places: Any, tap: Any, first: Any, last: Any, sums: Any,
    out: Any, width: Any,
) -> Any:  # fmt: skip
    """sums[out + r·width + t] += Σ rows[at + r·stride + p] · x[places[tap + t] + p] over p in first..last − 1.

    For r < TALL and t < TAPS; rows and x are 1-D arrays of float32, places of intp, sums of float64. last − first is a
    multiple of LANES: each lane sums every LANES-th product, in order; the lanes are added in PAIRINGS steps. No index
    is checked.
    """

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        left, images, offsets, target = (_data(context, builder, signature.args[i], args[i]) for i in (0, 3, 4, 8))
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        shifts = [builder.load(builder.gep(offsets, [builder.add(args[5], _number(t))])) for t in range(TAPS)]
        starts = [builder.add(args[1], builder.mul(args[2], _number(r))) for r in range(TALL)]
        totals = [_zeros(builder, TAPS) for _ in range(TALL)]
        with cgutils.for_range_slice(builder, args[6], args[7], _number(LANES)) as (p, _):
            taps = [builder.load(_vector_at(builder, images, builder.add(shift, p)), align=4) for shift in shifts]
            for start, sums_of_row in zip(starts, totals, strict=True):
                row = builder.load(_vector_at(builder, left, builder.add(start, p)), align=4)
                for tap_row, total in zip(taps, sums_of_row, strict=True):
                    _add_product(builder, total, row, tap_row)
        for r, sums_of_row in enumerate(totals):
            for t, total in enumerate(sums_of_row):
                value, half = builder.load(total), LANES // 2
                while half:
                    indices = [half + lane if lane < half else lane for lane in range(LANES)]
                    mask = ir.Constant(ir.VectorType(_HALF, LANES), indices)
                    value = builder.fadd(value, builder.shuffle_vector(value, undefined, mask))
                    half //= 2
                lane = builder.fpext(builder.extract_element(value, ir.Constant(_HALF, 0)), ir.DoubleType())
                index = builder.add(builder.add(args[9], builder.mul(args[10], _number(r))), _number(t))
                spot = builder.gep(target, [index])
                builder.store(builder.fadd(builder.load(spot), lane), spot)
        return context.get_dummy_value()

    word = types.int64
    return types.void(rows, word, word, x, places, word, word, word, sums, word, word), build


def padded(rows: Any, count: int) -> Any:
    """Rows of float32 with rows of zeros behind them, so that their number is a multiple of `count`."""
    out = np.zeros((-(-len(rows) // count) * count, *rows.shape[1:]), np.float32)
    out[: len(rows)] = rows
    return out
