"""nextpnr: placing and routing a netlist of Yosys's, and reading its report."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from positcore.fpga.targets import Device
from positcore.fpga.yowasp import SynthesisError, run_tool, tool_package

__all__ = ["Routed", "nextpnr_package", "parse_routed", "run_nextpnr"]

# A net without a name in the source is called after one nearby that has one, a cell's type and its port, and so on.
MADE = re.compile(r"_(?:LUT4|PFUMX|L6MUX21|CCU2C|TRELLIS_[A-Z0-9]+|MULT18X18D|ALU54B|DP16KD|SB_[A-Z0-9]+)_[A-Z].*")


class Routed(NamedTuple):
    """A placed and routed netlist: what it takes of the part, its clock, and the path that bounds that."""

    fmax_mhz: float
    used: Mapping[str, int]
    available: Mapping[str, int]
    logic_ns: float
    routing_ns: float
    path: tuple[str, ...]


def nextpnr_package(device: Device) -> str:
    """The installed package of the device's nextpnr with its version.

    Raises
    ------
    MissingToolError
        If it is not installed.
    """
    return tool_package(device.tool, "place and route")


def run_nextpnr(device: Device, seed: int, folder: Path) -> str:
    """Place and route `netlist.json` of a folder with a seed; gives the report, as text.

    Raises
    ------
    SynthesisError
        If nextpnr fails; of a netlist too large for the part, with what is too many.
    """
    report = folder / "routed.json"
    report.unlink(missing_ok=True)
    words = ["--json", "netlist.json", "--report", report.name, "--timing-allow-fail", "--seed", str(seed)]
    done = run_tool(device.tool, [*device.options, *words], folder)
    said = done.stdout + done.stderr
    if done.returncode:
        beyond = [
            f"{used} {cell} where there are {available}"
            for cell, used, available in re.findall(r"^Info:\s+(\w+):\s*(\d+)/\s*(\d+)\s+\d+%$", said, re.M)
            if int(used) > int(available)
        ]
        if beyond:
            raise SynthesisError(f"too large for {device.part}: {', '.join(beyond)}; take a smaller format")
        raise SynthesisError(
            f"nextpnr failed with status {done.returncode}: {said.strip()[-1000:] or 'it said nothing'}"
        )
    return report.read_text(encoding="utf-8") if report.exists() else ""


def parse_routed(text: str) -> Routed:
    """The clock, the use of the part and the critical path of a report.

    Raises
    ------
    SynthesisError
        If the text is cut off, or lacks the frequency of clk or the path that bounds it.
    """
    try:
        found = json.loads(text)
        clocks = {name: float(entry["achieved"]) for name, entry in found["fmax"].items()}
        use = {name: (int(entry["used"]), int(entry["available"])) for name, entry in found["utilization"].items()}
        paths = [p["path"] for p in found["critical_paths"] if _of_clk(p["from"]) and _of_clk(p["to"])]
        hops = [(str(hop["type"]), float(hop["delay"]), _net(hop)) for path in paths for hop in path]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SynthesisError(
            f"nextpnr's report is not whole ({type(error).__name__}: {error}): {text[-200:]!r}"
        ) from error
    mine = [frequency for name, frequency in clocks.items() if _of_clk(name)]
    if len(mine) != 1 or mine[0] <= 0:
        raise SynthesisError(f"nextpnr's report has no frequency of clk, but of: {', '.join(clocks) or 'no clock'}")
    if len(paths) != 1 or not hops:
        raise SynthesisError(f"nextpnr's report has {len(paths)} critical paths of clk where one was expected")
    names = [name for _, _, name in hops if name]
    routing = sum(delay for kind, delay, _ in hops if kind == "routing")
    return Routed(
        fmax_mhz=round(mine[0], 2),
        used={cell: used for cell, (used, _) in sorted(use.items()) if used},
        available={cell: available for cell, (used, available) in sorted(use.items()) if used},
        logic_ns=round(sum(delay for _, delay, _ in hops) - routing, 3),
        routing_ns=round(routing, 3),
        path=tuple(name for name, before in zip(names, [None, *names], strict=False) if name != before),
    )


def _of_clk(name: str) -> bool:
    """Whether it is the clock clk: `posedge clk`, `clk`, `$glbnet$clk$TRELLIS_IO_IN`, `clk$SB_IO_IN_$glb_clk`."""
    return re.fullmatch(r"(?:posedge )?(?:\$glbnet\$)?clk(?:\$.*)?", name) is not None


def _net(hop: Mapping[str, Any]) -> str:
    """The signal of the source that a hop is on, or is named after; of the last hop, the register's."""
    name = str(hop.get("net") or (hop["to"]["cell"] if hop["type"] == "setup" else "")).removeprefix("unit.")
    signal = re.sub(r"\[\d+\]$", "", MADE.sub("", name))
    if not signal or "$" in signal:
        return ""
    return signal if hop["type"] == "setup" or not MADE.search(name) else f"near {signal}"
