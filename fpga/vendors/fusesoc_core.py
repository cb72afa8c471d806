"""A FuseSoC core of a design: for other cores to depend on, and with a target for each tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from positcore.fpga.vendors.tools import VendorTool
from positcore.version import __version__

__all__ = ["core_name", "fusesoc_core"]


def core_name(name: str) -> str:
    """What FuseSoC calls the core of a design."""
    return f"positcore::{name}:{__version__}"


def fusesoc_core(
    name: str,
    summary: str,
    top: str,
    sources: Sequence[str],
    projects: Mapping[VendorTool, Mapping[str, str]],
    parts: Mapping[VendorTool, str],
) -> str:
    """The text of a core in FuseSoC's CAPI2.

    Parameters
    ----------
    name, summary : str
        Of the design.
    top : str
        The top module.
    sources : sequence of str
        Paths of the Verilog, from where the core lies.
    projects : mapping
        For each tool what kind its further files are, as edalize calls it, by their paths.
    parts : mapping
        For each tool the part.
    """
    lines = ["CAPI=2:", f"name: {core_name(name)}", f'description: "{summary}"', "", "filesets:"]
    lines += _fileset("rtl", dict.fromkeys(sources, "verilogSource"))
    for tool, files in projects.items():
        lines += _fileset(tool.name, files)
    lines += ["", "targets:", "  default: &default", "    filesets: [rtl]", f"    toplevel: {top}"]
    lines += ["  lint:", "    <<: *default", "    flow: lint", "    flow_options:", "      tool: verilator"]
    for tool in projects:
        lines += [f"  {tool.name}:", "    <<: *default", f"    filesets: [rtl, {tool.name}]"]
        options = [f'{key}: "{value}"' for key, value in tool.options(parts[tool]).items()]
        if tool.flow:  # as far as synthesis, since a design without pins has no bitstream
            lines += [f"    flow: {tool.name}", "    flow_options:", *(f"      {line}" for line in options)]
            lines += ["      pnr: none"]
        else:
            lines += [f"    default_tool: {tool.name}", "    tools:", f"      {tool.name}:"]
            lines += [f"        {line}" for line in options]
    return "\n".join(lines) + "\n"


def _fileset(name: str, files: Mapping[str, str]) -> list[str]:
    return [f"  {name}:", "    files:", *(f"      - {path}: {{file_type: {kind}}}" for path, kind in files.items())]
