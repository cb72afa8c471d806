"""`LOWERINGS`: the operators on words that RTLIL has, as gates on bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from positcore.hw.netlist import Cell
from positcore.sim.gate_network import GateNetwork

__all__ = ["LOWERINGS", "Lowering", "Operands"]


@dataclass
class Operands:
    """The operands of a cell, as nodes, the lowest bit first."""

    cell: Cell
    operands: Mapping[str, list[int]]

    def __call__(self, name: str, width: int | None = None) -> list[int]:
        """The nodes of an operand, extended or cut to a width, by its sign where it has one."""
        nodes = self.operands[name]
        if width is None:
            return nodes
        top = nodes[-1] if nodes and self.cell.signed(name) else 0
        return [*nodes, *[top] * width][:width]

    def pair(self, width: int) -> tuple[list[int], list[int]]:
        """Both operands, extended or cut to a width."""
        return self("A", width), self("B", width)

    def widest(self) -> int:
        """A width that holds both operands, signed or not."""
        return max(len(self("A")), len(self("B"))) + 1


Lowering = Callable[[GateNetwork, Operands, int], list[int]]


def _bitwise(table: int) -> Lowering:
    return lambda g, w, width: [g.gate(table, a, b) for a, b in zip(*w.pair(width), strict=True)]


def _sum(subtract: bool) -> Lowering:
    def lower(g: GateNetwork, w: Operands, width: int) -> list[int]:
        a, b = w.pair(width)
        return g.add(a, [g.not_(x) for x in b] if subtract else b, int(subtract))[:-1]

    return lower


def _negative(g: GateNetwork, w: Operands, width: int) -> list[int]:
    return g.add([g.not_(x) for x in w("A", width)], [0] * width, 1)[:-1]


def _times(g: GateNetwork, w: Operands, width: int) -> list[int]:
    a, b = w.pair(width)
    total = [0] * width
    for place, select in enumerate(b):
        if select:
            row = [*[0] * place, *[g.and_(select, x) for x in a]][:width]
            total = g.add(total, row, 0)[:-1]
    return total


def _shift(right: bool) -> Lowering:
    def lower(g: GateNetwork, w: Operands, width: int) -> list[int]:
        nodes = w("A", max(width, len(w("A"))))
        fill = nodes[-1] if right and w.cell.kind == "$sshr" and w.cell.signed("A") else 0
        for place, select in enumerate(w("B")):
            step = min(1 << place, len(nodes))
            moved = [*nodes[step:], *[fill] * step] if right else [*[0] * step, *nodes[: len(nodes) - step]]
            nodes = [g.mux(select, one, zero) for one, zero in zip(moved, nodes, strict=True)]
        return nodes[:width]

    return lower


def _select(g: GateNetwork, w: Operands, width: int) -> list[int]:
    """$mux and $pmux: of several selects at most one is set."""
    nodes, choices = w("A"), w("B")
    for place, select in enumerate(w("S")):
        part = choices[place * width : (place + 1) * width]
        nodes = [g.mux(select, one, zero) for one, zero in zip(part, nodes, strict=True)]
    return nodes


def _equal(g: GateNetwork, w: Operands, width: int) -> list[int]:
    return [g.not_(_differ(g, w, width)[0])]


def _differ(g: GateNetwork, w: Operands, width: int) -> list[int]:
    a, b = w.pair(w.widest())
    return [g.fold(g.or_, [g.xor(x, y) for x, y in zip(a, b, strict=True)])]


def _order(swap: bool, invert: bool) -> Lowering:
    """a < b, b < a and their opposites: the sign of a difference that has a bit more than the operands."""

    def lower(g: GateNetwork, w: Operands, width: int) -> list[int]:
        a, b = w.pair(w.widest())
        if swap:
            a, b = b, a
        sign = g.add(a, [g.not_(x) for x in b], 1)[-2]
        return [g.not_(sign) if invert else sign]

    return lower


def _reduce(op: str, invert: bool = False) -> Lowering:
    def lower(g: GateNetwork, w: Operands, width: int) -> list[int]:
        node = g.fold(getattr(g, op), w("A"))
        return [g.not_(node) if invert else node]

    return lower


def _logic(op: str) -> Lowering:
    return lambda g, w, width: [getattr(g, op)(*(g.fold(g.or_, w(name)) for name in "AB"))]


LOWERINGS: dict[str, Lowering] = {
    "$and": _bitwise(0b1000), "$or": _bitwise(0b1110), "$xor": _bitwise(0b0110), "$xnor": _bitwise(0b1001),
    "$not": lambda g, w, width: [g.not_(x) for x in w("A", width)],
    "$mux": _select, "$pmux": _select, "$add": _sum(False), "$sub": _sum(True), "$neg": _negative, "$mul": _times,
    "$shl": _shift(False), "$sshl": _shift(False), "$shr": _shift(True), "$sshr": _shift(True),
    "$eq": _equal, "$ne": _differ, "$lt": _order(False, False), "$gt": _order(True, False),
    "$ge": _order(False, True), "$le": _order(True, True), "$reduce_or": _reduce("or_"),
    "$reduce_bool": _reduce("or_"), "$reduce_and": _reduce("and_"), "$reduce_xor": _reduce("xor"),
    "$logic_not": _reduce("or_", True), "$logic_and": _logic("and_"), "$logic_or": _logic("or_"),
}  # fmt: skip
