"""Measure all units over formats and targets into docs/area.json, and write docs/area.md with its plots from that.

    python docs/generate/area.py [--units add mul] [--formats 8,2 16,1] [--targets ecp5 ice40] [--liberty FILE] [--full]
    python docs/generate/area.py --report

Each result is recorded at once, and what the tools say is kept by its content: an interrupted run goes on where it was,
and one after a change measures what changed, or with --missing only what has no result yet. Without --full that is all
units in posit<8,2> and posit<16,1> on all targets, in posit<32,2> on two, and clocks of the main arithmetic units; with
it all stages of all units everywhere.
--report runs no tool.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import area_page
from page import design_of
from tqdm import tqdm

import positcore as pc
from positcore.files import write_aside
from positcore.fpga.liberty import Liberty, read_liberty
from positcore.fpga.place import Place
from positcore.fpga.report import Report
from positcore.fpga.synthesis import synthesize
from positcore.fpga.targets import TARGETS
from positcore.fpga.yowasp import SynthesisError
from positcore.hw.units import UNITS, Design, unit

RECORD = Path(__file__).resolve().parent.parent / "area.json"
FORMATS = ("8,2", "16,1", "8,0", "16,2", "32,2")  # what is measured first stands first, here and below
ORDER = ("ecp5", "generic", "gowin", "ice40", "xc7")  # a library of cells goes with `generic`
# Without --full: the targets by format; the units and the formats whose clocks are measured.
USUAL = {"8,2": ORDER, "16,1": ORDER, "32,2": ORDER[:2]}
ARITHMETIC, CLOCKED = ("add", "mul", "fma", "div", "sqrt", "mac"), ("8,2", "16,1")
LARGE = ("mac", "dot", "quire", "gemm", "div", "function")  # which come later
ALL = 99  # stages
LEFT_OUT = ("script", "lut_formula", "cells", "wrapper_flip_flops")  # what the command gives again, and is long


class Case(NamedTuple):
    """A design on a target, and with how many seeds it is placed and routed, if it is."""

    design: Design
    target: str
    seeds: int
    rank: int

    @property
    def key(self) -> str:
        """Its name in the record."""
        return f"{self.design.name}.{self.target}{'.placed' if self.seeds else ''}"


def cases(seeds: int, *, full: bool) -> Iterator[Case]:
    """All that is measured, in no order."""
    for name in UNITS:
        for far, text in enumerate(FORMATS):
            fmt = pc.PositFormat.parse(text)
            if name == "function" and fmt.n > 8:
                continue  # a table of 2^16 entries as LUTs takes hours
            for stages in (0, ALL):
                design = design_of(unit(name), fmt, stages)
                if stages and not design.stages:
                    continue
                for farther, target in enumerate(ORDER):
                    rank = 3 * far + farther + 3 * (name in LARGE)
                    usual = full or target in USUAL.get(text, ())
                    if usual and (full or not stages):
                        yield Case(design, target, 0, rank)
                    if TARGETS[target].device and (full or (name in ARITHMETIC and text in CLOCKED)):
                        yield Case(design, target, seeds, rank + 2)


def measure(case: Case, liberty: Liberty | None) -> dict[str, Any]:
    """The record of a case; of one that a tool cannot do, with its message."""
    facts: dict[str, Any] = {"format": case.design.spec.out.spelling, "date": f"{datetime.date.today()}"}
    library = liberty if case.target == "generic" else None
    try:
        place = Place(case.seeds) if case.seeds else None
        report = synthesize(case.design, case.target, place=place, liberty=library)
    except SynthesisError as error:
        return facts | {"unit": case.design.unit.name, "target": case.target, "stages": case.design.stages,
                        "error": str(error)[:300]}  # fmt: skip
    found = facts | fields(report)
    if library:  # wherever that lies
        found["command"] = found["command"].replace(shlex.quote(str(library.path)), library.path.name)
    return found


def fields(report: Report) -> dict[str, Any]:
    """What of a report is recorded."""
    found = {name: value for name, value in asdict(report).items() if name not in LEFT_OUT}
    if found["standard_cells"]:
        found["standard_cells"] = {
            name: value for name, value in found["standard_cells"].items() if name not in (*LEFT_OUT, "critical_path")
        }
    return found


def load() -> dict[str, dict[str, Any]]:
    """The record, by the keys of the cases."""
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}


def save(records: dict[str, dict[str, Any]]) -> None:
    """Write the record, a line for each result."""
    lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in sorted(records.items())]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    write_aside(RECORD, lambda aside: aside.write_text(text, encoding="utf-8"))


def main() -> int:
    """Measure what the arguments choose, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", nargs="+", default=list(UNITS), choices=list(UNITS), metavar="UNIT")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=FORMATS, metavar="N,ES")
    parser.add_argument("--targets", nargs="+", default=list(ORDER), choices=ORDER, metavar="T")
    parser.add_argument("--seeds", type=int, default=3, help="of place and route (3)")
    parser.add_argument("--liberty", metavar="FILE", help="a library of standard cells, for area and delay")
    parser.add_argument("--missing", action="store_true", help="only what has no result yet, whatever was changed")
    parser.add_argument("--full", action="store_true", help="all stages of all units in all formats on all targets")
    parser.add_argument("--report", action="store_true", help="write the page from the record alone")
    args = parser.parse_args()
    if not args.report:
        liberty = read_liberty(args.liberty) if args.liberty else None
        known = load()
        chosen = [
            case
            for case in cases(args.seeds, full=args.full)
            if case.design.unit.name in args.units
            and case.design.spec.out.spelling in args.formats
            and case.target in args.targets
            and not (args.missing and case.key in known)
        ]
        chosen.sort(key=lambda case: case.rank)
        try:
            bar = tqdm(chosen, unit="design", disable=None)
            for case in bar:
                bar.set_postfix_str(case.key)
                found = measure(case, liberty)
                save(load() | {case.key: found})
        except KeyboardInterrupt:
            print("interrupted; the same command goes on from here", file=sys.stderr)
            return 130
    area_page.write(load())
    return 0


if __name__ == "__main__":
    sys.exit(main())
