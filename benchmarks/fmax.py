"""The clock of our units over their stages, on ECP5 after place and route, beside public designs and goals.

    python benchmarks/fmax.py [--units add mul mac] [--bits 8 16] [--stages 0 2 4 all] [--seeds 3] [--carries]

Prints the tables of docs/synthesis.md, es = 2: the median and the best of the seeds, in MHz, and LUTs, flip-flops and
depth before place and route. `--carries` is the MAC of 8 bits with quires of several widths, alone. Everything is kept
by content, so that an interrupted run goes on where it was. The whole takes hours.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from hardware import CLOCKS, FORMATS, POSIT8, WIDER, Row, markdown, stages_argument

import positcore as pc
from positcore.fpga.place import Place
from positcore.fpga.report import Report
from positcore.fpga.synthesis import synthesize
from positcore.hw.units import Design

HEAD = ("unit", "stages", "latency", "LUTs", "FFs", "depth", "Fmax", "best", "goal", "public designs")
CARRIES = (7, 31, 63)


def rows(units: list[str], bits: list[int]) -> list[Row]:
    """What is measured; the dot unit has four lanes, 8-bit operands and 16-bit sums, exact and aligned."""
    found = []
    for name in units:
        if name == "dot":
            found += [Row("dot", WIDER, options=(("lanes", 4),))]
            found += [Row("dot", pc.MacSpec(POSIT8, WIDER.out, pc.Aligned(4, 14)))]
        else:
            found += [Row(name, fmt) for fmt in FORMATS if fmt.n in bits]
    return found


def measured(design: Design, seeds: int) -> Report:
    print(f"{design}, {design.stages} stages", file=sys.stderr)
    return synthesize(design, "ecp5", place=Place(seeds))


def cells(report: Report, goal: int | None, others: str) -> list[object]:
    routing = report.routing
    assert routing is not None
    return [
        f"{report.unit} {report.spec}", report.stages, report.latency, report.luts, report.flip_flops, report.depth,
        f"{routing.fmax_mhz:.0f}", f"{routing.fmax_best_mhz:.0f}", goal and f"{goal}", others,
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", nargs="+", default=["add", "mul", "fma", "mac", "dot"], metavar="UNIT")
    parser.add_argument("--bits", nargs="+", type=int, default=[8, 16, 32], choices=[8, 16, 32])
    parser.add_argument("--stages", nargs="+", type=stages_argument, default=[0, 2, 4, "all"], help="0, 1, ... or all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--carries", action="store_true", help="the MAC of 8 bits over carry bits, alone")
    parser.add_argument("--json", action="store_true", help="print our reports as JSON")
    args = parser.parse_args()
    reports, lines = [], []
    if args.carries:
        chosen = [(Row("mac", pc.MacSpec(POSIT8, accumulator=pc.Quire(carry))), "all") for carry in CARRIES]
    else:
        chosen = [(row, stages) for row in rows(args.units, args.bits) for stages in args.stages]
    done = set()
    for row, stages in chosen:
        design = row.design(stages)
        if design is None or design in done:
            continue
        done.add(design)
        reports.append(measured(design, args.seeds))
        goal, others = CLOCKS.get((row.unit, design.spec.a.n), (None, ""))
        lines.append(cells(reports[-1], goal, others if not design.stages else ""))
    if args.json:
        print(json.dumps([asdict(report) for report in reports], indent=2, ensure_ascii=False))
    elif reports:
        routing = reports[0].routing
        assert routing is not None
        print(f"{routing.part}; seeds 1 to {args.seeds}; {reports[0].tool}, {routing.tool}\n")
        print(markdown(HEAD, lines, ("unit", "public designs")))


if __name__ == "__main__":
    main()
