"""`GateGraph`: a design as gates of at most three inputs, bit by bit, between its ports and registers.

It is read from the RTLIL that every other form of the design is made from. Operators on words become gates on bits,
equal gates are merged, and small ones are put together as long as three inputs are enough: what a vector unit computes
in one instruction for as many copies of the design as it has bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from positcore.hw.netlist import ONE, ZERO, Bits, Cell, Netlist
from positcore.sim.flat_netlist import FlatNetlist
from positcore.sim.gate_network import Gate, GateNetwork, Read
from positcore.sim.gate_packing import packed
from positcore.sim.gate_words import LOWERINGS, Operands

__all__ = ["Gate", "GateGraph", "Read", "gate_graph"]


@dataclass
class GateGraph:
    """Nodes are numbers: 0 and 1 are the constants, the others have an entry in one of the dictionaries below.

    Attributes
    ----------
    inputs : dict of str to list of int
        The nodes of each input port, the lowest bit first.
    outputs : dict of str to list of int
    registers : dict of int to tuple of int
        For the node of a register's bit, the node that it takes at each clock edge, and what it holds at first.
    gates : dict of int to Gate or Read
        In an order in which what a gate depends on comes before it.
    memories : dict of str to tuple of int
        The words of each memory.
    """

    inputs: dict[str, list[int]]
    outputs: dict[str, list[int]]
    registers: dict[int, tuple[int, int]]
    gates: dict[int, Gate | Read]
    memories: dict[str, tuple[int, ...]]


def gate_graph(modules: Mapping[str, Netlist], top: str, ties: Mapping[str, int] | None = None) -> GateGraph:
    """The gates of a design that its outputs depend on.

    Parameters
    ----------
    modules : mapping of names to netlists without processes
        As `positcore.hw.netlist.read_netlist` gives them.
    top : str
    ties : mapping of str to int, optional
        Inputs that never change, with the numbers that they hold; the logic is folded accordingly.

    Raises
    ------
    ValueError
        If the logic has a loop, a memory that is written, or a cell that no design of this package has.
    """
    return _Builder(modules, top, dict(ties or {})).graph()


class _Builder:
    """From cells to gates: each bit is made when it is asked for."""

    def __init__(self, modules: Mapping[str, Netlist], top: str, ties: dict[str, int]):
        self.flat = FlatNetlist(modules, top)
        self.network = GateNetwork()
        self._value: dict[int, int] = {ZERO: 0, ONE: 1, -3: 0}  # bit → node; what is undefined is 0
        self._drivers: dict[int, int] = {}
        self.memories: dict[str, tuple[int, ...]] = {}
        self.registers: dict[int, tuple[int, int]] = {}
        self._sources: dict[int, int] = {}  # a register's node → the bit that it takes
        self.inputs: dict[str, list[int]] = {}
        for name, (direction, bits) in self.flat.ports.items():
            if direction == "input":
                nodes = [ties[name] >> place & 1 if name in ties else self.network.new() for place in range(len(bits))]
                self._value.update(zip(bits, nodes, strict=True))
                if name not in ties:
                    self.inputs[name] = nodes
        for index, (cell, connections, path) in enumerate(self.flat.cells):
            if cell.kind == "$meminit_v2":
                self._keep(cell, connections, path)
            elif cell.kind == "$memwr_v2":
                raise ValueError(f"gate_graph: {path}{cell.name}: a memory that is written has no gates")
            else:
                for bit in connections["DATA" if cell.kind == "$memrd_v2" else "Q" if cell.kind == "$dff" else "Y"]:
                    self._drivers[self.flat.root(bit)] = index

    def graph(self) -> GateGraph:
        outputs = {
            name: self._make(bits) for name, (direction, bits) in self.flat.ports.items() if direction == "output"
        }
        done = 0
        while done < len(self._sources):  # registers that are reached make others reached
            for node in list(self._sources)[done:]:
                (source,) = self._make((self._sources[node],))
                self.registers[node] = source, self.registers[node][1]
                done += 1
        roots = [node for nodes in outputs.values() for node in nodes] + [at for at, _ in self.registers.values()]
        return GateGraph(self.inputs, outputs, self.registers, packed(self.network.nodes, roots), self.memories)

    def _make(self, bits: Sequence[int]) -> list[int]:
        """The nodes of bits, made with all that they depend on; no recursion, since designs are deep."""
        roots = [self.flat.root(bit) for bit in bits]
        stack = [bit for bit in roots if bit not in self._value]
        opened: set[int] = set()
        while stack:
            bit = stack[-1]
            if bit in self._value:
                stack.pop()
                continue
            if bit not in self._drivers:
                raise ValueError(
                    f"gate_graph: bit {self.flat.name(bit)}, which an output depends on, is driven by nothing"
                )
            index = self._drivers[bit]
            cell, connections, path = self.flat.cells[index]
            if cell.kind == "$dff":
                self._register(index)
                continue
            needed = [self.flat.root(b) for name in _operands(cell) for b in connections[name]]
            missing = [b for b in needed if b not in self._value]
            if not missing:
                self._evaluate(index)
                opened.discard(index)
                continue
            if any(self._drivers.get(b) in opened | {index} for b in missing):
                raise ValueError(f"gate_graph: {path}{cell.name} is in a combinational loop")
            opened.add(index)
            stack += missing
        return [self._value[bit] for bit in roots]

    def _nodes(self, index: int, name: str) -> list[int]:
        return [self._value[self.flat.root(bit)] for bit in self.flat.cells[index][1][name]]

    def _set(self, index: int, name: str, nodes: Sequence[int]) -> None:
        for bit, node in zip(self.flat.cells[index][1][name], nodes, strict=True):
            self._value[self.flat.root(bit)] = node

    def _register(self, index: int) -> None:
        cell, connections, path = self.flat.cells[index]
        if cell.parameters["CLK_POLARITY"] not in ("1", "1'1"):
            raise ValueError(f"gate_graph: {path}{cell.name}: a register of a falling edge")
        for q, d in zip(connections["Q"], connections["D"], strict=True):
            bit, node = self.flat.root(q), self.network.new()
            self._value[bit] = node
            self.registers[node] = 0, self.flat.initial.get(bit, 0)
            self._sources[node] = d

    def _keep(self, cell: Cell, connections: dict[str, Bits], path: str) -> None:
        width, data = cell.number("WIDTH"), connections["DATA"]
        words = (data[at : at + width] for at in range(0, len(data), width))
        name = path + cell.parameters["MEMID"].strip('"').lstrip("\\")
        self.memories[name] = tuple(sum((bit == ONE) << place for place, bit in enumerate(word)) for word in words)

    def _evaluate(self, index: int) -> None:
        cell, connections, path = self.flat.cells[index]
        kind = cell.kind
        if kind == "$memrd_v2":
            name = path + cell.parameters["MEMID"].strip('"').lstrip("\\")
            if cell.number("CLK_ENABLE"):
                raise ValueError(f"gate_graph: {path}{cell.name}: a registered read; build the unit without stages")
            address = tuple(self._nodes(index, "ADDR"))
            reads = [Read(name, address, place) for place in range(len(connections["DATA"]))]
            self._set(index, "DATA", [self.network.node(read) for read in reads])
            return
        if kind not in LOWERINGS:
            raise ValueError(f"gate_graph: {path}{cell.name}: no design of this package has a cell {kind}")
        width = len(connections["Y"])
        operands = Operands(cell, {name: self._nodes(index, name) for name in _operands(cell)})
        result = LOWERINGS[kind](self.network, operands, width)
        self._set(index, "Y", [*result, *[0] * width][:width])


def _operands(cell: Cell) -> tuple[str, ...]:
    if cell.kind == "$memrd_v2":
        return ("ADDR",)
    return tuple(name for name in ("A", "B", "S") if name in cell.connections)
