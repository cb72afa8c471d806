"""Operations on arrays of codes, each correctly rounded once: add, sub, mul, div, sqrt, fma, fms, convert.

Operands broadcast as NumPy's do. An operation decodes to float64, computes exactly with rounding to odd
(`positcore.odd`) and encodes, a block that fits the cache at a time. `values_*` are the same operations on
floats that hold posit values, as tensors do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import check_codes, decode_into, encode_into
from positcore.elements import (
    difference_rounded,
    fma_rounded,
    product_rounded,
    quotient_rounded,
    root_rounded,
    sum_rounded,
)
from positcore.format import PositFormat
from positcore.jit import kernel
from positcore.odd import difference_into, fma_into, product_into, quotient_into, root_into, sum_into
from positcore.threads import run_split

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Operand = tuple[NDArray[Any], int]  # items, and the number of places in line that each serves

__all__ = [
    "add", "convert", "div", "fma", "fms", "mul", "neg", "sqrt", "sub",
    "values_add", "values_div", "values_fma", "values_mul", "values_sqrt", "values_sub",
]  # fmt: skip

Kernel = Callable[..., None]

_BLOCK = 1 << 14
_GRAIN = 1 << 15


def add(fmt: PositFormat, a: ArrayLike, b: ArrayLike) -> NDArray[Any]:
    """a + b on codes of `fmt`, rounded once; NaR if an operand is.

    Parameters
    ----------
    fmt : PositFormat
    a, b : array_like of codes
        Unsigned integers below 2^n, shapes that broadcast.

    Returns
    -------
    ndarray of `fmt.dtype`, the broadcast shape

    Raises
    ------
    TypeError, ValueError
        If an operand is not an array of codes, or the shapes do not broadcast.
    """
    return _on_codes("add", sum_into, fmt, a, b)


def sub(fmt: PositFormat, a: ArrayLike, b: ArrayLike) -> NDArray[Any]:
    """a − b on codes of `fmt`, rounded once; parameters and errors as for `add`."""
    return _on_codes("sub", difference_into, fmt, a, b)


def mul(fmt: PositFormat, a: ArrayLike, b: ArrayLike) -> NDArray[Any]:
    """a · b on codes of `fmt`, rounded once; parameters and errors as for `add`."""
    return _on_codes("mul", product_into, fmt, a, b)


def div(fmt: PositFormat, a: ArrayLike, b: ArrayLike) -> NDArray[Any]:
    """a / b on codes of `fmt`, rounded once; x / 0 is NaR; parameters and errors as for `add`."""
    return _on_codes("div", quotient_into, fmt, a, b)


def sqrt(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """√a on codes of `fmt`, rounded once; a < 0 is NaR; parameters and errors as for `add`."""
    return _on_codes("sqrt", root_into, fmt, a)


def fma(fmt: PositFormat, a: ArrayLike, b: ArrayLike, c: ArrayLike) -> NDArray[Any]:
    """a · b + c on codes of `fmt`, rounded once; parameters and errors as for `add`."""
    return _on_codes("fma", fma_into, fmt, a, b, c)


def fms(fmt: PositFormat, a: ArrayLike, b: ArrayLike, c: ArrayLike) -> NDArray[Any]:
    """a · b − c on codes of `fmt`, rounded once; parameters and errors as for `add`."""
    return _on_codes("fms", fma_into, fmt, a, b, neg(fmt, c))


def neg(fmt: PositFormat, a: ArrayLike) -> NDArray[Any]:
    """−a, exact: the two's complement of the code; 0 and NaR stay."""
    codes = check_codes(fmt, a, "neg")
    return np.negative(codes) & codes.dtype.type(fmt.mask)


def convert(src: PositFormat, dst: PositFormat, codes: ArrayLike) -> NDArray[Any]:
    """Codes of `src` rounded to codes of `dst`; NaR stays NaR.

    Returns
    -------
    ndarray of `dst.dtype`, the shape of `codes`

    Raises
    ------
    TypeError, ValueError
        If `codes` are not codes of `src`.
    """
    array = check_codes(src, codes, "convert")
    out = np.empty(array.shape, dst.dtype)
    _blockwise(_copy, [(array.reshape(-1), 1)], out, partial(_load_codes, src), partial(_store_codes, dst))
    return out


def values_add(fmt: PositFormat, *operands: NDArray[Any]) -> NDArray[Any]:
    """x + y on floats that hold posit values, rounded once to `fmt`; NaR is nan. Result in `fmt.tensor_dtype`."""
    return _on_values(sum_rounded, fmt, operands)


def values_sub(fmt: PositFormat, x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """x − y on values; see `values_add`."""
    return _on_values(difference_rounded, fmt, (x, y))


def values_mul(fmt: PositFormat, *operands: NDArray[Any]) -> NDArray[Any]:
    """x · y on values; see `values_add`."""
    return _on_values(product_rounded, fmt, operands)


def values_div(fmt: PositFormat, *operands: NDArray[Any]) -> NDArray[Any]:
    """x / y on values, nan for y = 0; see `values_add`."""
    return _on_values(quotient_rounded, fmt, operands)


def values_sqrt(fmt: PositFormat, *operands: NDArray[Any]) -> NDArray[Any]:
    """√x on values; x < 0 is nan; see `values_add`."""
    return _on_values(root_rounded, fmt, operands)


def values_fma(fmt: PositFormat, *operands: NDArray[Any]) -> NDArray[Any]:
    """x · y + z on values; see `values_add`."""
    return _on_values(fma_rounded, fmt, operands)


def _on_codes(name: str, op: Kernel, fmt: PositFormat, *operands: ArrayLike) -> NDArray[Any]:
    arrays, shape = _broadcast([check_codes(fmt, a, name) for a in operands], name)
    out = np.empty(shape, fmt.dtype)
    _blockwise(op, arrays, out, partial(_load_codes, fmt), partial(_store_codes, fmt))
    return out


def _on_values(op: Kernel, fmt: PositFormat, operands: tuple[NDArray[Any], ...]) -> NDArray[Any]:
    arrays, shape = _broadcast([np.asarray(x) for x in operands], "values")
    out = np.empty(shape, fmt.tensor_dtype)
    as_they_are = len({a.dtype for a, _ in arrays}) == 1 and arrays[0][0].dtype in (np.float32, np.float64)

    def run(*block: Any) -> None:
        op(*block[:-1], fmt.n, fmt.es, fmt.flushed, block[-1])

    _blockwise(run, arrays, out, None if as_they_are else _copy)
    return out


def _load_codes(fmt: PositFormat, codes: NDArray[Any], block: NDArray[np.float64]) -> None:
    decode_into(codes, fmt.n, fmt.es, block)


def _store_codes(fmt: PositFormat, block: NDArray[np.float64], codes: NDArray[Any]) -> None:
    encode_into(block, fmt.n, fmt.es, fmt.flushed, codes)


@kernel
def _spread_into(items: Any, each: int, skipped: int, block: Any) -> None:
    """Fill a block with items, `each` times one after another; of the first, `skipped` are before the block."""
    start = 0
    for k in range(items.size):
        stop = min((k + 1) * each - skipped, block.size)
        part, item = block[start:stop], items[k]
        for i in range(part.size):
            part[i] = item
        start = stop


def _copy(source: NDArray[Any], block: NDArray[np.float64]) -> None:
    np.copyto(block, source)


def _blockwise(
    op: Kernel, arrays: list[Operand], out: NDArray[Any], load: Kernel | None, store: Kernel | None = None
) -> None:
    """Load operands into float64 blocks, compute, store; an operand whose items serve many places is spread in a block.

    Without `load` the operation takes them as they are; without `store` it makes the results themselves.
    """
    flat = out.reshape(-1)

    def work(start: int, stop: int) -> None:
        size = min(_BLOCK, stop - start)
        result = np.empty(size if store else 0)
        blocks = [np.empty(size, np.float64 if load else a.dtype) for a, _ in arrays]
        for i in range(start, stop, _BLOCK):
            j = min(i + _BLOCK, stop)
            operands = [block[: j - i] for block in blocks]
            for k, (a, each) in enumerate(arrays):
                if each > 1:
                    first, last = i // each, (j - 1) // each + 1
                    items = a[first:last]
                    if load:
                        load(items, operands[k][: last - first])
                        items = operands[k][: last - first].copy()
                    _spread_into(items, each, i - first * each, operands[k])
                elif load:
                    load(a[i:j], operands[k])
                else:
                    operands[k] = a[i:j]
            if store:
                op(*operands, result[: j - i])
                store(result[: j - i], flat[i:j])
            else:
                op(*operands, flat[i:j])

    run_split(work, flat.size, _GRAIN)


def _broadcast(arrays: list[NDArray[Any]], name: str) -> tuple[list[Operand], tuple[int, ...]]:
    """Flat contiguous arrays, each with the number of places in line that one item serves, and the common shape."""
    try:
        shape = np.broadcast_shapes(*[a.shape for a in arrays])
    except ValueError:
        shapes = " and ".join(str(a.shape) for a in arrays)
        raise ValueError(f"{name}: operands of shapes {shapes} do not broadcast") from None
    return [_spread(a, shape) for a in arrays], shape


def _spread(a: NDArray[Any], shape: tuple[int, ...]) -> Operand:
    """An operand whose last dimensions are 1 where those of `shape` are not stays as short as it is."""
    sizes = (1,) * (len(shape) - a.ndim) + a.shape
    kept = len(shape)
    while kept and sizes[kept - 1] == 1:
        kept -= 1
    each = prod(shape[kept:])
    if each <= 1:
        return np.ascontiguousarray(np.broadcast_to(a, shape)).reshape(-1), 1
    leading = np.broadcast_to(a.reshape(sizes[:kept]), shape[:kept])
    return np.ascontiguousarray(leading).reshape(-1), each
