"""The block diagram of a unit, drawn from its netlist: submodules, named values, and the registers between them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from dataclasses import dataclass, field

from amaranth.hdl import Fragment

from positcore.errors import MissingToolError
from positcore.hw.emit import FlatUnit, design_parts, emit_rtlil
from positcore.hw.expressions import Expressions
from positcore.hw.liveness import LiveModule, LivePort
from positcore.hw.netlist import read_netlist
from positcore.hw.units import Design
from positcore.hw.yosys import without_processes

__all__ = ["draw", "graphs"]

_SYMBOLS = {
    "$add": "+",
    "$sub": "−",
    "$neg": "−",
    "$mul": "×",
    "$shl": "≪",
    "$shr": "≫",
    "$sshr": "≫",
    "$memrd_v2": "memory",
}
_LEAVES = {"Decoder", "Encoder"}  # which have pages of their own
_MANY = 36  # boxes in a diagram
_COMPARISONS = {"$eq", "$ne", "$lt", "$le", "$gt", "$ge"}
_HANDSHAKE = re.compile(r"(^|_)(valid|ready|taken|done|busy|waits)(_|$)")


@dataclass
class _Node:
    """A box: a port, a submodule, a register stage, or the values that share a stem."""

    key: str
    kind: str  # "input", "output", "part", "registers", "values"
    title: str
    operators: set[str] = field(default_factory=set)
    names: list[str] = field(default_factory=list)
    width: int = 0


def draw(design: Design) -> dict[str, str]:
    """The diagrams of a design as SVG: of the unit itself, by the empty name, and of its larger parts by their kinds.

    Raises
    ------
    MissingToolError
        If graphviz is not there.
    """
    dot = shutil.which("dot")
    if dot is None:
        raise MissingToolError("graphviz (dot)", "block diagrams", "apt-get install graphviz")
    drawn = {}
    for kind, text in graphs(design).items():
        done = subprocess.run([dot, "-Tsvg"], input=text, capture_output=True, text=True, check=True)
        plain = re.sub(r"<!--.*?-->\s*", "", done.stdout, flags=re.S)
        plain = re.sub(r"(\d\.\d)\d+", r"\1", plain)  # a tenth of a point is fine enough
        if len(plain) > 50_000:
            plain = re.sub(r"(\d)\.\d+(?=[ ,CZ\"])", r"\1", plain)
        drawn[kind] = plain[plain.index("<svg") :]
    return drawn


def graphs(design: Design) -> dict[str, str]:
    """The diagrams in graphviz' language."""
    found: dict[str, str] = {}

    def visit(module: LiveModule, kind: str) -> None:
        if kind in found or not any(port.live for port in module.ports):
            return
        registers = any(cell.kind == "$dff" for cell in module.net.cells)
        if kind in _LEAVES or (kind and not registers and not module.children):
            return
        builder = _Builder(module, tuple(design.cuts), streaming=design.unit.streaming)
        found[kind] = builder.text()
        if len(builder.nodes) > _MANY:  # then lanes and rows stand in one box
            found[kind] = _Builder(module, tuple(design.cuts), streaming=design.unit.streaming, numbered=False).text()
        for child in module.children.values():
            visit(child, child.part.kind)

    visit(_core(design), "")
    return found


def _core(design: Design) -> LiveModule:
    flat = FlatUnit(design.component())
    fragment = Fragment.get(flat, None)
    modules = read_netlist(without_processes(emit_rtlil(fragment, "unit", flat.signals)))
    top = LiveModule(modules["unit"], design_parts(fragment), modules)
    top.want([port for port in top.ports if port.direction == "output"])
    return next(iter(top.children.values()))


class _Builder(Expressions):
    """Nodes and edges of a module."""

    def __init__(self, unit: LiveModule, cuts: tuple[str, ...], *, streaming: bool, numbered: bool = True):
        super().__init__(unit, dict.fromkeys(unit.children, ""))
        self.cuts, self.streaming, self._numbered = cuts, streaming, numbered
        self.nodes: dict[str, _Node] = {}
        self.edges: dict[tuple[str, str], set[int]] = defaultdict(set)  # the bits that go from box to box
        self._sources: dict[int, tuple[str, str]] = {}  # bit → box and what it is called there
        self._behind: dict[int, frozenset[int]] = {}
        self._symbols: dict[int, frozenset[str]] = {}
        self._prepare()

    def _prepare(self) -> None:
        unit = self.unit
        for wire in self.net.wires.values():
            if not re.fullmatch(r"t\d+|\$.*", wire.name):
                self.aliases[self.net.roots(wire.bits)].append(wire.name)
        for port in unit.ports:
            if not port.live or port.name in ("clk", "rst"):
                continue
            if port.direction == "input":
                self._source(f"in_{port.name}", "input", port.name, port.bits, port.name)
        for index, child in unit.children.items():
            name = self.net.cells[index].name
            if not any(port.live for port in child.ports):
                continue
            for port in child.ports:
                if port.live and port.direction == "output":
                    self._source(
                        f"part_{self._common(name)}",
                        "part",
                        f"{self._common(name)}\n{child.part.kind}",
                        unit.outside(index, port),
                        port.name,
                    )
        self._name_cells()
        named: list[tuple[_Node, int]] = []
        for index in sorted(unit.ranges):
            cell = self.net.cells[index]
            low, high = unit.ranges[index]
            bits = unit.outputs[index][low : high + 1]
            name = self.labels[bits[0]][0]
            if index in self.temporary:
                continue
            if cell.kind == "$dff":
                cut = self._cut(index)
                key, title = (f"cut_{cut}", cut) if cut else (f"reg_{self._common(name)}", self._common(name))
                label = name.removesuffix(f"_{cut}") if cut else name
                node = self._source(key, "registers", title, bits, label)
            else:
                stem = self._common(_stem(name))
                node = self._source(f"val_{stem}", "values", stem, bits, name)
                named.append((node, index))
            node.names.append(name)
            node.width = max(node.width, len(bits))
        for node, index in named:
            node.operators |= self._operators(index)

    def _cut(self, index: int) -> str:
        """The pipeline cut to which a register belongs; empty if it is none of the pipeline's."""
        names = self.aliases.get(self.unit.outputs[index], [])
        found = [cut for cut in self.cuts for name in names if name.endswith(f"_{cut}") or name == f"{cut}_valid"]
        return max(found, key=len, default="")

    def _common(self, name: str) -> str:
        """A name, less the numbers in it where those are left out."""
        return name if self._numbered else re.sub(r"_?\d+", "", name)

    def _source(self, key: str, kind: str, title: str, bits: tuple[int, ...], name: str) -> _Node:
        node = self.nodes.setdefault(key, _Node(key, kind, title))
        for bit in bits:
            self._sources.setdefault(bit, (key, name))
        return node

    def _operators(self, index: int) -> frozenset[str]:
        """The symbols of a cell and of the nameless ones that it alone is made of."""
        if index not in self._symbols:
            cell = self.net.cells[index]
            self._symbols[index] = frozenset()
            own = _SYMBOLS.get(cell.kind, "=" if cell.kind in _COMPARISONS else "mux" if "mux" in cell.kind else "")
            drivers = {self.unit.drivers[bit][0] for bits in self._operands(index) for bit in bits
                       if bit in self.unit.drivers and bit not in self._sources}  # fmt: skip
            parts = [self._operators(driver) for driver in drivers if driver in self.temporary]
            self._symbols[index] = frozenset({own} - {""}).union(*parts)
        return self._symbols[index]

    def _from(self, bit: int) -> frozenset[int]:
        """The named bits on which a bit depends through nameless cells."""
        if bit < 0:
            return frozenset()
        if bit in self._sources:
            return frozenset((bit,))
        if bit not in self._behind:
            self._behind[bit] = frozenset()
            driver = self.unit.drivers.get(bit)
            if driver is not None:
                index = driver[0]
                found = frozenset(
                    each for bits in self._operands(index) for other in bits for each in self._from(other)
                )
                low, high = self.unit.ranges.get(index, driver[1:] * 2)
                for other in self.unit.outputs[index][low : high + 1]:
                    self._behind[other] = found
                self._behind[bit] = found
        return self._behind[bit]

    def _connect(self, bits: tuple[int, ...], target: str, own: tuple[int, ...] = ()) -> None:
        inside = frozenset(own)
        for place, bit in enumerate(bits):
            for source in self._from(bit):
                # A register that holds its own value is no loop, one that adds to it is.
                if source not in inside or (source != own[place] and self._adds(bit)):
                    self.edges[self._sources[source][0], target].add(source)

    def _adds(self, bit: int) -> bool:
        """Whether a bit is computed by an adder somewhere behind it, before the next name."""
        driver = self.unit.drivers.get(bit)
        return driver is not None and bit not in self._sources and bool(self._operators(driver[0]) & {"+", "−"})

    def _enter(self, bits: tuple[int, ...], target: str, name: str, own: tuple[int, ...] = ()) -> None:
        """Connect to a register or an output, through a box of its own for what is computed in front of it."""
        drivers = {self.unit.drivers[bit][0] for bit in bits if bit in self.unit.drivers and bit not in self._sources}
        symbols = {symbol for index in drivers for symbol in self._operators(index)}
        if self.streaming or not drivers or (len(bits) == 1 and not symbols - {"mux"}):
            self._connect(bits, target, own)
            return
        key = f"before_{target}_{name}"
        self.nodes[key] = _Node(key, "values", name, symbols, [], len(bits))
        self._connect(bits, key, own)
        self.edges[key, target] |= {-1 - place for place in range(len(bits))}

    def text(self) -> str:
        """All nodes and edges."""
        unit = self.unit
        for index in sorted(unit.ranges):
            if index in self.temporary:
                continue
            low, _ = unit.ranges[index]
            target = self._sources[unit.outputs[index][low]][0]
            for bits in self._operands(index):
                if self.net.cells[index].kind == "$dff":
                    label = self._sources[unit.outputs[index][low]][1]
                    self._enter(bits, target, label, unit.outputs[index][low : low + len(bits)])
                else:
                    self._connect(bits, target)
        for index, child in unit.children.items():
            for port in child.ports:
                if port.live and port.direction == "input" and port.name not in ("clk", "rst"):
                    self._connect(unit.outside(index, port), f"part_{self._common(self.net.cells[index].name)}")
        for port in unit.ports:
            if port.direction == "output" and port.live:
                self._output(port)
        self._fold_small()
        lines = [
            "digraph unit {",
            '  rankdir=LR; nodesep=0.18; ranksep=0.42; bgcolor="#ffffff"; splines=true;',
            '  node [fontname="Helvetica", fontsize=11, shape=box, style="filled,rounded", fillcolor="#ffffff"'
            ', color="#444444", margin="0.10,0.05", height=0.3];',
            '  edge [fontname="Helvetica", fontsize=9, color="#666666", arrowsize=0.6];',
        ]
        lines += [self._node(node) for node in self.nodes.values()]
        for (source, target), bits in self.edges.items():
            look = ', constraint=false, color="#b05a00"' if self._returns(source, target) else ""
            if self._is_handshake(bits):
                controls = any(_HANDSHAKE.search(name) for name in self.nodes[target].names)
                shown = (controls and self.nodes[source].kind == "input") or _HANDSHAKE.search(self.nodes[target].title)
                if self.nodes[target].kind == "registers" and not shown:
                    continue  # when a register loads
                look += ', style="dashed", color="#aaaaaa"'
            lines.append(f'  "{source}" -> "{target}" [label="{len(bits) if len(bits) > 1 else ""}"{look}];')
        return "\n".join([*lines, "}", ""])

    def _output(self, port: LivePort) -> None:
        bits = self.net.roots(port.bits)
        key = f"out_{port.name}"
        same = next((node for node in self.nodes.values() if node.kind == "values" and node.title == port.name), None)
        if same is not None and all(self._sources.get(bit, ("",))[0] == same.key for bit in bits):
            same.kind = "output"
            return
        self.nodes[key] = _Node(key, "output", port.name)
        self._enter(bits, key, port.name)

    def _returns(self, source: str, target: str) -> bool:
        """Whether an edge goes from registers back to what they are computed from."""
        if self.nodes[source].kind != "registers":
            return False
        seen, todo = {target}, [target]
        while todo:
            at = todo.pop()
            if at == source:
                return True
            for (before, after), bits in self.edges.items():
                if before == at and not self._is_handshake(bits) and after not in seen and after in self.nodes:
                    seen.add(after)
                    todo.append(after)
        return False

    def _is_handshake(self, bits: set[int]) -> bool:
        return all(bit in self._sources and _HANDSHAKE.search(self._sources[bit][1]) for bit in bits)

    def _fold_small(self) -> None:
        """Leave out single bits of logic that only one box uses: they are part of it."""
        for key in list(self.nodes):
            node = self.nodes[key]
            targets = [target for source, target in self.edges if source == key and target != key]
            if (
                node.kind != "values"
                or key.startswith("before_")
                or node.width > 1
                or node.operators - {"mux", "="}
                or len(set(targets)) != 1
            ):
                continue
            for (source, target), names in list(self.edges.items()):
                if target == key:
                    self.edges[source, targets[0]] |= names
            for edge in list(self.edges):
                if key in edge:
                    del self.edges[edge]
            self.nodes[targets[0]].operators |= node.operators
            del self.nodes[key]
        for edge in [(a, b) for a, b in self.edges if a == b and self.nodes[a].kind != "registers"]:
            del self.edges[edge]

    def _node(self, node: _Node) -> str:
        title = node.title.replace("\n", "\\n")
        if node.kind in ("input", "output"):
            return f'  "{node.key}" [label="{title}", shape=plaintext, style="", fontname="Helvetica-Bold"];'
        if node.kind == "part":
            name, _, kind = node.title.partition("\n")
            label = f'<b>{kind or name}</b><br/><font point-size="9">{name}</font>'
            return f'  "{node.key}" [label=<{label}>, fillcolor="#dbe8f7"];'
        if node.kind == "registers":
            names = list(dict.fromkeys(self._common(name).removesuffix(f"_{node.title}") for name in node.names))
            rows = "<br/>".join(names[:12] + ["…"] * (len(names) > 12))
            head = (
                f"<b>{node.title}</b><br/>"
                if len(node.names) > 1 or node.names[0] != node.title
                else "<b>register</b><br/>"
            )
            return (
                f'  "{node.key}" [label=<{head}<font point-size="9">{rows}</font>>, style="filled", '
                f'fillcolor="#fbe3c4"];'
            )
        what = _what(node)
        label = f'<b>{what}</b><br/><font point-size="9">{node.title}</font>' if what else node.title
        return f'  "{node.key}" [label=<{label}>, fillcolor="{"#e4f1de" if what else "#ffffff"}"];'


def _stem(name: str) -> str:
    """The common name of the stages of a shifter: align of align_by_4, align_4 and align_lost_4."""
    return re.sub(r"(_by|_lost|_run|_moved|_sticky)?_\d+$", "", name)


def _what(node: _Node) -> str:
    """What a group of values computes."""
    if any("_run_" in name for name in node.names):
        return "count and shift left"
    if any("_lost_" in name for name in node.names):
        return "shift right, sticky"
    symbols = sorted(node.operators - {"mux", "="})
    if symbols:
        return " ".join(symbols)
    if "mux" in node.operators:
        return "select"
    return "compare" if "=" in node.operators else ""
