"""`positcore build`: the bitstream of a board."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from positcore.cli.arguments import add_format, add_json, frequency_argument

if TYPE_CHECKING:
    from positcore.fpga.build import Plan

__all__ = ["EXAMPLE", "add_design", "configure", "planned", "run"]

EXAMPLE = "positcore build --board ulx3s --rows 2 --columns 2 -o out/ulx3s"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_design(parser)
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="how often to place and route at most (3)")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="the folder that all goes into")
    add_json(parser)


def add_design(parser: argparse.ArgumentParser, board: str | None = None) -> None:
    """Add `--board`, which must be given unless there is a usual one, and what is on it."""
    parser.add_argument(
        "--board", required=board is None, default=board, metavar="B",
        help="ulx3s, icebreaker, ...; an unknown one lists all" + ("" if board is None else f" ({board})"),
    )  # fmt: skip
    add_format(parser, required=False)
    parser.add_argument("--carry-bits", type=int, metavar="C", help="headroom of the quire")
    parser.add_argument("--rows", type=int, metavar="R", help="rows of the array")
    parser.add_argument("--columns", type=int, metavar="C", help="columns of the array")
    parser.add_argument("--depth", type=int, metavar="D", help="rows of each operand's buffer")
    parser.add_argument("--stages", type=int, metavar="S", help="pipeline registers; they change no result")
    parser.add_argument("--frequency", type=frequency_argument, metavar="MHZ", help="the clock")
    parser.add_argument("--baud", type=int, metavar="N", help="of the UART")


def planned(args: argparse.Namespace, seeds: int = 3) -> Plan:
    """What the arguments of `add_design` describe."""
    from positcore.fpga.boards.description import board
    from positcore.fpga.build import plan
    from positcore.mac import MacSpec, Quire

    usual = board(args.board).spec
    carry = usual.quire.carry_bits if args.carry_bits is None else args.carry_bits
    return plan(
        args.board, spec=MacSpec(args.format or usual.a, accumulator=Quire(carry)), rows=args.rows,
        columns=args.columns, depth=args.depth, stages=args.stages, baud=args.baud, seeds=seeds,
        frequency_hz=None if args.frequency is None else round(args.frequency * 1e6),
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Build, write the folder that -o names, and say what is in it."""
    from positcore.fpga.bitstream import TimingError, check_folder, write_bitstream
    from positcore.fpga.build import build

    design = planned(args, args.seeds)
    check_folder(args.output)
    try:
        made = build(design, progress=_tell if sys.stderr.isatty() else None)
    except TimingError as error:
        print(f"positcore: {error}", file=sys.stderr)
        return 1
    path = write_bitstream(made, args.output)
    load = made.loader.replace(made.file, str(path))
    print(made.json() if args.json else f"{made}\n  {path}: {len(made.data)} bytes; load it: {load}")
    return 0


def _tell(message: str) -> None:
    print(f"{message}; this takes minutes, and a minute more the first time", file=sys.stderr)
