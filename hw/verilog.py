"""Verilog-2001 from a netlist: the names and the hierarchy of the design, every width explicit, nothing unused."""

from __future__ import annotations

import re
import textwrap
from collections import defaultdict

from positcore.hw.expressions import Expressions, constant, span
from positcore.hw.liveness import LiveModule, LivePort, Part
from positcore.hw.netlist import ONE, Bits, Netlist

__all__ = ["write_modules"]


def write_modules(modules: dict[str, Netlist], part: Part, top: str) -> str:
    """The Verilog of a design: its top module, and below it each module that is used, once.

    What no output depends on is left out, across modules too, so that there is nothing unused to be warned of,
    but for the clock and the reset of the top module, which are there by contract.

    Parameters
    ----------
    modules : dict of netlists by name
    part : Part
        What the top module is.
    top : str
        The name of the top module, with which the names of all others begin.
    """
    unit = LiveModule(modules[top], part, modules)
    unit.want([entry for entry in unit.ports if entry.direction == "output"])
    writer = _Writer(top)
    writer.place(unit)
    return "\n".join(reversed(writer.texts))


class _Writer:
    """The texts of modules, each written once however often it stands."""

    def __init__(self, top: str):
        self.top = top
        self.texts: list[str] = []
        self._names: dict[str, str] = {}  # text → name
        self._taken: set[str] = set()

    def place(self, unit: LiveModule) -> str:
        """Write a module and those below it, unless that was done; gives its name."""
        below = {index: self.place(child) for index, child in unit.children.items() if _is_live(child)}
        text = _Text(unit, below).text(top=unit.net.name == self.top)
        kind = unit.part.kind or unit.net.name.removeprefix(self.top).strip("_")
        stem = self.top if unit.net.name == self.top else f"{self.top}_{_snake(kind)}"
        known = self._names.get(f"{stem}\n{text}")
        if known is not None:
            return known
        name, count = stem, 1
        while name in self._taken:
            count += 1
            name = f"{stem}_{count}"
        self._taken.add(name)
        self._names[f"{stem}\n{text}"] = name
        comment = f"// {unit.part.summary}\n" if unit.part.summary else ""
        self.texts.append(f"{comment}module {name} {text}")
        return name


def _is_live(unit: LiveModule) -> bool:
    return any(port.live for port in unit.ports)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class _Text(Expressions):
    """The text of one module."""

    def text(self, *, top: bool) -> str:
        """Ports, declarations, instances, assignments and registers."""
        unit, net = self.unit, self.net
        for wire in net.wires.values():
            if not re.fullmatch(r"t\d+|\$.*", wire.name):
                self.aliases[net.roots(wire.bits)].append(wire.name)
        ports = [port for port in unit.ports if port.live or top]
        for port in ports:
            port.name = self._take(port.name)
            self.shapes[port.name] = (0, len(port.bits) - 1)
        for port in ports:
            if port.direction == "input":
                self._label(port.name, port.bits, 0)
        assigned = [port for port in ports if port.direction == "output" and not self._drives(port)]
        for index, child in unit.children.items():
            for port in child.ports:
                bits = unit.outside(index, port)
                if port.live and port.direction == "output" and bits[0] not in self.labels:
                    name = self._declare(f"{net.cells[index].name}_{port.name}", 0, len(port.bits) - 1)
                    self._label(name, bits, 0)
        self._name_cells()
        self._count_uses(assigned)
        self.inlined = {index for index in self.temporary if self.uses[index] == 1}
        instances = [self._instance(index) for index in self.below]
        for index in sorted(unit.ranges):
            cell = net.cells[index]
            if index in self.inlined or index in self.stated:
                continue
            if cell.kind not in ("$dff", "$memrd_v2"):
                self.statements.append(f"  assign {self._target(index)} = {self._expression(index, loose=True)};")
        finals = [f"  assign {port.name} = {self._bits(net.roots(port.bits))};" for port in assigned]
        memories = self._memories()
        clocked = self._registers()
        outputs = {port.name for port in ports if port.direction == "output"}
        unused = [text for name in self.shapes if name not in outputs for text in self._unmentioned(name)]
        if unused:
            name = self._declare("unused_ok", 0, 0)
            finals.append(f"  assign {name} = &{{{', '.join(unused)}}};  // nothing depends on these")
        lines = [part for line in [*self.statements, *finals] for part in _wrapped(line)]
        head = _columns([self._port(port) for port in ports], ",")
        sections = [self.declared, instances, lines, memories, clocked]
        body = "\n\n".join("\n".join(lines) for lines in sections if lines)
        return f"(\n{head}\n);\n{body}\nendmodule\n"

    def _port(self, port: LivePort) -> tuple[str, ...]:
        kind = f"{port.direction:6s} {'reg ' if port.name in self.registers else 'wire'}"
        return (f"  {kind}", span(0, len(port.bits) - 1).strip(), port.name)

    def _instance(self, index: int) -> str:
        pins = []
        for port in self.unit.children[index].ports:
            bits = self.unit.outside(index, port)
            if port.live:
                value = self._bits(bits, loose=True) if port.direction == "input" else self.labels[bits[0]][0]
                pins.append((f"    .{port.name}", f"({value})"))
        width = max(len(name) for name, _ in pins)
        lines = ",\n".join(f"{name:{width}s} {value}" for name, value in pins)
        return f"  {self.below[index]} {self._take(self.net.cells[index].name)} (\n{lines}\n  );"

    def _registers(self) -> list[str]:
        """One block for each clock, in which registers of one condition stand together."""
        blocks: dict[str, dict[tuple[str, str], list[str]]] = defaultdict(lambda: defaultdict(list))
        initial = []
        for index in sorted(self.unit.ranges):
            cell = self.net.cells[index]
            if cell.kind != "$dff":
                continue
            low, high = self.unit.ranges[index]
            q = self.unit.outputs[index][low : high + 1]
            name = self.labels[q[0]][0]
            value = self._init(index)
            if value is not None:
                initial.append(f"    {name} = {constant(value)};")
            data = self.unit.inputs[index]["D"][low : high + 1]
            reset, data = self._reset(data)
            condition, data = self._enable(data, q)
            block = blocks[self._bits(self.unit.inputs[index]["CLK"])]
            block["", condition].append(f"{name} <= {self._bits(data, loose=True, arm=True)};")
            if reset is not None:
                block["rst", reset[0]].append(f"{name} <= {reset[1]};")
        lines = ["  initial begin", *initial, "  end"] if initial else []
        for clock, groups in blocks.items():
            lines.append(f"  always @(posedge {clock}) begin")
            for (_, condition), assignments in sorted(groups.items(), key=lambda group: group[0][0]):
                if not condition:
                    lines += [f"    {text}" for text in assignments]
                else:
                    lines += [f"    if ({condition}) begin", *(f"      {text}" for text in assignments), "    end"]
            lines.append("  end")
        return lines

    def _init(self, index: int) -> str | None:
        """The digits that a register holds at first."""
        low, high = self.unit.ranges[index]
        bits = self.unit.outputs[index]
        for wire in self.net.wires.values():
            if wire.init and self.net.roots(wire.bits) == bits:
                digits = wire.init.rjust(len(bits), "0")[::-1]
                return digits[low : high + 1][::-1]
        return None

    def _mux(self, data: Bits) -> tuple[Bits, Bits, int] | None:
        """The arms and the condition of the multiplexer that gives a value, if it serves nothing else."""
        if data[0] not in self.unit.drivers:
            return None
        index, _ = self.unit.drivers[data[0]]
        if index not in self.inlined or self.net.cells[index].kind != "$mux":
            return None
        low, high = self.unit.ranges[index]
        if self.unit.outputs[index][low : high + 1] != data:
            return None
        inputs = self.unit.inputs[index]
        return inputs["A"][low : high + 1], inputs["B"][low : high + 1], inputs["S"][0]

    def _reset(self, data: Bits) -> tuple[tuple[str, str] | None, Bits]:
        mux = self._mux(data)
        if mux is None or mux[2] not in self.labels or self.labels[mux[2]][0] != "rst":
            return None, data
        if any(bit >= 0 for bit in mux[1]):
            return None, data
        return (self._bits((mux[2],)), self._bits(mux[1])), mux[0]

    def _enable(self, data: Bits, q: Bits) -> tuple[str, Bits]:
        mux = self._mux(data)
        if mux is None:
            return "", data
        if mux[0] == q:
            return self._bits((mux[2],), loose=True), mux[1]
        if mux[1] == q:
            return f"~{self._bits((mux[2],))}", mux[0]
        return "", data

    def _memories(self) -> list[str]:
        lines: list[str] = []
        for memory, (width, depth) in self.net.memories.items():
            memid = next(
                (m for m in self.unit.live_memories if m.strip('"').replace("\\\\", "\\").lstrip("\\") == memory), None
            )
            if memid is None:
                continue
            name = self._take(memory)
            lines.append(f"  reg {span(0, width - 1)}{name} [0:{depth - 1}];")
            cells = [i for i, cell in enumerate(self.net.cells) if cell.parameters.get("MEMID") == memid]
            for index in cells:
                if self.net.cells[index].kind == "$meminit_v2":
                    data = self.unit.inputs[index]["DATA"]
                    rows = [data[at : at + width] for at in range(0, len(data), width)]
                    lines.append("  initial begin")
                    lines += [f"    {name}[{row}] = {self._bits(bits)};" for row, bits in enumerate(rows)]
                    lines.append("  end")
            writers = [index for index in cells if self.net.cells[index].kind == "$memwr_v2"]
            for index in writers:
                lines += self._write_port(name, index, width)
            for index in cells:
                if self.net.cells[index].kind == "$memrd_v2" and index in self.unit.ranges:
                    lines += self._read_port(name, index, writers)
        return lines

    def _write_port(self, name: str, index: int, width: int) -> list[str]:
        inputs = self.unit.inputs[index]
        lines = [f"  always @(posedge {self._bits(inputs['CLK'])}) begin"]
        at = 0
        while at < width:
            end = at
            while end < width and inputs["EN"][end] == inputs["EN"][at]:
                end += 1
            part = "" if (at, end) == (0, width) else f"[{end - 1}:{at}]"
            enable = self._bits((inputs["EN"][at],))
            lines.append(
                f"    if ({enable}) {name}[{self._bits(inputs['ADDR'])}]{part} <= {self._bits(inputs['DATA'][at:end])};"
            )
            at = end
        return [*lines, "  end"]

    def _read_port(self, name: str, index: int, writers: list[int]) -> list[str]:
        cell, inputs = self.net.cells[index], self.unit.inputs[index]
        target = self._target(index)
        value = f"{name}[{self._bits(inputs['ADDR'])}]"
        if cell.number("CLK_ENABLE") == 0:
            return [f"  assign {target} = {value};"]
        mask = cell.number("TRANSPARENCY_MASK") if writers else 0
        for place, writer in enumerate(writers):
            if mask >> place & 1:
                other = self.unit.inputs[writer]
                if len(set(other["EN"])) != 1:
                    raise ValueError(f"write_modules: {name}: a transparent read beside writes of parts of a word")
                same = f"{self._bits((other['EN'][0],))} && {self._bits(other['ADDR'])} == {self._bits(inputs['ADDR'])}"
                value = f"({same}) ? {self._bits(other['DATA'])} : {value}"
        enable = "" if inputs["EN"] == (ONE,) else f"if ({self._bits(inputs['EN'])}) "
        clock = self._bits(inputs["CLK"])
        return [f"  always @(posedge {clock}) begin", f"    {enable}{target} <= {value};", "  end"]


def _wrapped(line: str) -> list[str]:
    """A statement in lines that are short enough to read; a comment behind it goes before it if it must be cut."""
    statement, _, comment = line.partition("  // ")
    before = [f"  // {comment}:"] if comment and len(line) > 118 else []
    line = statement if before else line
    return before + textwrap.wrap(line, 118, subsequent_indent="      ", break_long_words=False, break_on_hyphens=False)


def _columns(rows: list[tuple[str, ...]], separator: str) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = [
        " ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False) if width), row[-1]])
        for row in rows
    ]
    return f"{separator}\n".join(lines)
