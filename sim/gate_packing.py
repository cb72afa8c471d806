"""`packed`: the gates that some nodes need, in order, small ones put together as long as three inputs are enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from positcore.sim.gate_network import Gate, Node, Read

__all__ = ["packed"]


def packed(nodes: Sequence[Node], roots: Sequence[int]) -> dict[int, Gate | Read]:
    """The gates that the roots need, in order; a gate that one other alone reads is put into that if it fits."""
    order = _ordered(nodes, roots)
    uses: dict[int, int] = {}
    for node in roots:
        uses[node] = uses.get(node, 0) + 1
    for node in order:
        for source in nodes[node].inputs:  # type: ignore[union-attr]
            uses[source] = uses.get(source, 0) + 1
    found: dict[int, Gate | Read] = {}
    for node in order:
        gate = nodes[node]
        assert gate is not None
        if isinstance(gate, Gate):
            gate = _absorb(gate, found, uses)
        found[node] = gate
    needed = set(_ordered([found.get(node) for node in range(len(nodes))], roots))
    return {node: gate for node, gate in found.items() if node in needed}


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


def _ordered(nodes: Sequence[Node], roots: Sequence[int]) -> list[int]:
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
