"""What the bits of each unit must be, from the golden model; arrays in, arrays out, by port."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from positcore import arithmetic, comparison, floats, functions, integers
from positcore.codec import decode, encode
from positcore.format import PositFormat
from positcore.gemm import matmul
from positcore.mac import Aligned, MacSpec
from positcore.rational import round_fraction, value_of

__all__ = [
    "CLEARING", "ROUNDING", "Arrays", "golden_abs", "golden_add", "golden_compare", "golden_convert", "golden_decode",
    "golden_div", "golden_dots", "golden_encode", "golden_fma", "golden_fms", "golden_from_float", "golden_from_int",
    "golden_function", "golden_max", "golden_min", "golden_mul", "golden_neg", "golden_product", "golden_quire",
    "golden_round_to_int", "golden_sign", "golden_sqrt", "golden_sub", "golden_sums", "golden_to_float",
    "golden_to_int", "raw_values",
]  # fmt: skip

Arrays = Mapping[str, NDArray[Any]]

ROUNDING = (6, 7)  # the operations of a quire that give its code
CLEARING = (0, 7)  # those that leave 0 behind

_BLOCK = 64  # dot products that share one golden matmul, whose diagonal they are


def golden_add(fmt: PositFormat, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The outputs of the adder."""
    return {"code": arithmetic.add(fmt, inputs["a"], inputs["b"])}


def golden_sub(fmt: PositFormat, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The outputs of the subtracter."""
    return {"code": arithmetic.sub(fmt, inputs["a"], inputs["b"])}


def golden_mul(fmt: PositFormat, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The outputs of the multiplier."""
    return {"code": arithmetic.mul(fmt, inputs["a"], inputs["b"])}


def golden_div(fmt: PositFormat, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The outputs of the divider."""
    return {"code": arithmetic.div(fmt, inputs["a"], inputs["b"])}


def golden_sqrt(fmt: PositFormat, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The outputs of the square root."""
    return {"code": arithmetic.sqrt(fmt, inputs["a"])}


def golden_fma(fmt: PositFormat, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The outputs of the fused multiply-add."""
    return {"code": arithmetic.fma(fmt, inputs["a"], inputs["b"], inputs["c"])}


def golden_fms(fmt: PositFormat, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The outputs of the fused multiply-subtract."""
    return {"code": arithmetic.fms(fmt, inputs["a"], inputs["b"], inputs["c"])}


def golden_compare(fmt: PositFormat, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The outputs of the comparator."""
    a, b = inputs["a"], inputs["b"]
    return {
        "lt": comparison.less(fmt, a, b),
        "le": comparison.less_equal(fmt, a, b),
        "eq": comparison.equal(fmt, a, b),
    }


def golden_min(fmt: PositFormat, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The lesser operand."""
    return {"code": comparison.minimum(fmt, inputs["a"], inputs["b"])}


def golden_max(fmt: PositFormat, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The greater operand."""
    return {"code": comparison.maximum(fmt, inputs["a"], inputs["b"])}


def golden_neg(fmt: PositFormat, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The negated operand."""
    return {"code": arithmetic.neg(fmt, inputs["a"])}


def golden_abs(fmt: PositFormat, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The magnitude of the operand."""
    return {"code": comparison.abs(fmt, inputs["a"])}


def golden_sign(fmt: PositFormat, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The posit 1, −1 or 0 by the sign of the operand."""
    return {"code": comparison.sign(fmt, inputs["a"])}


def golden_convert(source: PositFormat, destination: PositFormat, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The outputs of the converter."""
    return {"code": arithmetic.convert(source, destination, inputs["a"])}


def golden_round_to_int(fmt: PositFormat, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The nearest integral posits."""
    return {"code": integers.round_to_int(fmt, inputs["a"])}


def golden_from_int(fmt: PositFormat, inputs: Arrays, *, bits: int, signed: bool) -> dict[str, NDArray[Any]]:
    """The codes of integers."""
    value = np.asarray(inputs["value"])
    return {"code": integers.from_int(fmt, value.astype(f"{'i' if signed else 'u'}{bits // 8}"))}


def golden_to_int(fmt: PositFormat, inputs: Arrays, *, bits: int, signed: bool) -> dict[str, NDArray[Any]]:
    """The nearest integers."""
    return {"value": integers.to_int(fmt, inputs["code"], bits, signed=signed)}


def golden_from_float(fmt: PositFormat, inputs: Arrays, *, float_format: str) -> dict[str, NDArray[Any]]:
    """The codes of floats given by their bits."""
    word = np.asarray(inputs["bits"]).astype(np.uint32 if float_format == "float32" else np.uint16)
    x = word if float_format == "bfloat16" else word.view(float_format)
    return {"code": floats.from_float(fmt, x, float_format)}


def golden_to_float(fmt: PositFormat, inputs: Arrays, *, float_format: str) -> dict[str, NDArray[Any]]:
    """The bits of the nearest floats."""
    x = floats.to_float(fmt, inputs["code"], float_format)
    return {"bits": x.view(np.uint32 if float_format == "float32" else np.uint16)}


def golden_function(fmt: PositFormat, inputs: Arrays, *, function: str) -> dict[str, NDArray[Any]]:
    """The function of the operand."""
    return {"code": getattr(functions, function)(fmt, inputs["a"])}


def golden_decode(fmt: PositFormat, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The raw form of codes, from their values; fields that mean nothing for 0 and NaR are masked."""
    x = decode(fmt, inputs["code"])
    nar, zero, negative = np.isnan(x), x == 0, x < 0
    # frexp: |fraction| in [1/2, 1), so that the significand is its double, or for −1/2 its quadruple.
    part, exponent = np.frexp(np.where(nar | zero, 1.0, x))
    edge = part == -0.5
    significand = np.ldexp(part, np.where(edge, 2, 1))
    fraction = np.ldexp(significand + np.where(negative, 2, -1), fmt.fraction_bits).astype(np.int64)
    scale = exponent.astype(np.int64) - np.where(edge, 2, 1)
    outputs = {
        "fraction": np.ma.array(np.where(zero, 0, fraction), mask=nar),
        "scale": np.ma.array(scale, mask=nar | zero),
        "sign": np.ma.array(negative.astype(np.int64), mask=nar),
        "zero": zero.astype(np.int64),
        "nar": nar.astype(np.int64),
    }
    return outputs if fmt.fraction_bits else {k: v for k, v in outputs.items() if k != "fraction"}


def golden_encode(fmt: PositFormat, inputs: Arrays, *, fraction_bits: int) -> dict[str, NDArray[Any]]:
    """The codes of unrounded raw forms; one with sticky stands for the middle of its interval."""
    return {"code": encode(fmt, raw_values(inputs, fraction_bits=fraction_bits))}


def raw_values(inputs: Arrays, *, fraction_bits: int) -> NDArray[np.float64]:
    """The values of unrounded raw forms, nan for NaR; sticky adds half a unit of the fraction's last place."""
    fields = {name: np.asarray(column).astype(np.int64) for name, column in inputs.items()}
    # Twice the format's largest scale and more saturates; float64 holds no more than 1023.
    scale = np.clip(fields["scale"], -1000, 1000)
    twice = 2 * fields["fraction"] + fields["sticky"]
    significand = np.where(fields["sign"], -2.0, 1.0) + np.ldexp(twice.astype(np.float64), -fraction_bits - 1)
    x = np.ldexp(significand, scale)
    x = np.where(fields["zero"] != 0, 0.0, x)
    return np.where(fields["nar"] != 0, np.nan, x)


def golden_sums(spec: MacSpec, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The codes of the dot products of a stream, which `last` ends; a and b are vectors or (items, lanes)."""
    ends = np.flatnonzero(inputs["last"]) + 1
    return {"code": golden_dots(spec, inputs["a"], inputs["b"], np.diff(ends, prepend=0))}


def golden_dots(
    spec: MacSpec, a: NDArray[Any], b: NDArray[Any], lengths: NDArray[np.int64]
) -> NDArray[np.unsignedinteger]:
    """The codes of dot products laid end to end in a and b, of which each takes so many items.

    Parameters
    ----------
    spec : MacSpec
    a, b : ndarray of codes, (items,) or (items, lanes)
        An item holds one product or several.
    lengths : ndarray of int64
        Items of each dot product, at least 1.
    """
    a, b = (x[: lengths.sum()].reshape(lengths.sum(), -1) for x in (a, b))
    starts = np.cumsum(lengths) - lengths
    results = np.empty(lengths.size, spec.out.dtype)
    order = np.argsort(lengths, kind="stable")
    # Zeros that fill a dot product up change no sum, unless each chunk cuts the sum so far.
    cuts = isinstance(spec.accumulator, Aligned)
    groups = np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1) if cuts else [order]
    for chosen in (group[at : at + _BLOCK] for group in groups for at in range(0, group.size, _BLOCK)):
        columns = np.arange(lengths[chosen].max())
        inside = columns < lengths[chosen, None]
        index = np.where(inside, starts[chosen, None] + columns, 0)
        rows = np.where(inside[..., None], a[index], 0).astype(spec.a.dtype).reshape(chosen.size, -1)
        others = np.where(inside[..., None], b[index], 0).astype(spec.b.dtype).reshape(chosen.size, -1)
        results[chosen] = np.diagonal(matmul(spec, rows, others.T))
    return results


def golden_quire(spec: MacSpec, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """The codes that a quire gives to a list of operations, one for each that rounds, from exact integers."""
    weight = spec.accumulator_fraction_bits
    tables = [
        {code: _quire_units(fmt, code) for code in set(np.asarray(inputs[name]).tolist())}
        for fmt, name in ((spec.a, "a"), (spec.b, "b"))
    ]
    one = 1 << spec.b.max_scale
    total: int | None = 0
    results = []
    for a, b, operation in zip(*(np.asarray(inputs[name]).tolist() for name in ("a", "b", "operation")), strict=True):
        if operation in ROUNDING:
            results.append(spec.out.nar if total is None else round_fraction(spec.out, Fraction(total, 1 << weight)))
        if operation in CLEARING:
            total = 0
        elif operation == 1 and total is not None:
            total = -total
        elif operation in (2, 3, 4, 5):
            x, y = tables[0][a], one if operation < 4 else tables[1][b]
            if total is None or x is None or y is None:
                total = None
            else:
                total += -x * y if operation in (3, 5) else x * y
    return {"code": np.array(results, spec.out.dtype)}


def _quire_units(fmt: PositFormat, code: int) -> int | None:
    """The value of a code as a multiple of 2^−max_scale; None for NaR."""
    value = value_of(fmt, code)
    return None if value is None else int(value * (1 << fmt.max_scale))


def golden_product(spec: MacSpec, inputs: Arrays, *, rows: int, columns: int, depth: int) -> dict[str, NDArray[Any]]:
    """The product of two matrices of codes, which does not depend on the array that computes it."""
    return {"code": matmul(spec, inputs["a"], inputs["b"])}
