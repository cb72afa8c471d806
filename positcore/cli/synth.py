"""`positcore synth`: what a unit takes of an FPGA."""

from __future__ import annotations

import argparse
import sys

from positcore.cli.arguments import add_json, frequency_argument
from positcore.cli.generate import add_design, design_of

__all__ = ["EXAMPLE", "configure", "run"]

EXAMPLE = "positcore synth mul --format 16,2 --target ecp5 --dsp -o mul.json"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_design(parser)
    parser.add_argument("--target", default="ecp5", metavar="T", help="ecp5, ice40, xc7, gowin or generic (ecp5)")
    parser.add_argument(
        "--dsp", action=argparse.BooleanOptionalAction, default=False, help="let multipliers go into DSPs (--no-dsp)"
    )
    parser.add_argument("--place", action="store_true", help="place and route too, for the clock: ecp5 and ice40")
    parser.add_argument("--seeds", type=int, metavar="N", help="how often to place and route, with seeds 1 to N (3)")
    parser.add_argument(
        "--frequency", type=frequency_argument, metavar="MHZ", help="exit with status 1 if --place reaches less"
    )
    parser.add_argument(
        "--liberty", metavar="FILE", help="map to the standard cells of this library, too, for its area"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write the report there too, as JSON")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Synthesize, write the report where -o says, and print it."""
    from positcore.fpga.liberty import read_liberty
    from positcore.fpga.place import Place
    from positcore.fpga.report import check_report_path, telling_what_stays, write_report
    from positcore.fpga.synthesis import synthesize

    design = design_of(args)
    if args.output is not None:
        check_report_path(args.output)
    if args.seeds is not None and not args.place:
        raise ValueError("synth: --seeds is of place and route; add --place, or drop it")
    if args.frequency is not None and not args.place:
        raise ValueError("synth: --frequency is a clock in MHz that --place must reach; add --place, or drop it")
    liberty = None if args.liberty is None else read_liberty(args.liberty)
    place = Place(3 if args.seeds is None else args.seeds) if args.place else None
    progress = _tell if sys.stderr.isatty() else None
    with telling_what_stays(args.output):
        report = synthesize(design, args.target, dsp=args.dsp, place=place, liberty=liberty, progress=progress)
    if args.output is not None:
        write_report(report, args.output)
    print(report.json() if args.json else report)
    routing = report.routing
    if routing is not None and args.frequency is not None and routing.fmax_mhz < args.frequency:
        print(
            f"positcore: synth: {routing.fmax_mhz:.1f} MHz, not the {args.frequency:g} that were asked for; critical "
            f"path {' → '.join(routing.critical_path)}; take more --stages than {report.stages}, or a lower clock",
            file=sys.stderr,
        )
        return 1
    return 0


def _tell(message: str) -> None:
    print(f"{message}; the first run of a tool on a machine takes a minute more", file=sys.stderr)
