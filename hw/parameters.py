"""Checks of the parameters that the units share; each error names thing, expectation and remedy."""

from __future__ import annotations

from positcore.format import PositFormat
from positcore.mac import MacSpec, Quire

__all__ = ["check_format", "check_spec", "check_stages", "check_width"]


def check_format(unit: str, fmt: object) -> PositFormat:
    """`fmt` itself, if it is a `PositFormat`."""
    if not isinstance(fmt, PositFormat):
        raise TypeError(f"{unit}: fmt must be a PositFormat such as PositFormat(8, 2), not {fmt!r}")
    return fmt


def check_spec(unit: str, spec: object) -> MacSpec:
    """`spec` itself, if it is a `MacSpec`."""
    if not isinstance(spec, MacSpec):
        raise TypeError(f"{unit}: spec must be a MacSpec such as MacSpec(PositFormat(8, 2)), not {spec!r}")
    if not isinstance(spec.accumulator, Quire):
        raise TypeError(f"{unit}: the accumulator must be a Quire; there is no RTL of {spec.accumulator} yet")
    return spec


def check_stages(unit: str, stages: object, cuts: tuple[str, ...]) -> int:
    """`stages` itself, if the unit has as many places to cut its pipeline."""
    if isinstance(stages, bool) or not isinstance(stages, int):
        raise TypeError(f"{unit}: stages must be an integer in 0..{len(cuts)}, not {stages!r}")
    if not 0 <= stages <= len(cuts):
        raise ValueError(
            f"{unit}: stages must be an integer in 0..{len(cuts)} (it can be cut after: "
            f"{', '.join(cuts)}), not {stages}"
        )
    return stages


def check_width(unit: str, name: str, value: object, low: int) -> int:
    """`value` itself, if it is a width of at least `low` bits."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{unit}: {name} must be an integer of at least {low}, not {value!r}")
    if value < low:
        raise ValueError(f"{unit}: {name} must be at least {low} bits, not {value}")
    return value
