"""LUTs, flip-flops and depth of our units, beside public designs and the goals that those set.

    python benchmarks/area.py [--stages 0 all] [--only add mul] [--small] [--json]

Prints the tables of docs/synthesis.md: ECP5 without DSPs and with them, and Xilinx 7; with --small that of order,
sign and conversions on ECP5 instead. What there is not yet is left out, and named on standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from hardware import CONVERSIONS, FORMATS, ROWS, ROWS_WITH_DSPS, ROWS_XC7, SMALL_UNITS, Row, markdown, stages_argument

import positcore as pc
from positcore.fpga.report import Report
from positcore.fpga.synthesis import synthesize

TEXT = ("unit", "goals met", "public design", "wrong")
HEAD = (
    "unit", "stages", "LUTs", "FFs", "DSPs", "depth", "goal: LUTs", "depth", "goals met",
    "public design", "its LUTs", "its depth", "wrong",
)  # fmt: skip


def verdict(report: Report, row: Row) -> str:
    """Which goals are met; those of depth are for combinational units."""
    goals = {"LUTs": (report.luts, row.luts), "depth": (report.depth, None if report.stages else row.depth)}
    met = {name: figure <= goal for name, (figure, goal) in goals.items() if goal is not None}
    if not met:
        return ""
    return ", ".join(name for name, reached in met.items() if reached) or "none"


def cells(report: Report, row: Row) -> list[object]:
    peers = row.peers
    return [
        f"{report.unit} {report.spec}", report.stages, report.luts, report.flip_flops, report.dsps, report.depth,
        row.luts, row.depth, verdict(report, row), "<br>".join(peer.design for peer in peers),
        *("<br>".join(str(figure or "–") for figure in column) for column in (
            [peer.luts for peer in peers], [peer.depth for peer in peers], [peer.wrong for peer in peers],
        )),
    ]  # fmt: skip


def small(reports: list[Report]) -> str:
    """LUTs and depth of the units that have no public design beside them; adds to the reports."""

    def figures(row: Row) -> str:
        design = row.design()
        if design is None:
            return ""
        print(design, file=sys.stderr)
        reports.append(synthesize(design, "ecp5"))
        return f"{reports[-1].luts} / {reports[-1].depth}"

    def words(name: str, options: dict[str, object]) -> str:
        return " ".join([name, *(f"--{option.partition('_')[0]} {value}" for option, value in options.items())])

    lines = [
        [words(name, options), *(figures(Row(name, fmt, options=tuple(options.items()))) for fmt in FORMATS)]
        for name, options in SMALL_UNITS
    ]
    pairs = [[f"{a} → {b}", figures(Row("convert", pc.MacSpec(a, b)))] for a, b in CONVERSIONS]
    head = ["unit", *map(str, FORMATS)]
    return f"{markdown(head, lines, ('unit',))}\n\n{markdown(['convert', 'LUTs / depth'], pairs, ('convert',))}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", type=stages_argument, default=[0], help="0, 1, ... or all")
    parser.add_argument("--only", nargs="+", metavar="UNIT", help="these units alone")
    parser.add_argument("--small", action="store_true", help="order, sign and conversions instead")
    parser.add_argument("--json", action="store_true", help="print our reports as JSON")
    args = parser.parse_args()
    tables = {
        "ECP5, without DSPs": (ROWS, "ecp5", False),
        "ECP5, with DSPs": (ROWS_WITH_DSPS, "ecp5", True),
        "Xilinx 7, without DSPs": (ROWS_XC7, "xc7", False),
    }
    reports: list[Report] = []
    if args.small:
        tables = {}
        text = small(reports)
        if not args.json:
            print(text)
    for title, (rows, target, dsp) in tables.items():
        lines = []
        for row in rows:
            if args.only and row.unit not in args.only:
                continue
            for stages in args.stages:
                design = row.design(stages)
                if design is None:
                    continue
                print(f"{title}: {design}, {design.stages} stages", file=sys.stderr)
                reports.append(synthesize(design, target, dsp=dsp))
                lines.append(cells(reports[-1], row))
        if not args.json and lines:
            print(f"{title}; {reports[-1].tool}\n\n{markdown(HEAD, lines, TEXT)}\n", flush=True)
    if args.json:
        print(json.dumps([asdict(report) for report in reports], indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
