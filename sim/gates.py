"""`GateGraph`: a design as gates of at most three inputs, bit by bit, between its ports and registers.

It is read from the RTLIL that every other form of the design is made from. Operators on words become gates on bits,
equal gates are merged, and small ones are put together as long as three inputs are enough: what a vector unit computes
in one instruction for as many copies of the design as it has bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from positcore.hw.netlist import ONE, ZERO, Bits, Cell, Netlist

__all__ = ["Gate", "GateGraph", "Read", "gate_graph"]

_VALUES = (0b10101010, 0b11001100, 0b11110000)  # of three inputs, in the eight rows of a truth table


@dataclass(frozen=True)
class Gate:
    """A function of one to three nodes: bit i of `table` is its value where input j has bit j of i."""

    inputs: tuple[int, ...]
    table: int


@dataclass(frozen=True)
class Read:
    """A bit of a word that is read from a constant memory; the address is of nodes, the lowest bit first."""

    memory: str
    address: tuple[int, ...]
    bit: int

    @property
    def inputs(self) -> tuple[int, ...]:
        """The nodes that it depends on."""
        return self.address


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


class _Flat:
    """All modules as one: bits are numbers, connected ones stand for one."""

    def __init__(self, modules: Mapping[str, Netlist], top: str):
        self.modules = modules
        self.parents: list[int] = []
        self.cells: list[tuple[Cell, dict[str, Bits], str]] = []
        self.initial: dict[int, int] = {}
        self.names: list[tuple[int, str]] = []  # where each wire begins
        self.ports = {wire.name: (wire.direction, modules[top].roots(wire.bits)) for wire in modules[top].ports}
        self._place(modules[top], "")

    def _place(self, module: Netlist, path: str) -> int:
        """Add a module; gives the number of its bit 0."""
        base = len(self.parents)
        self.parents += range(base, base + module.size)

        def here(bits: Sequence[int]) -> Bits:
            return tuple(bit if bit < 0 else base + bit for bit in module.roots(bits))

        for wire in module.wires.values():
            self.names += [(base + bit, f"{path}{wire.name}[{place}]") for place, bit in enumerate(wire.bits)]
            for bit, value in zip(here(wire.bits), reversed(wire.init), strict=False):
                if value in "01" and bit >= 0:
                    self.initial[bit] = int(value)
        for cell in module.cells:
            if cell.kind not in self.modules:
                connections = {name: here(bits) for name, bits in cell.connections.items()}
                self.cells.append((cell, connections, path))
                continue
            child = self.modules[cell.kind]
            start = self._place(child, f"{path}{cell.name}.")
            for wire in child.ports:
                outer = here(cell.connections.get(wire.name, ()))
                inner = [bit if bit < 0 else start + bit for bit in child.roots(wire.bits)]
                pairs = zip(inner, outer, strict=True) if outer else ()
                for x, y in pairs:
                    target, source = (x, y) if wire.direction == "input" else (y, x)
                    if target >= 0:
                        self.parents[target] = source
        return base

    def name(self, bit: int) -> str:
        """A bit as a message names it."""
        return next((name for at, name in self.names if at == bit), "")

    def root(self, bit: int) -> int:
        path = []
        while bit >= 0 and self.parents[bit] != bit:
            path.append(bit)
            bit = self.parents[bit]
        for step in path:
            self.parents[step] = bit
        return bit


class _Builder:
    """From cells to gates: each bit is made when it is asked for."""

    def __init__(self, modules: Mapping[str, Netlist], top: str, ties: dict[str, int]):
        self.flat = _Flat(modules, top)
        self.nodes: list[Gate | Read | None] = [None, None]  # the two constants
        self._known: dict[Gate | Read, int] = {}
        self._value: dict[int, int] = {ZERO: 0, ONE: 1, -3: 0}  # bit → node; what is undefined is 0
        self._drivers: dict[int, int] = {}
        self.memories: dict[str, tuple[int, ...]] = {}
        self.registers: dict[int, tuple[int, int]] = {}
        self._sources: dict[int, int] = {}  # a register's node → the bit that it takes
        self.inputs: dict[str, list[int]] = {}
        for name, (direction, bits) in self.flat.ports.items():
            if direction == "input":
                nodes = [ties[name] >> place & 1 if name in ties else self._new(None) for place in range(len(bits))]
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

    def _new(self, gate: Gate | Read | None) -> int:
        self.nodes.append(gate)
        return len(self.nodes) - 1

    # Gates -------------------------------------------------------------------------------------------

    def gate(self, table: int, *inputs: int) -> int:
        """The node of a function, simplified: constants folded, equal inputs merged, what does not matter dropped."""
        names = list(dict.fromkeys(x for x in inputs if x > 1))
        rows = 0
        for row in range(8):
            values = {name: row >> place & 1 for place, name in enumerate(names)}
            place = sum((x if x < 2 else values[x]) << j for j, x in enumerate(inputs))
            rows |= (table >> place & 1) << row
        for place in reversed(range(len(names))):
            if not _depends(rows, place):
                del names[place]
                rows = _without(rows, place)
        if not names:
            return rows & 1
        if len(names) == 1 and rows & 3 == 2:
            return names[0]
        key = Gate(tuple(names), rows)
        if key not in self._known:
            self._known[key] = self._new(key)
        return self._known[key]

    def not_(self, a: int) -> int:
        return self.gate(0b01, a)

    def and_(self, a: int, b: int) -> int:
        return self.gate(0b1000, a, b)

    def or_(self, a: int, b: int) -> int:
        return self.gate(0b1110, a, b)

    def xor(self, a: int, b: int) -> int:
        return self.gate(0b0110, a, b)

    def mux(self, select: int, one: int, zero: int) -> int:
        return self.gate(0b11001010, zero, one, select) if one != zero else one

    def fold(self, op: Callable[[int, int], int], bits: Sequence[int]) -> int:
        """A balanced tree."""
        nodes = list(bits)
        while len(nodes) > 1:
            nodes = [op(*nodes[i : i + 2]) if i + 1 < len(nodes) else nodes[i] for i in range(0, len(nodes), 2)]
        return nodes[0]

    def add(self, a: Sequence[int], b: Sequence[int], carry: int) -> list[int]:
        """The sum, and above it the carry."""
        total = []
        for x, y in zip(a, b, strict=True):
            total.append(self.gate(0b10010110, x, y, carry))
            carry = self.gate(0b11101000, x, y, carry)
        return [*total, carry]

    # Bits --------------------------------------------------------------------------------------------

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
        return GateGraph(self.inputs, outputs, self.registers, _packed(self.nodes, roots), self.memories)

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
            bit, node = self.flat.root(q), self._new(None)
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
            for read in reads:
                if read not in self._known:
                    self._known[read] = self._new(read)
            self._set(index, "DATA", [self._known[read] for read in reads])
            return
        if kind not in _WORDS:
            raise ValueError(f"gate_graph: {path}{cell.name}: no design of this package has a cell {kind}")
        width = len(connections["Y"])
        result = _WORDS[kind](self, _Word(self, index, cell), width)
        self._set(index, "Y", [*result, *[0] * width][:width])


@dataclass
class _Word:
    """The operands of a cell."""

    builder: _Builder
    index: int
    cell: Cell

    def __call__(self, name: str, width: int | None = None) -> list[int]:
        """The nodes of an operand, extended or cut to a width, by its sign where it has one."""
        nodes = self.builder._nodes(self.index, name)
        if width is None:
            return nodes
        top = nodes[-1] if nodes and self.cell.signed(name) else 0
        return [*nodes, *[top] * width][:width]

    def pair(self, width: int) -> tuple[list[int], list[int]]:
        return self("A", width), self("B", width)

    def widest(self) -> int:
        """A width that holds both operands, signed or not."""
        return max(len(self("A")), len(self("B"))) + 1


_Lowering = Callable[[_Builder, _Word, int], list[int]]


def _bitwise(table: int) -> _Lowering:
    return lambda g, w, width: [g.gate(table, a, b) for a, b in zip(*w.pair(width), strict=True)]


def _sum(subtract: bool) -> _Lowering:
    def lower(g: _Builder, w: _Word, width: int) -> list[int]:
        a, b = w.pair(width)
        return g.add(a, [g.not_(x) for x in b] if subtract else b, int(subtract))[:-1]

    return lower


def _negative(g: _Builder, w: _Word, width: int) -> list[int]:
    return g.add([g.not_(x) for x in w("A", width)], [0] * width, 1)[:-1]


def _times(g: _Builder, w: _Word, width: int) -> list[int]:
    a, b = w.pair(width)
    total = [0] * width
    for place, select in enumerate(b):
        if select:
            row = [*[0] * place, *[g.and_(select, x) for x in a]][:width]
            total = g.add(total, row, 0)[:-1]
    return total


def _shift(right: bool) -> _Lowering:
    def lower(g: _Builder, w: _Word, width: int) -> list[int]:
        nodes = w("A", max(width, len(w("A"))))
        fill = nodes[-1] if right and w.cell.kind == "$sshr" and w.cell.signed("A") else 0
        for place, select in enumerate(w("B")):
            step = min(1 << place, len(nodes))
            moved = [*nodes[step:], *[fill] * step] if right else [*[0] * step, *nodes[: len(nodes) - step]]
            nodes = [g.mux(select, one, zero) for one, zero in zip(moved, nodes, strict=True)]
        return nodes[:width]

    return lower


def _select(g: _Builder, w: _Word, width: int) -> list[int]:
    """$mux and $pmux: of several selects at most one is set."""
    nodes, choices = w("A"), w("B")
    for place, select in enumerate(w("S")):
        part = choices[place * width : (place + 1) * width]
        nodes = [g.mux(select, one, zero) for one, zero in zip(part, nodes, strict=True)]
    return nodes


def _equal(g: _Builder, w: _Word, width: int) -> list[int]:
    return [g.not_(_differ(g, w, width)[0])]


def _differ(g: _Builder, w: _Word, width: int) -> list[int]:
    a, b = w.pair(w.widest())
    return [g.fold(g.or_, [g.xor(x, y) for x, y in zip(a, b, strict=True)])]


def _order(swap: bool, invert: bool) -> _Lowering:
    """a < b, b < a and their opposites: the sign of a difference that has a bit more than the operands."""

    def lower(g: _Builder, w: _Word, width: int) -> list[int]:
        a, b = w.pair(w.widest())
        if swap:
            a, b = b, a
        sign = g.add(a, [g.not_(x) for x in b], 1)[-2]
        return [g.not_(sign) if invert else sign]

    return lower


def _reduce(op: str, invert: bool = False) -> _Lowering:
    def lower(g: _Builder, w: _Word, width: int) -> list[int]:
        node = g.fold(getattr(g, op), w("A"))
        return [g.not_(node) if invert else node]

    return lower


def _logic(op: str) -> _Lowering:
    return lambda g, w, width: [getattr(g, op)(*(g.fold(g.or_, w(name)) for name in "AB"))]


_WORDS: dict[str, _Lowering] = {
    "$and": _bitwise(0b1000), "$or": _bitwise(0b1110), "$xor": _bitwise(0b0110), "$xnor": _bitwise(0b1001),
    "$not": lambda g, w, width: [g.not_(x) for x in w("A", width)],
    "$mux": _select, "$pmux": _select, "$add": _sum(False), "$sub": _sum(True), "$neg": _negative, "$mul": _times,
    "$shl": _shift(False), "$sshl": _shift(False), "$shr": _shift(True), "$sshr": _shift(True),
    "$eq": _equal, "$ne": _differ, "$lt": _order(False, False), "$gt": _order(True, False),
    "$ge": _order(False, True), "$le": _order(True, True), "$reduce_or": _reduce("or_"),
    "$reduce_bool": _reduce("or_"), "$reduce_and": _reduce("and_"), "$reduce_xor": _reduce("xor"),
    "$logic_not": _reduce("or_", True), "$logic_and": _logic("and_"), "$logic_or": _logic("or_"),
}  # fmt: skip


def _operands(cell: Cell) -> tuple[str, ...]:
    if cell.kind == "$memrd_v2":
        return ("ADDR",)
    return tuple(name for name in ("A", "B", "S") if name in cell.connections)


# Truth tables ----------------------------------------------------------------------------------------


def _depends(table: int, place: int) -> bool:
    high = _VALUES[place]
    return (table & high) >> (1 << place) != table & ~high & 0xFF


def _without(table: int, place: int) -> int:
    """The table of a function that does not depend on an input, without that input."""
    low = (1 << place) - 1
    return sum((table >> ((row & low | (row & ~low) << 1) & 7) & 1) << row for row in range(8))


def _packed(nodes: Sequence[Gate | Read | None], roots: Sequence[int]) -> dict[int, Gate | Read]:
    """The gates that the roots need, in order; a gate that one other alone reads is put into that if it fits."""
    order = _ordered(nodes, roots)
    uses: dict[int, int] = {}
    for node in roots:
        uses[node] = uses.get(node, 0) + 1
    for node in order:
        for source in nodes[node].inputs:  # type: ignore[union-attr]
            uses[source] = uses.get(source, 0) + 1
    packed: dict[int, Gate | Read] = {}
    for node in order:
        gate = nodes[node]
        assert gate is not None
        if isinstance(gate, Gate):
            gate = _absorb(gate, packed, uses)
        packed[node] = gate
    needed = set(_ordered([packed.get(node) for node in range(len(nodes))], roots))
    return {node: gate for node, gate in packed.items() if node in needed}


def _absorb(gate: Gate, packed: Mapping[int, Gate | Read], uses: Mapping[int, int]) -> Gate:
    """The gate with those of its inputs in it that fit."""
    changed = True
    while changed:
        changed = False
        for source in gate.inputs:
            below = packed.get(source)
            if not isinstance(below, Gate) or (uses[source] > 1 and len(below.inputs) > 1):
                continue
            others = [x for x in gate.inputs if x != source]
            names = list(dict.fromkeys([*others, *below.inputs]))
            if len(names) > 3:
                continue
            rows = 0
            for row in range(8):
                values = {name: row >> place & 1 for place, name in enumerate(names)}
                place = sum(values[x] << j for j, x in enumerate(below.inputs))
                values[source] = below.table >> place & 1
                place = sum(values[x] << j for j, x in enumerate(gate.inputs))
                rows |= (gate.table >> place & 1) << row
            gate, changed = Gate(tuple(names), rows), True
            break
    return gate


def _ordered(nodes: Sequence[Gate | Read | None], roots: Sequence[int]) -> list[int]:
    """The gates that the roots depend on, each behind those that it depends on."""
    done: set[int] = set()
    order: list[int] = []
    for root in roots:
        stack = [root]
        while stack:
            node = stack[-1]
            gate = nodes[node]
            if node in done or gate is None:
                stack.pop()
                continue
            missing = [x for x in gate.inputs if x not in done and nodes[x] is not None]
            if missing:
                stack += missing
            else:
                stack.pop()
                done.add(node)
                order.append(node)
    return order
