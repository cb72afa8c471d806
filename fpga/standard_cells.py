"""`StandardCells`: a unit mapped to the cells of a Liberty file, and the area that they take."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from positcore.fpga.kept import build_folder, keep, kept
from positcore.fpga.yosys import parse_netlist, run_yosys
from positcore.fpga.yowasp import SynthesisError

__all__ = ["Liberty", "StandardCells", "map_cells", "read_liberty"]

# dfflibmap takes a reset value for an initial value, which cells do not have.
_SCRIPT = """read_verilog unit.v
synth -flatten -top {top}
setattr -unset init w:*
dfflibmap -liberty cells.lib
abc -liberty cells.lib
opt_clean
tee -o area.json stat -json -liberty cells.lib
"""


@dataclass(frozen=True)
class Liberty:
    """A library of cells: its name, and its Liberty file with the text in it."""

    name: str
    path: Path
    text: str = field(repr=False)


@dataclass(frozen=True)
class StandardCells:
    """What a unit between registers takes of a library, mapped by Yosys and ABC; no wires, no clock tree.

    Parameters
    ----------
    library : str
        Its name in the Liberty file.
    area : float
        Of all cells, in the library's unit, most often µm²; the wrapper's flip-flops are among them.
    flip_flop_area : float
        Of the flip-flops alone.
    count : int
        How many cells there are.
    cells : mapping
        How many of each.
    """

    library: str
    area: float
    flip_flop_area: float
    count: int
    cells: Mapping[str, int] = field(hash=False)

    def rows(self) -> list[tuple[str, object, str]]:
        """For a table: names, values, notes."""
        return [
            ("cells", self.count, f"of {self.library}"),
            ("area", f"{self.area:.0f}", f"in the library's unit, {self.flip_flop_area:.0f} of it flip-flops"),
        ]


def read_liberty(path: str | os.PathLike[str]) -> Liberty:
    """The library in a Liberty file.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no Liberty file, or has no flip-flop.
    """
    place = Path(path)
    if not place.is_file():
        raise FileNotFoundError(f"synth: no Liberty file {place}; name one such as cells.lib")
    text = place.read_text(encoding="utf-8", errors="replace")
    head = re.search(r"^\s*library\s*\(\s*\"?([^\s\")]+)\"?\s*\)\s*\{", text, re.M)
    if head is None or not re.search(r"\bcell\s*\(", text):
        raise ValueError(f"synth: {place} is no Liberty file: no library with cells is in it; it begins {text[:40]!r}")
    if not re.search(r"\bff\s*\(", text):
        raise ValueError(f"synth: the library of {place} has no flip-flop, which the registers of a unit need")
    return Liberty(head[1], place, text)


def map_cells(verilog: str, top: str, liberty: Liberty, package: str) -> StandardCells:
    """Map Verilog to the cells of a library.

    What Yosys says is kept under a hash of the Verilog, the library and Yosys's version, and read anew each time.

    Raises
    ------
    SynthesisError
        If Yosys fails, or leaves cells that are not the library's.
    """
    script = _SCRIPT.format(top=top)
    key = (verilog, script, hashlib.sha256(liberty.text.encode()).hexdigest(), package)
    found = kept(key, "statistics")
    if found is not None:
        return _parsed(found[0], liberty)
    with build_folder() as name:
        folder = Path(name)
        for file, text in (("unit.v", verilog), ("cells.lib", liberty.text)):
            (folder / file).write_text(text, encoding="utf-8")
        run_yosys(script, folder)
        statistics = (folder / "area.json").read_text(encoding="utf-8")
    cells = _parsed(statistics, liberty)
    keep(key, {"statistics": statistics})
    return cells


def _parsed(text: str, liberty: Liberty) -> StandardCells:
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
    return StandardCells(liberty.name, area, sequential, sum(cells.values()), cells)
