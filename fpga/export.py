"""A design as a folder for vendors' tools: Verilog, constraints of the clock, and a FuseSoC core."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from positcore.files import replace_folder
from positcore.fpga.wrapper import registered_wrapper, wrapper_name
from positcore.hw.emit import emit_verilog
from positcore.hw.units import Design
from positcore.version import __version__

__all__ = ["TOOLS", "ExportTool", "export_files", "write_export"]


@dataclass(frozen=True)
class ExportTool:
    """A vendor's tool: the kind of its constraints, and a part of its own unless told."""

    name: str
    suffix: str
    file_type: str
    part: str
    family: str = ""

    def constraints(self, period_ns: float) -> str:
        """The period of the clock `clk`, in the tool's language."""
        if self.suffix == "lpf":
            return f'FREQUENCY PORT "clk" {1000 / period_ns:.6f} MHZ;\n'
        return f"create_clock -name clk -period {period_ns:.3f} [get_ports clk]\n"

    def options(self, part: str) -> dict[str, str]:
        """What a core says to the tool."""
        return {"family": self.family, "device": part} if self.family else {"part": part}


TOOLS = {
    tool.name: tool
    for tool in (
        ExportTool("vivado", "xdc", "xdc", "xc7a35ticsg324-1L"),
        ExportTool("quartus", "sdc", "SDC", "5CSEBA6U23I7", "Cyclone V"),
        ExportTool("diamond", "lpf", "LPF", "LFE5U-25F-6BG381C"),
        ExportTool("radiant", "pdc", "PDC", "LIFCL-40-9BG400C"),
    )
}


def export_files(
    design: Design, tools: Sequence[str] = tuple(TOOLS), *, part: str | None = None, period_ns: float = 10.0
) -> dict[str, str]:
    """The texts of an export by their names: the same for the same design and version, with no paths in them.

    A unit without a clock comes with a module around it that has a register at each port, which is then the top.

    Raises
    ------
    ValueError
        If a tool is unknown, the period is not a positive number, or a part is given for several tools.
    """
    unknown = [name for name in tools if name not in TOOLS]
    if unknown or not tools:
        raise ValueError(f"export: tool must be one of {', '.join(TOOLS)} or all, not {', '.join(unknown) or 'none'}")
    if not (math.isfinite(period_ns) and 0.1 <= period_ns <= 1e6):
        raise ValueError(f"export: the period must be 0.1 to 1000000 ns, not {period_ns:g}")
    if part is not None and len(tools) > 1:
        raise ValueError("export: a part belongs to one tool; name it with --tool")
    if part is not None and not part.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"export: a part is letters, digits, - and _, not {part!r}")
    files = {f"{design.name}.v": emit_verilog(design)}
    top = design.name
    if not design.latency:
        top = wrapper_name(design)
        files[f"{top}.v"] = registered_wrapper(design)
    sources = list(files)
    chosen = [TOOLS[name] for name in tools]
    for tool in chosen:
        files[f"{top}.{tool.suffix}"] = tool.constraints(period_ns)
    files[f"{design.name}.core"] = _core(design.name, top, sources, chosen, part)
    return files


def _core(name: str, top: str, sources: list[str], tools: list[ExportTool], part: str | None) -> str:
    lines = ["CAPI=2:", f"name: positcore::{name}:{__version__}", "filesets:", "  rtl:"]
    lines += [f"    files: [{', '.join(sources)}]", "    file_type: verilogSource"]
    for tool in tools:
        lines += [f"  {tool.name}:", f"    files: [{top}.{tool.suffix}]", f"    file_type: {tool.file_type}"]
    lines += ["targets:", "  lint:", "    default_tool: verilator", "    filesets: [rtl]", f"    toplevel: {top}"]
    lines += ["    tools:", "      verilator:", "        mode: lint-only"]
    for tool in tools:
        lines += [f"  {tool.name}:", f"    default_tool: {tool.name}", f"    filesets: [rtl, {tool.name}]"]
        lines += [f"    toplevel: {top}", "    tools:", f"      {tool.name}:"]
        lines += [f'        {key}: "{value}"' for key, value in tool.options(part or tool.part).items()]
    return "\n".join(lines) + "\n"


def write_export(files: dict[str, str], folder: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Write the texts of an export to a folder, all or none; what else lies in it stays.

    Raises
    ------
    FileExistsError
        If something else lies in the folder, unless `force`.
    """
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"export: {folder} is a file; name a folder")
    others = sorted({entry.name for entry in target.iterdir()} - set(files)) if target.exists() else []
    if others and not force:
        raise FileExistsError(f"export: {folder} holds {others[0]}, not of this export; name another or add --force")

    def fill(made: Path) -> None:
        if target.exists():
            shutil.copytree(target, made, symlinks=True, dirs_exist_ok=True)
        for name, text in files.items():
            (made / name).write_text(text, encoding="utf-8")

    replace_folder(target, fill)
    return Path(folder)
