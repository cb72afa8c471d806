"""In which class of each axis of a unit's coverage its inputs and results lie; for `positcore.sim.coverage`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from positcore import odd
from positcore.codec import decode
from positcore.format import PositFormat
from positcore.hw.golden import ROUNDING, raw_values
from positcore.hw.units import Design
from positcore.mac import Quire
from positcore.sim.bins import (
    CANCELLATIONS,
    cancellation,
    exponents,
    float_rounding,
    integer_rounding,
    regime_classes,
    rounding,
)
from positcore.sim.dot_coverage import exact_sums, length_classes

__all__ = ["CLASSES"]

Columns = Mapping[str, NDArray[Any]]
_Classes = dict[str, tuple[NDArray[np.intp], ...]]


def _arithmetic(design: Design, inputs: Columns, want: Columns) -> _Classes:
    fmt, name = design.spec.out, design.unit.name.removesuffix("-iterative")
    operands = [np.asarray(inputs[port]).astype(fmt.dtype) for port in ("a", "b", "c") if port in inputs]
    kinds = [regime_classes(fmt, codes) for codes in operands]
    values = [decode(fmt, codes) for codes in operands]
    exact = np.empty(values[0].size)
    terms = values
    if name in ("fma", "fms"):
        third = values[2] if name == "fma" else -values[2]
        odd.fma_into(values[0], values[1], third, exact)
        terms = [np.empty(exact.size), third]
        odd.product_into(values[0], values[1], terms[0])
    else:
        into: dict[str, Callable[..., None]] = {
            "add": odd.sum_into,
            "sub": odd.difference_into,
            "mul": odd.product_into,
            "div": odd.quotient_into,
        }
        into[name](*values, exact)
    how = [regime_classes(fmt, want["code"]), rounding(fmt, exact, want["code"])]
    if name not in ("mul", "div"):
        how.append(cancellation(np.maximum(*(exponents(term) for term in terms)), exact))
    return {"a × b": (kinds[0], kinds[1]), "result": tuple(how)} | ({"c": (kinds[2],)} if len(kinds) == 3 else {})


def _order(design: Design, inputs: Columns, want: Columns) -> _Classes:
    fmt = design.spec.out
    a, b = ((np.asarray(inputs[name]).astype(np.int64) ^ fmt.nar) for name in ("a", "b"))
    relation = (1 + np.sign(a - b)).astype(np.intp)
    pairs = tuple(regime_classes(fmt, inputs[name]) for name in ("a", "b"))
    return {"a × b": pairs, "relation": (relation, (((a ^ b) & fmt.nar) != 0).astype(np.intp))}


def _encoded(design: Design, inputs: Columns, want: Columns) -> _Classes:
    fmt = design.spec.out
    fields = {name: np.asarray(inputs[name]).astype(np.intp) for name in ("sign", "sticky", "zero", "nar")}
    kind = np.where(fields["nar"] != 0, 2, fields["zero"])
    exact = raw_values(inputs, fraction_bits=fmt.fraction_bits + 2)
    return {"fields": (fields["sign"], fields["sticky"], kind), "result": _rounded(fmt, exact, want["code"])}


def _rounded(fmt: PositFormat, exact: NDArray[np.float64], codes: NDArray[Any]) -> tuple[NDArray[np.intp], ...]:
    return regime_classes(fmt, codes), rounding(fmt, exact, codes)


def _converted(design: Design, inputs: Columns, want: Columns) -> _Classes:
    exact = decode(design.spec.a, np.asarray(inputs["a"]).astype(design.spec.a.dtype))
    return {
        "a": (regime_classes(design.spec.a, inputs["a"]),),
        "result": _rounded(design.spec.out, exact, want["code"]),
    }


def _root(design: Design, inputs: Columns, want: Columns) -> _Classes:
    fmt = design.spec.out
    exact = decode(fmt, np.asarray(inputs["a"]).astype(fmt.dtype))
    odd.root_into(exact.copy(), exact)
    return {"a": (regime_classes(fmt, inputs["a"]),), "result": _rounded(fmt, exact, want["code"])}


def _integral_posit(design: Design, inputs: Columns, want: Columns) -> _Classes:
    fmt = design.spec.out
    exact, result = (
        decode(fmt, np.asarray(codes).astype(fmt.dtype)) for codes in (inputs["a"], want["code"])
    )  # fmt: skip
    how = np.where(np.isnan(exact), 0, integer_rounding(exact, result, np.ones(exact.size, bool)))
    return {"a": (regime_classes(fmt, inputs["a"]),), "result": (regime_classes(fmt, want["code"]), how)}


def _from_integer(design: Design, inputs: Columns, want: Columns) -> _Classes:
    assert design.bits is not None
    values = np.asarray(inputs["value"])
    lowest = (values == -(1 << (design.bits - 1))) & bool(design.signed)
    negative = values < 0 if design.signed else np.zeros(values.size, bool)
    magnitudes = np.where(negative, -values.astype(np.int64), values).astype(np.uint64)
    exact = np.empty(values.size)
    odd.integers_into(negative, magnitudes, exact)
    exact = np.where(lowest, np.nan, exact)
    kinds = np.select([lowest, values == 0, negative], [3, 0, 2], 1).astype(np.intp)
    return {"value": (kinds,), "result": _rounded(design.spec.out, exact, want["code"])}


def _to_integer(design: Design, inputs: Columns, want: Columns) -> _Classes:
    fmt, bits = design.spec.out, design.bits
    assert bits is not None
    exact = decode(fmt, np.asarray(inputs["code"]).astype(fmt.dtype))
    result = np.asarray(want["value"])
    lowest = result == (-(1 << (bits - 1)) if design.signed else 1 << (bits - 1))
    # What does not fit gives the lowest integer, or without a sign that with the same bits.
    value = result.astype(np.float64)
    far = np.isnan(exact) | (np.abs(exact - value) > 0.5 * (1 + (np.abs(value) >= 2.0**52) * 2.0**12))
    kinds = np.select([far | (lowest if design.signed else far), value == 0, value < 0], [3, 0, 2], 1).astype(np.intp)
    return {
        "code": (regime_classes(fmt, inputs["code"]),),
        "result": (kinds, integer_rounding(np.where(far, 0, exact), value, ~far)),
    }


def _from_float(design: Design, inputs: Columns, want: Columns) -> _Classes:
    bits = _float_word(design, inputs["bits"])
    return {
        "bits": (_float_kinds(design, bits),),
        "result": _rounded(design.spec.out, _floats(design, bits), want["code"]),
    }


def _to_float(design: Design, inputs: Columns, want: Columns) -> _Classes:
    fmt = design.spec.out
    exact = decode(fmt, np.asarray(inputs["code"]).astype(fmt.dtype))
    bits = _float_word(design, want["bits"])
    sign = bits.dtype.type(1 << (8 * bits.dtype.itemsize - 1))

    def step(magnitudes: NDArray[np.float64], by: int) -> NDArray[np.float64]:
        return _floats(design, np.maximum((bits & ~sign).astype(np.int64) + by, 0).astype(bits.dtype))

    how = float_rounding(exact, _floats(design, bits), step)
    return {"code": (regime_classes(fmt, inputs["code"]),), "result": (_float_kinds(design, bits), how)}


def _float_word(design: Design, bits: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(bits).astype(np.uint32 if design.float_format == "float32" else np.uint16)


def _floats(design: Design, bits: NDArray[Any]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        if design.float_format == "bfloat16":
            return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        return bits.view(str(design.float_format)).astype(np.float64)


def _float_kinds(design: Design, bits: NDArray[Any]) -> NDArray[np.intp]:
    width = 8 * bits.dtype.itemsize
    fraction_bits = {"float16": 10, "bfloat16": 7, "float32": 23}[str(design.float_format)]
    magnitude = bits.astype(np.int64) & ((1 << (width - 1)) - 1)
    infinity = ((1 << (width - 1 - fraction_bits)) - 1) << fraction_bits
    kinds = np.select(
        [magnitude == 0, magnitude < 1 << fraction_bits, magnitude < infinity - 1, magnitude == infinity - 1,
         magnitude == infinity],
        [0, 1, 2, 3, 4], 5,
    )  # fmt: skip
    negative = (bits.astype(np.int64) >> (width - 1)) & 1
    return (kinds + 6 * negative).astype(np.intp)


def _plain(design: Design, inputs: Columns, want: Columns) -> _Classes:
    fmt = design.spec.out
    name = next(iter(inputs))
    found: _Classes = {name: (regime_classes(fmt, inputs[name]),)}
    return found if name == "code" else found | {"result": (regime_classes(fmt, want["code"]),)}


def _dots(design: Design, inputs: Columns, want: Columns) -> _Classes:
    spec = design.spec
    sums = exact_sums(spec, inputs)
    codes = np.asarray(want["code"]).reshape(-1)
    found: _Classes = {
        "a": (regime_classes(spec.a, np.asarray(inputs["a"]).reshape(-1)),),
        "b": (regime_classes(spec.b, np.asarray(inputs["b"]).reshape(-1)),),
        "length": (length_classes(sums.lengths), np.isnan(sums.exact).astype(np.intp)),
    }
    kinds, lost = regime_classes(spec.out, codes), cancellation(sums.largest, sums.exact)
    if isinstance(spec.accumulator, Quire):
        return found | {"result": (kinds, rounding(spec.out, sums.exact, codes), lost)}
    return found | {"result": (kinds, (lost == len(CANCELLATIONS) - 1).astype(np.intp))}


def _products(design: Design, inputs: Columns, want: Columns) -> _Classes:
    (m, k), n = inputs["a"].shape, inputs["b"].shape[1]
    assert design.depth
    assert design.rows
    assert design.columns
    shape = (k > design.depth, m % design.rows != 0, n % design.columns != 0)
    whole = tuple(np.full(m * n, part, np.intp) for part in shape)
    return _dots(design, inputs, want) | {"shape": whole}


def _quire(design: Design, inputs: Columns, want: Columns) -> _Classes:
    operation = np.asarray(inputs["operation"]).astype(np.intp)
    before = np.concatenate([[0], operation[:-1]])
    assert np.isin(operation, ROUNDING).sum() == want["code"].size
    return {
        "operation after operation": (operation, before),
        "a × operation": (regime_classes(design.spec.a, inputs["a"]), operation),
        "b × operation": (regime_classes(design.spec.b, inputs["b"]), operation),
        "result": (regime_classes(design.spec.out, want["code"]),),
    }


CLASSES: dict[str, Callable[[Design, Columns, Columns], _Classes]] = {
    "arithmetic": _arithmetic, "order": _order, "encode": _encoded, "convert": _converted, "sqrt": _root,
    "round-to-int": _integral_posit, "from-int": _from_integer, "to-int": _to_integer, "from-float": _from_float,
    "to-float": _to_float, "plain": _plain, "dot": _dots, "bus": _products, "quire": _quire,
}  # fmt: skip
