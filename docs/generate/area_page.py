"""docs/area.md: tables and plots of what `area.py` measured, made from its record alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import ticker
from matplotlib.figure import Figure

from positcore.hw.units import UNITS

__all__ = ["TARGETS", "page", "plots", "write"]

FOLDER = Path(__file__).resolve().parent.parent
TARGETS = {"ecp5": "ECP5", "ice40": "iCE40", "xc7": "Xilinx 7", "gowin": "Gowin GW1N", "generic": "LUT4, no carries"}
FORMATS = ("8,0", "8,2", "16,1", "16,2", "32,2")
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")  # Okabe and Ito's, told apart by all
MARKERS = ("o", "s", "^", "D", "v")
STYLE = {
    "font.size": 9, "font.family": "sans-serif", "svg.fonttype": "none", "svg.hashsalt": "positcore",
    "axes.grid": True, "axes.axisbelow": True, "grid.color": "#dddddd", "axes.spines.top": False,
    "axes.spines.right": False, "figure.constrained_layout.use": True, "savefig.facecolor": "white",
}  # fmt: skip
INTRODUCTION = """\
measures what was changed or is missing, records it in [area.json](area.json), and writes this page. `--report`
writes the page alone; `--full` measures all formats, targets and stages, which takes very long; `--units`,
`--formats` and `--targets` choose. The flow, and public designs beside ours: [synthesis.md](synthesis.md). Each
record has the `command` that gives it again.

Each unit stands between registers, without DSPs, and with stages 0 unless a table says otherwise. LUTs of
different families are no common unit: those of Xilinx have six inputs, the others four. Depth is in cells,
register to register. The library of standard cells is IHP's open SG13G2 (130 nm, 1.2 V, 25 °C, typical); its
longest path is without wires. Units are those that docs/units shows: from-int and to-int of 16 bits, from-float
and to-float of float16, dot of four lanes, gemm of 2 × 2 cells and 16 steps, function tanh, convert from
posit<2n,1>, of n = 32 from posit<16,1>. Tables of functions of 16 and 32 bits are left out."""

Record = dict[str, Any]
Series = dict[str, dict[str, float]]  # by the name in the legend: by the label of the row


def write(records: dict[str, Record]) -> None:
    """Write the page and its plots."""
    with mpl.rc_context(STYLE):
        for name, figure in plots(list(records.values())).items():
            figure.savefig(FOLDER / "images" / name, metadata={"Date": None})
    (FOLDER / "area.md").write_text(page(list(records.values())), encoding="utf-8")


def page(records: Sequence[Record]) -> str:
    """The page as Markdown."""
    measured = [record for record in records if "error" not in record]
    dates = sorted({record["date"] for record in records})
    tools = sorted({tool for record in measured for tool in _tools(record)})
    names = plots_of(measured)
    lines = [
        "# Area and clock of all units",
        "",
        "<!-- Made by `python docs/generate/area.py` from docs/area.json: edit that. -->",
        "",
        "    python docs/generate/area.py --liberty sg13g2_stdcell_typ_1p20V_25C.lib",
        "",
        INTRODUCTION,
        "",
        f"Measured {dates[0] if len(set(dates)) == 1 else f'{dates[0]} to {dates[-1]}'}, with {', '.join(tools)}. "
        f"{len(records)} results; – is one that was not measured. Differences under 10 % say nothing: renaming signals "
        "alone moves a figure as much.",
        "",
    ]
    for name, title in names.items():
        lines += [f"![{title}](images/{name})", ""]
    for fmt in FORMATS:
        table = _area_table(measured, fmt)
        if table:
            mapped = ", and area and longest path in SG13G2" if "SG13G2" in table[0] else ""
            lines += [f"## posit<{fmt}>", "", f"LUTs / depth{mapped}:", ""]
            lines += [*table, ""]
    clocks = _clock_table(measured)
    if clocks:
        lines += ["## Clocks", "", f"{_parts(measured)}. MHz: the median of the seeds, and the best.", "", *clocks, ""]
    failed = [record for record in records if "error" in record]
    if failed:
        lines += ["## What could not be done", "", *(_failure(record) for record in failed), ""]
    return "\n".join(lines)


def plots_of(measured: Sequence[Record]) -> dict[str, str]:
    """The names of the plots that there are figures for, with their titles."""
    found = {}
    if _luts_by_target(measured):
        found["area-targets.svg"] = "LUTs of the units of posit<8,2>, by target"
    if _luts_by_format(measured):
        found["area-formats.svg"] = "LUTs of the units on ECP5, by format"
    if any(record.get("standard_cells") for record in measured):
        found["area-cells.svg"] = "Area and longest path of the units in IHP's SG13G2 cells"
    if any(record.get("routing") for record in measured):
        found["area-clocks.svg"] = "Clocks of the main arithmetic units after place and route"
    return found


def plots(records: Sequence[Record]) -> dict[str, Any]:
    """The plots, by their files' names."""
    measured = [record for record in records if "error" not in record]
    titles = plots_of(measured)
    drawn = {}
    with mpl.rc_context(STYLE):
        for name, title in titles.items():
            if name == "area-targets.svg":
                drawn[name] = _dots([(_luts_by_target(measured), "LUTs (log scale)")], title)
            elif name == "area-formats.svg":
                drawn[name] = _dots([(_luts_by_format(measured), "LUTs (log scale)")], title)
            elif name == "area-cells.svg":
                panels = [(_cells(measured, "area"), "area, µm² (log scale)")]
                panels.append((_cells(measured, "delay_ns"), "longest path, ns (log scale)"))
                drawn[name] = _dots(panels, title)
            else:
                drawn[name] = _clocks(measured, title)
    return drawn


def _at_zero(measured: Iterable[Record]) -> Iterable[Record]:
    return (record for record in measured if not record["stages"])


def _luts_by_target(measured: Sequence[Record]) -> Series:
    chosen = [record for record in _at_zero(measured) if record["format"] == "8,2"]
    return _series((TARGETS[record["target"]], record["unit"], record["luts"]) for record in chosen)


def _luts_by_format(measured: Sequence[Record]) -> Series:
    chosen = sorted(
        (record for record in _at_zero(measured) if record["target"] == "ecp5"),
        key=lambda record: FORMATS.index(record["format"]),
    )
    return _series((f"posit<{record['format']}>", record["unit"], record["luts"]) for record in chosen)


def _cells(measured: Sequence[Record], field: str) -> Series:
    chosen = sorted(
        (record for record in _at_zero(measured) if record.get("standard_cells")),
        key=lambda record: FORMATS.index(record["format"]),
    )
    return _series(
        (f"posit<{record['format']}>", record["unit"], record["standard_cells"][field] or 0) for record in chosen
    )


def _series(points: Iterable[tuple[str, str, float]]) -> Series:
    found: Series = {}
    for name, label, value in points:
        found.setdefault(name, {})[label] = value
    return found


def _dots(panels: Sequence[tuple[Series, str]], title: str) -> Any:
    """A row for each unit, smallest first, with a mark for each series; panels share the rows."""
    size = {label: value for values in reversed(list(panels[0][0].values())) for label, value in values.items()}
    rows = sorted(size, key=lambda label: (-size[label], label))
    figure = Figure(figsize=(8.2, 0.9 + 0.235 * len(rows)))
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)
    for (series, what), axis in zip(panels, axes[0], strict=True):
        for (name, values), color, marker in zip(series.items(), COLORS, MARKERS, strict=False):
            known = [row for row in rows if values.get(row)]
            axis.plot(
                [values[row] for row in known], [rows.index(row) for row in known], marker, color=color, label=name,
                markersize=5.5, markerfacecolor=f"{color}aa", markeredgewidth=0.8,
            )  # fmt: skip
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(ticker.FuncFormatter(_short))
        axis.xaxis.set_minor_formatter(ticker.NullFormatter())
        axis.set_xlabel(what)
    axes[0][0].set_yticks(range(len(rows)), rows)
    axes[0][0].set_ylim(-0.7, len(rows) - 0.3)
    axes[0][0].invert_yaxis()
    axes[0][-1].legend(loc="lower right", framealpha=1)
    figure.suptitle(title, fontsize=11)
    return figure


def _short(value: float, _: object) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _clocks(measured: Sequence[Record], title: str) -> Any:
    """Bars of the median clock, with a line up to the best; a panel for each target."""
    placed = [record for record in measured if record.get("routing")]
    targets = [name for name in TARGETS if any(record["target"] == name for record in placed)]
    rows = sorted({_row(record) for record in placed})
    figure = Figure(figsize=(8.2, 1.2 + 0.25 * len(rows)))
    axes = figure.subplots(1, len(targets), sharey=True, squeeze=False)
    for target, axis in zip(targets, axes[0], strict=True):
        for record in placed:
            if record["target"] == target:
                place, routing = rows.index(_row(record)), record["routing"]
                color = COLORS[1] if record["stages"] else COLORS[0]
                axis.barh(place, routing["fmax_mhz"], color=color, height=0.7)
                axis.plot([routing["fmax_mhz"], routing["fmax_best_mhz"]], [place] * 2, "|-", color="black", lw=1)
                axis.text(routing["fmax_best_mhz"], place, f"  {routing['fmax_mhz']:.0f}", va="center", fontsize=8)
        axis.set_xlabel(_part(placed, target))
        axis.margins(x=0.15)
        axis.grid(axis="y", visible=False)
    labels = [f"{name} posit<{fmt}>, {stages} stages" for _, name, _, fmt, stages in rows]
    axes[0][0].set_yticks(range(len(rows)), labels)
    axes[0][0].invert_yaxis()
    figure.suptitle(f"{title}\nFmax in MHz: the median of the seeds, and a line to the best", fontsize=11)
    return figure


def _row(record: Record) -> tuple[int, str, int, str, int]:
    name, fmt = record["unit"], record["format"]
    return list(UNITS).index(name), name, FORMATS.index(fmt), fmt, record["stages"]


def _area_table(measured: Sequence[Record], fmt: str) -> list[str]:
    chosen = [record for record in _at_zero(measured) if record["format"] == fmt]
    targets = [name for name in TARGETS if any(record["target"] == name for record in chosen)]
    mapped = any(record.get("standard_cells") for record in chosen)
    rows = []
    for name in UNITS:
        found = {record["target"]: record for record in chosen if record["unit"] == name}
        if not found and fmt != "8,2":  # where every unit has a row
            continue
        cells = [f"{found[t]['luts']} / {found[t]['depth']}" if t in found else "–" for t in targets]
        if mapped:
            library = found.get("generic", {}).get("standard_cells")
            delay = library and library["delay_ns"]
            cells += [f"{library['area']:.0f}" if library else "–", f"{delay:.2f}" if delay else "–"]
        rows.append([f"[{name}](units/{name}.md)", *cells])
    head = ["unit", *(TARGETS[name] for name in targets), *(["SG13G2, µm²", "ns"] if mapped else [])]
    return _table(head, rows, 1) if chosen else []


def _clock_table(measured: Sequence[Record]) -> list[str]:
    placed = [record for record in measured if record.get("routing")]
    targets = [name for name in TARGETS if any(record["target"] == name for record in placed)]
    rows = []
    for row in sorted({_row(record) for record in placed}):
        found = {record["target"]: record for record in placed if _row(record) == row}
        cells = [cell for target in targets for cell in _clock_cells(found.get(target))]
        any_record = next(iter(found.values()))
        rows.append([f"{row[1]} posit<{row[3]}>", f"{row[4]}", f"{any_record['latency']}", *cells])
    heads = [head for name in targets for head in (f"{TARGETS[name]}: LUTs", "FFs", "MHz", "best")]
    return _table(["unit", "stages", "latency", *heads], rows, 1) if rows else []


def _clock_cells(record: Record | None) -> list[str]:
    if record is None:
        return ["–"] * 4
    routing = record["routing"]
    return [
        f"{record['luts']}", f"{record['flip_flops']}", f"{routing['fmax_mhz']:.0f}", f"{routing['fmax_best_mhz']:.0f}",
    ]  # fmt: skip


def _parts(measured: Sequence[Record]) -> str:
    placed = [record for record in measured if record.get("routing")]
    seeds = sorted({len(record["routing"]["fmax_by_seed_mhz"]) for record in placed})
    parts = dict.fromkeys(record["routing"]["part"] for record in placed)
    return f"Placed and routed into {' and '.join(parts)}, with {' or '.join(map(str, seeds))} seeds"


def _part(placed: Sequence[Record], target: str) -> str:
    return next(record["routing"]["part"] for record in placed if record["target"] == target)


def _tools(record: Record) -> list[str]:
    return [record["tool"], *([record["routing"]["tool"]] if record.get("routing") else [])]


def _failure(record: Record) -> str:
    what = f"{record['unit']} posit<{record['format']}>, {record['stages']} stages, {record['target']}"
    return f"- {what}: {record['error']}"


def _table(head: list[str], rows: list[list[str]], left: int) -> list[str]:
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]
