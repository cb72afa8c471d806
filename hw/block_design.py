"""A `Gemm` with the ports that the block designs of vendors' tools expect: aclk, aresetn, s_axi and AXI4-Streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from positcore.hw.emit import Port, declarations, instance, module_header, unit_ports
from positcore.hw.units import Design
from positcore.version import __version__

__all__ = ["block_design_name", "block_design_ports", "block_design_wrapper"]

_BUS = "s_axi"
_STREAMS = ("s_axis_a", "s_axis_b", "m_axis_c")
_PROTECTION = (Port("s_axi_awprot", "input", 3), Port("s_axi_arprot", "input", 3))
_RESET = """\
  // Reset begins with aresetn, whatever the clock does, and ends two clock edges after it. Meanwhile nothing is valid
  // and nothing is ready, so that no handshake is lost, as soon as a master may begin.
  (* ASYNC_REG = "TRUE" *)
  reg [1:0] resetting;
  always @(posedge aclk or negedge aresetn)
    if (!aresetn) resetting <= 2'b11;
    else resetting <= {resetting[0], 1'b0};
  wire run = ~resetting[1];
"""


class _Pin(NamedTuple):
    """A port of the wrapper, what it is to IP packagers, and the port of the unit behind it, if there is one."""

    port: Port
    interface: str
    behind: str | None
    parameter: str = ""


def block_design_name(design: Design) -> str:
    """The name of the wrapper's module."""
    return f"{design.name}_axi"


def block_design_ports(design: Design) -> tuple[Port, ...]:
    """The ports of the wrapper's module, aclk and aresetn first."""
    return tuple(pin.port for pin in _pins(design))


def block_design_wrapper(design: Design) -> str:
    """Verilog-2001 of a module around that of a gemm, which `emit_verilog` gives, for block designs.

    Its ports are named as AXI interconnects name theirs, and say by attributes of which interface they are, and which
    clock and reset belong to it. aresetn is active low; it may begin at any moment, and must end in step with aclk, as
    AXI asks for. awprot and arprot are there because AXI4-Lite has them, and do nothing.

    Sources: AMBA AXI Protocol Specification (ARM IHI 0022E), A3.1.2; AMD UG994, "HDL Parameters for Interface
    Inference".

    Raises
    ------
    ValueError
        If the design is not a gemm.
    """
    pins = list(_pins(design))
    kinds = {"input": "input  wire", "output": "output wire"}
    lines = []
    for pin, text in zip(pins, declarations((kinds[pin.port.direction], pin.port) for pin in pins), strict=True):
        lines.append(f'  (* X_INTERFACE_INFO = "xilinx.com:{pin.interface}" *)')
        if pin.parameter:
            lines.append(f'  (* X_INTERFACE_PARAMETER = "XIL_INTERFACENAME {pin.parameter}" *)')
        lines.append(f"  {text}{',' * (pin is not pins[-1])}")
    facts = {"spec": design.spec_text, "made by": f"positcore {__version__}"}
    names = [pin.port.name for pin in pins]
    head = module_header(
        block_design_name(design), f"{design.name} with the ports of block designs", facts, names, alone=True
    )
    body = [f"module {block_design_name(design)} (", *lines, ");", _RESET, *_instance(design, pins), "endmodule"]
    return head + "\n".join(body) + "\n"


def _pins(design: Design) -> Iterator[_Pin]:
    if design.unit.kind != "bus":
        raise ValueError(f"block design: {design.unit.name} has no AXI ports; gemm has them")
    buses = ":".join((_BUS, *_STREAMS))
    yield _Pin(
        Port("aclk", "input", 1), "signal:clock:1.0 aclk CLK", "clk",
        f"aclk, ASSOCIATED_BUSIF {buses}, ASSOCIATED_RESET aresetn",
    )  # fmt: skip
    yield _Pin(Port("aresetn", "input", 1), "signal:reset:1.0 aresetn RST", "rst", "aresetn, POLARITY ACTIVE_LOW")
    for port in unit_ports(design):
        name = port.name.replace("s_axil_", f"{_BUS}_")
        bus = next(bus for bus in (_BUS, *_STREAMS) if name.startswith(f"{bus}_"))
        signal = name.removeprefix(f"{bus}_")
        kind = "aximm" if bus == _BUS else "axis"
        lite = f"{bus}, PROTOCOL AXI4LITE, DATA_WIDTH 32, ADDR_WIDTH {port.width}" if signal == "awaddr" else ""
        yield _Pin(port._replace(name=name), f"interface:{kind}:1.0 {bus} {signal.upper()}", port.name, lite)
        if signal in ("awaddr", "araddr"):
            protection = next(each for each in _PROTECTION if each.name.startswith(f"{bus}_{signal[:2]}"))
            yield _Pin(protection, f"interface:{kind}:1.0 {bus} {protection.name[-6:].upper()}", None)


def _instance(design: Design, pins: list[_Pin]) -> Iterator[str]:
    """The unit, the handshakes of its outputs held back in reset, and what becomes of the ports that it lacks."""
    outputs = [pin for pin in pins if pin.port.direction == "output" and pin.port.name.endswith(("valid", "ready"))]
    yield from (f"  wire unit_{pin.behind};" for pin in outputs)
    yield ""
    connections = {pin.behind: pin.port.name for pin in pins if pin.behind}
    connections |= {"rst": "~run"} | {pin.behind: f"unit_{pin.behind}" for pin in outputs if pin.behind}
    yield from (f"  {line}" for line in instance(design.name, connections).splitlines())
    yield ""
    yield from (f"  assign {pin.port.name} = unit_{pin.behind} & run;" for pin in outputs)
    unused = ", ".join(pin.port.name for pin in pins if pin.behind is None)
    yield f"  wire unused = &{{1'b0, {unused}}};  // there are no kinds of access to tell apart"
