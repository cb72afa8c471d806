"""`positcore export`: a unit as a folder for vendors' tools."""

from __future__ import annotations

import argparse

from positcore.cli.generate import add_design, add_dsp, design_of

__all__ = ["EXAMPLE", "configure", "run"]

EXAMPLE = "positcore export mac --format 8,2 --tool vivado --period 5 -o out/mac"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_design(parser)
    add_dsp(parser)
    parser.add_argument("--tool", default="all", metavar="T", help="vivado, quartus, diamond, radiant or all (all)")
    parser.add_argument("--part", metavar="P", help="the part, with one --tool; each tool has one of its own")
    parser.add_argument("--period", type=float, default=10.0, metavar="NS", help="period of the clock in ns (10)")
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="the folder to write")
    parser.add_argument("--force", action="store_true", help="write to a folder that holds other files, too")


def run(args: argparse.Namespace) -> int:
    """Write the folder, and say what is its top module."""
    from positcore.fpga.export import TOOLS, check_folder, export_files, top_module, write_export

    tools = tuple(TOOLS) if args.tool == "all" else (args.tool,)
    design = design_of(args, dsp=args.dsp)
    check_folder(args.output)
    files = export_files(design, tools, part=args.part, period_ns=args.period)
    folder = write_export(files, args.output, force=args.force)
    print(f"{folder}: {top_module(design)} for {', '.join(tools)}; see README.md")
    return 0
