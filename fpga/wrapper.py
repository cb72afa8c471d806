"""A unit between registers, so that its longest path is one from register to register."""

from __future__ import annotations

from positcore.hw.emit import clock_ports, declarations, instance, module_header, unit_ports
from positcore.hw.units import Design
from positcore.version import __version__

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
    inputs = [port for port in ports if port.direction == "input"]
    outputs = [port for port in ports if port.direction == "output"]
    clocks = clock_ports(design)[1:]  # rst, where there is one
    names = ["clk", *(port.name for port in (*clocks, *ports))]
    facts = {"spec": design.spec_text, "made by": f"positcore {__version__}"}
    head = module_header(wrapper_name(design), f"{design.name} with a register at every port", facts, names, alone=True)
    kinds = {"input": "input  wire", "output": "output reg "}
    clk = ("input  wire", ports[0]._replace(name="clk", width=1))
    declared = declarations([clk, *((kinds[port.direction], port) for port in (*clocks, *ports))])
    held = [("reg ", port._replace(name=f"{port.name}_held")) for port in inputs]
    made = [("wire", port._replace(name=f"{port.name}_made")) for port in outputs]
    pins = {port.name: port.name for port in clock_ports(design)}
    pins |= {port.name: f"{port.name}_{'held' if port.direction == 'input' else 'made'}" for port in ports}
    return head + "\n".join(
        [
            f"module {wrapper_name(design)} (",
            ",\n".join(f"  {line}" for line in declared),
            ");",
            *(f"  {line};" for line in declarations([*held, *made])),
            "",
            *(f"  {line}" for line in instance(design.name, pins).splitlines()),
            "",
            "  always @(posedge clk) begin",
            *(f"    {port.name}_held <= {port.name};" for port in inputs),
            *(f"    {port.name} <= {port.name}_made;" for port in outputs),
            "  end",
            "endmodule",
            "",
        ]
    )
