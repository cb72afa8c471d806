"""A unit between registers, so that its longest path is one from register to register."""

from __future__ import annotations

from positcore.hw.emit import clock_ports, unit_ports
from positcore.hw.units import Design

__all__ = ["registered_wrapper", "wrapper_bits", "wrapper_name"]


def wrapper_name(design: Design) -> str:
    """The name of the wrapper's module."""
    return f"{design.name}_registered"


def wrapper_bits(design: Design) -> int:
    """The registers that the wrapper adds: one for each bit of the unit's ports besides clk and rst."""
    return sum(port.width for port in unit_ports(design))


def registered_wrapper(design: Design) -> str:
    """Verilog of a module around the unit's, with a register at every input and output.

    It is for measuring only: a stream's handshake does not survive registers in both of its directions.
    """
    ports = unit_ports(design)
    reset = [port.name for port in clock_ports(design) if port.name == "rst"]
    names = ["clk", *reset, *(port.name for port in ports)]
    lines = [f"module {wrapper_name(design)}({', '.join(names)});", "  input clk;", *(f"  input {n};" for n in reset)]
    loads, pins = [], [f".{port.name}({port.name})" for port in clock_ports(design)]
    for port in ports:
        span = f"[{port.width - 1}:0]"
        if port.direction == "input":
            lines += [f"  input {span} {port.name};", f"  reg {span} {port.name}_held;"]
            loads.append(f"    {port.name}_held <= {port.name};")
            pins.append(f".{port.name}({port.name}_held)")
        else:
            lines += [f"  output reg {span} {port.name};", f"  wire {span} {port.name}_made;"]
            loads.append(f"    {port.name} <= {port.name}_made;")
            pins.append(f".{port.name}({port.name}_made)")
    lines += [
        f"  {design.name} unit({', '.join(pins)});",
        "  always @(posedge clk) begin",
        *loads,
        "  end",
        "endmodule",
    ]
    return "\n".join(lines) + "\n"
