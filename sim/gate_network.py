"""`GateNetwork`: gates of at most three inputs, simplified and merged as they are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Gate", "GateNetwork", "Node", "Read"]

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


Node = Gate | Read | None  # None: a constant, an input or a register


class GateNetwork:
    """Nodes by number, 0 and 1 the constants; equal gates are one node.

    Attributes
    ----------
    nodes : list of Gate, Read or None
        What each node is; None for constants, inputs and registers.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = [None, None]
        self._known: dict[Gate | Read, int] = {}

    def new(self) -> int:
        """A node that no gate drives: of an input or a register."""
        self.nodes.append(None)
        return len(self.nodes) - 1

    def node(self, gate: Gate | Read) -> int:
        """The node of a gate, made if it is not yet there."""
        if gate not in self._known:
            self.nodes.append(gate)
            self._known[gate] = len(self.nodes) - 1
        return self._known[gate]

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
        return self.node(Gate(tuple(names), rows))

    def not_(self, a: int) -> int:
        """The opposite."""
        return self.gate(0b01, a)

    def and_(self, a: int, b: int) -> int:
        """Both."""
        return self.gate(0b1000, a, b)

    def or_(self, a: int, b: int) -> int:
        """Either, or both."""
        return self.gate(0b1110, a, b)

    def xor(self, a: int, b: int) -> int:
        """One of them alone."""
        return self.gate(0b0110, a, b)

    def mux(self, select: int, one: int, zero: int) -> int:
        """`one` where `select` is set, else `zero`."""
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


def _depends(table: int, place: int) -> bool:
    high = _VALUES[place]
    return (table & high) >> (1 << place) != table & ~high & 0xFF


def _without(table: int, place: int) -> int:
    """The table of a function that does not depend on an input, without that input."""
    low = (1 << place) - 1
    return sum((table >> ((row & low | (row & ~low) << 1) & 7) & 1) << row for row in range(8))
