"""Which cuts divide a path most evenly, against all choices; and what passes them."""

from itertools import combinations

import pytest
from amaranth.hdl import Module, Signal

import positcore as pc
from positcore.hw.adder import Adder
from positcore.hw.fma import FusedMultiplyAdd
from positcore.hw.multiplier import Multiplier
from positcore.hw.pipeline import Pipeline, add_delay, balanced

UNITS = [Adder, Multiplier, FusedMultiplyAdd]
PATHS = [
    {"a": 1},
    {"a": 3, "b": 0, "c": 2},
    {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1},
    {"a": 5, "b": 1, "c": 2, "d": 7, "e": 3, "f": 1, "g": 1, "h": 4},
]


def lengths(parts, chosen):
    """What lies between the chosen cuts."""
    found = [0]
    for name, delay in parts.items():
        found[-1] += delay
        if name in chosen:
            found.append(0)
    return found


@pytest.mark.parametrize("parts", PATHS, ids=lambda parts: "_".join(map(str, parts.values())))
def test_no_choice_of_cuts_is_more_even(parts):
    def merit(chosen):
        found = lengths(parts, chosen)
        return max(found), sum(length * length for length in found)

    for stages in range(len(parts) + 1):
        cuts = balanced(parts, stages)
        assert sorted(cuts) == sorted(parts)
        assert list(cuts[:stages]) == sorted(cuts[:stages])  # in the order of the data
        assert merit(cuts[:stages]) == min(merit(chosen) for chosen in combinations(parts, stages))


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("text", ["2,4", "8,2", "16,2", "32,0"])
def test_no_stage_more_makes_a_part_longer(unit, text):
    parts = unit.parts(pc.PositFormat.parse(text))
    longest = [max(lengths(parts, balanced(parts, stages)[:stages])) for stages in range(len(parts) + 1)]
    assert longest == sorted(longest, reverse=True)
    assert longest[-1] == max(parts.values())
    assert longest[1] < longest[0]


def test_a_wider_sum_takes_longer():
    assert add_delay(8) < add_delay(16) < add_delay(32) < add_delay(64)


@pytest.mark.usefixtures("unbuilt")
def test_what_is_beside_passes_the_cuts_that_are_made():
    m = Module()
    pipeline = Pipeline(m, ("first", "second"), 1)
    a, b, c = Signal(3), Signal(2), Signal()
    pipeline.beside = {"b": b, "c": c}
    (behind,) = pipeline.cut("first", a=a)
    assert behind.name == "a_first"
    assert [value.name for value in pipeline.beside.values()] == ["b_first", "c_first"]
    assert [len(value) for value in pipeline.beside.values()] == [2, 1]
    (same,) = pipeline.cut("second", a=behind)
    assert same is behind
    assert pipeline.among(("second", "first")) == ("first",)
