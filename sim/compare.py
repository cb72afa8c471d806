"""The first input of many on which RTL and golden model differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from positcore.hw.units import Design
from positcore.sim.report import Mismatch

__all__ = ["first_difference"]

Columns = Mapping[str, NDArray[Any]]


def first_difference(design: Design, inputs: Columns, got: Columns, want: Columns) -> Mismatch | None:
    """The first of some inputs whose outputs differ, outputs that the golden model masks excepted."""
    assert set(got) == set(want), f"{design}: outputs {sorted(got)} but golden {sorted(want)}"
    differs = np.zeros(next(iter(inputs.values())).size, bool)
    for name, expected in want.items():
        differs |= np.ma.filled(got[name] != np.ma.asarray(expected).astype(np.int64), False)
    if not differs.any():
        return None
    at = int(differs.argmax())
    return Mismatch(
        inputs={name: [int(column[at])] for name, column in inputs.items()},
        got={name: int(column[at]) for name, column in got.items()},
        want={name: int(np.ma.getdata(column)[at]) for name, column in want.items()},
    )
