"""What one run of synthesis is worth: LUTs and depth of a unit on ECP5 with its signals renamed.

    python benchmarks/draws.py [--units mul:8,2 mul:16,2 add:8,2 decode:16,2] [--seeds 5]

The design is the same. After it is flattened a seed draws names for all signals, and with them the order in which Yosys
and its mapper meet the cells.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from hardware import markdown

import positcore as pc
from positcore.fpga.memories import read_models
from positcore.fpga.synthesis import report_script
from positcore.fpga.targets import broken_at, target
from positcore.fpga.wrapper import registered_wrapper, wrapper_name
from positcore.fpga.yosys import parse_depth, parse_netlist, run_yosys, yosys_package
from positcore.hw.emit import emit_verilog
from positcore.hw.units import Design

DEFAULT = ("mul:8,2", "mul:16,2", "add:8,2", "decode:16,2")


def measured(design: Design, seed: int | None) -> tuple[int, int]:
    """LUTs and depth as `positcore synth` gets them, with names by a seed unless that is None."""
    ecp5 = target("ecp5")
    commands = ecp5.synthesis(False, wrapper_name(design))
    if seed is not None:
        commands = broken_at("coarse", f"rename -scramble-name -seed {seed}", *commands)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "unit.v").write_text(emit_verilog(design) + registered_wrapper(design), encoding="utf-8")
        (folder / "memories.v").write_text(read_models(ecp5.name), encoding="utf-8")
        run_yosys(report_script(ecp5, commands), folder)
        netlist = parse_netlist((folder / "statistics.json").read_text(encoding="utf-8"))
        return ecp5.count(netlist.cells).luts, parse_depth((folder / "path.txt").read_text(encoding="utf-8")) + 2


def spread(drawn: list[tuple[int, int]], which: int) -> str:
    """From the least to the most of a figure."""
    found = sorted({figures[which] for figures in drawn})
    return " to ".join(dict.fromkeys((f"{found[0]}", f"{found[-1]}")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", nargs="+", default=DEFAULT, metavar="UNIT:N,ES")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    rows = []
    for text in args.units:
        name, _, fmt = text.partition(":")
        design = Design.of(name, pc.PositFormat.parse(fmt))
        print(design, file=sys.stderr)
        luts, depth = measured(design, None)
        drawn = [measured(design, seed) for seed in range(1, args.seeds + 1)]
        rows.append([f"{name} {design.spec_text}", luts, spread(drawn, 0), depth, spread(drawn, 1)])
    head = ("unit", "LUTs as emitted", "renamed", "depth as emitted", "renamed")
    print(f"{yosys_package()}\n\n{markdown(head, rows, ('unit',))}")


if __name__ == "__main__":
    main()
