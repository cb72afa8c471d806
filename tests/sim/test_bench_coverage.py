import numpy as np
import pytest

import positcore as pc
from positcore.hw.units import Design
from positcore.sim.bench.coverage import Coverage
from positcore.sim.bench.stream_plan import CLASSES, code_classes, stream_plan


def test_bins_holes_and_report():
    coverage = Coverage({"length": ["1", "2"], "reset": ["idle"]})
    coverage.hit("length", "2")
    coverage.hit("length", "2")
    assert coverage.holes == ["length: 1", "reset: idle"]
    assert coverage.bins == 3
    assert str(coverage) == "coverage: 1 of 3 bins\n  length: 1 of 2; holes: 1\n  reset: 0 of 1; holes: idle"
    again = Coverage.of_counts(coverage.counts)
    assert again.counts == {"length": {"1": 0, "2": 2}, "reset": {"idle": 0}}
    again.hit("reset", "idle")
    assert coverage.counts["reset"]["idle"] == 0
    assert coverage.has("reset", "idle")
    assert not coverage.has("reset", "busy")
    with pytest.raises(KeyError):
        coverage.hit("length", "3")


def test_classes_of_codes():
    fmt = pc.PositFormat(5, 1)
    names = [CLASSES[index] for index in code_classes(fmt, np.arange(32))]
    assert names[:2] == ["zero", "minpos"]
    assert names[8] == "one"
    assert names[15:18] == ["maxpos", "NaR", "-maxpos"]
    assert names[24] == "minus one"
    assert names[31] == "-minpos"
    assert set(names[2:8] + names[9:15]) == {"positive"}
    assert set(names[18:24] + names[25:31]) == {"negative"}
    tiny = [CLASSES[index] for index in code_classes(pc.PositFormat(2, 0), np.arange(4))]
    assert tiny == ["zero", "one", "NaR", "minus one"]


def test_bins_that_cannot_be_are_not_defined():
    root = stream_plan(Design.of("sqrt-iterative", pc.PositFormat(8, 2)), 2, 0)["groups"]
    assert root["result"] == ["zero", "NaR", "one", "positive"]
    assert "operand b" not in root
    short = stream_plan(Design.of("mac", pc.PositFormat(8, 2)), 2, 0)["groups"]
    assert "result in flight" not in short["reset"]  # its result comes in the next cycle
    assert "input refused, output idle" not in short["handshake"]
    wide = pc.MacSpec((pc.PositFormat(8, 2), pc.PositFormat(6, 1)), pc.PositFormat(16, 2))
    assert set(CLASSES) - set(stream_plan(Design.of("mac", wide), 2, 0)["groups"]["result"]) == {
        "minpos", "-minpos", "maxpos", "-maxpos",
    }  # fmt: skip
    assert short["result"] == list(CLASSES)
    few = pc.MacSpec(pc.PositFormat(3, 0), accumulator=pc.Quire(2))
    assert stream_plan(Design.of("mac", few), 2, 0)["groups"]["items of a packet"] == ["1", "2", "3 to 7"]


def test_the_plan_depends_on_the_seed_alone():
    design = Design.of("quire", pc.PositFormat(6, 1))
    assert stream_plan(design, 30, 4) == stream_plan(design, 30, 4)
    assert stream_plan(design, 30, 4) != stream_plan(design, 30, 5)
