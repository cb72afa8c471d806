"""Liberty files: a library of standard cells, and of each cell what static timing asks for.

The parsers on PyPI did not serve: one is under the GPL, the other takes any text with a slash for a path.
"""

from __future__ import annotations

import hashlib
import os
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Arc", "Cell", "Liberty", "Table", "read_liberty"]

EDGES = ("rise", "fall")
_TOKEN = re.compile(r'/\*.*?\*/|"((?:[^"\\]|\\.)*)"|([{}();:])|([^\s{}();:"\\]+)', re.S)
_LOADS = ("total_output_net_capacitance", "related_pin_transition")  # the axes that stand second in a `Table`
_UNITS = {"ns": 1.0, "ps": 1e-3, "us": 1e3, "fs": 1e-6}
_CLOCKED = ("rising_edge", "falling_edge")
_SENSES = {"positive_unate": "positive", "negative_unate": "negative", "non_unate": "both"}


@dataclass
class _Group:
    """`kind (name) { ... }`: the attributes in it, as text, and the groups."""

    kind: str
    name: str
    values: dict[str, str] = field(default_factory=dict)
    groups: list[_Group] = field(default_factory=list)

    def all(self, kind: str) -> Iterator[_Group]:
        return (group for group in self.groups if group.kind == kind)


@dataclass(frozen=True)
class Table:
    """A delay, transition time or constraint, in ns, over the slew of an input and over a load or a second slew.

    Between the points it is bilinear, and beyond them goes on as in the outermost interval. An axis of fewer than two
    points does not count.
    """

    slews: tuple[float, ...]
    loads: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]

    def at(self, slew: float, load: float) -> float:
        """The value for a slew in ns and a load in the library's unit, or two slews."""
        row, along = _place(self.slews, slew)
        column, across = _place(self.loads, load)
        found = [
            line[column] + across * (line[column + 1] - line[column]) if across else line[column]
            for line in self.values[row : row + 2]
        ]
        return found[0] + along * (found[1] - found[0]) if along else found[0]


@dataclass(frozen=True)
class Arc:
    """How an edge at an input of a cell makes one at an output; of a constraint, how long before the clock it must be.

    Parameters
    ----------
    source, sink : str
        Pins. Of a constraint the source is the clock, the sink the pin that it holds for.
    sense : str
        positive: an edge makes the same one; negative: the other; both: either makes any; clock: the clock makes any.
    delays : mapping
        By the edge at the sink, "rise" or "fall", a `Table`; likewise `slews`, of a constraint empty.
    """

    source: str
    sink: str
    sense: str
    delays: dict[str, Table]
    slews: dict[str, Table]


@dataclass(frozen=True)
class Cell:
    """A cell: the capacitance of each input for each edge, in the library's unit, its arcs, and its setup times."""

    inputs: dict[str, dict[str, float]]
    outputs: tuple[str, ...]
    arcs: tuple[Arc, ...]
    setups: tuple[Arc, ...]


@dataclass(frozen=True)
class Liberty:
    """A library of cells: its name, its Liberty file, the text in it, and the SHA-256 of the file's bytes."""

    name: str
    path: Path
    text: str = field(repr=False)
    sha256: str = ""

    def cells(self, names: set[str]) -> dict[str, Cell]:
        """The cells of these names, as far as they are there.

        Raises
        ------
        ValueError
            If the file is not whole, or has a table or unit that is none.
        """
        try:
            library = _parse(self.text)
            number, unit = re.fullmatch(r"([\d.]+)\s*(\w+)", library.values.get("time_unit", "1ns")).groups()  # type: ignore[union-attr]
            scale = float(number) * _UNITS[unit]
            default = float(library.values.get("default_input_pin_cap", 0))
            templates = {group.name: group for group in library.all("lu_table_template")}
            wanted = [group for group in library.all("cell") if group.name in names]
            return {group.name: _cell(group, scale, default, templates) for group in wanted}
        except (ValueError, KeyError, IndexError, AttributeError) as error:
            raise ValueError(f"synth: {self.path} is no whole Liberty file: {type(error).__name__}: {error}") from error


def read_liberty(path: str | os.PathLike[str]) -> Liberty:
    """The library in a Liberty file.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no Liberty file, or not a whole one, or has no flip-flop.
    """
    place = Path(path)
    if not place.is_file():
        raise FileNotFoundError(f"synth: no Liberty file {place}; name one such as cells.lib")
    text = place.read_text(encoding="utf-8", errors="replace")
    head = re.search(r"^\s*library\s*\(\s*\"?([^\s\")]+)\"?\s*\)\s*\{", text, re.M)
    if head is None or not re.search(r"\bcell\s*\(", text):
        raise ValueError(f"synth: {place} is no Liberty file: no library with cells is in it; it begins {text[:40]!r}")
    if not re.search(r"\bff\s*\(", text):
        raise ValueError(f"synth: the library of {place} has no flip-flop, which the registers of a unit need")
    library = Liberty(head[1], place, text, hashlib.sha256(place.read_bytes()).hexdigest())
    library.cells(set())
    return library


def _place(points: tuple[float, ...], value: float) -> tuple[int, float]:
    """The interval of an axis that a value is taken from, and how far along it lies: 0 at its left, 1 at its right."""
    if len(points) < 2:
        return 0, 0.0
    left = min(max(bisect_right(points, value) - 1, 0), len(points) - 2)
    return left, (value - points[left]) / (points[left + 1] - points[left])


def _parse(text: str) -> _Group:
    """The outermost group."""
    open_groups = [_Group("", "")]
    words: list[str] = []  # since the last statement ended
    arguments: list[str] | None = None
    inside = False  # whether between parentheses
    for found in _TOKEN.finditer(text):
        quoted, mark, word = found.groups()
        if quoted is None and mark is None and word is None:
            continue  # a comment
        if arguments is not None and not inside and mark not in ("{", ";", ":"):
            open_groups[-1].values[words[0]] = " ".join(arguments)  # name (value), without a semicolon
            words, arguments = [], None
        if mark == "(" and not inside and ":" not in words:
            arguments, inside = [], True
        elif mark == ")" and inside:
            inside = False
        elif mark == "{":
            group = _Group(words[0], " ".join(arguments or []))
            open_groups[-1].groups.append(group)
            open_groups.append(group)
            words, arguments = [], None
        elif mark in (";", "}"):
            if arguments is not None:
                open_groups[-1].values[words[0]] = " ".join(arguments)
            elif len(words) > 2:
                open_groups[-1].values[words[0]] = " ".join(words[2:])
            words, arguments = [], None
            if mark == "}":
                open_groups.pop()
        else:
            (arguments if inside and arguments is not None else words).append(
                re.sub(r"\\\s*", "", quoted) if quoted is not None else mark or word.strip(",")
            )
    if len(open_groups) != 1:
        raise ValueError(f"{len(open_groups) - 1} groups are not closed")
    return next(open_groups[0].all("library"))


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(word) for word in re.split(r"[\s,]+", text.strip(" ,\n")) if word)


def _table(group: _Group, scale: float, templates: dict[str, _Group]) -> Table:
    values = _numbers(group.values["values"])
    template = templates.get(group.name, _Group("", ""))
    axes = []
    for place in ("1", "2"):
        points = _numbers(group.values.get(f"index_{place}", template.values.get(f"index_{place}", "")))
        variable = template.values.get(f"variable_{place}", "")
        if points:
            axes.append((points if variable == _LOADS[0] else tuple(scale * point for point in points), variable))
    width = len(axes[1][0]) if len(axes) > 1 else 1
    rows = tuple(tuple(scale * value for value in values[at : at + width]) for at in range(0, len(values), width))
    if (len(rows), len(rows[-1])) != (len(axes[0][0]) if axes else 1, width):
        raise ValueError(f"a table {group.name} has {len(values)} values")
    if axes and axes[0][1] in _LOADS:  # the load stands first
        rows, axes = tuple(zip(*rows, strict=True)), [*axes[1:], axes[0]] if len(axes) > 1 else [((), ""), axes[0]]
    slews, loads = ([points for points, _ in axes] + [(), ()])[:2]
    return Table(slews, loads, rows)


def _cell(group: _Group, scale: float, default: float, templates: dict[str, _Group]) -> Cell:
    inputs: dict[str, dict[str, float]] = {}
    outputs: list[str] = []
    arcs: list[Arc] = []
    setups: list[Arc] = []
    for pin in group.all("pin"):
        if pin.values.get("direction") == "input":
            plain = pin.values.get("capacitance", default)
            inputs[pin.name] = {edge: float(pin.values.get(f"{edge}_capacitance", plain)) for edge in EDGES}
        elif pin.values.get("direction") == "output":
            outputs.append(pin.name)
        for timing in pin.all("timing"):
            kind = timing.values.get("timing_type", "combinational")
            tables = {entry.kind: entry for entry in timing.groups}
            sense = _SENSES[timing.values.get("timing_sense", "non_unate")]
            if kind.startswith("setup"):
                delays, slews = _both(tables, "{}_constraint", scale, templates), {}
            elif kind.startswith("combinational") or kind in _CLOCKED:
                delays = _both(tables, "cell_{}", scale, templates)
                slews = _both(tables, "{}_transition", scale, templates)
                sense = "clock" if kind in _CLOCKED else sense
            else:
                continue  # of resets, of tri-state drivers, hold times
            for source in timing.values["related_pin"].split():
                (setups if kind.startswith("setup") else arcs).append(Arc(source, pin.name, sense, delays, slews))
    return Cell(inputs, tuple(outputs), tuple(arcs), tuple(setups))


def _both(tables: dict[str, _Group], name: str, scale: float, templates: dict[str, _Group]) -> dict[str, Table]:
    return {
        edge: _table(tables[name.format(edge)], scale, templates) for edge in EDGES if name.format(edge) in tables
    }  # fmt: skip
