"""How arrays of posits are printed: NumPy's layout, the shortest decimals that tell a posit from its neighbors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.text import to_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from positcore.arrays import PositArray

__all__ = ["represented", "written"]


def represented(array: PositArray) -> str:
    """The `repr`: `PositArray([1.0, 0.5, NaR], posit<8,2>)`."""
    shape = f" shape={array.shape}," if not array.size and array.shape != (0,) else ""
    suffix = f",{shape} {array.fmt})"
    return "PositArray(" + written(array, ", ", prefix="PositArray(", suffix=suffix) + suffix


def written(array: PositArray, separator: str, **layout: Any) -> str:
    """The numbers in brackets, as `numpy.array2string` lays them out by NumPy's print options; `layout` overrides."""
    options = {**np.get_printoptions(), **{key: value for key, value in layout.items() if value is not None}}
    threshold, edges = options["threshold"], options["edgeitems"]
    shown = _corners(array.codes, edges) if array.size > threshold else array.codes
    texts = dict(zip(shown.reshape(-1).tolist(), to_text(array.fmt, shown).reshape(-1).tolist(), strict=True))
    width = max(map(len, texts.values()), default=0)
    formatter = {"int": lambda code: texts[int(code)].rjust(width)}
    return np.array2string(array.codes, separator=separator, formatter=formatter, **layout)  # type: ignore[arg-type]


def _corners(codes: NDArray[Any], edges: int) -> NDArray[Any]:
    """What is left of an array when NumPy summarizes it: the first and the last items of each axis."""
    for axis, length in enumerate(codes.shape):
        if length > 2 * edges:
            codes = codes.take([*range(edges), *range(length - edges, length)], axis)
    return codes
