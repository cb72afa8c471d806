"""From a unit to text: RTLIL for the native simulation, Verilog-2001 for everything else."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from amaranth.back import rtlil
from amaranth.hdl import *
from amaranth.lib import data, wiring

from positcore.files import check_writable, write_aside
from positcore.hw.liveness import Part, PartPort
from positcore.hw.netlist import read_netlist
from positcore.hw.units import Design
from positcore.hw.verilog import write_modules
from positcore.hw.yosys import without_processes
from positcore.version import __version__

__all__ = [
    "FlatUnit", "Port", "clock_ports", "declarations", "design_parts", "emit_modules", "emit_rtlil", "emit_verilog",
    "instance", "instance_template", "module_header", "unit_ports", "write_verilog",
]  # fmt: skip


class Port(NamedTuple):
    """A port of the emitted module; `signed` says how to read its bits."""

    name: str
    direction: str  # "input" or "output"
    width: int
    signed: bool = False


@dataclass(frozen=True)
class _Wire:
    """A port and the field of the component's interface behind it."""

    port: Port
    signal: Signal
    field: Value


class FlatUnit(Elaboratable):
    """A unit with one plain port for each field of its interface, named by its path: `i_a`, `o_valid`.

    Parameters
    ----------
    component : wiring.Component
    """

    def __init__(self, component: wiring.Component):
        self._component = component
        self._wires = [
            _Wire(port, Signal(Shape(port.width, port.signed), name=port.name), field)
            for port, field, _, _ in _interface(component)
        ]

    @property
    def ports(self) -> tuple[Port, ...]:
        """The ports besides clk and rst, inputs and outputs in the order of the interface."""
        return tuple(wire.port for wire in self._wires)

    @property
    def signals(self) -> dict[str, Signal]:
        """The signal of each port, for a simulation in Python."""
        return {wire.port.name: wire.signal for wire in self._wires}

    def elaborate(self, platform: object) -> Module:
        """The logic, from submodules."""
        m = Module()
        m.submodules.core = self._component
        for wire in self._wires:
            if wire.port.direction == "input":
                m.d.comb += wire.field.eq(wire.signal)
            else:
                m.d.comb += wire.signal.eq(wire.field)
        return m


def _interface(component: wiring.Component) -> Iterator[tuple[Port, Value, str, int]]:
    """Each field of a component's interface that has any bits: as a port, its value, its member and its place there."""
    for path, member, value in component.signature.flatten(component):
        direction = "input" if member.flow == wiring.In else "output"
        name = "_".join(str(part) for part in path if part != "payload")
        whole = "_".join(str(part) for part in path)
        if isinstance(value, data.View) and isinstance(value.shape(), data.StructLayout):
            stem = "" if name == "raw" else name.removesuffix("_payload") + "_"
            for field_name, field in value.shape():
                shape = Shape.cast(field.shape)
                if shape.width:
                    port = Port(stem + field_name, direction, shape.width, shape.signed)
                    yield port, Value.cast(value[field_name]), whole, field.offset
        else:
            shape = Shape.cast(value.shape())
            if shape.width:
                yield Port(name, direction, shape.width, shape.signed), Value.cast(value), whole, 0


def design_parts(fragment: Fragment) -> Part:
    """The components that a fragment consists of, by the names of its submodules."""
    component = next((origin for origin in fragment.origins or () if isinstance(origin, wiring.Component)), None)
    parts = {name: design_parts(part) for part, name, _ in fragment.subfragments if name is not None}
    if component is None:
        return Part(parts=parts)
    fields = list(_interface(component))
    names = Counter(port.name for port, *_ in fields)
    ports = tuple(
        PartPort(
            port.name if names[port.name] == 1 or port.name == member else f"{member}_{port.name}",
            port.direction, port.width, member, low,
        )
        for port, _, member, low in fields
    )  # fmt: skip
    return Part(type(component).__name__, _summary(component), ports, parts)


def _summary(component: wiring.Component) -> str:
    """The class of a component and the first sentence of its description, in ASCII."""
    text = f"{type(component).__name__}: {(type(component).__doc__ or '').strip().splitlines()[0]}"
    text = re.split(r"(?<=\.)\s", text)[0].rstrip(".").translate(_ASCII).replace("`", "")
    return text if text.isascii() else type(component).__name__


_ASCII = str.maketrans({"·": "*", "−": "-", "×": "x", "→": "->", "±": "+/-", "≤": "<="})


def unit_ports(design: Design) -> tuple[Port, ...]:
    """The ports of a design besides clk and rst."""
    flat = FlatUnit(design.component())
    Fragment.get(flat, None)  # elaborated for nothing, since Amaranth warns of what never was
    return flat.ports


def clock_ports(design: Design) -> tuple[Port, ...]:
    """clk and rst, where a design has them."""
    return (Port("clk", "input", 1), Port("rst", "input", 1)) if design.latency else ()


def emit_rtlil(unit: Elaboratable, name: str, signals: dict[str, Signal]) -> str:
    """The RTLIL of a unit under plain names: letters, digits and single underscores, each used once a scope."""
    text: str = rtlil.convert(unit, name=name, ports=list(signals.values()), emit_src=False)
    return _plain_names(text)


def emit_verilog(design: Design) -> str:
    """The Verilog-2001 of a design: the same text for the same design and version, with no paths in it."""
    flat = FlatUnit(design.component())
    return _header(design, flat.ports) + emit_modules(flat, design.name, flat.signals)


def emit_modules(unit: Elaboratable, name: str, signals: dict[str, Signal]) -> str:
    """The Verilog-2001 of any unit under plain names, without a header; its ports in the order of the signals."""
    fragment = Fragment.get(unit, None)
    part = design_parts(fragment)
    if "core" in part.parts:
        part.parts["core"] = replace(part.parts["core"], kind="core")
    netlists = read_netlist(without_processes(emit_rtlil(fragment, name, signals)))
    wires = netlists[name].wires
    ports = tuple(PartPort(port, wires[port].direction, len(wires[port].bits), port, 0) for port in signals)
    return write_modules(netlists, replace(part, ports=ports), name)


def write_verilog(design: Design, path: str | os.PathLike[str]) -> Path:
    """Write the Verilog of a design to a file, whole or not at all; gives its path.

    Raises
    ------
    OSError
        If the folder is not there or not writable.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"write_verilog: no folder {target.parent} to write {target.name} in; create it")
    if target.is_dir():
        raise IsADirectoryError(f"write_verilog: {target} is a folder; name a file such as {design.name}.v")
    check_writable(target, "write_verilog")
    text = emit_verilog(design)
    write_aside(target, lambda aside: aside.write_text(text, encoding="utf-8"))
    return target


def instance_template(design: Design) -> str:
    """How the emitted module is instantiated, each port connected to a signal of its name."""
    return _template(design, unit_ports(design))


def _template(design: Design, ports: tuple[Port, ...]) -> str:
    return instance(design.name, {port.name: port.name for port in (*clock_ports(design), *ports)})


def instance(module: str, pins: Mapping[str, str]) -> str:
    """The instance `unit` of a module, with what is at each of its pins."""
    width = max(map(len, pins))
    lines = ",\n".join(f"  .{name:{width}s} ({value})" for name, value in pins.items())
    return f"{module} unit (\n{lines}\n);\n"


def declarations(wires: Iterable[tuple[str, Port]]) -> list[str]:
    """What declares ports or wires, each behind its words such as "output wire", with ranges and names in columns."""
    rows = [(words, f"[{port.width - 1}:0]" if port.width > 1 else "", port.name) for words, port in wires]
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    return [
        f"{words:{first}} {span + ' ' if second else '':{second + bool(second)}}{name}" for words, span, name in rows
    ]


def _header(design: Design, ports: tuple[Port, ...]) -> str:
    rate = "a cycle" if design.interval == 1 else f"in {design.interval} cycles"
    facts = {
        "spec": design.spec_text,
        "latency": f"{design.latency} cycle{'s' * (design.latency != 1)}, one {design.item} {rate}",
        "made by": f"positcore {__version__}",
        "again by": f"{design.command} -o {design.name}.v",
    }
    return module_header(
        design.name, design.unit.summary, facts, [port.name for port in (*clock_ports(design), *ports)]
    )


def module_header(
    module: str, summary: str, facts: Mapping[str, str], ports: Sequence[str], *, alone: bool = False
) -> str:
    """The comment at the head of a text: what the module is, facts by their names, and how it is instantiated.

    `alone` says that no other module is in the text.
    """
    template = instance(module, dict(zip(ports, ports, strict=True)))
    lines = [f"{module}: {summary}", *(f"{name + ':':9} {value}" for name, value in facts.items())]
    lines += ["", "Instance:", *(f"  {line}" for line in template.splitlines())]
    text = "".join(f"// {line}".rstrip() + "\n" for line in lines).replace("→", "->").replace("×", "x")
    return (
        f"{text}\n" if alone else f"{text}\n/* verilator lint_off DECLFILENAME */  // several modules in one file\n\n"
    )


def _plain_names(text: str) -> str:
    """RTLIL with names that Verilog need not escape, kept apart where two would meet, and ports in order."""
    renamed: dict[str, str] = {}
    taken = {name for name in re.findall(r"\\(\S+)", text) if _is_plain(name)}

    def plain(match: re.Match[str]) -> str:
        name = match.group(0)
        if name[0] == "\\" and _is_plain(name[1:]):
            return name
        if name not in renamed:
            stem = re.sub(r"_+", "_", re.sub(r"\W", "_", name)).strip("_")
            stem = f"t{stem}" if stem[0].isdigit() else stem
            candidate, count = stem, 1
            while candidate in taken:
                count += 1
                candidate = f"{stem}_{count}"
            taken.add(candidate)
            renamed[name] = candidate
        return "\\" + renamed[name]

    # Public names, and the numbered private ones of intermediate wires; cells' types stay, and so does a memory's
    # name in the strings by which cells refer to it, which must be plain.
    text = re.sub(r"(?<![\"\\])\\\S+|(?<=\s)\$\d+(?=\s)", plain, text)
    return re.sub(r"\b(input|output) (\d+)", lambda port: f"{port[1]} {int(port[2]) + 1}", text)


def _is_plain(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z_]\w*", name) is not None and "__" not in name
