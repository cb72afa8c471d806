import numpy as np
import pytest
from amaranth.hdl import Module, Mux, Shape, Signal
from amaranth.lib import memory

from positcore.hw.emit import emit_rtlil
from positcore.hw.netlist import read_netlist
from positcore.hw.yosys import without_processes
from positcore.sim.gates import Gate, GateGraph, gate_graph

rng = np.random.default_rng(0)


def graph(m, signals, ties=None, after=lambda text: text) -> GateGraph:
    text = after(without_processes(emit_rtlil(m, "unit", {signal.name: signal for signal in signals})))
    return gate_graph(read_netlist(text), "unit", {"clk": 0, "rst": 0, **(ties or {})})


def evaluate(design, inputs, state):
    """The outputs in plain Python, and the next state."""
    values = {0: 0, 1: 1, **state}
    for name, nodes in design.inputs.items():
        values |= {node: inputs[name] >> place & 1 for place, node in enumerate(nodes)}
    for node, gate in design.gates.items():
        row = sum(values[x] << place for place, x in enumerate(gate.inputs))
        bits = gate.table if isinstance(gate, Gate) else design.memories[gate.memory][row]
        values[node] = bits >> (row if isinstance(gate, Gate) else gate.bit) & 1
    outputs = {name: sum(values[x] << i for i, x in enumerate(nodes)) for name, nodes in design.outputs.items()}
    return outputs, {node: values[source] for node, (source, _) in design.registers.items()}


def signed(x, width):
    return x - (x >> (width - 1) << width)


OPERATORS = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "and": lambda a, b: a & b,
    "or": lambda a, b: a | b, "xor": lambda a, b: a ^ b, "lt": lambda a, b: a < b, "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b, "eq": lambda a, b: a == b, "ne": lambda a, b: a != b,
}  # fmt: skip


@pytest.mark.parametrize("kinds", [(False, False), (True, True), (True, False)], ids=["uu", "ss", "su"])
def test_operators_on_two_words(kinds):
    """All operators of two words in one design, on all inputs, against Python's integers."""
    a, b = (Signal(Shape(4, kind), name=name) for kind, name in zip(kinds, "ab", strict=True))
    m, outputs = Module(), []
    for name, op in OPERATORS.items():
        outputs.append(Signal(9, name=f"o_{name}"))
        m.d.comb += outputs[-1].eq(op(a, b))
    design = graph(m, [a, b, *outputs])
    for x in range(16):
        for y in range(16):
            got, _ = evaluate(design, {"a": x, "b": y}, {})
            p, q = signed(x, 4) if kinds[0] else x, signed(y, 4) if kinds[1] else y
            for name, op in OPERATORS.items():
                assert got[f"o_{name}"] == int(op(p, q)) & 511, (name, p, q)


def test_operators_on_one_word_and_shifts():
    a, b, s = Signal(6, name="a"), Signal(3, name="b"), Signal(Shape(6, True), name="s")
    results = {
        "o_neg": (-a, lambda x, y, z: -x), "o_not": (~a, lambda x, y, z: 63 - x),
        "o_any": (a.any(), lambda x, y, z: x != 0),
        "o_all": (a.all(), lambda x, y, z: x == 63),
        "o_xor": (a.xor(), lambda x, y, z: x.bit_count() & 1),
        "o_left": (a << b, lambda x, y, z: x << y), "o_right": (a >> b, lambda x, y, z: x >> y),
        "o_arithmetic": (s >> b, lambda x, y, z: signed(z, 6) >> y),
        "o_mux": (Mux(b[0], a, s), lambda x, y, z: x if y & 1 else signed(z, 6)),
        "o_logic": ((a != 0) & (b != 0), lambda x, y, z: bool(x) and bool(y)),
    }  # fmt: skip
    m, outputs = Module(), []
    for name, (value, _) in results.items():
        outputs.append(Signal(16, name=name))
        m.d.comb += outputs[-1].eq(value)
    design = graph(m, [a, b, s, *outputs])
    for x, y, z in rng.integers(0, [64, 8, 64], (300, 3)).tolist():
        got, _ = evaluate(design, {"a": x, "b": y, "s": z}, {})
        for name, (_, expected) in results.items():
            assert got[name] == int(expected(x, y, z)) & 0xFFFF, (name, x, y, z)


def test_a_switch():
    a, o = Signal(3, name="a"), Signal(4, name="o")
    m = Module()
    with m.Switch(a):
        for value in (1, 4, 6):
            with m.Case(value):
                m.d.comb += o.eq(value + 5)
        with m.Default():
            m.d.comb += o.eq(2)
    design = graph(m, [a, o])
    assert [evaluate(design, {"a": x}, {})[0]["o"] for x in range(8)] == [2, 6, 2, 2, 9, 2, 11, 2]


def test_registers_and_ties():
    """A counter with an enable; tied, the enable needs no gate."""
    enable, o = Signal(name="enable"), Signal(4, name="o", init=5)
    m = Module()
    with m.If(enable):
        m.d.sync += o.eq(o + 3)
    free, tied = graph(m, [enable, o]), graph(m, [enable, o], {"enable": 1})
    assert "enable" not in tied.inputs
    assert len(tied.gates) < len(free.gates)
    for design in (free, tied):
        state, seen = {node: first for node, (_, first) in design.registers.items()}, []
        for step in range(6):
            outputs, state = evaluate(design, {"enable": int(step != 2)}, state)
            seen.append(outputs["o"])
        assert seen == ([5, 8, 11, 11, 14, 1] if design is free else [5, 8, 11, 14, 1, 4])


def test_a_constant_memory():
    words = [3, 9, 0, 14, 5, 5, 1, 8]
    a, o = Signal(3, name="a"), Signal(4, name="o")
    m = Module()
    m.submodules.rom = rom = memory.Memory(shape=4, depth=8, init=words)
    port = rom.read_port(domain="comb")
    m.d.comb += [port.addr.eq(a), o.eq(port.data)]
    design = graph(m, [a, o])
    assert [evaluate(design, {"a": x}, {})[0]["o"] for x in range(8)] == words


def test_what_is_refused():
    a, o = Signal(3, name="a"), Signal(3, name="o")
    m = Module()
    m.submodules.ram = ram = memory.Memory(shape=3, depth=8, init=[])
    write, read = ram.write_port(), ram.read_port(domain="comb")
    m.d.comb += [write.addr.eq(a), write.data.eq(a), write.en.eq(1), read.addr.eq(a), o.eq(read.data)]
    with pytest.raises(ValueError, match="a memory that is written has no gates"):
        graph(m, [a, o])
    for text, message in (
        (_LOOP, "and0 is in a combinational loop"),
        (_OPEN, r"bit x\[0\], which an output depends on, is driven by nothing"),
    ):
        with pytest.raises(ValueError, match=message):
            gate_graph(read_netlist(text), "unit")
    plain = Module()
    plain.d.comb += o.eq(a + 1)
    with pytest.raises(ValueError, match=r"no design of this package has a cell \$pow"):
        graph(plain, [a, o], after=lambda text: text.replace("cell $add", "cell $pow"))
    falling = Module()
    falling.d.sync += o.eq(a)
    with pytest.raises(ValueError, match="a register of a falling edge"):
        graph(falling, [a, o], after=lambda text: text.replace("CLK_POLARITY 1", "CLK_POLARITY 0"))


_LOOP = """
module \\unit
  wire width 1 input 1 \\a
  wire width 1 output 2 \\o
  cell $and \\and0
    parameter \\A_WIDTH 1
    connect \\A \\a
    connect \\B \\o
    connect \\Y \\o
  end
end
"""
_OPEN = """
module \\unit
  wire width 1 \\x
  wire width 1 output 1 \\o
  connect \\o \\x
end
"""


def test_gates_have_three_inputs_and_come_in_order():
    a, b, o = Signal(8, name="a"), Signal(8, name="b"), Signal(16, name="o")
    m = Module()
    m.d.comb += o.eq(a * b)
    design = graph(m, [a, b, o])
    known = {0, 1, *(node for nodes in design.inputs.values() for node in nodes)}
    for node, gate in design.gates.items():
        assert 1 <= len(gate.inputs) <= 3
        assert known.issuperset(gate.inputs)
        known.add(node)
    for x, y in rng.integers(0, 256, (50, 2)).tolist():
        assert evaluate(design, {"a": x, "b": y}, {})[0]["o"] == x * y
