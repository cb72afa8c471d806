"""NumPy's array functions on posits (NEP 18): those that move, order or compare elements, or sum them exactly.

Functions that only move elements run on the codes; those that join arrays round what is not yet a posit. Everything
else is a `TypeError` that names the function and the way around.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore import layout, reductions, ufuncs
from positcore.arrays import PositArray
from positcore.operands import common_format, is_posit, rounded_codes, signed_codes, standing, unsigned_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from positcore.format import PositFormat

__all__ = ["apply"]

# Elements of the first argument, moved: the codes move alike.
_MOVING = (
    np.reshape, np.transpose, np.swapaxes, np.moveaxis, np.rollaxis, np.squeeze, np.expand_dims, np.ravel, np.copy,
    np.broadcast_to, np.broadcast_arrays, np.atleast_1d, np.atleast_2d, np.atleast_3d, np.flip, np.fliplr, np.flipud,
    np.roll, np.rot90, np.repeat, np.tile, np.resize, np.take, np.take_along_axis, np.compress, np.extract, np.delete,
    np.diag, np.diagflat, np.diagonal, np.tril, np.triu, np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit,
    np.trim_zeros, np.matrix_transpose,
)  # fmt: skip
# A sequence of arrays, joined.
_JOINING = (np.concatenate, np.stack, np.vstack, np.hstack, np.dstack, np.column_stack, np.block)
# What codes tell, as 0 alone is coded 0.
_TELLING = (
    np.shape, np.ndim, np.size, np.any, np.all, np.nonzero, np.flatnonzero, np.argwhere, np.count_nonzero,
    np.shares_memory, np.may_share_memory, np.iscomplexobj, np.isrealobj,
)  # fmt: skip
_PADDING = ("constant", "edge", "reflect", "symmetric", "wrap", "empty")
_REMEDIES: dict[Any, str] = {
    np.allclose: "np.array_equal compares exactly, and to_numpy() gives floats to compare with a tolerance",
    np.isclose: "== compares exactly, and to_numpy() gives floats to compare with a tolerance",
    np.cumsum: "each prefix has a sum of its own: x[:i].sum() rounds it once",
    np.prod: "a product would be rounded at every step; write the steps",
    np.save: "positcore.save keeps the format; np.asarray(x) gives the values to save as float64",
    np.einsum: "np.matmul, np.tensordot and sum() round once",
}
_REMEDIES |= dict.fromkeys((np.savez, np.savez_compressed), _REMEDIES[np.save])


def apply(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What `PositArray.__array_function__` does."""
    name = f"{func.__module__.replace('numpy', 'np', 1)}.{func.__name__}"
    if func in _TELLING:
        return func(*_bare(args), **_bare(kwargs))
    if func in _MOVING:
        fmt = common_format(name, (args, kwargs))
        return _wrapped(fmt, func(*_bare(args), **_bare(kwargs)), kwargs.get("out"))
    if func in _JOINING:
        return _join(name, func, *args, **kwargs)
    if func not in _OWN:
        raise ufuncs.undefined(name, _REMEDIES.get(func, ""))
    return _OWN[func](*args, **kwargs)


def _bare(nested: Any) -> Any:
    """The same with codes in the place of posits."""
    if isinstance(nested, dict):
        return {key: _bare(item) for key, item in nested.items()}
    if isinstance(nested, list | tuple):
        return type(nested)(_bare(item) for item in nested)
    return nested.codes if isinstance(nested, PositArray) else nested


def _wrapped(fmt: PositFormat, moved: Any, out: Any = None) -> Any:
    if out is not None:
        return out
    if isinstance(moved, list | tuple):
        return type(moved)(_wrapped(fmt, item) for item in moved)
    return PositArray.of_codes(fmt, moved) if isinstance(moved, np.ndarray) else ufuncs.result(fmt, moved)


def _join(name: str, func: Callable[..., Any], arrays: Any, *places: Any, out: Any = None, **options: Any) -> Any:
    ufuncs.take_nothing(name, {key: value for key, value in options.items() if key != "axis"})
    arrays = arrays if isinstance(arrays, list | tuple | PositArray) else list(arrays)
    fmt = common_format(name, (arrays, out))

    def coded(item: Any) -> Any:
        nested = isinstance(item, list | tuple) and (func is np.block or item is arrays)
        return [coded(x) for x in item] if nested else rounded_codes(fmt, item, name)

    stored = {} if out is None else {"out": out.codes}
    return _wrapped(fmt, func(coded(arrays), *places, **options, **stored), out)


def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    chosen = condition.codes != 0 if isinstance(condition, PositArray) else condition
    if x is None and y is None:
        return np.where(chosen)
    fmt = common_format("np.where", (x, y))
    return _wrapped(fmt, np.where(chosen, *(rounded_codes(fmt, v, "np.where") for v in (x, y))))


def _append(arr: Any, values: Any, axis: int | None = None) -> Any:
    fmt = common_format("np.append", (arr, values))
    codes, appended = (rounded_codes(fmt, x, "np.append") for x in (arr, values))
    return _wrapped(fmt, np.append(codes, appended, axis=axis))


def _insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    fmt = common_format("np.insert", (arr, values))
    codes, inserted = (rounded_codes(fmt, x, "np.insert") for x in (arr, values))
    return _wrapped(fmt, np.insert(codes, obj, inserted, axis=axis))


def _pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Any:
    if mode not in _PADDING or (mode in ("reflect", "symmetric") and options.get("reflect_type", "even") != "even"):
        raise ufuncs.undefined(f"np.pad with mode={mode!r}", f"these modes only move elements: {', '.join(_PADDING)}")
    if "constant_values" in options:
        options["constant_values"] = rounded_codes(array.fmt, options["constant_values"], "np.pad")
    return _wrapped(array.fmt, np.pad(array.codes, pad_width, mode, **options))


def _copyto(dst: Any, src: Any, casting: Any = None, where: Any = True) -> None:
    if not isinstance(dst, PositArray):
        raise TypeError(f"np.copyto: posits cannot be stored in an array of {dst.dtype}; use astype")
    fmt = common_format("np.copyto", (dst, src))
    np.copyto(dst.codes, rounded_codes(fmt, src, "np.copyto"), where=where)


def _like(name: str, value: Any) -> Callable[..., Any]:
    def like(a: Any, dtype: Any = None, order: Any = None, subok: Any = None, shape: Any = None, **other: Any) -> Any:
        ufuncs.take_nothing(name, {"dtype": dtype, **other})
        return PositArray.from_values(a.fmt, np.full(a.shape if shape is None else shape, value))

    return like


def _full_like(a: Any, fill_value: Any, dtype: Any = None, order: Any = None, subok: Any = None, **shape: Any) -> Any:
    ufuncs.take_nothing("np.full_like", {"dtype": dtype})
    fmt = common_format("np.full_like", (a, fill_value))
    filled = np.empty(shape.get("shape", a.shape), fmt.dtype)
    filled[...] = rounded_codes(fmt, fill_value, "np.full_like")
    return PositArray.of_codes(fmt, filled)


# Orders --------------------------------------------------------------------------------------------


def _keys(a: Any) -> NDArray[np.int64]:
    return signed_codes(a.fmt, a.codes)


def _sort(a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: bool | None = None) -> Any:
    ufuncs.take_nothing("np.sort", {"order": order})
    return _wrapped(a.fmt, unsigned_codes(a.fmt, np.sort(_keys(a), axis, kind, stable=stable)))


def _argsort(a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: bool | None = None) -> Any:
    ufuncs.take_nothing("np.argsort", {"order": order})
    return np.argsort(_keys(a), axis, kind, stable=stable)


def _by_order(func: Any) -> Callable[..., Any]:
    """`argmax` and its like, on keys that have the order of the posits."""
    return lambda a, *args, **kwargs: func(_keys(a), *args, **kwargs)


def _extreme(name: str, ufunc: np.ufunc) -> Callable[..., Any]:
    def extreme(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **other: Any) -> Any:
        ufuncs.take_nothing(name, {"out": out, **other})
        return ufuncs.extreme(ufunc, a, axis, _wanted(keepdims))

    return extreme


def _wanted(keepdims: Any) -> bool:
    return keepdims is not np._NoValue and bool(keepdims)


def _ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    ufuncs.take_nothing("np.ptp", {"out": out})
    return a.max(axis, _wanted(keepdims)) - a.min(axis, _wanted(keepdims))


def _unique(ar: Any, *args: Any, **kwargs: Any) -> Any:
    found = np.unique(_keys(ar), *args, **kwargs)
    first, *others = found if isinstance(found, tuple) else (found,)
    values = _wrapped(ar.fmt, unsigned_codes(ar.fmt, first))
    return (values, *others) if isinstance(found, tuple) else values


def _searchsorted(a: Any, v: Any, side: Any = "left", sorter: Any = None) -> Any:
    fmt = a.fmt if isinstance(a, PositArray) else v.fmt
    (places, wrong_a), (wanted, wrong_v) = (standing(fmt, x, "np.searchsorted") for x in (a, v))
    if wrong_a.any() or wrong_v.any():
        raise ValueError("np.searchsorted: nan has no place among posits")
    return np.searchsorted(places, wanted, side, sorter)


def _isin(element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, **more: Any) -> Any:
    ufuncs.take_nothing("np.isin", more)
    fmt = element.fmt if isinstance(element, PositArray) else test_elements.fmt
    (x, nan), (y, no_number) = (standing(fmt, v, "np.isin") for v in (element, test_elements))
    return (np.isin(x, y[~no_number], assume_unique) & ~nan) != invert


def _clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, **other: Any) -> Any:
    low, high = (other.pop(key, None) if old is None else old for key, old in (("min", a_min), ("max", a_max)))
    ufuncs.take_nothing("np.clip", other)
    limited, nar = a, np.isnan(a)
    for bound, choose in ((low, np.maximum), (high, np.minimum)):
        if bound is not None:
            nar = nar | (bound != bound if not is_posit(bound) else np.isnan(bound))
            limited = choose(limited, bound)
    codes = np.asarray(limited.codes).copy()
    codes[np.broadcast_to(nar, codes.shape)] = limited.fmt.nar
    clipped = _wrapped(limited.fmt, codes)
    if out is not None:
        _copyto(out, clipped)
    return clipped if out is None else out


def _array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    return np.shape(a1) == np.shape(a2) and bool(np.all(np.equal(a1, a2)))


# Sums ----------------------------------------------------------------------------------------------


def _summed(name: str, function: Callable[..., NDArray[Any]]) -> Callable[..., Any]:
    def summed(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **more: Any) -> Any:
        ufuncs.take_nothing(name, {"dtype": dtype, "out": out, **more})
        return ufuncs.result(a.fmt, function(a.fmt, a.codes, axis, _wanted(keepdims)))

    return summed


def _diff(a: Any, n: int = 1, axis: int = -1, **ends: Any) -> Any:
    ufuncs.take_nothing("np.diff", ends)
    if n != 1:
        raise ufuncs.undefined(f"np.diff with n={n}", "each difference is rounded; n=1 takes one")
    steps = np.moveaxis(a, axis, 0)
    return np.moveaxis(steps[1:] - steps[:-1], 0, axis)


def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    ufuncs.take_nothing("np.trace", {"dtype": dtype, "out": out})
    return np.diagonal(a, offset, axis1, axis2).sum(axis=-1)


def _dot(a: Any, b: Any, out: Any = None) -> Any:
    ufuncs.take_nothing("np.dot", {"out": out})
    if not np.ndim(a) or not np.ndim(b):
        return np.multiply(a, b)
    return np.tensordot(a, b, axes=((-1,), (max(-2, -np.ndim(b)),)))


def _inner(a: Any, b: Any) -> Any:
    return np.tensordot(a, b, axes=((-1,), (-1,))) if np.ndim(a) and np.ndim(b) else np.multiply(a, b)


def _vdot(a: Any, b: Any) -> Any:
    return _dot(np.ravel(a), np.ravel(b))


def _outer(a: Any, b: Any, out: Any = None) -> Any:
    ufuncs.take_nothing("np.outer", {"out": out})
    return np.multiply.outer(np.ravel(a), np.ravel(b))


def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    fmt = common_format("np.tensordot", (a, b))
    x, y = (rounded_codes(fmt, v, "np.tensordot") for v in (a, b))
    if isinstance(axes, int | np.integer):
        axes = (range(x.ndim - axes, x.ndim), range(axes))
    summed_x, summed_y = (
        [i % v.ndim for i in np.atleast_1d(np.asarray(list(s) if not np.isscalar(s) else s, int)).tolist()]
        for s, v in zip(axes, (x, y), strict=True)
    )
    if [x.shape[i] for i in summed_x] != [y.shape[i] for i in summed_y]:
        raise ValueError(f"np.tensordot: shapes {x.shape} and {y.shape} do not fit along axes {summed_x}, {summed_y}")
    free_x, free_y = ([i for i in range(v.ndim) if i not in s] for v, s in ((x, summed_x), (y, summed_y)))
    terms = int(np.prod([x.shape[i] for i in summed_x], dtype=np.int64))
    rows = x.transpose(free_x + summed_x).reshape(-1, terms) if x.size else np.zeros((0, terms), fmt.dtype)
    columns = y.transpose(summed_y + free_y).reshape(terms, -1) if y.size else np.zeros((terms, 0), fmt.dtype)
    product = np.matmul(PositArray.of_codes(fmt, rows), PositArray.of_codes(fmt, columns))
    return _wrapped(fmt, product.codes.reshape([x.shape[i] for i in free_x] + [y.shape[i] for i in free_y])[()])


def _round(a: Any, decimals: int = 0, out: Any = None) -> Any:
    if decimals:
        raise ufuncs.undefined(f"np.round with decimals={decimals}", "decimals=0 gives the nearest integers")
    return np.rint(a) if out is None else np.rint(a, out=out)


# Text ----------------------------------------------------------------------------------------------


def _array2string(
    a: Any, max_line_width: Any = None, precision: Any = None, suppress_small: Any = None, separator: str = " ",
    prefix: str = "", *, formatter: Any = None, **options: Any,
) -> str:  # fmt: skip
    ufuncs.take_nothing("np.array2string", {"formatter": formatter})
    return layout.written(a, separator, max_line_width=max_line_width, prefix=prefix, **options)


_OWN: dict[Any, Callable[..., Any]] = {
    np.where: _where, np.append: _append, np.insert: _insert, np.pad: _pad, np.copyto: _copyto,
    np.zeros_like: _like("np.zeros_like", 0), np.ones_like: _like("np.ones_like", 1),
    np.empty_like: _like("np.empty_like", 0), np.full_like: _full_like,
    np.sort: _sort, np.argsort: _argsort, np.argmax: _by_order(np.argmax), np.argmin: _by_order(np.argmin),
    np.argpartition: _by_order(np.argpartition), np.max: _extreme("np.max", np.maximum),
    np.min: _extreme("np.min", np.minimum), np.amax: _extreme("np.amax", np.maximum),
    np.amin: _extreme("np.amin", np.minimum), np.ptp: _ptp, np.unique: _unique, np.searchsorted: _searchsorted,
    np.clip: _clip, np.isin: _isin, np.array_equal: _array_equal, np.sum: _summed("np.sum", reductions.sum),
    np.mean: _summed("np.mean", reductions.mean), np.trace: _trace, np.diff: _diff, np.dot: _dot, np.inner: _inner,
    np.vdot: _vdot,
    np.outer: _outer, np.tensordot: _tensordot, np.round: _round, np.around: _round, np.array2string: _array2string,
    np.array_repr: lambda arr, *args, **kwargs: repr(arr), np.array_str: lambda a, *args, **kwargs: str(a),
}  # fmt: skip
