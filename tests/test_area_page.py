"""docs/area.md and its plots: made from the record, and from nothing else. Nothing is measured here."""

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from positcore.fpga.place import Place
from positcore.fpga.yowasp import SynthesisError
from positcore.hw.units import UNITS
from tests.fpga.recorded import install, install_nextpnr

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def modules():
    folder = str(DOCS / "generate")
    sys.path.insert(0, folder)
    try:
        import area
        import area_page

        yield area, area_page
    finally:
        sys.path.remove(folder)


@pytest.fixture
def area(modules, monkeypatch, tmp_path):
    (tmp_path / "images").mkdir()
    monkeypatch.setattr(modules[0], "RECORD", tmp_path / "area.json")
    monkeypatch.setattr(modules[1], "FOLDER", tmp_path)
    return modules[0]


@pytest.fixture
def run(area, monkeypatch):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["area.py", *words])
        return area.main()

    return run


def test_page_is_that_of_the_record(modules):
    records = json.loads((DOCS / "area.json").read_text())
    text = (DOCS / "area.md").read_text()
    assert text == modules[1].page(list(records.values())), "out of date; run: python docs/generate/area.py --report"
    listed = set(re.findall(r"\[([^\]]+)\]\(units/\1\.md\)", text))
    assert listed == set(UNITS)
    pictures = re.findall(r"\]\(images/([^)]+)\)", text)
    assert pictures == [*modules[1].plots_of(list(records.values()))]
    for picture in pictures:
        assert ElementTree.parse(DOCS / "images" / picture).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_every_unit_format_and_target_can_be_measured(area):
    full = list(area.cases(3, full=True))
    for name in UNITS:
        mine = {(case.design.spec.out.spelling, case.target) for case in full if case.design.unit.name == name}
        formats = [text for text in area.FORMATS if name != "function" or text.startswith("8")]
        assert mine == {(text, target) for text in formats for target in area.ORDER}
    usual = list(area.cases(3, full=False))
    assert set(usual) < set(full)
    assert {case.design.unit.name for case in usual if case.seeds} == set(area.ARITHMETIC)
    assert len({case.key for case in full}) == len(full)


def test_measured_recorded_and_drawn(area, run, monkeypatch, tmp_path, capsys):
    yosys, nextpnr = install(monkeypatch, tmp_path / "cache"), install_nextpnr(monkeypatch)
    words = ["--units", "mul", "neg", "--formats", "8,2", "--targets", "ecp5"]
    assert run(*words) == 0
    records = json.loads((tmp_path / "area.json").read_text())
    assert [key for key in records if "neg" in key] == ["posit_neg_8_2.ecp5"]
    placed = [record for key, record in records.items() if key.endswith(".placed")]
    assert {record["stages"] for record in placed} == {0, 13}
    assert placed[0]["routing"]["fmax_by_seed_mhz"] == [80.0, 84.12, 70.5]
    assert set(nextpnr.seeds) == {1, 2, 3}
    assert not {"script", "cells"} & set(placed[0])
    text = (tmp_path / "area.md").read_text()
    assert "| [mul](units/mul.md) | 248 / 29 |" in text
    assert "| mul posit<8,2> | 13 | 13 | 248 | 24 | 80 | 84 |" in text
    assert "with 3 seeds. MHz: the median" in text
    drawn = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert drawn == ["area-clocks.svg", "area-formats.svg", "area-targets.svg"]
    first = {name: (tmp_path / "images" / name).read_text() for name in drawn}
    asked = len(yosys.scripts)
    assert run("--report") == 0
    assert {name: (tmp_path / "images" / name).read_text() for name in drawn} == first
    assert run(*words) == 0
    assert len(yosys.scripts) == asked


def test_interrupted(area, run, monkeypatch, tmp_path, capsys):
    install(monkeypatch, tmp_path / "cache")
    usual = area.synthesize

    def stop(design, *rest, **options):
        if design.unit.name == "max":
            raise KeyboardInterrupt
        return usual(design, *rest, **options)

    monkeypatch.setattr(area, "synthesize", stop)
    assert run("--units", "min", "max", "--formats", "8,2", "--targets", "ecp5") == 130
    assert "the same command goes on from here" in capsys.readouterr().err
    assert list(json.loads((tmp_path / "area.json").read_text())) == ["posit_min_8_2.ecp5"]
    assert not (tmp_path / "area.md").exists()


def test_what_could_not_be_done(area, run, monkeypatch, tmp_path):
    def fail(design, target, *, place: Place | None, liberty):
        raise SynthesisError("too large for a part")

    monkeypatch.setattr(area, "synthesize", fail)
    assert run("--units", "neg", "--formats", "8,2", "--targets", "ecp5") == 0
    assert "- neg posit<8,2>, 0 stages, ecp5: too large for a part" in (tmp_path / "area.md").read_text()
