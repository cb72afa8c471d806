"""C++ that simulates 512 copies of a design at once: a bit of all of them is one vector, and a gate one instruction.

The copies have inputs, registers and outputs of their own, and run in lockstep. That is the parallel-pattern simulation
of fault simulators (J. A. Waicukauskas and others, "Fault Simulation for Structured VLSI", 1985), with clocks.
"""

from __future__ import annotations

from collections.abc import Mapping

from positcore.hw.netlist import read_netlist
from positcore.hw.yosys import without_processes
from positcore.sim.gates import Gate, GateGraph, Read, gate_graph

__all__ = ["sliced_graph", "sliced_source"]

_PART = 600  # gates of a C++ function: compilers take more than linear time for longer ones


def sliced_graph(rtlil: str, ties: Mapping[str, int] | None = None) -> GateGraph:
    """The gates of a design whose top module is called `unit`, out of reset; `ties` as for `gate_graph`."""
    return gate_graph(read_netlist(without_processes(rtlil)), "unit", {"clk": 0, "rst": 0, **(ties or {})})


def sliced_source(graph: GateGraph) -> str:
    """The C++ of a design: a struct `Unit` with inputs, outputs and `cycle()`, one clock cycle of all copies.

    `cycle` computes the outputs as they stand before the clock edge, and the registers behind it.
    """
    return _Source(graph).text()


class _Source:
    def __init__(self, graph: GateGraph):
        self.graph = graph
        self.inputs = {node: place for place, node in enumerate(n for nodes in graph.inputs.values() for n in nodes)}
        self.registers = {node: place for place, node in enumerate(graph.registers)}
        self.order = list(graph.gates)
        self.part = {node: at // _PART for at, node in enumerate(self.order)}
        self.slots = self._slots()

    def _slots(self) -> dict[int, int]:
        """Places in memory for what one part computes and another reads, used again when it is dead."""
        last: dict[int, int] = {}
        for node in self.order:
            for source in self.graph.gates[node].inputs:
                if source in self.part:
                    last[source] = max(last.get(source, 0), self.part[node])
        slots: dict[int, int] = {}
        free: list[int] = []
        dying: dict[int, list[int]] = {}
        count, now = 0, 0
        for node in self.order:
            part = self.part[node]
            while now < part:
                free += dying.pop(now, [])
                now += 1
            if last.get(node, part) > part:
                if not free:
                    free.append(count)
                    count += 1
                slots[node] = free.pop()
                dying.setdefault(last[node], []).append(slots[node])
        self.slot_count = count
        return slots

    def value(self, node: int, part: int) -> str:
        """A node as an expression in a part."""
        if node < 2:
            return "ones" if node else "zero"
        if node in self.inputs:
            return f"x[{self.inputs[node]}]"
        if node in self.registers:
            return f"q[{self.registers[node]}]"
        return f"n{node}" if self.part[node] == part else f"s[{self.slots[node]}]"

    def text(self) -> str:
        """The whole."""
        graph = self.graph
        targets: dict[int, list[str]] = {}  # what a gate's value is stored to as soon as it is there
        idle: list[str] = []
        outputs = [node for nodes in graph.outputs.values() for node in nodes]
        for place, node in enumerate(outputs):
            (targets.setdefault(node, []) if node in self.part else idle).append(f"y[{place}] = {{}};")
            if node not in self.part:
                idle[-1] = idle[-1].format(self.value(node, -1))
        for node, (source, _) in graph.registers.items():
            store = f"d[{self.registers[node]}] = {{}};"
            if source in self.part:
                targets.setdefault(source, []).append(store)
            else:
                idle.append(store.format(self.value(source, -1)))
        parts = [self.order[at : at + _PART] for at in range(0, len(self.order), _PART)]
        arguments = "const V *__restrict x, const V *__restrict q, V *__restrict d, V *__restrict y, V *__restrict s"
        texts = [self._memories()]
        for number, nodes in enumerate(parts):
            lines = self._statements(nodes, number, targets)
            texts.append(
                f"static __attribute__((noinline)) void part_{number}({arguments}) {{\n" + "\n".join(lines) + "\n}\n"
            )
        calls = "\n".join(f"    part_{number}(x, q, d, y, s);" for number in range(len(parts)))
        rest = "\n    ".join(idle)
        ports = "\n".join(
            f"  static constexpr int {kind}_{name} = {start}, {kind}_{name}_bits = {len(nodes)};"
            for kind, group in (("in", graph.inputs), ("out", graph.outputs))
            for name, start, nodes in _placed(group)
        )
        ones = [str(self.registers[node]) for node, (_, first) in graph.registers.items() if first]
        count = max(1, len(self.registers))
        texts.append(f"""
static const int first_ones[] = {{{", ".join(ones) or "0"}}};
struct Unit {{
{ports}
  alignas(64) V x[{max(1, len(self.inputs))}] = {{}}, y[{max(1, len(outputs))}] = {{}};
  alignas(64) V state[2][{count}] = {{}}, s[{max(1, self.slot_count)}];
  int now = 0;
  Unit() {{
    for (int i = 0; i < {len(ones)}; ++i) state[0][first_ones[i]] = ~V{{}};
  }}
  void cycle() {{
    const V *q = state[now];
    V *d = state[now ^= 1];
    const V zero = {{}}, ones = ~V{{}};
{calls}
    {rest}
  }}
}};
""")
        return "\n".join(texts)

    def _memories(self) -> str:
        return "\n".join(
            f"static const uint32_t memory_{number}[] = {{{', '.join(map(str, words))}}};"
            for number, words in enumerate(self.graph.memories.values())
        )

    def _statements(self, nodes: list[int], part: int, targets: Mapping[int, list[str]]) -> list[str]:
        lines = [
            "  const V zero = {}, ones = ~V{};",
            "  (void)x, (void)q, (void)d, (void)y, (void)s, (void)zero, (void)ones;",
        ]
        memories = list(self.graph.memories)
        words: dict[tuple[str, tuple[int, ...]], str] = {}
        for node in nodes:
            gate = self.graph.gates[node]
            if isinstance(gate, Read):
                key = gate.memory, gate.address
                if key not in words:
                    words[key] = f"word_{len(words)}"
                    number = memories.index(gate.memory)
                    address = ", ".join(f"&{self.value(x, part)}" for x in gate.address)
                    lines.append(f"  V {words[key]}[32]; {{ const V *address[] = {{{address}}};")
                    lines.append(
                        f"    read_memory(memory_{number}, 32, address, {len(gate.address)}, {words[key]}); }}"
                    )
                lines.append(f"  const V n{node} = {words[key]}[{gate.bit}];")
            else:
                assert isinstance(gate, Gate)
                inputs = [self.value(x, part) for x in gate.inputs]
                lines.append(f"  const V n{node} = {_expression(gate, inputs)};")
            if node in self.slots:
                lines.append(f"  s[{self.slots[node]}] = n{node};")
            lines += [f"  {store.format(f'n{node}')}" for store in targets.get(node, [])]
        return lines


def _placed(group: Mapping[str, list[int]]) -> list[tuple[str, int, list[int]]]:
    placed, at = [], 0
    for name, nodes in group.items():
        placed.append((name, at, nodes))
        at += len(nodes)
    return placed


def _expression(gate: Gate, inputs: list[str]) -> str:
    if len(inputs) == 1:
        return f"{'~' if gate.table & 1 else ''}{inputs[0]}"
    a, b, c = [*inputs, inputs[-1]][:3]
    return f"lut<{gate.table}>({a}, {b}, {c if len(inputs) == 3 else b})"
