"""nextpnr: placing and routing a netlist of Yosys's, and reading its report."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from positcore.fpga.parts import TooLargeError
from positcore.fpga.targets import Device
from positcore.fpga.yowasp import SynthesisError, failure, run_tool, tool_package

__all__ = ["Routed", "nextpnr_package", "parse_routed", "parse_use", "run_nextpnr"]

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


def run_nextpnr(
    device: Device, seed: int, folder: Path, netlist: str = "netlist.json", words: Sequence[str] = ()
) -> str:
    """Place and route a netlist of a folder with a seed; gives the report, as text, and leaves nextpnr.log there.

    Parameters
    ----------
    device : Device
    seed : int
    folder : Path
    netlist : str
        The file's name.
    words : sequence of str
        What nextpnr is told besides: constraints, a file for the result.

    Raises
    ------
    TooLargeError
        If the netlist has more cells than the part.
    SynthesisError
        If nextpnr fails otherwise, with the end of what it said.
    """
    report, log = folder / "routed.json", folder / "nextpnr.log"
    for old in (report, log):
        old.unlink(missing_ok=True)
    told = ["--json", netlist, *words, "--report", report.name, "--timing-allow-fail", "--seed", str(seed)]
    done = run_tool(device.tool, [*device.options, *told, "--log", log.name, "--quiet"], folder)
    if done.returncode:
        said = (log.read_text(encoding="utf-8") if log.exists() else "") + done.stdout + done.stderr
        use = parse_use(said)
        if any(used > available for used, available in use.values()):
            raise TooLargeError(device, use)
        raise failure("nextpnr", done.returncode, said)
    return report.read_text(encoding="utf-8") if report.exists() else ""


def parse_use(said: str) -> dict[str, tuple[int, int]]:
    """What nextpnr said of the use of a part: by cell, how many the netlist has, and how many the part."""
    counts = re.findall(r"^Info:\s+(\w+):\s*(\d+)/\s*(\d+)\s+\d+%$", said, re.M)
    return {cell: (int(used), int(available)) for cell, used, available in counts}


def parse_routed(text: str, clock: str | None = "clk") -> Routed:
    """The clock, the use of the part and the critical path of a report.

    Parameters
    ----------
    text : str
    clock : str, optional
        The clock's name in the source; None for the only one that there is, whatever its name.

    Raises
    ------
    SynthesisError
        If the text is cut off, or lacks the frequency of clk or the path that bounds it.
    """
    try:
        found = json.loads(text)
        clocks = {name: float(entry["achieved"]) for name, entry in found["fmax"].items()}
        use = {name: (int(entry["used"]), int(entry["available"])) for name, entry in found["utilization"].items()}
        if clock is None:
            within = {p["from"] for p in found["critical_paths"] if p["from"] == p["to"]}  # constants have no paths
            named = [name for name in clocks if f"posedge {name}" in within]
            clock = named[0] if len(named) == 1 else "clk"
        paths = [p["path"] for p in found["critical_paths"] if _of(clock, p["from"]) and _of(clock, p["to"])]
        hops = [(str(hop["type"]), float(hop["delay"]), _net(hop)) for path in paths for hop in path]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SynthesisError(
            f"nextpnr's report is not whole ({type(error).__name__}: {error}): {text[-200:]!r}"
        ) from error
    mine = [frequency for name, frequency in clocks.items() if _of(clock, name)]
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


def _of(clock: str, name: str) -> bool:
    """Whether it is a clock, of clk: `posedge clk`, `clk`, `$glbnet$clk$TRELLIS_IO_IN`, `clk$SB_IO_IN_$glb_clk`."""
    return re.fullmatch(rf"(?:posedge )?(?:\$glbnet\$)?{re.escape(clock)}(?:\$.*)?", name) is not None


def _net(hop: Mapping[str, Any]) -> str:
    """The signal of the source that a hop is on, or is named after; of the last hop, the register's."""
    name = str(hop.get("net") or (hop["to"]["cell"] if hop["type"] == "setup" else "")).removeprefix("unit.")
    signal = re.sub(r"\[\d+\]$", "", MADE.sub("", name))
    if not signal or "$" in signal:
        return ""
    return signal if hop["type"] == "setup" or not MADE.search(name) else f"near {signal}"
