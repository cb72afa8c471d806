"""`Report`: what a unit takes of an FPGA, and how that was found."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from positcore.files import check_writable, write_aside
from positcore.fpga.place import Routing
from positcore.fpga.standard_cells import StandardCells
from positcore.fpga.yowasp import SynthesisError

__all__ = ["SCHEMA", "Report", "check_report_path", "telling_what_stays", "write_report"]

SCHEMA = 1  # the version of report.schema.json


@dataclass(frozen=True)
class Report:
    """The synthesis of one unit between registers, and its place and route if that was asked for.

    Parameters
    ----------
    unit, spec, module : str
        What was synthesized, and the name of its Verilog module.
    target : str
        The family of FPGAs.
    dsp : bool
        Whether DSPs were allowed.
    stages, latency : int
        The unit's pipeline registers, and its latency in cycles; the wrapper's two cycles are not counted.
    interval : int
        Cycles from one item that it takes to the next.
    luts : int
        LUTs, by `lut_formula`.
    lut_formula : str
        Which cells that adds up.
    flip_flops : int
        All of them, the wrapper's too.
    wrapper_flip_flops : int
        What the wrapper asks for: a register for each bit of the unit's ports.
    memory_luts : int
        Those of the LUTs that are distributed memories or shift registers.
    dsps, carry_cells : int
        Cells of each kind.
    block_rams : int
        Block memories, in the smallest blocks of the family; `block_ram` says what those are.
    depth : int
        Cells on the longest path from register to register, both registers counted.
    cells : mapping
        The netlist's cells by type.
    version : str
        Of positcore.
    tool : str
        The version of Yosys and of its package.
    script : str
        The Yosys script.
    command : str
        The command that gives this report again.
    routing : Routing, optional
        What place and route gave; None where it was not asked for.
    standard_cells : StandardCells, optional
        What it takes of a library of cells; None without one.
    """

    unit: str
    spec: str
    module: str
    target: str
    dsp: bool
    stages: int
    latency: int
    interval: int
    luts: int
    lut_formula: str
    flip_flops: int
    wrapper_flip_flops: int
    memory_luts: int
    dsps: int
    block_rams: int
    block_ram: str
    carry_cells: int
    depth: int
    cells: Mapping[str, int] = field(hash=False)
    version: str
    tool: str
    script: str
    command: str
    routing: Routing | None = None
    standard_cells: StandardCells | None = None

    @property
    def throughput(self) -> float | None:
        """Items a second at the median clock, one each `interval` cycles; None where it was not routed."""
        return None if self.routing is None else self.routing.fmax_mhz * 1e6 / self.interval

    def __str__(self) -> str:
        rows: list[tuple[str, object, str]] = [
            ("LUTs", self.luts, self.lut_formula),
            ("flip-flops", self.flip_flops, f"the wrapper has {self.wrapper_flip_flops}"),
            ("DSPs", self.dsps, "" if self.dsp else "not allowed"),
            ("block RAMs", self.block_rams, self.block_ram if self.block_rams else ""),
            ("carry cells", self.carry_cells, ""),
            ("depth", self.depth, "cells from register to register, both counted"),
            ("latency", self.latency, "cycles, without the wrapper's"),
            ("interval", self.interval, "cycles from one item to the next"),
        ]
        if self.memory_luts:
            rows.insert(1, ("in memories", self.memory_luts, "of the LUTs"))
        routing, tools, path = "not routed", self.tool, list[str]()
        if self.routing is not None:
            rows += self.routing.rows()
            rows.append(("throughput", f"{self.throughput:.3g}", "items a second at the median clock"))
            routing, tools, path = (
                f"routed in {self.routing.part}",
                f"{tools}, {self.routing.tool}",
                self.routing.path_lines(),
            )
        if self.standard_cells is not None:
            rows += self.standard_cells.rows()
            path += self.standard_cells.path_lines()
        lines = [f"{self.unit}[{self.spec}] on {self.target}, {'with' if self.dsp else 'without'} DSPs, {routing}"]
        lines += [f"  {name:<12} {value:>7}   {note}".rstrip() for name, value, note in rows]
        return "\n".join([*lines, *(f"  {line}" for line in path), f"  {tools}", f"  again by: {self.command}"])

    def json(self) -> str:
        """The report as JSON, as `report.schema.json` of this package says."""
        fields = {"schema": SCHEMA, **asdict(self), "throughput": self.throughput}
        return json.dumps(fields, indent=2, ensure_ascii=False)


def check_report_path(path: str | os.PathLike[str]) -> Path:
    """The path of a report, checked before the work for it begins.

    Raises
    ------
    OSError
        If there is no folder to write it in, a folder of its name, or the user may not write there.
    """
    place = Path(path)
    if not place.parent.is_dir():
        raise FileNotFoundError(f"synth: no folder {place.parent} to write {place.name} in; create it")
    if place.is_dir():
        raise IsADirectoryError(f"synth: {place} is a folder; name a file such as report.json")
    check_writable(place, "synth")
    return place


@contextmanager
def telling_what_stays(path: str | os.PathLike[str] | None) -> Iterator[None]:
    """Say of a failure or an interrupt that an older file at the report's path was left as it was."""
    try:
        yield
    except (SynthesisError, KeyboardInterrupt) as error:
        if path is None or not Path(path).is_file():
            raise
        kind = SynthesisError if isinstance(error, SynthesisError) else KeyboardInterrupt
        said = f"{error}; " if str(error) else ""
        raise kind(f"{said}no report was written, {path} is an older file") from error


def write_report(report: Report, path: str | os.PathLike[str]) -> Path:
    """Write a report as JSON, whole or not at all; gives its path."""
    place = check_report_path(path)

    def write(aside: Path) -> None:
        aside.write_text(report.json() + "\n", encoding="utf-8")

    write_aside(place, write)
    return place
