"""Write docs/units: a page for each unit, with pictures made from the designs, and the list of them.

    python docs/generate [UNIT ...]
    python docs/generate [UNIT ...] --measure [--place] [--bits 8 16 32]

Needs graphviz (apt-get install graphviz), Icarus and the Python package wavedrom. With --measure, areas are measured
anew, by Yosys, into docs/units/figures.json, from which the tables are made; that takes minutes. With --place clocks
are too, by nextpnr, the median of three seeds; that takes hours for all units.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from page import FOLDER, design_of, formats, index, load_figures, write_page

from positcore.files import write_aside
from positcore.hw.units import UNITS, unit


def measure(names: list[str], bits: list[int], *, place: bool) -> None:
    """Measure what is missing or was changed; each result is kept at once."""
    from positcore.fpga.place import Place
    from positcore.fpga.synthesis import synthesize

    path = FOLDER / "figures.json"
    for name in names:
        for fmt in formats(unit(name))[: 1 if name == "function" else None]:  # a large table as LUTs takes very long
            for stages in (0, 99) if fmt.n in bits else ():
                design = design_of(unit(name), fmt, stages)
                print(f"measuring {design.name}", file=sys.stderr, flush=True)
                report = synthesize(design, "ecp5", place=Place(3) if place else None)
                figures = load_figures()
                found = {key: getattr(report, key) for key in ("luts", "flip_flops", "depth", "tool")}
                if report.routing:
                    found["fmax_mhz"] = report.routing.fmax_mhz
                figures[design.name] = _with_clock(found, figures.get(design.name, {}))
                text = json.dumps(dict(sorted(figures.items())), indent=1) + "\n"
                write_aside(path, lambda aside, text=text: aside.write_text(text, encoding="utf-8"))


def _with_clock(found: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """What was found, with the clock that was measured before, if none was now and nothing else has changed."""
    return before | found if all(before.get(key) == value for key, value in found.items()) else found


def main() -> None:
    """Write what the arguments name, or everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("units", metavar="UNIT", nargs="*", help="which units; all unless told")
    parser.add_argument("--measure", action="store_true", help="measure areas anew")
    parser.add_argument("--place", action="store_true", help="and clocks, with --measure")
    parser.add_argument("--bits", nargs="+", type=int, default=[8, 16, 32], help="of which formats, with --measure")
    args = parser.parse_args()
    names = args.units or list(UNITS)
    if args.measure:
        measure(names, args.bits, place=args.place)
    figures = load_figures()
    for name in names:
        print(name, file=sys.stderr, flush=True)
        write_page(unit(name), figures)
    index()


if __name__ == "__main__":
    main()
