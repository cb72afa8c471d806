"""`AndGraph`: a design as an and-inverter graph, evaluated for 64 inputs in each machine word.

A literal is twice the number of a node, plus 1 where it is inverted; node 0 is the constant 0. That is the numbering
of AIGER (A. Biere, "The AIGER And-Inverter Graph (AIG) Format", 2007), which Yosys writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from positcore.hw.emit import Port
from positcore.jit import kernel
from positcore.threads import run_split

__all__ = ["AndGraph"]

_WORDS = 32  # of a node at a time: enough to hide the loop over gates, and live nodes stay in the cache
_GRAIN = 1 << 14  # inputs that pay for a thread
_UNSEEN, _OPEN, _LOOP, _UNEVEN, _ALIEN = -1, -2, -3, -4, -5
_FAULTS = {
    _LOOP: "is in a loop",
    _UNEVEN: "is reached from the inputs by paths of different latency",
    _ALIEN: "reaches an output, and is no port",
}


class AndGraph:
    """The logic between the ports of a design.

    Registers are read as wires, which is what a pipeline computes if all paths to an output have equally many of
    them; where paths of different latency meet, the graph is refused. So one evaluation proves a pipeline at work,
    and the latencies are facts of the netlist.

    Parameters
    ----------
    aiger : bytes
        Binary AIGER with symbols: `a[0]` for a bit of a port, or `a` for one of a single bit.
    ports : sequence of Port
        The ports that count. No other input, such as clk, rst or an undriven bit, may reach an output.

    Attributes
    ----------
    gates : int
        And gates evaluated, after equal ones are merged and idle ones dropped.
    latency : dict of str to int
        For each output, the registers between it and the inputs; −1 if it is constant.

    Raises
    ------
    ValueError
        If it is no AIGER, a port is missing, or the logic has a loop, uneven paths or an input that is no port.
    """

    def __init__(self, aiger: bytes, ports: Sequence[Port]):
        self.inputs = tuple(port for port in ports if port.direction == "input")
        self.outputs = tuple(port for port in ports if port.direction == "output")
        left, right, drivers, symbols = _parse(aiger)
        roots = drivers[_places(symbols, "o", self.outputs)]
        sources = _places(symbols, "i", self.inputs) + 1
        new = np.full(left.size, _UNSEEN, np.int64)
        delay = np.full(left.size, -1, np.int64)
        new[0] = 0
        new[sources] = np.arange(2, 2 * sources.size + 2, 2)
        delay[sources] = 0
        gates, count, fault = _reduce(left, right, roots, new, delay, sources.size + 1)
        if fault >= 0:
            kind = next(kind for kind in _FAULTS if new[fault] == kind)
            name = ", ".join(name for key, name in symbols if key == ("i", fault - 1)) or f"node {fault}"
            raise ValueError(f"AndGraph: {name} {_FAULTS[kind]}")
        ends = new[roots >> 1] ^ (roots & 1)
        self._program, self._slots, self._ends = _allocate(gates[:count], sources.size + 1, ends)
        self.gates = len(self._program)
        self.latency = {}
        at = 0
        for port in self.outputs:
            found = {int(d) for d in delay[roots[at : at + port.width] >> 1]} - {-1}
            if len(found) > 1:
                raise ValueError(f"AndGraph: the bits of {port.name} have latencies {sorted(found)}; one was expected")
            self.latency[port.name] = found.pop() if found else -1
            at += port.width

    def run(self, inputs: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.int64]]:
        """The outputs for arrays of inputs, all of one length, by port; signed ports read as signed.

        On several threads, where the arrays are long enough to pay for them.

        Raises
        ------
        ValueError
            If a port is missing, or the arrays are not of one length.
        """
        missing = [port.name for port in self.inputs if port.name not in inputs]
        if missing:
            raise ValueError(f"AndGraph.run: an array for each input is needed; missing: {', '.join(missing)}")
        arrays = [np.asarray(inputs[port.name]) for port in self.inputs]
        count = arrays[0].size
        if any(array.shape != (count,) for array in arrays):
            raise ValueError("AndGraph.run: inputs must be vectors of one length")
        columns = np.empty((len(arrays), count), np.uint64)
        for column, array in zip(columns, arrays, strict=True):
            column[:] = array.astype(np.uint64)
        results = np.empty((len(self.outputs), count), np.uint64)
        widths = [np.array([port.width for port in ports], np.int64) for ports in (self.inputs, self.outputs)]

        def evaluate(start: int, stop: int) -> None:
            _evaluate(self._program, self._slots, widths[0], columns, widths[1], self._ends, results, start, stop)

        run_split(evaluate, count, _GRAIN)
        return {port.name: _signed(port, bits) for port, bits in zip(self.outputs, results.view(np.int64), strict=True)}


Symbols = list[tuple[tuple[str, int], str]]  # of an input, output or latch by its place: ("i", 3) and `a[3]`


def _parse(aiger: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Symbols]:
    """(left, right, drivers of the outputs, symbols): the operands of each node, −1 where it has none."""
    lines = aiger.split(b"\n", 1)
    header = lines[0].split()
    if len(lines) != 2 or len(header) != 6 or header[0] != b"aig":
        raise ValueError(f"AndGraph: binary AIGER begins with aig and five counts, not {aiger[:40]!r}")
    nodes, inputs, latches, outputs, gates = (int(field) for field in header[1:])
    *rows, rest = lines[1].split(b"\n", latches + outputs)
    left, right = np.full((2, nodes + 1), -1, np.int64)
    left[inputs + 1 : inputs + latches + 1] = [int(row.split()[0]) for row in rows[:latches]]
    drivers = np.array([int(row) for row in rows[latches:]], np.int64)
    used = _operands(np.frombuffer(rest, np.uint8).astype(np.int64), inputs + latches + 1, left, right)
    if used < 0 or nodes != inputs + latches + gates or drivers.size != outputs:
        raise ValueError(f"AndGraph: the AIGER ends before all of its {gates} gates are told")
    symbols = []
    for line in rest[used:].split(b"\nc\n")[0].decode().splitlines():
        key, *names = line.split()
        symbols += [((key[0], int(key[1:])), name) for name in names]
    return left, right, drivers, symbols


def _places(symbols: Symbols, kind: str, ports: Sequence[Port]) -> NDArray[np.int64]:
    """The numbers of the inputs or outputs behind the bits of the ports, one port after the other."""
    numbers = {name: number for (key, number), name in symbols if key == kind}
    bits = [f"{p.name}[{bit}]" if p.width > 1 else p.name for p in ports for bit in range(p.width)]
    missing = [bit for bit in bits if bit not in numbers]
    if missing:
        raise ValueError(f"AndGraph: the AIGER has no symbol for port {missing[0]}; write it with symbols")
    return np.array([numbers[bit] for bit in bits], np.int64)


def _signed(port: Port, bits: NDArray[np.int64]) -> NDArray[np.int64]:
    return bits - ((bits >> (port.width - 1)) << port.width) if port.signed and port.width < 64 else bits


@kernel
def _operands(data: Any, node: int, left: Any, right: Any) -> int:
    """Read the gates from `node` on: each operand as a difference in groups of 7 bits. Gives the bytes used, or −1."""
    at = 0
    for gate in range(node, left.size):
        literal = 2 * gate
        for side in range(2):
            difference, shift = 0, 0
            while True:
                if at >= data.size:
                    return -1
                byte = data[at]
                at += 1
                difference |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
            literal -= difference
            if side == 0:
                left[gate] = literal
            else:
                right[gate] = literal
    return at


@kernel
def _reduce(left: Any, right: Any, roots: Any, new: Any, delay: Any, first: int) -> Any:
    """Rebuild what the roots need: constants folded, equal gates merged, registers as wires, operands first.

    Fills `new`, each old node's literal, and `delay`. Gives the gates, numbered from `first`, how many they are, and
    the old node of a fault, whose kind is then in `new`, or −1.
    """
    gates = np.empty((left.size, 2), np.int64)
    count = 0
    size = 4
    while size < 2 * left.size:
        size *= 2
    table = np.full(size, -1, np.int64)
    stack = np.empty(2 * left.size + 1, np.int64)
    for root in roots:
        stack[0] = root >> 1
        top = 1
        while top:
            node = stack[top - 1]
            if new[node] >= 0:
                top -= 1
                continue
            if left[node] < 0:
                new[node] = _ALIEN
                return gates, count, node
            operands = (left[node] >> 1, right[node] >> 1 if right[node] >= 0 else left[node] >> 1)
            if new[node] == _UNSEEN:
                new[node] = _OPEN
                for operand in operands:
                    if new[operand] == _OPEN:
                        new[operand] = _LOOP
                        return gates, count, operand
                    if new[operand] == _UNSEEN:
                        stack[top] = operand
                        top += 1
                continue
            top -= 1
            a = new[operands[0]] ^ (left[node] & 1)
            if right[node] < 0:
                new[node] = a
                delay[node] = delay[operands[0]] + 1 if a > 1 else -1
                continue
            b = new[operands[1]] ^ (right[node] & 1)
            da, db = delay[operands[0]], delay[operands[1]]
            if da >= 0 and db >= 0 and da != db:
                new[node] = _UNEVEN
                return gates, count, node
            if a > b:
                a, b = b, a
            if a == 0 or a ^ b == 1:
                new[node] = 0
            elif a == 1 or a == b:
                new[node] = b
            else:
                place = (a * 0x9E3779B1 ^ b * 0x85EBCA77) & (size - 1)
                while table[place] >= 0 and (gates[table[place], 0] != a or gates[table[place], 1] != b):
                    place = (place + 1) & (size - 1)
                if table[place] < 0:
                    table[place] = count
                    gates[count, 0], gates[count, 1] = a, b
                    count += 1
                new[node] = 2 * (first + table[place])
            delay[node] = max(da, db) if new[node] > 1 else -1
    return gates, count, -1


@kernel
def _allocate(gates: Any, first: int, ends: Any) -> Any:
    """Places for the values of the gates, used again once a value is dead: (program, places, ends).

    A row of the program is (left, right, place): literals of places, and the place that gets their conjunction.
    """
    last = np.full(first + gates.shape[0], -1, np.int64)  # the last gate that reads a node
    for end in ends:
        last[end >> 1] = gates.shape[0]
    for gate in range(gates.shape[0] - 1, -1, -1):
        if last[first + gate] >= 0:
            for side in range(2):
                node = gates[gate, side] >> 1
                last[node] = max(last[node], gate)
    program = np.empty((gates.shape[0], 3), np.int64)
    place = np.arange(last.size)
    free = np.empty(last.size, np.int64)
    count, places, spare = 0, first, 0
    for gate in range(gates.shape[0]):
        if last[first + gate] < 0:
            continue
        a, b = gates[gate, 0], gates[gate, 1]
        if spare:
            spare -= 1
            place[first + gate] = free[spare]
        else:
            place[first + gate] = places
            places += 1
        program[count, 0] = 2 * place[a >> 1] + (a & 1)
        program[count, 1] = 2 * place[b >> 1] + (b & 1)
        program[count, 2] = place[first + gate]
        count += 1
        for node in (a >> 1, b >> 1):  # never one node: equal operands were merged
            if node >= first and last[node] == gate:
                free[spare] = place[node]
                spare += 1
    placed = np.empty(ends.size, np.int64)
    for i in range(ends.size):
        placed[i] = 2 * place[ends[i] >> 1] + (ends[i] & 1)
    return program[:count].copy(), places, placed


@kernel
def _transpose(square: Any, side: int) -> None:
    """Exchange rows and columns of the 64 / side squares in `side` words (H. S. Warren, "Hacker's Delight", §7.3)."""
    shift = side >> 1
    while shift:
        places = np.uint64(shift)
        mask = ~np.uint64(0) // ((np.uint64(1) << places) + np.uint64(1))  # the lower half of each 2·shift bits
        row = 0
        while row < side:
            moved = ((square[row] >> places) ^ square[row + shift]) & mask
            square[row] ^= moved << places
            square[row + shift] ^= moved
            row = (row + shift + 1) & ~shift
        shift >>= 1


@kernel
def _load(values: Any, first: int, word: int, width: int, column: Any) -> None:
    """Spread up to 64 numbers over one word each of `width` values, from `first` on."""
    side = 8
    while side < width:
        side *= 2
    square = np.zeros(64, np.uint64)
    mask = ~np.uint64(0) >> np.uint64(64 - side)
    for i in range(column.size):
        square[i & (side - 1)] |= (column[i] & mask) << np.uint64(i & -side)
    _transpose(square, side)
    for bit in range(width):
        values[first + bit, word] = square[bit]


@kernel
def _store(values: Any, ends: Any, word: int, column: Any) -> None:
    """Gather up to 64 numbers from one word each of the values behind the literals `ends`."""
    side = 8
    while side < ends.size:
        side *= 2
    square = np.zeros(64, np.uint64)
    for bit in range(ends.size):
        square[bit] = values[ends[bit] >> 1, word] ^ np.uint64(-(ends[bit] & 1))
    _transpose(square, side)
    mask = ~np.uint64(0) >> np.uint64(64 - side)
    for i in range(column.size):
        column[i] = square[i & (side - 1)] >> np.uint64(i & -side) & mask


@kernel
def _evaluate(
    program: Any, places: int, in_widths: Any, columns: Any, out_widths: Any, ends: Any, results: Any,
    start: int, stop: int,
) -> None:  # fmt: skip
    """Results for the columns of inputs from start to stop, a bit of 64 of them in each word."""
    values = np.zeros((places, _WORDS), np.uint64)
    for block in range(start, stop, 64 * _WORDS):
        edges = range(block, min(stop, block + 64 * _WORDS), 64)
        first = 1
        for port in range(in_widths.size):
            for word, at in enumerate(edges):
                _load(values, first, word, in_widths[port], columns[port, at : min(stop, at + 64)])
            first += in_widths[port]
        for step in range(program.shape[0]):
            a, b = program[step, 0], program[step, 1]
            flip_a, flip_b = np.uint64(-(a & 1)), np.uint64(-(b & 1))
            left, right, result = values[a >> 1], values[b >> 1], values[program[step, 2]]
            for word in range(_WORDS):
                result[word] = (left[word] ^ flip_a) & (right[word] ^ flip_b)
        first = 0
        for port in range(out_widths.size):
            for word, at in enumerate(edges):
                _store(values, ends[first : first + out_widths[port]], word, results[port, at : min(stop, at + 64)])
            first += out_widths[port]
