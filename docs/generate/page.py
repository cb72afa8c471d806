"""The page of a unit: the written part, and tables and pictures made from the design itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diagram
import timing

import positcore as pc
from positcore.hw.emit import clock_ports, unit_ports
from positcore.hw.units import UNITS, Design, Unit

__all__ = ["EXAMPLES", "FORMATS", "depths", "design_of", "index", "ports_table", "write_page"]

FOLDER = Path(__file__).resolve().parent.parent / "units"
FORMATS = (pc.PositFormat(8, 2), pc.PositFormat(16, 2), pc.PositFormat(32, 2))
EXAMPLES: dict[str, dict[str, Any]] = {
    "from-int": {"bits": 16},
    "to-int": {"bits": 16},
    "from-float": {"float_format": "float16"},
    "to-float": {"float_format": "float16"},
    "function": {"function": "tanh"},
    "dot": {"lanes": 4},
    "gemm": {"rows": 2, "columns": 2, "depth": 16},
}
_OPTIONS = {
    "bits": "`--bits W`: the width of the integer, 8, 16, 32 or 64",
    "signed": "`--unsigned`: the integer has no sign; signed unless told",
    "float_format": "`--float F`: float16, bfloat16 or float32",
    "function": "`--function F`: exp, log, tanh, sigmoid, …; formats of n ≤ 16",
    "lanes": "`--lanes L`: products in a chunk",
    "rows": "`--rows R`: rows of the array, 1..64",
    "columns": "`--columns C`: columns of the array, 1..64",
    "depth": "`--depth D`: rows of each operand's buffer, a power of two (256)",
    "radix": "`--radix 2` or `4`: one or two binary digits a cycle",
    "dsp": "`--dsp`: multipliers are left to the tool, which takes DSP blocks for them",
}
_FIRST_WORDS = {"vector": "none: a fixed latency", "bus": "AXI4-Stream, AXI4-Lite"}


def design_of(unit: Unit, fmt: pc.PositFormat, stages: int = 0) -> Design:
    """The design of a unit that its page shows."""
    options = dict(EXAMPLES.get(unit.name, {}))
    spec: Any = fmt
    if unit.accumulators and pc.Quire not in unit.accumulators:
        spec = pc.MacSpec(fmt, fmt, pc.Aligned(options.pop("lanes", 4), 2 * fmt.n))
    if unit.converts:
        spec = pc.MacSpec(pc.PositFormat(2 * fmt.n if fmt.n < 32 else 16, 1), fmt)
    design = Design.of(unit.name, spec, 0, **options)
    return Design.of(unit.name, spec, min(stages, len(design.cuts)), **options)


def depths(unit: Unit) -> tuple[int, ...]:
    """The two depths of the pipeline whose timing is shown, or the only one."""
    most = len(design_of(unit, FORMATS[0]).cuts)
    if unit.accumulators:
        return tuple(dict.fromkeys((0, min(2, most))))
    return tuple(dict.fromkeys((min(1, most), min(3, most)))) if most > 1 else tuple(range(most + 1))


def formats(unit: Unit) -> tuple[pc.PositFormat, ...]:
    """The formats of the tables; a table of a function has no wide ones."""
    return FORMATS[:2] if unit.name == "function" else FORMATS


def ports_table(unit: Unit) -> str:
    """Name, direction and width of each port, by format."""
    most = max(depths(unit))
    designs = [design_of(unit, fmt, most) for fmt in formats(unit)]
    widths = [{port.name: port for port in (*clock_ports(design), *unit_ports(design))} for design in designs]
    head = ["port", "direction", *(str(fmt) for fmt in formats(unit))]
    names = dict.fromkeys(name for table in widths for name in table)
    rows = []
    for name in names:
        port = next(table[name] for table in widths if name in table)
        rows.append(
            [f"`{name}`", port.direction, *(str(table[name].width) if name in table else "–" for table in widths)]
        )
    return _table(head, rows, ["---", "---", *["---:"] * len(designs)])


def write_page(unit: Unit, figures: dict[str, Any]) -> None:
    """Write the page and its pictures.

    Raises
    ------
    FileNotFoundError
        If nobody has written the unit's own part, `docs/units/text/NAME.md`.
    """
    written = FOLDER / "text" / f"{unit.name}.md"
    if not written.is_file():
        raise FileNotFoundError(
            f"docs/generate: the unit {unit.name} has no written part; describe its algorithm, with sources, in "
            f"docs/units/text/{unit.name}.md"
        )
    images = FOLDER / "images"
    images.mkdir(exist_ok=True)
    shown = design_of(unit, FORMATS[0], 2)
    for old in images.glob(f"{unit.name}.*svg"):
        old.unlink()
    pictures = []
    for kind, picture in diagram.draw(shown).items():
        name = f"{unit.name}{'.' if kind else ''}{kind}.svg"
        (images / name).write_text(picture, encoding="utf-8")
        pictures += [f"`{kind}`:", ""] if kind else []
        pictures += [f"![Block diagram of {kind or unit.name}](images/{name})", ""]
    stages = f"--stages {shown.stages}" if shown.stages else "no stages"
    lines = [
        f"# {unit.name}",
        "",
        f"<!-- Made by `python docs/generate` from the design and from docs/units/text/{unit.name}.md: edit that. -->",
        "",
        f"{_capital(unit.summary)}.",
        "",
        f"    {shown.command} -o {shown.name}.v",
        "",
        written.read_text(encoding="utf-8").strip(),
        "",
        "## Block diagram",
        "",
        *pictures,
        f"Drawn from the netlist of `{shown.name}` ({stages}): blue: submodules; green: what values of that name are "
        "computed by; orange: registers; dashed: handshake. Numbers are bits.",
        "",
        "## Ports",
        "",
        ports_table(unit),
        "",
        *_clocking(unit),
        "",
        "## Timing",
        "",
        *_timing(unit, images),
        "## Parameters",
        "",
        *_parameters(unit),
        "",
        "## Area",
        "",
        _area(unit, figures),
        "",
    ]
    (FOLDER / f"{unit.name}.md").write_text("\n".join(lines), encoding="utf-8")


def index() -> None:
    """Write the list of all pages."""
    rows = []
    for unit in UNITS.values():
        most = len(design_of(unit, FORMATS[0]).cuts)
        rows.append(
            [f"[{unit.name}]({unit.name}.md)", unit.summary, _FIRST_WORDS.get(unit.kind, "streams"), f"0..{most}"]
        )
    lines = [
        "# Units",
        "",
        "<!-- Made by `python docs/generate`. -->",
        "",
        "A page for each name that `positcore generate` takes: algorithm and source, block diagram, ports, timing,",
        "area. Diagrams and traces are made from the designs; [hardware.md](../hardware.md) is the overview.",
        "",
        _table(["unit", "computes", "handshake", "stages at posit<8,2>"], rows, ["---"] * 4),
        "",
    ]
    (FOLDER / "README.md").write_text("\n".join(lines), encoding="utf-8")


def _clocking(unit: Unit) -> list[str]:
    most = design_of(unit, FORMATS[0], 99)
    if unit.kind == "vector":
        if not most.cuts:
            return ["Combinational; it has no clock."]
        return [
            "With `--stages 0` the unit is combinational and has neither `clk` nor `rst`. Its registers hold no state, "
            "so that `rst` does nothing."
        ]
    return [
        "A transfer happens at the clock's edge where `valid` and `ready` are 1; a valid payload waits unchanged. "
        "`rst` is synchronous, and drops what was begun."
    ]


def _timing(unit: Unit, images: Path) -> list[str]:
    lines = []
    for stages in depths(unit):
        design = design_of(unit, FORMATS[0], stages)
        if not timing.has_timing(design):
            return ["See the buses' own pages; this unit has several ports.", ""]
        name = f"{unit.name}-timing-{stages}.svg"
        (images / name).write_text(timing.draw(design), encoding="utf-8")
        rate = "each cycle" if design.interval == 1 else f"each {design.interval} cycles"
        latency = f"{design.latency} cycle{'s' * (design.latency != 1)}"
        lines += [
            f"`--stages {stages}`: latency {latency}, one {design.item} {rate}.",
            "",
            f"![Timing of {unit.name} with {stages} stage{'s' * (stages != 1)}](images/{name})",
            "",
        ]
    stall = ", and stalls once" if unit.streaming else ""
    lines += [
        "A trace of the emitted Verilog under Icarus at posit<8,2>, in hexadecimal; a result has its inputs' color"
        f"{'. The consumer takes the first result' + stall if stall else ''}.",
        "",
    ]
    return lines


def _parameters(unit: Unit) -> list[str]:
    least, most = design_of(unit, FORMATS[0]), design_of(unit, FORMATS[-1] if unit.name != "function" else FORMATS[1])
    lines = ["- `--format n,es`: any posit of n 2..32, es 0..4; `n,esu` is the underflow variant."]
    if unit.converts or unit.accumulators:
        lines.append("- `--output-format n,es`: the format of the result, if it is another.")
    if unit.accumulators:
        names = ", ".join(f"`{kind.__name__}`" for kind in unit.accumulators)
        lines.append(f"- `--accumulator`: how products are summed; this unit has {names} (docs/contract.md).")
    lines += [f"- {_OPTIONS.get(name, f'`--{name}`')}." for name in (*unit.options, *unit.choices)]
    if least.cuts:
        cuts = ", ".join(f"`{cut}`" for cut in least.cuts)
        more = f" (at posit<32,2>, up to {len(most.cuts)})" if len(most.cuts) != len(least.cuts) else ""
        lines.append(
            f"- `--stages S`, 0..{len(least.cuts)}{more}: registers at S of these cuts "
            f"([at which](../hardware.md#units)): {cuts}. No bit of a result changes."
        )
    return lines


def _area(unit: Unit, figures: dict[str, Any]) -> str:
    rows = []
    for fmt in formats(unit):
        for stages in dict.fromkeys((0, 99)):
            design = design_of(unit, fmt, stages)
            found = figures.get(design.name)
            if found:
                clock = f"{found['fmax_mhz']:.0f}" if found.get("fmax_mhz") else "–"
                counts = [str(found[key]) for key in ("luts", "flip_flops", "depth")]
                rows.append([str(fmt), str(design.stages), *counts, clock])
    if not rows:
        return "Not measured; `positcore synth` says what it takes."
    rows = [row for place, row in enumerate(rows) if row not in rows[:place]]
    command = f"{design_of(unit, FORMATS[0]).command.replace('generate', 'synth', 1)} --target ecp5"
    table = _table(
        ["format", "stages", "LUTs", "FFs", "depth", "MHz"], rows, ["---", "---:", "---:", "---:", "---:", "---:"]
    )
    return (
        f"{table}\n\nECP5 without DSPs, the unit between registers on all its ports, which are counted "
        f"([the flow, and public designs beside ours](../synthesis.md)): `{command}` gives such a row. MHz: by place "
        "and route, where that was done."
    )


def _table(head: list[str], rows: list[list[str]], rule: list[str]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def _capital(text: str) -> str:
    return (
        text[:1].upper() + text[1:]
        if not text.startswith(("a ", "a,", "f(")) or text.startswith("a function")
        else text
    )


def load_figures() -> dict[str, Any]:
    """What was measured last, by the name of the design."""
    path = FOLDER / "figures.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
