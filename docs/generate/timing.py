"""The timing diagram of a unit: a trace of its emitted Verilog under Icarus, drawn by WaveDrom."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from positcore.errors import MissingToolError
from positcore.hw.emit import Port, clock_ports, emit_verilog, unit_ports
from positcore.hw.golden import ROUNDING
from positcore.hw.units import Design
from positcore.sim.verilog import find_icarus

__all__ = ["draw", "has_timing"]

_COLORS = "345678"
_ITEMS = 5
_LENGTHS = (2, 1, 3, 1)  # of the dot products that are shown
_OPERATIONS = (4, 4, 6, 5, 2, 7, 4, 6)  # of a quire
_STALL = 3  # cycles that the consumer waits after the first result


@dataclass(frozen=True)
class _Trace:
    """The ports of a design in each cycle, just before the clock's edge; None where undefined."""

    ports: tuple[Port, ...]
    cycles: list[dict[str, int | None]]


def has_timing(design: Design) -> bool:
    """Whether the ports are those of a unit without handshake, or of one stream in and one out."""
    names = {port.name for port in unit_ports(design)}
    return design.unit.kind == "vector" or {"i_valid", "i_ready", "o_valid", "o_ready"} <= names


def draw(design: Design) -> str:
    """The timing of a design as SVG. Items and the results that are theirs have one color.

    Raises
    ------
    MissingToolError
        If Icarus or the package wavedrom is not there.
    """
    ports = unit_ports(design)
    items = _items(design, ports)
    trace = _simulate(design, ports, items)
    signals = _stream_lanes(design, trace, items) if design.unit.streaming else _vector_lanes(design, trace)
    clock = [{"name": "clk", "wave": "p" + "." * (len(trace.cycles) - design.unit.streaming)}] if design.latency else []
    source = {"signal": [*clock, *signals], "config": {"hscale": 1 if _digits(ports) <= 5 else 2}}
    try:
        import wavedrom
    except ImportError as error:
        raise MissingToolError("Python package wavedrom", "timing diagrams", "pip install wavedrom") from error
    return _without_unused(str(wavedrom.render(json.dumps(source)).tostring())) + "\n"


def _without_unused(text: str) -> str:
    """Without the drawing's stock of bricks that it does not use, and on white in a dark page."""
    used = set(re.findall(r'xlink:href="#([^"]+)"', text))
    bricks = r'<g id="([^"]+)">(?:<(?:path|rect)[^>]*/>)*</g>'
    text = re.sub(bricks, lambda brick: brick[0] if brick[1] in used else "", text)
    return text.replace("<svg ", '<svg style="background:#fff" ', 1)


def _digits(ports: tuple[Port, ...]) -> int:
    return max(-(-port.width // 4) for port in ports)


def _items(design: Design, ports: tuple[Port, ...]) -> list[dict[str, int]]:
    """What goes in: random bits by the unit's name, and the ends of some dot products."""
    rng = np.random.default_rng(zlib.crc32(design.unit.name.encode()))
    control = ("i_valid", "i_last", "o_ready")
    names = [(p.name, p.width) for p in ports if p.direction == "input" and p.name not in control]
    counts = {"dot": sum(_LENGTHS), "operations": len(_OPERATIONS)}
    count = counts.get(design.unit.kind, _ITEMS if design.interval == 1 else 2)
    items = [{name: int.from_bytes(rng.bytes(-(-width // 8)), "big") % (1 << width) for name, width in names}
             for _ in range(count)]  # fmt: skip
    if design.unit.kind == "dot":
        ends = {sum(_LENGTHS[: place + 1]) - 1 for place in range(len(_LENGTHS))}
        items = [item | {"i_last": int(place in ends)} for place, item in enumerate(items)]
    if design.unit.kind == "operations":
        items = [item | {"i_operation": code} for item, code in zip(items, _OPERATIONS, strict=True)]
    return items


def _simulate(design: Design, ports: tuple[Port, ...], items: list[dict[str, int]]) -> _Trace:
    names = [port.name for port in ports if port.direction == "input" and port.name in items[0]]
    widths = {port.name: port.width for port in ports}
    if design.unit.streaming:
        results = len(items)
        cycles = 1 + len(items) * design.interval + design.latency + results + _STALL + 2
    else:
        cycles = len(items) + design.latency
    with tempfile.TemporaryDirectory(prefix="positcore-") as name:
        folder = Path(name)
        (folder / "unit.v").write_text(emit_verilog(design))
        (folder / "bench.v").write_text(_bench(design, ports, names, widths, items, cycles))
        command = [find_icarus(), "-g2005", "-o", "bench.vvp", "unit.v", "bench.v"]
        subprocess.run(command, cwd=folder, check=True)
        done = subprocess.run(["vvp", "-n", "bench.vvp"], cwd=folder, capture_output=True, text=True, check=True)
    rows = []
    for line in done.stdout.splitlines():
        values = [None if set(word) & set("xz") else int(word, 16) for word in line.split()]
        rows.append(dict(zip([port.name for port in ports], values, strict=True)))
    if design.unit.streaming:  # what follows the last result shows nothing
        last = max(at for at, row in enumerate(rows) if row["o_valid"] and row["o_ready"])
        rows = rows[: last + 2]
    return _Trace(ports, rows)


def _bench(
    design: Design,
    ports: tuple[Port, ...],
    names: list[str],
    widths: dict[str, int],
    items: list[dict[str, int]],
    cycles: int,
) -> str:
    inputs = [port for port in ports if port.direction == "input"]
    pins = [f".{port.name}({port.name})" for port in (*clock_ports(design), *ports)]
    sets = [" ".join(f"{name} = {widths[name]}'h{item[name]:x};" for name in names) for item in items]
    loads = "\n".join(f"      {place}: begin {text} end" for place, text in enumerate(sets))
    streaming = design.unit.streaming
    layout = " ".join(["%h"] * len(ports))
    return f"""module bench;
  reg clk = 0, rst = 1;
{"".join(f"  reg [{port.width - 1}:0] {port.name} = 0;{chr(10)}" for port in inputs)}
{"".join(f"  wire [{port.width - 1}:0] {port.name};{chr(10)}" for port in ports if port.direction == "output")}
  {design.name} unit ({", ".join(pins)});
  integer t, at, taken, wait_for;
  task load; begin
    case (at)
{loads}
    endcase
  end endtask
  initial begin
    at = 0; taken = 0; wait_for = 0;
    #1 clk = 1; #1 clk = 0; rst = 0;
    for (t = 0; t < {cycles}; t = t + 1) begin
      load;
      {"i_valid = t > 0 && at < " + str(len(items)) + "; o_ready = wait_for == 0;" if streaming else ""}
      #1 $display("{layout}", {", ".join(port.name for port in ports)});
      {
        '''if (o_valid && o_ready) begin taken = taken + 1; if (taken == 1) wait_for = '''
        + str(_STALL)
        + '''; end
      else if (wait_for && o_valid) wait_for = wait_for - 1;
      if (i_valid && i_ready) at = at + 1;'''
        if streaming
        else "at = at + 1;"
    }
      clk = 1; #1 clk = 0;
    end
    $finish;
  end
endmodule
"""


def _vector_lanes(design: Design, trace: _Trace) -> list[dict[str, object]]:
    """The lanes of a unit without handshake; its results are checked against the golden model."""
    latency = design.latency
    count = len(trace.cycles) - latency
    inputs = {
        port.name: np.array([trace.cycles[at][port.name] for at in range(count)], np.uint64)
        for port in trace.ports if port.direction == "input"
    }  # fmt: skip
    arrays: dict[str, Any] = dict(inputs)
    for port in trace.ports:
        if port.direction == "input" and port.signed and port.width < 64:
            values = inputs[port.name].astype(np.int64)
            arrays[port.name] = values - (values >> (port.width - 1) << port.width)
    expected = design.golden(arrays)
    lanes = []
    for port in trace.ports:
        first = 0 if port.direction == "input" else latency
        shown: list[int | None] = [None] * (len(trace.cycles) + 1)
        colors = [0] * (len(trace.cycles) + 1)
        for at in range(count):
            shown[at + first + 1] = trace.cycles[at + first][port.name]
            colors[at + first + 1] = at
        if port.direction == "output":
            right = np.ma.filled(np.ma.asarray(expected[port.name]).astype(np.int64), -1)
            known = ~np.ma.getmaskarray(np.ma.asarray(expected[port.name]))
            for at in range(count):
                assert not known[at] or shown[at + first + 1] == int(right[at]) & ((1 << port.width) - 1), (
                    design,
                    port,
                )
        lanes.append(_lane(port, shown, colors))
    return lanes


def _stream_lanes(design: Design, trace: _Trace, items: list[dict[str, int]]) -> list[dict[str, object]]:
    """The lanes of a stream, the input's first: payloads are shown while they are valid."""
    dots = list(range(len(items)))
    ends = {"dot": lambda item: item["i_last"], "operations": lambda item: item["i_operation"] in ROUNDING}
    if design.unit.kind in ends:
        counts = [int(ends[design.unit.kind](item)) for item in items]
        dots = [sum(counts[:place]) for place in range(len(items))]
    _check(design, trace, items)
    groups: dict[str, list[dict[str, object]]] = {"i": [], "o": []}
    for port in trace.ports:
        side = port.name[0]
        if port.name.endswith(("_valid", "_ready")):
            groups[side].append(_bit(port.name, [row[port.name] for row in trace.cycles]))
            continue
        at = 0
        values: list[int | None] = []
        colors = []
        for row in trace.cycles:
            valid, ready = row[f"{side}_valid"], row[f"{side}_ready"]
            values.append(row[port.name] if valid else None)
            colors.append(dots[min(at, len(dots) - 1)] if side == "i" else at)
            at += bool(valid and ready)
        groups[side].append(_bit(port.name, values) if port.width == 1 else _lane(port, values, colors))
    return [*groups["i"], {}, *groups["o"]]


def _check(design: Design, trace: _Trace, items: list[dict[str, int]]) -> None:
    """The results that were taken are those of the golden model."""
    outputs = [port.name for port in trace.ports if port.direction == "output" and port.name[:2] == "o_"]
    taken = [row for row in trace.cycles if row["o_valid"] and row["o_ready"]]
    if design.terms == 1:
        arrays = {name.removeprefix("i_"): np.array([item[name] for item in items]) for name in items[0]}
        expected = design.golden(arrays)
        for name in outputs:
            if name.removeprefix("o_") in expected:
                got = [row[name] for row in taken]
                assert got == [int(code) for code in expected[name.removeprefix("o_")]], (design, got)


def _bit(name: str, values: list[int | None]) -> dict[str, object]:
    wave, held = "", ""
    for value in values:
        symbol = "x" if value is None else str(value)
        wave += "." if symbol == held else symbol
        held = symbol
    return {"name": name, "wave": wave}


def _lane(port: Port, values: list[int | None], colors: list[int]) -> dict[str, object]:
    wave, data = "", []
    held: tuple[int | None, int] | None = None
    for value, color in zip(values, colors, strict=True):
        now = (value, color if value is not None else 0)
        if held == now:
            wave += "."
        elif value is None:
            wave += "x"
        else:
            wave += _COLORS[color % len(_COLORS)]
            digits = f"{value:0{-(-port.width // 4)}x}"
            data.append(digits if len(digits) <= 8 else f"{digits[:3]}…{digits[-3:]}")
        held = now
    return {"name": port.name, "wave": wave, "data": data}
