"""What of a netlist is of any use: the bits on which an output of the top module depends, across modules."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from positcore.hw.netlist import ONE, ZERO, Bits, Cell, Netlist

__all__ = [
    "BITWISE", "BY_BIT", "BY_PREFIX", "COMPARISONS", "LOGIC", "REDUCTIONS", "RIGHT", "LiveModule", "LivePort", "Part",
    "PartPort",
]  # fmt: skip

BITWISE = {"$and": "&", "$or": "|", "$xor": "^"}
BY_BIT = {*BITWISE, "$xnor", "$not", "$mux", "$pmux", "$dff"}
BY_PREFIX = {"$add": "+", "$sub": "-", "$neg": "-", "$mul": "*", "$shl": "<<", "$sshl": "<<"}
RIGHT = {"$shr": ">>", "$sshr": ">>>"}
COMPARISONS = {"$eq": "==", "$ne": "!=", "$lt": "<", "$le": "<=", "$gt": ">", "$ge": ">="}
REDUCTIONS = {"$reduce_or": "|", "$reduce_bool": "|", "$reduce_and": "&", "$reduce_xor": "^", "$logic_not": "~|"}
LOGIC = {"$logic_and": "&&", "$logic_or": "||"}
MEMORY = {"$memrd_v2", "$memwr_v2", "$meminit_v2"}
KNOWN = {*BY_BIT, *BY_PREFIX, *RIGHT, *COMPARISONS, *REDUCTIONS, *LOGIC, *MEMORY}


@dataclass(frozen=True)
class PartPort:
    """A field of a component's interface: its name, the member that holds it, and where in that."""

    name: str
    direction: str
    width: int
    member: str
    low: int


@dataclass(frozen=True)
class Part:
    """What a netlist does not tell of a module: what it is an instance of, its interface, its parts by name."""

    kind: str = ""
    summary: str = ""
    ports: tuple[PartPort, ...] = ()
    parts: dict[str, Part] = field(default_factory=dict)


@dataclass(eq=False)
class LivePort:
    """A port of a module as it is written, and its bits in the netlist."""

    name: str
    direction: str
    wire: str
    low: int
    bits: Bits
    live: bool = False


class LiveModule:
    """A module's netlist, and which of its bits are of any use."""

    def __init__(self, net: Netlist, part: Part, modules: dict[str, Netlist]):
        self.net, self.part = net, part
        self.ports = _ports(net, part)
        self.children: dict[int, LiveModule] = {}
        self.inputs: list[dict[str, Bits]] = []
        self.ranges: dict[int, tuple[int, int]] = {}  # the part of a cell's output that is of use
        self.drivers: dict[int, tuple[int, int]] = {}  # bit → cell and place in its output
        self.outputs: dict[int, Bits] = {}
        self.live: set[int] = set()
        self._of_input = {bit: port for port in self.ports if port.direction == "input" for bit in port.bits}
        self.of_child: dict[int, tuple[int, LivePort]] = {}
        self.live_memories: set[str] = set()
        for cell in net.cells:
            self._fold(cell)
        for index, cell in enumerate(net.cells):
            self.inputs.append({name: net.roots(bits) for name, bits in cell.connections.items()})
            if cell.kind in modules:
                child = self.children[index] = LiveModule(
                    modules[cell.kind], part.parts.get(cell.name, Part()), modules
                )
                for port in child.ports:
                    if port.direction == "output":
                        for bit in self.outside(index, port):
                            self.of_child[bit] = (index, port)
            else:
                name = {"$dff": "Q", "$memrd_v2": "DATA"}.get(cell.kind, "Y")
                if name in cell.connections and cell.kind not in ("$memwr_v2", "$meminit_v2"):
                    output = self.outputs[index] = self.inputs[-1].pop(name)
                    for place, bit in enumerate(output):
                        self.drivers.setdefault(bit, (index, place))

    def outside(self, index: int, port: LivePort) -> Bits:
        """The bits of this module at a port of an instance."""
        bits = self.inputs[index].get(port.wire, ())
        return bits[port.low : port.low + len(port.bits)]

    def operand(self, index: int, name: str, width: int) -> Bits:
        """An operand of a cell, extended or cut to a width."""
        cell = self.net.cells[index]
        signed = cell.signed(name) and all(cell.signed(other) for other in "AB" if other in self.inputs[index])
        if cell.kind in ("$shl", "$sshl", "$shr", "$sshr"):
            signed = cell.signed(name)
        bits = self.inputs[index][name]
        fill = bits[-1] if signed and bits else ZERO
        return bits[:width] + (fill,) * (width - len(bits))

    def want(self, ports: Sequence[LivePort]) -> list[LivePort]:
        """Mark outputs as used; gives the inputs that are used for the first time."""
        before = {id(port) for port in self.ports if port.live}
        todo: list[int] = []
        for port in ports:
            port.live = True
            todo += self.net.roots(port.bits)
        while todo:
            bit = todo.pop()
            if bit < 0 or bit in self.live:
                continue
            self.live.add(bit)
            if bit in self._of_input:
                self._of_input[bit].live = True
            elif bit in self.of_child:
                index, port = self.of_child[bit]
                if not port.live:
                    for used in self.children[index].want([port]):
                        todo += self.outside(index, used)
            elif bit in self.drivers:
                todo += self._needs(*self.drivers[bit])
        return [port for port in self.ports if port.live and port.direction == "input" and id(port) not in before]

    def _needs(self, index: int, place: int) -> list[int]:
        cell = self.net.cells[index]
        inputs = self.inputs[index]
        if cell.kind not in KNOWN:
            raise ValueError(f"write_modules: cannot write a cell of the kind {cell.kind}")
        low, high = self.ranges.get(index, (place, place))
        if cell.kind in BY_PREFIX:
            low = 0
        elif cell.kind not in BY_BIT:
            low, high = 0, len(self.outputs[index]) - 1
        self.ranges[index] = low, high = min(low, place), max(high, place)
        needs = list(self.outputs[index][low : high + 1])
        if cell.kind in MEMORY:
            memory = cell.parameters["MEMID"]
            if memory not in self.live_memories:
                self.live_memories.add(memory)
                for other, writer in enumerate(self.net.cells):
                    if writer.kind == "$memwr_v2" and writer.parameters["MEMID"] == memory:
                        needs += [bit for bits in self.inputs[other].values() for bit in bits]
            return needs + [bit for name in ("ADDR", "EN", "CLK") for bit in inputs[name]]
        if cell.kind == "$dff":
            return [*needs, *inputs["D"][low : high + 1], *inputs["CLK"]]
        if cell.kind in ("$mux", "$pmux"):
            width = len(self.outputs[index])
            data = [
                bits[at + low : at + high + 1]
                for bits in (inputs["A"], inputs["B"])
                for at in range(0, len(bits), width)
            ]
            return [*needs, *inputs["S"], *(bit for bits in data for bit in bits)]
        if cell.kind in BY_BIT or cell.kind in BY_PREFIX:
            shift = cell.kind in ("$shl", "$sshl")
            for name, bits in inputs.items():
                needs += bits if shift and name == "B" else self.operand(index, name, high + 1)[low:]
            return needs
        return needs + [bit for bits in inputs.values() for bit in bits]

    def _fold(self, cell: Cell) -> None:
        """Turn what only moves bits into connections."""
        width = len(cell.connections.get("Y", ()))
        if cell.kind in ("$shl", "$sshl", "$shr", "$sshr") and all(bit in (ZERO, ONE) for bit in cell.connections["B"]):
            amount = sum((bit == ONE) << place for place, bit in enumerate(cell.connections["B"]))
            a = cell.connections["A"]
            a += (a[-1] if cell.signed("A") and a else ZERO,) * max(0, width + amount - len(a))
            left = cell.kind in ("$shl", "$sshl")
            self.net.connect(cell.connections["Y"], ((ZERO,) * amount + a if left else a[amount:])[:width])
        elif cell.kind == "$pos":
            a = cell.connections["A"]
            a += (a[-1] if cell.signed("A") and a else ZERO,) * max(0, width - len(a))
            self.net.connect(cell.connections["Y"], a[:width])
        elif cell.kind == "$ge" and not cell.signed("B") and all(bit == ZERO for bit in cell.connections["B"]):
            self.net.connect(cell.connections["Y"], (ONE,) + (ZERO,) * (width - 1))
        elif cell.kind in {*COMPARISONS, *REDUCTIONS, *LOGIC}:
            self.net.connect(cell.connections["Y"][1:], (ZERO,) * (width - 1))


def _ports(net: Netlist, part: Part) -> list[LivePort]:
    """The ports of a module field by field, named as in the interface of its component where that is known."""
    aliases: dict[tuple[str, Bits], list[str]] = defaultdict(list)
    for wire in net.wires.values():
        aliases["", net.roots(wire.bits)].append(re.sub(r"_\d+$", "", wire.name))
        aliases["exact", net.roots(wire.bits)].append(wire.name)
    members: dict[tuple[str, str], list[PartPort]] = defaultdict(list)
    for port in part.ports:
        members[port.member, port.direction].append(port)
    widths = {key: max(port.low + port.width for port in ports) for key, ports in members.items()}
    found: dict[str, tuple[str, str]] = {}
    rest: dict[str, str] = {}
    for kind in ("exact", ""):
        for wire in net.ports:
            names = aliases[kind, net.roots(wire.bits)] + (
                [re.sub(r"_\d+$", "", wire.name)] if not kind else [wire.name]
            )
            for name in names:
                key = (name, wire.direction)
                if (
                    wire.name not in found
                    and key in widths
                    and widths[key] == len(wire.bits)
                    and key not in found.values()
                ):
                    found[wire.name] = key
    for direction in ("input", "output"):  # a member some of whose bits are constant: the one that is left
        wires = [wire.name for wire in net.ports if wire.direction == direction and wire.name not in found]
        left = [key for key in members if key[1] == direction and key not in found.values()]
        wires = [name for name in wires if name not in ("clk", "rst")]
        if len(wires) == len(left) == 1 and len(members[left[0]]) == 1:
            rest[wires[0]] = members[left[0]][0].name
    ports: list[LivePort] = []
    for wire in net.ports:
        if wire.name in rest:
            ports.append(LivePort(rest[wire.name], wire.direction, wire.name, 0, wire.bits))
        elif wire.name not in found:
            ports.append(LivePort(wire.name, wire.direction, wire.name, 0, wire.bits))
        else:
            for port in members[found[wire.name]]:
                bits = wire.bits[port.low : port.low + port.width]
                ports.append(LivePort(port.name, wire.direction, wire.name, port.low, bits))
    order = {port.name: place for place, port in enumerate(part.ports)}
    ports.sort(key=lambda port: (port.name not in ("clk", "rst"), order.get(port.name, -1)))
    return ports
