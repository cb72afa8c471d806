"""docs/units: a page for each unit, which says what the design has. Its figures are not measured here."""

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from positcore.hw.units import UNITS

FOLDER = Path(__file__).parent.parent / "docs" / "units"


@pytest.fixture(scope="module")
def page():
    folder = str(FOLDER.parent / "generate")
    sys.path.insert(0, folder)
    try:
        import page

        yield page
    finally:
        sys.path.remove(folder)


@pytest.mark.parametrize("name", UNITS)
def test_page(page, name):
    path = FOLDER / f"{name}.md"
    assert path.is_file(), f"no page of {name}; write docs/units/text/{name}.md and run: python docs/generate {name}"
    text = path.read_text()
    again = f"out of date; run: python docs/generate {name}"
    assert text.startswith(f"# {name}\n"), again
    assert (FOLDER / "text" / path.name).read_text().strip() in text, again
    assert page.ports_table(UNITS[name]) in text, again
    assert f"\n    {page.design_of(UNITS[name], page.FORMATS[0], 2).command} -o " in text, again
    assert re.search(r"^Sources?: ", text, re.MULTILINE)
    pictures = re.findall(r"!\[[^\]]+\]\((images/[^)]+)\)", text)
    assert f"images/{name}.svg" in pictures
    for picture in pictures:
        drawn = FOLDER / picture
        assert drawn.stat().st_size < 60_000
        assert ElementTree.parse(drawn).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_list_of_pages():
    listed = re.findall(r"^\| \[([^\]]+)\]\(\1\.md\) \|", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert listed == list(UNITS)


def test_no_page_is_left_over():
    assert {path.stem for path in FOLDER.glob("*.md")} == {*UNITS, "README"}
    used = {picture for path in FOLDER.glob("*.md") for picture in re.findall(r"images/([^)]+)\)", path.read_text())}
    assert {path.name for path in (FOLDER / "images").iterdir()} == used


def test_unit_without_a_written_part(page, monkeypatch, tmp_path):
    monkeypatch.setattr(page, "FOLDER", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"the unit add has no written part; describe its algorithm, .*add\.md"):
        page.write_page(UNITS["add"], {})


def test_diagram_shows_the_parts(page):
    text = page.diagram.graphs(page.design_of(UNITS["add"], page.FORMATS[0], 1))[""]
    for box in ("<b>Decoder</b>", "decode_a", "decode_b", "<b>Encoder</b>", "shift right, sticky", "<b>summed</b>"):
        assert box in text
    assert text == page.diagram.graphs(page.design_of(UNITS["add"], page.FORMATS[0], 1))[""]
