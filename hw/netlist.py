"""The netlist of a unit, read from its RTLIL: modules of wires, cells and memories, bit by bit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["ONE", "UNDEFINED", "ZERO", "Bits", "Cell", "Netlist", "Wire", "read_netlist"]

Bits = tuple[int, ...]  # the least significant one first; a bit of a wire is its module's count, a constant is negative

ZERO, ONE, UNDEFINED = -1, -2, -3
_CONSTANTS = {"0": ZERO, "1": ONE}


@dataclass(frozen=True)
class Wire:
    """A wire of a module: its bits, its place among the ports, and what it holds at first if it is a register."""

    name: str
    bits: Bits
    direction: str = ""  # "input", "output" or empty
    port: int = 0
    init: str = ""


@dataclass(frozen=True)
class Cell:
    """An operator, a register, a memory's port or an instance of a module."""

    kind: str  # `$add`, or the name of a module
    name: str
    parameters: dict[str, str]
    connections: dict[str, Bits]

    def signed(self, operand: str) -> bool:
        """Whether an operand is read as two's complement."""
        return self.parameters.get(f"{operand}_SIGNED", "0") == "1"

    def number(self, parameter: str) -> int:
        """A parameter as an integer."""
        text = self.parameters[parameter]
        return int(text.partition("'")[2], 2) if "'" in text else int(text)


@dataclass
class Netlist:
    """A module. Bits that are connected stand for one: that which is driven; `root` gives it."""

    name: str
    wires: dict[str, Wire] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    memories: dict[str, tuple[int, int]] = field(default_factory=dict)  # width, depth
    _parents: list[int] = field(default_factory=list)

    @property
    def ports(self) -> list[Wire]:
        """The ports in order."""
        return sorted((wire for wire in self.wires.values() if wire.port), key=lambda wire: wire.port)

    @property
    def size(self) -> int:
        """How many bits its wires have."""
        return len(self._parents)

    def add_wire(self, name: str, width: int, direction: str = "", port: int = 0, init: str = "") -> Wire:
        """A new wire."""
        first = len(self._parents)
        bits = tuple(range(first, first + width))
        self._parents.extend(bits)
        self.wires[name] = Wire(name, bits, direction, port, init)
        return self.wires[name]

    def connect(self, left: Sequence[int], right: Sequence[int]) -> None:
        """Let the bits on the right drive those on the left."""
        for target, source in zip(left, right, strict=True):
            self._parents[self._root(target)] = source

    def roots(self, bits: Sequence[int]) -> Bits:
        """The bits that drive the given ones."""
        return tuple(bit if bit < 0 else self._root(bit) for bit in bits)

    def _root(self, bit: int) -> int:
        path = []
        while bit >= 0 and self._parents[bit] != bit:
            path.append(bit)
            bit = self._parents[bit]
        for step in path:
            self._parents[step] = bit
        return bit


def read_netlist(text: str) -> dict[str, Netlist]:
    """The modules of an RTLIL text without processes, by name, in the order of the text.

    Raises
    ------
    ValueError
        If a line is none that designs of this package have.
    """
    modules: dict[str, Netlist] = {}
    module: Netlist | None = None
    cell: Cell | None = None
    init = ""
    connects: list[tuple[Bits, Bits]] = []
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word in ("", "#", "autoidx"):
            continue
        if word == "attribute":
            name, _, value = rest.partition(" ")
            init = value.partition("'")[2] if name == "\\init" else init
        elif word == "module":
            module = modules[rest.lstrip("\\")] = Netlist(rest.lstrip("\\"))
        elif module is None:
            raise ValueError(f"read_netlist: {line.strip()!r} stands outside of a module")
        elif word == "wire":
            _add_wire(module, rest, init)
            init = ""
        elif word == "memory":
            options, _, name = rest.rpartition(" ")
            values = dict(re.findall(r"(width|size|offset) (\d+)", options))
            module.memories[name.lstrip("\\")] = (int(values.get("width", "1")), int(values["size"]))
        elif word == "cell":
            kind, _, name = rest.partition(" ")
            cell = Cell(kind.lstrip("\\"), name.lstrip("\\"), {}, {})
            module.cells.append(cell)
            init = ""
        elif word == "parameter" and cell is not None:
            name, _, value = rest.removeprefix("signed ").partition(" ")
            cell.parameters[name.lstrip("\\")] = value
        elif word == "connect" and cell is not None:
            name, _, value = rest.partition(" ")
            cell.connections[name.lstrip("\\")] = _bits(module, value)
        elif word == "connect":
            tokens = _TOKEN.findall(rest)
            left, at = _parse(module, tokens, 0)
            right, at = _parse(module, tokens, at)
            connects.append((left, right))
        elif word == "end":
            if cell is not None:
                cell = None
            else:
                for left, right in connects:
                    module.connect(left, right)
                connects, module = [], None
        else:
            raise ValueError(f"read_netlist: no design of this package has the line {line.strip()!r}")
    return modules


# A name, an index or a range, a constant, a brace, a number (which has 32 bits).
_TOKEN = re.compile(r"\\?([A-Za-z_$]\S*)|\[(\d+)(?::(\d+))?\]|(\d+)'([01xz-]*)|([{}])|(-?\d+)")


def _add_wire(module: Netlist, rest: str, init: str) -> None:
    options, _, name = rest.rpartition(" ")
    width = re.search(r"width (\d+)", options)
    port = re.search(r"(input|output) (\d+)", options)
    module.add_wire(
        name.lstrip("\\"),
        int(width[1]) if width else 1,
        port[1] if port else "",
        int(port[2]) if port else 0,
        init,
    )


def _bits(module: Netlist, text: str) -> Bits:
    return _parse(module, _TOKEN.findall(text), 0)[0]


def _parse(module: Netlist, tokens: list[tuple[str, ...]], at: int) -> tuple[Bits, int]:
    """The bits of one signal from a place in the tokens on, and the place after it."""
    name, _, _, _, digits, brace, number = tokens[at]
    if number:
        return tuple(ONE if int(number) >> place & 1 else ZERO for place in range(32)), at + 1
    if name:
        bits = module.wires[name].bits
        if at + 1 < len(tokens) and tokens[at + 1][1]:
            high = int(tokens[at + 1][1])
            low = int(tokens[at + 1][2] or high)
            return bits[low : high + 1], at + 2
        return bits, at + 1
    if brace == "{":
        parts: list[Bits] = []
        at += 1
        while tokens[at][5] != "}":
            part, at = _parse(module, tokens, at)
            parts.append(part)
        return tuple(bit for part in reversed(parts) for bit in part), at + 1
    width = int(tokens[at][3])
    values = tuple(_CONSTANTS.get(digit, UNDEFINED) for digit in reversed(digits))
    return values + (values[-1:] if values and values[-1] == UNDEFINED else (ZERO,)) * (width - len(values)), at + 1
