"""Which of many parameters the ordinary test run tries: the others are left to `pytest -m slow`."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

__all__ = ["ends", "ordinary", "some_depths"]


def ordinary(parameters: Iterable[Any], kept: Callable[[Any], bool]) -> list[Any]:
    """All parameters; those that are not `kept` are marked slow."""
    return [x if kept(x) else _slow(x) for x in parameters]


def ends(stages: range) -> list[Any]:
    """Depths of a pipeline: the least and the greatest in the ordinary run."""
    return ordinary(stages, lambda depth: depth in (stages[0], stages[-1]))


def some_depths(cuts: int) -> list[int]:
    """Depths of a pipeline of so many cuts: all, or with more than eight the ends, their neighbors and the middle."""
    return sorted({*range(cuts + 1)} if cuts <= 8 else {0, 1, 2, cuts // 2, cuts - 1, cuts})


def _slow(parameter: Any) -> Any:
    if hasattr(parameter, "marks"):  # a pytest.param already
        return pytest.param(*parameter.values, marks=pytest.mark.slow, id=parameter.id)
    return pytest.param(parameter, marks=pytest.mark.slow)
