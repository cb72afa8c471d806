"""The page that comes with an exported design: what is in its folder, and the command of each tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from positcore.fpga.vendors.fusesoc_core import core_name
from positcore.fpga.vendors.tools import VendorTool
from positcore.hw.emit import Port
from positcore.hw.registers import Register, register_table
from positcore.hw.units import Design
from positcore.version import __version__

__all__ = ["export_readme"]


def export_readme(
    design: Design,
    top: str,
    ports: Sequence[Port],
    files: Mapping[str, str],
    parts: Mapping[VendorTool, str],
    period_ns: float,
    registers: tuple[Register, ...] = (),
) -> str:
    """The page in Markdown.

    Parameters
    ----------
    design : Design
    top : str
        The top module.
    ports : sequence of Port
        Of the top module.
    files : mapping
        What each file is, by its path.
    parts : mapping
        The part, by tool.
    period_ns : float
        Of the clock.
    registers : tuple of Register
        Those of the design, if it has any.
    """
    bits = sum(port.width for port in ports)
    path, name = max(map(len, files)), design.name
    lines = [
        f"# {name}",
        "",
        f"{design.unit.name} of {design.spec_text}: {design.unit.summary}.",
        "",
        f"Top module `{top}`, {bits} bits of ports, and a clock of {period_ns:g} ns. Made by positcore {__version__}.",
        "",
        *(f"    {file:{path}}  {what}" for file, what in files.items()),
        "",
        "## Commands",
        "",
        "Each in the folder of its tool, where the project will lie.",
        "",
    ]
    for tool, part in parts.items():
        lines += [f"{tool.title}, for {part}:", "", f"    cd {tool.name}"]
        lines += [f"    {command.format(name=name)}" for command in tool.commands]
        lines += ["", tool.note.format(name=name, bits=bits), ""]
    lines += ["FuseSoC, of whose targets `lint` is Verilator's and the others are named after the tools:", ""]
    lines += [f"    fusesoc --cores-root . run --target lint {core_name(name)}", ""]
    if registers:
        cell = f"create_bd_cell -type module -reference {top} gemm_0"
        lines += [f"A block design of Vivado, whose project has the files of rtl/, takes it by `{cell}`.", ""]
        lines += ["## Registers", "", "32 bits each; what they do is in docs/gemm.md of positcore.", ""]
        lines += [register_table(registers)]
    return "\n".join(lines)
