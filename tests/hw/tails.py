"""Which of many parameters the ordinary test run tries: the others are left to `pytest -m slow`."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

__all__ = ["ends", "ordinary"]


def ordinary(parameters: Iterable[Any], kept: Callable[[Any], bool]) -> list[Any]:
    """All parameters; those that are not `kept` are marked slow."""
    return [x if kept(x) else _slow(x) for x in parameters]


def ends(stages: range) -> list[Any]:
    """Depths of a pipeline: the least and the greatest in the ordinary run."""
    return ordinary(stages, lambda depth: depth in (stages[0], stages[-1]))


def _slow(parameter: Any) -> Any:
    if hasattr(parameter, "marks"):  # a pytest.param already
        return pytest.param(*parameter.values, marks=pytest.mark.slow, id=parameter.id)
    return pytest.param(parameter, marks=pytest.mark.slow)
