"""Harnesses: Verilog that surrounds a unit and has outputs that must stay 0."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from positcore.hw.emit import Port, clock_ports, unit_ports
from positcore.hw.units import Design
from positcore.sim.directed import all_inputs, domain_bits

__all__ = [
    "COVERS",
    "HANDSHAKE",
    "LARGEST_TABLE",
    "declare",
    "handshake_harness",
    "instance",
    "pipeline_harness",
    "table_harness",
]

LARGEST_TABLE = 12  # bits of all inputs

HANDSHAKE = {
    "withdrawn": "a result is withdrawn before it is taken",
    "changed": "a result changes before it is taken",
    "spurious": "there is a result that no item asks for: doubled, or kept over a reset",
    "overflow": "more results are owed than the unit can hold: items are lost",
    "late": "a result does not come within the latency: it was lost",
    "refuses": "the unit refuses an item, and has room for it",
    "reset": "after a reset the unit is not empty and ready",
}
COVERS = ("delivers", "stalls")


def declare(ports: Sequence[Port], kind: str = "wire") -> str:
    """A declaration of each port."""
    return "".join(f"  {kind} {f'[{port.width - 1}:0] ' if port.width > 1 else ''}{port.name};\n" for port in ports)


def instance(design: Design, label: str, names: dict[str, str] | None = None, *, clocked: bool = True) -> str:
    """An instance of a design, each port connected to a signal of its name or of another one."""
    ports = (*(clock_ports(design) if clocked else ()), *unit_ports(design))
    pins = ", ".join(f".{port.name}({(names or {}).get(port.name, port.name)})" for port in ports)
    return f"  {design.name} {label}({pins});\n"


def handshake_harness(design: Design) -> str:
    """The module `harness` round a unit with streams: an output for each of `HANDSHAKE`, and for each of `COVERS`.

    Nothing is assumed of either side, nor of when reset comes.
    """
    ports = unit_ports(design)
    (result,) = [port for port in ports if port.name.startswith("o_") and port.name not in ("o_valid", "o_ready")]
    asks = {"dot": "i_last", "operations": "(i_operation[2] & i_operation[1])"}.get(design.unit.kind, "1'b1")
    room = 1 if design.unit.iterates else design.latency + 1
    bits = (room + 1).bit_length()
    refuses = "owed == 0" if design.unit.iterates else "~o_valid"
    count = max(1, design.latency.bit_length())
    inputs = [Port("clk", "input", 1), Port("rst", "input", 1), *(p for p in ports if p.direction == "input")]
    outputs = [Port(name, "output", 1) for name in (*HANDSHAKE, *COVERS)]
    header = ",\n".join(
        f"  {p.direction} wire {f'[{p.width - 1}:0] ' if p.width > 1 else ''}{p.name}" for p in (*inputs, *outputs)
    )
    return (
        f"module harness(\n{header}\n);\n"
        + declare([port for port in ports if port.direction == "output"])
        + instance(design, "unit")
        + f"""
  reg [{bits - 1}:0] owed = 0;
  reg [{count - 1}:0] waited = 0;
  reg held = 0, cleared = 0;
  reg [{result.width - 1}:0] held_result = 0;
  wire due = owed != 0 & ~o_valid;
  always @(posedge clk) begin
    owed <= rst ? 0 : owed + (i_valid & i_ready & {asks}) - (o_valid & o_ready);
    waited <= rst | ~due ? 0 : waited + 1;
    held <= ~rst & o_valid & ~o_ready;
    held_result <= {result.name};
    cleared <= rst;
  end
  assign withdrawn = held & ~o_valid;
  assign changed = held & o_valid & held_result != {result.name};
  assign spurious = o_valid & owed == 0;
  assign overflow = owed > {room};
  assign late = due & waited == {design.latency - 1};
  assign refuses = ~i_ready & {refuses};
  assign reset = cleared & (o_valid | ~i_ready);
  assign delivers = ~rst & o_valid & o_ready;
  assign stalls = ~rst & i_valid & ~i_ready;
endmodule
"""
    )


def table_harness(design: Design) -> str:
    """The module `harness` round a unit of few inputs: its outputs against the golden model's, as a ROM."""
    stream = design.unit.streaming
    ports = unit_ports(design)
    stem = "i_" if stream else ""
    handshake = ("i_valid", "i_ready", "o_valid", "o_ready")
    sources = [
        p._replace(name=p.name.removeprefix(stem)) for p in ports if p.direction == "input" and p.name not in handshake
    ]
    sinks = [p for p in ports if p.direction == "output" and p.name not in handshake]
    bits = domain_bits(tuple(sources))
    if bits > LARGEST_TABLE:
        raise ValueError(
            f"formal: a table of {design} has 2^{bits} rows, more than 2^{LARGEST_TABLE}; use verify --exhaustive"
        )
    inputs = all_inputs(tuple(sources))
    want = design.golden(inputs)
    width = sum(port.width for port in sinks)
    rows, cares = np.zeros(1 << bits, np.int64), np.zeros(1 << bits, np.int64)
    for port in sinks:
        column = np.ma.asarray(want[port.name.removeprefix("o_") if stream else port.name])
        mask = (1 << port.width) - 1
        rows = rows << port.width | np.ma.getdata(column).astype(np.int64) & mask
        cares = cares << port.width | np.where(np.ma.getmaskarray(column), 0, mask)
    select = "{" + ", ".join(stem + port.name for port in sources) + "}"
    result = "{" + ", ".join(port.name for port in sinks) + "}"
    cases = "".join(
        f"      {bits}'d{at}: {{care, row}} = {2 * width}'d{care << width | row};\n"
        for at, (row, care) in enumerate(zip(rows.tolist(), cares.tolist(), strict=True))
    )
    header = ["input wire clk", "input wire rst"] if design.latency else []
    header += [
        f"input wire [{p.width - 1}:0] {p.name}" for p in ports if p.direction == "input"
    ]  # fmt: skip
    outputs = declare([port for port in ports if port.direction == "output"])
    table = f"  reg [{width - 1}:0] care, row;\n  always @* case ({select})\n{cases}    endcase\n"
    text = f"module harness({', '.join(header)}, output wire bad);\n{outputs}{instance(design, 'unit')}{table}"
    if stream:
        return text + (
            f"  reg [{width - 1}:0] expected = 0;\n"
            "  always @(posedge clk) if (i_valid & i_ready) expected <= row;\n"
            f"  assign bad = o_valid & {result} != expected;\nendmodule\n"
        )
    kept, row, care = _delayed(width, design.latency)
    return text + kept + f"  assign bad = |(({result} ^ {row}) & {care});\nendmodule\n"


def _delayed(width: int, cycles: int) -> tuple[str, str, str]:
    """Registers that keep a row of the table, and what of it counts, for so many cycles."""
    text, row, care = "", "row", "care"
    for cycle in range(cycles):
        text += (
            f"  reg [{width - 1}:0] row_{cycle}, care_{cycle};\n"
            f"  always @(posedge clk) begin row_{cycle} <= {row}; care_{cycle} <= {care}; end\n"
        )
        row, care = f"row_{cycle}", f"care_{cycle}"
    return text, row, care


def pipeline_harness(design: Design, plain: Design) -> str:
    """The module `harness` round a pipelined unit and the same without registers, whose results it delays."""
    ports = unit_ports(design)
    sinks = [port for port in ports if port.direction == "output"]
    width = sum(port.width for port in sinks)
    header = ["input wire clk", "input wire rst"]
    header += [f"input wire [{p.width - 1}:0] {p.name}" for p in ports if p.direction == "input"]
    names = {port.name: f"plain_{port.name}" for port in sinks}
    text = f"module harness({', '.join(header)}, output wire bad);\n"
    text += declare(sinks) + declare([port._replace(name=names[port.name]) for port in sinks])
    text += instance(design, "pipeline") + instance(plain, "plain", names)
    last = "{" + ", ".join(names.values()) + "}"
    for cycle in range(design.latency):
        text += f"  reg [{width - 1}:0] kept_{cycle};\n  always @(posedge clk) kept_{cycle} <= {last};\n"
        last = f"kept_{cycle}"
    return text + f"  assign bad = {{{', '.join(port.name for port in sinks)}}} != {last};\nendmodule\n"
