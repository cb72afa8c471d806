"""A design as a folder for vendors' tools: Verilog, constraints, scripts that make projects, and a FuseSoC core."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from positcore.files import check_writable, fill_folder
from positcore.fpga.vendors.fusesoc_core import fusesoc_core
from positcore.fpga.vendors.projects import project_scripts
from positcore.fpga.vendors.readme import export_readme
from positcore.fpga.vendors.tools import TOOLS, VendorTool, check_period
from positcore.fpga.wrapper import registered_wrapper, wrapper_name
from positcore.hw.block_design import block_design_name, block_design_ports, block_design_wrapper
from positcore.hw.emit import Port, clock_ports, emit_verilog, unit_ports
from positcore.hw.gemm_registers import gemm_registers
from positcore.hw.register_header import register_header
from positcore.hw.registers import Register
from positcore.hw.units import Design

__all__ = ["TOOLS", "check_folder", "export_files", "top_module", "write_export"]


def export_files(
    design: Design, tools: Sequence[str] = tuple(TOOLS), *, part: str | None = None, period_ns: float = 10.0
) -> dict[str, str]:
    """The texts of an export by their paths: the same for the same design and version, with no place of this machine.

    The top module is the unit's; of a unit without a clock one around it that has a register at each port; of a gemm
    one around it for block designs, with which a header in C of its registers comes.

    Raises
    ------
    ValueError
        If a tool is unknown, the period is not a positive number, or a part is given for several tools, or belongs to
        another.
    MissingToolError
        If edalize is not installed.
    """
    unknown = [name for name in tools if name not in TOOLS]
    if unknown or not tools:
        raise ValueError(f"export: tool must be one of {', '.join(TOOLS)} or all, not {', '.join(unknown) or 'none'}")
    check_period(period_ns)
    if part is not None and len(tools) > 1:
        raise ValueError("export: a part belongs to one tool; name it with --tool")
    parts = {tool: tool.check_part(tool.part if part is None else part) for tool in map(TOOLS.__getitem__, tools)}

    top, ports, wrapper = _top(design)
    registers = _registers(design)
    files = {f"rtl/{design.name}.v": emit_verilog(design)}
    kinds = {f"rtl/{design.name}.v": "the unit"}
    if wrapper:
        around = "the ports of block designs" if registers else "a register at each port"
        files[f"rtl/{top}.v"], kinds[f"rtl/{top}.v"] = wrapper, f"around it, with {around}"
    sources, projects = list(files), {}
    if registers:
        header = f"software/{design.name}.h"
        files[header], kinds[header] = register_header("posit_gemm", design.name, registers), "its registers in C"
    for tool, each in parts.items():
        texts, project = _own_files(tool, design.name, ports, period_ns)
        paths = dict.fromkeys((f"../{source}" for source in sources), "verilogSource") | project
        texts |= project_scripts(tool, design.name, top, paths, each)
        files |= {f"{tool.name}/{name}": text for name, text in texts.items()}
        kinds[f"{tool.name}/"] = f"constraints of the clock, and scripts that make a project for {tool.title}"
        projects[tool] = {f"{tool.name}/{name}": kind for name, kind in project.items()}
    files[f"{design.name}.core"] = fusesoc_core(design.name, design.unit.summary, top, sources, projects, parts)
    kinds[f"{design.name}.core"] = "all of it for FuseSoC"
    files["README.md"] = export_readme(design, top, ports, kinds, parts, period_ns, registers)
    return files


def _own_files(
    tool: VendorTool, name: str, ports: tuple[Port, ...], period_ns: float
) -> tuple[dict[str, str], dict[str, str]]:
    """What we write for a project of the tool, whose clock is the first port: texts and kinds by the files' names."""
    constraints = f"{name}.{tool.suffix}"
    texts, kinds = {constraints: tool.constraints(ports[0].name, period_ns)}, {constraints: tool.file_type}
    if tool.hook:
        texts[tool.hook], kinds[tool.hook] = tool.hook_script(ports[0].name, ports), "tclSource"
    return texts, kinds


def top_module(design: Design) -> str:
    """The name of the top module that a design is exported with."""
    return _top(design)[0]


def _top(design: Design) -> tuple[str, tuple[Port, ...], str]:
    """The top module, its ports, the clock first, and its Verilog, if it is another one than the unit's."""
    if design.unit.kind == "bus":
        return block_design_name(design), block_design_ports(design), block_design_wrapper(design)
    if not design.latency:
        return wrapper_name(design), (Port("clk", "input", 1), *unit_ports(design)), registered_wrapper(design)
    return design.name, (*clock_ports(design), *unit_ports(design)), ""


def _registers(design: Design) -> tuple[Register, ...]:
    if design.rows is None or design.columns is None or design.depth is None:
        return ()
    return gemm_registers(design.spec, rows=design.rows, columns=design.columns, depth=design.depth)


def check_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder of an export, checked before the work for it begins.

    Raises
    ------
    OSError
        If it is a file, or may not be written to.
    """
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"export: {folder} is a file; name a folder")
    check_writable(target, "export")
    return target


def write_export(files: dict[str, str], folder: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Write the texts of an export to a folder, all or none; what else lies in it stays.

    Raises
    ------
    OSError
        As `check_folder`.
    FileExistsError
        If something else lies in the folder, unless `force`.
    """
    target = check_folder(folder)
    present = (path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir())
    others = sorted(set(present) - set(files))
    if others and not force:
        raise FileExistsError(f"export: {folder} holds {others[0]}, not of this export; name another or add --force")
    fill_folder(target, {name: text.encode() for name, text in files.items()})
    return target
