"""`StandardCells`: a unit mapped to the cells of a Liberty file, the area that they take and their longest path."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from positcore.fpga.kept import build_folder, keep, kept, packed, unpacked
from positcore.fpga.liberty import Liberty
from positcore.fpga.static_timing import Step, longest_path
from positcore.fpga.yosys import parse_netlist, run_yosys
from positcore.fpga.yowasp import SynthesisError

__all__ = ["StandardCells", "map_cells"]

# dfflibmap takes a reset value for an initial value, which cells do not have. ABC maps for delay, then adds buffers
# where one cell drives many, and chooses the sizes of the cells.
_SCRIPT = """read_verilog unit.v
synth -flatten -top {top}
setattr -unset init w:*
dfflibmap -liberty cells.lib
abc -liberty cells.lib -script +strash;ifraig;scorr;dc2;dch,-f;map,-B,0.9;topo;buffer,-c;topo;upsize;dnsize
opt_clean
tee -o area.json stat -json -liberty cells.lib
write_json mapped.json
"""
_SHOWN = 6  # cells of a path at each of its ends


@dataclass(frozen=True)
class StandardCells:
    """What a unit between registers takes of a library, mapped by Yosys and ABC; no wires, no clock tree.

    Parameters
    ----------
    library : str
        Its name in the Liberty file.
    sha256 : str
        Of that file.
    area : float
        Of all cells, in the library's unit, most often µm²; the wrapper's flip-flops are among them.
    flip_flop_area : float
        Of the flip-flops alone.
    count : int
        How many cells there are.
    cells : mapping
        How many of each.
    delay_ns : float or None
        The longest path from register to register, with clock-to-output and setup times; None of a library without
        tables of delays.
    critical_path : tuple of Step
        The cells along it.
    """

    library: str
    sha256: str
    area: float
    flip_flop_area: float
    count: int
    cells: Mapping[str, int] = field(hash=False)
    delay_ns: float | None
    critical_path: tuple[Step, ...]

    def rows(self) -> list[tuple[str, object, str]]:
        """For a table: names, values, notes."""
        return [
            ("cells", self.count, f"of {self.library}"),
            ("area", f"{self.area:.0f}", f"in the library's unit, {self.flip_flop_area:.0f} of it flip-flops"),
            ("delay, ns", f"{self.delay_ns:.3f}", f"register to register, no wires: {1000 / self.delay_ns:.0f} MHz")
            if self.delay_ns
            else ("delay, ns", "–", f"{self.library} has no tables of delays"),
        ]

    def path_lines(self) -> list[str]:
        """The critical path in lines: its first and its last cells."""
        steps = self.critical_path
        shown = [
            f"  {step.delay_ns:.3f} {step.cell} {step.through} {step.edge} {step.signal}".rstrip() for step in steps
        ]
        if len(steps) > 2 * _SHOWN + 1:
            shown[_SHOWN:-_SHOWN] = [f"  … {len(steps) - 2 * _SHOWN} cells more, which --json lists"]
        return [f"critical path in {self.library}: {self.delay_ns:.3f} ns", *shown] if steps else []


def map_cells(verilog: str, top: str, liberty: Liberty, package: str) -> StandardCells:
    """Map Verilog to the cells of a library.

    What Yosys says is kept under a hash of the Verilog, the library and Yosys's version, and read anew each time.

    Raises
    ------
    SynthesisError
        If Yosys fails, or leaves cells that are not the library's, or a netlist without a path between registers.
    ValueError
        If the Liberty file is not whole.
    """
    script = _SCRIPT.format(top=top)
    key = (verilog, script, hashlib.sha256(liberty.text.encode()).hexdigest(), package)
    found = kept(key, ("statistics", "netlist"), lambda text, net: _parsed(text, unpacked(net).decode(), liberty))
    if found is not None:
        return found
    with build_folder() as folder:
        for file, text in (("unit.v", verilog), ("cells.lib", liberty.text)):
            (folder / file).write_text(text, encoding="utf-8")
        run_yosys(script, folder)
        statistics, netlist = (
            (folder / file).read_text(encoding="utf-8") if (folder / file).exists() else ""
            for file in ("area.json", "mapped.json")
        )
    cells = _parsed(statistics, netlist, liberty)
    keep(key, {"statistics": statistics, "netlist": packed(netlist.encode())})
    return cells


def _parsed(text: str, netlist: str, liberty: Liberty) -> StandardCells:
    cells = parse_netlist(text).cells
    if strange := [cell for cell in cells if cell.startswith("$")]:
        raise SynthesisError(f"library {liberty.name} has no cells for these of the netlist: {', '.join(strange)}")
    try:
        design = json.loads(text)["design"]
        area, sequential = float(design["area"]), float(design["sequential_area"])
    except (KeyError, TypeError, ValueError) as error:
        raise SynthesisError(
            f"Yosys's statistics have no area ({error}); does {liberty.name} say its cells'?"
        ) from error
    path = longest_path(netlist, liberty)
    delay, steps = (path.delay_ns, path.steps) if path else (None, ())
    return StandardCells(liberty.name, liberty.sha256, area, sequential, sum(cells.values()), cells, delay, steps)
