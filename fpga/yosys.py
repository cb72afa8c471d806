"""Yosys: running a script on files, and reading what it says of the netlist."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from positcore.fpga.yowasp import SynthesisError, failure, run_tool, tool_package

__all__ = ["Netlist", "parse_depth", "parse_netlist", "run_yosys", "yosys_package"]


TWO_DRIVERS = "Driver-driver conflict"  # a warning to Yosys; what it drops of such a netlist may be the result


class Netlist(NamedTuple):
    """The cells of a synthesized design by type, and the Yosys that made it."""

    cells: Mapping[str, int]
    creator: str


def yosys_package() -> str:
    """The installed package of Yosys with its version.

    Raises
    ------
    MissingToolError
        If it is not installed.
    """
    return tool_package("yosys", "synthesis")


def run_yosys(script: str, folder: Path) -> None:
    """Run a Yosys script in a folder, whose files it names without a path, and leave yosys.log there.

    Raises
    ------
    SynthesisError
        If Yosys fails, with what it said of that, or finds two drivers for a net.
    """
    (folder / "script.ys").write_text(script, encoding="utf-8")
    done = run_tool("yosys", ["-q", "-e", TWO_DRIVERS, "-l", "yosys.log", "-s", "script.ys"], folder)
    if done.returncode:
        raise _failure(done.returncode, done.stdout + done.stderr, folder / "yosys.log")


def _failure(status: int, said: str, log: Path) -> SynthesisError:
    """The error of a run that failed: some errors stand in the log alone."""
    if "call stack exhausted" in said:
        return SynthesisError(
            "Yosys ran out of its stack on a path of so many cells; cut it by pipeline stages (--stages)"
        )
    logged = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    errors = "\n".join(line for line in logged.splitlines() if line.startswith("ERROR"))
    if TWO_DRIVERS in errors:
        return SynthesisError(
            f"Yosys lost a part of the design, so that its netlist would compute something else ({errors[:200]}); "
            "take another number of --stages, or no --dsp"
        )
    return failure("Yosys", status, errors or said)


def parse_netlist(text: str) -> Netlist:
    """The cells that `stat -json` counts, of a design flattened into one module.

    Raises
    ------
    SynthesisError
        If the text is cut off, has no count of cells, or counts none.
    """
    try:
        found = json.loads(text)
        design, creator = found["design"], found["creator"]
        cells = {str(name): int(count) for name, count in design["num_cells_by_type"].items()}
        total, modules = int(design["num_cells"]), len(found["modules"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SynthesisError(
            f"Yosys's statistics have no count of cells ({type(error).__name__}: {error}): {text[-200:]!r}"
        ) from error
    if modules != 1:
        raise SynthesisError(f"Yosys's statistics are of {modules} modules; a flattened design has one")
    if total != sum(cells.values()):
        raise SynthesisError(f"Yosys's statistics count {total} cells, but {sum(cells.values())} by type")
    # $scopeinfo remembers the hierarchy that was flattened; it is no hardware.
    cells = {name: count for name, count in sorted(cells.items()) if name != "$scopeinfo"}
    if not cells:
        raise SynthesisError("Yosys's statistics count no cells: nothing was synthesized")
    return Netlist(cells, creator)


def parse_depth(text: str) -> int:
    """The cells on the longest path that `ltp` found.

    Raises
    ------
    SynthesisError
        If it names none, or a loop, which has no longest path.
    """
    if "Detected loop" in text:
        raise SynthesisError(f"Yosys found a combinational loop: {text.strip()[:500]}")
    lengths = re.findall(r"^Longest topological path in \S+ \(length=(\d+)\)", text, re.M)
    if len(lengths) != 1:
        raise SynthesisError(f"Yosys named {len(lengths)} longest paths where one was expected: {text.strip()[:200]!r}")
    return int(lengths[0])
