"""NumPy's ufuncs on posits (NEP 13): those whose results are exactly defined, each element rounded once.

Comparisons round nothing. Everything else is a `TypeError` that names the ufunc and the way around.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore import arithmetic, comparison, functions, integers
from positcore.format import PositFormat
from positcore.mac import MacSpec
from positcore.operands import common_format, is_posit, rounded_codes, signed_codes, standing, unsigned_codes
from positcore.scalar import Posit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["apply", "extreme", "result", "take_nothing", "undefined"]

Codes = Callable[..., Any]


def result(fmt: PositFormat, codes: Any) -> Any:
    """Codes as NumPy gives results: a `PositArray`, or a `Posit` where there are no dimensions."""
    if np.ndim(codes) == 0:
        return Posit(fmt, int(codes))
    return import_module("positcore.arrays").PositArray.of_codes(fmt, codes)


def undefined(name: str, remedy: str = "") -> TypeError:
    """The error for an operation that is not exactly defined here, with the way around."""
    remedy = remedy or "it would not be exactly rounded; to_numpy() gives floats, positcore.array rounds their results"
    return TypeError(f"{name} is not defined on posits: {remedy}")


def take_nothing(name: str, keywords: Any) -> None:
    """Refuse keyword arguments, but those that ask for nothing."""
    asked = [key for key, value in keywords.items() if value is not None and value is not np._NoValue]
    if asked:
        raise TypeError(f"{name} on posits does not take {', '.join(asked)}")


def apply(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What `__array_ufunc__` of `PositArray` and `Posit` does."""
    name = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    if any(hasattr(x, "__array_ufunc__") and not _is_ours(x) for x in inputs):
        return NotImplemented
    out, where = kwargs.pop("out", None), kwargs.pop("where", True)
    if out is None and where is not True:
        raise TypeError(f"{name} on posits takes `where` only together with `out`")
    if method == "reduce":
        computed = _reduce(name, ufunc, inputs[0], kwargs)
    else:
        take_nothing(name, kwargs)
        if method == "__call__":
            computed = _call(name, ufunc, inputs)
        elif method == "outer":
            a, b = (x if is_posit(x) else np.asarray(x) for x in inputs)
            ones = (1,) * (0 if isinstance(b, Posit) else b.ndim)
            computed = _call(name, ufunc, (a if isinstance(a, Posit) else a.reshape(*a.shape, *ones), b))
        elif method == "accumulate" and ufunc in _EXTREMES:
            raise undefined(name, "maximum and minimum of a whole axis are max() and min()")
        else:
            raise undefined(name)
    return computed if out is None else _store(name, computed, out, where)


def _is_ours(x: Any) -> bool:
    return is_posit(x) or isinstance(x, np.ndarray | np.generic)


def _call(name: str, ufunc: np.ufunc, inputs: tuple[Any, ...]) -> Any:
    if ufunc in _COMPARISONS:
        return _compare(name, ufunc, *inputs)
    if ufunc in _PREDICATES:
        (x,) = inputs
        return _PREDICATES[ufunc](x.fmt, _codes_of(x))
    if ufunc in _LOGICAL:
        return ufunc(*(_codes_of(x) != 0 if is_posit(x) else x for x in inputs))
    if ufunc is np.power:
        return _power(name, *inputs)
    if ufunc not in _ROUNDED:
        raise undefined(name, _REMEDIES.get(ufunc, ""))
    fmt = common_format(name, inputs)
    return result(fmt, _ROUNDED[ufunc](fmt, *(rounded_codes(fmt, x, name) for x in inputs)))


def _codes_of(x: Any) -> NDArray[Any]:
    return np.asarray(x.code, x.fmt.dtype) if isinstance(x, Posit) else x.codes


def _compare(name: str, ufunc: np.ufunc, a: Any, b: Any) -> Any:
    fmt = a.fmt if is_posit(a) else b.fmt
    if is_posit(a) and is_posit(b) and a.fmt == b.fmt:
        return ufunc(signed_codes(fmt, _codes_of(a)), signed_codes(fmt, _codes_of(b)))
    (x, unordered_x), (y, unordered_y) = standing(fmt, a, name), standing(fmt, b, name)
    return np.where(unordered_x | unordered_y, ufunc is np.not_equal, ufunc(x, y))[()]


def _power(name: str, base: Any, exponent: Any) -> Any:
    if not is_posit(base) or not isinstance(exponent, int | np.integer) or isinstance(exponent, bool):
        raise TypeError(f"{name} on posits takes one integer as exponent; np.sqrt and np.reciprocal are rounded once")
    if int(exponent) in _DIRECT_POWERS:
        return _call(name, _DIRECT_POWERS[int(exponent)], (base,))
    codes, places = np.unique(_codes_of(base), return_inverse=True)
    powers = np.array([(Posit(base.fmt, code) ** int(exponent)).code for code in codes.tolist()], base.fmt.dtype)
    return result(base.fmt, powers[places.reshape(np.shape(base))])


def _reduce(name: str, ufunc: np.ufunc, x: Any, kwargs: dict[str, Any]) -> Any:
    axis, keepdims = kwargs.pop("axis", 0), kwargs.pop("keepdims", False)
    take_nothing(name, kwargs)
    if ufunc is np.add:
        return result(x.fmt, import_module("positcore.reductions").sum(x.fmt, _codes_of(x), axis, keepdims))
    if ufunc in _EXTREMES:
        return extreme(ufunc, x, axis, keepdims)
    if ufunc in _LOGICAL:
        return ufunc.reduce(_codes_of(x) != 0, axis=axis, keepdims=keepdims)
    raise undefined(name)


def extreme(ufunc: np.ufunc, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The greatest (`np.maximum`) or least (`np.minimum`) posits along an axis; NaR is the least of all."""
    reduced = ufunc.reduce(signed_codes(x.fmt, _codes_of(x)), axis=axis, keepdims=keepdims)
    return result(x.fmt, unsigned_codes(x.fmt, np.asarray(reduced)))


def _store(name: str, computed: Any, out: tuple[Any, ...], where: Any) -> Any:
    (target,) = out
    if is_posit(computed) != is_posit(target) or (is_posit(target) and target.fmt != computed.fmt):
        kind = computed.fmt if is_posit(computed) else "bool"
        there = target.fmt if is_posit(target) else target.dtype
        raise TypeError(f"{name}: the result is of {kind} and cannot be stored in an array of {there}; use astype")
    if is_posit(target):
        np.copyto(target.codes, _codes_of(computed), where=where)
    else:
        np.copyto(target, computed, casting="same_kind", where=where)
    return target


def _square(fmt: PositFormat, a: NDArray[Any]) -> NDArray[Any]:
    return arithmetic.mul(fmt, a, a)


def _least_number(fmt: PositFormat, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """`np.fmin`: the lesser, or the other if one is NaR."""
    return np.where(a == fmt.nar, b, np.where(b == fmt.nar, a, comparison.minimum(fmt, a, b)))


def _next_after(fmt: PositFormat, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """The posit after a on the way to b, b if they are equal, NaR if one is."""
    up = comparison.less(fmt, a, b)
    step = np.where(up, comparison.next_up(fmt, a), comparison.next_down(fmt, a))
    absorbed = (a == fmt.nar) | (b == fmt.nar)
    return np.where(absorbed, fmt.nar, np.where(a == b, b, step)).astype(fmt.dtype)


def _matmul(fmt: PositFormat, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """`np.matmul` by the quire; a vector stands for a matrix of one row, or of one column."""
    if not a.ndim or not b.ndim:
        raise ValueError("np.matmul on posits takes arrays of one dimension or more; * multiplies by a number")
    x = a[np.newaxis] if a.ndim == 1 else a
    y = b[:, np.newaxis] if b.ndim == 1 else b
    product = import_module("positcore.gemm").matmul(MacSpec(fmt), x, y)
    product = product[..., 0] if b.ndim == 1 else product
    return product[..., 0, :] if a.ndim == 1 and b.ndim > 1 else product[..., 0] if a.ndim == 1 else product


def _vecdot(fmt: PositFormat, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    x, y = np.broadcast_arrays(a, b)
    return _matmul(fmt, x[..., np.newaxis, :], y[..., :, np.newaxis])[..., 0, 0]


def _in_rationals(function: Callable[[Any, Any], Any]) -> Codes:
    """An operation as `Posit` has it, one pair of distinct codes after the other."""

    def operation(fmt: PositFormat, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        x, y = np.broadcast_arrays(a, b)
        pairs, places = np.unique(x.astype(np.int64) << 32 | y, return_inverse=True)
        codes = [function(Posit(fmt, p >> 32 & fmt.mask), Posit(fmt, p & fmt.mask)).code for p in pairs.tolist()]
        return np.array(codes, fmt.dtype)[places.reshape(x.shape)]

    return operation


def _kept(fmt: PositFormat, a: NDArray[Any]) -> NDArray[Any]:
    return a.copy()


_ROUNDED: dict[np.ufunc, Codes] = {
    np.add: arithmetic.add, np.subtract: arithmetic.sub, np.multiply: arithmetic.mul, np.divide: arithmetic.div,
    np.square: _square, np.sqrt: arithmetic.sqrt, np.reciprocal: functions.reciprocal,
    np.negative: arithmetic.neg, np.positive: _kept, np.conjugate: _kept,
    np.absolute: comparison.abs, np.fabs: comparison.abs, np.sign: comparison.sign,
    np.maximum: comparison.maximum, np.minimum: comparison.minimum, np.fmax: comparison.maximum, np.fmin: _least_number,
    np.nextafter: _next_after, np.rint: integers.round_to_int, np.floor: integers.floor, np.ceil: integers.ceil,
    np.trunc: integers.trunc, np.exp: functions.exp, np.exp2: functions.exp2, np.expm1: functions.expm1,
    np.log: functions.log, np.log2: functions.log2, np.log1p: functions.log1p, np.tanh: functions.tanh,
    np.floor_divide: _in_rationals(operator.floordiv), np.remainder: _in_rationals(operator.mod),
    np.sin: functions.sin, np.cos: functions.cos, np.matmul: _matmul, np.vecdot: _vecdot,
}  # fmt: skip
_DIRECT_POWERS = {1: np.positive, 2: np.square, -1: np.reciprocal}
_COMPARISONS = {np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal}
_LOGICAL = {np.logical_and, np.logical_or, np.logical_xor, np.logical_not}
_EXTREMES = {np.maximum, np.minimum}
_PREDICATES: dict[np.ufunc, Codes] = {
    np.isnan: lambda fmt, codes: codes == fmt.nar,
    np.isfinite: lambda fmt, codes: codes != fmt.nar,
    np.isinf: lambda fmt, codes: np.zeros_like(codes, np.bool_)[()],
    np.signbit: lambda fmt, codes: codes >= fmt.nar,
}
_BITWISE = (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert, np.left_shift, np.right_shift)
_REMEDIES = dict.fromkeys(_BITWISE, "the bits are those of x.codes") | {
    np.float_power: "np.power with an integer exponent is rounded once",
}
