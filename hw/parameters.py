"""Checks of the parameters that the units share; each error names thing, expectation and remedy."""

from __future__ import annotations

from positcore.elementary import FUNCTIONS
from positcore.format import PositFormat
from positcore.mac import Accumulator, Aligned, MacSpec, Quire

__all__ = [
    "FLOAT_WIDTHS", "check_bits", "check_dsp", "check_float_format", "check_format", "check_function", "check_lanes",
    "check_signed", "check_size", "check_spec", "check_stages", "check_width",
]  # fmt: skip

FLOAT_WIDTHS = {"float16": (5, 10), "bfloat16": (8, 7), "float32": (8, 23)}  # bits of exponent and fraction


def check_bits(unit: str, bits: object) -> int:
    """`bits` itself, if integers have that width."""
    if isinstance(bits, bool) or bits not in (8, 16, 32, 64):
        raise ValueError(f"{unit}: bits must be 8, 16, 32 or 64, the width of the integers, not {bits!r}")
    assert isinstance(bits, int)
    return bits


def check_float_format(unit: str, name: object) -> str:
    """`name` itself, if it is a float format that has units."""
    if not isinstance(name, str) or name not in FLOAT_WIDTHS:
        raise ValueError(f"{unit}: the float format must be one of {', '.join(FLOAT_WIDTHS)}, not {name!r}")
    return name


def check_function(unit: str, fmt: PositFormat, name: object) -> str:
    """`name` itself, if there are proven tables of that function, and for that format."""
    if not isinstance(name, str) or name not in FUNCTIONS:
        raise ValueError(f"{unit}: the function must be one of {', '.join(FUNCTIONS)}, not {name!r}")
    if fmt.n > 16:
        raise ValueError(f"{unit}: a table of {name} is built for formats of n ≤ 16, not {fmt}; convert to one first")
    return name


def check_signed(unit: str, signed: object) -> bool:
    """`signed` itself, if it is a bool."""
    if not isinstance(signed, bool):
        raise TypeError(f"{unit}: signed must be True or False, not {signed!r}")
    return signed


def check_format(unit: str, fmt: object) -> PositFormat:
    """`fmt` itself, if it is a `PositFormat`."""
    if not isinstance(fmt, PositFormat):
        raise TypeError(f"{unit}: fmt must be a PositFormat such as PositFormat(8, 2), not {fmt!r}")
    return fmt


def check_dsp(unit: str, dsp: object) -> bool:
    """`dsp` itself, if it is a bool."""
    if not isinstance(dsp, bool):
        raise TypeError(f"{unit}: dsp must be True or False, not {dsp!r}")
    return dsp


def check_lanes(unit: str, lanes: object, spec: MacSpec) -> int:
    """`lanes` itself, if the accumulator of the spec takes so many products at a time."""
    if isinstance(lanes, bool) or not isinstance(lanes, int):
        raise TypeError(f"{unit}: lanes must be an integer in 1..64, the products in each cycle, not {lanes!r}")
    if not 1 <= lanes <= 64:
        raise ValueError(f"{unit}: lanes must be an integer in 1..64, the products in each cycle, not {lanes}")
    accumulator = spec.accumulator
    if isinstance(accumulator, Aligned) and lanes != accumulator.lanes:
        raise ValueError(f"{unit}: {accumulator} has {accumulator.lanes} lanes, not {lanes}; drop the lanes")
    if isinstance(accumulator, Quire) and lanes > accumulator.capacity:
        raise ValueError(
            f"{unit}: {lanes} lanes are more products than the {accumulator.capacity} that {accumulator.carry_bits} "
            "carry bits hold; take more carry bits"
        )
    return lanes


def check_size(unit: str, name: str, value: object) -> int:
    """`value` itself, if an array can have so many rows or columns."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{unit}: {name} must be an integer in 1..64, not {value!r}")
    if not 1 <= value <= 64:
        raise ValueError(f"{unit}: {name} must be an integer in 1..64, not {value}")
    return value


def check_spec(unit: str, spec: object, accumulators: tuple[type[Accumulator], ...] = (Quire,)) -> MacSpec:
    """`spec` itself, if it is a `MacSpec` with one of these accumulators."""
    if not isinstance(spec, MacSpec):
        raise TypeError(f"{unit}: spec must be a MacSpec such as MacSpec(PositFormat(8, 2)), not {spec!r}")
    if not isinstance(spec.accumulator, accumulators):
        names = " or ".join(kind.__name__ for kind in accumulators)
        raise TypeError(f"{unit}: the accumulator must be {names}, not {spec.accumulator}")
    return spec


def check_stages(unit: str, stages: object, cuts: tuple[str, ...]) -> int:
    """`stages` itself, if the unit has as many places to cut its pipeline."""
    if isinstance(stages, bool) or not isinstance(stages, int):
        raise TypeError(f"{unit}: stages must be an integer in 0..{len(cuts)}, not {stages!r}")
    if stages and not cuts:
        raise ValueError(f"{unit}: has no pipeline to cut; drop stages, which must be 0, not {stages}")
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
