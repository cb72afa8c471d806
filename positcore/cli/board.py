"""`positcore board`: a board at a serial port, or one in simulation."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from positcore.cli.arguments import add_json

if TYPE_CHECKING:
    from positcore.fpga.board.host import Board

__all__ = ["EXAMPLE", "configure", "run"]

EXAMPLE = "positcore board selftest --port /dev/ttyUSB0"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from positcore.cli.build import add_design

    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    summaries = {
        "list": "show the serial ports", "info": "greet a board, and show what it says of itself",
        "selftest": "compute products on a board, and compare every code with the golden model's",
        "simulate": "serve a board in simulation at a pseudo-terminal until Ctrl-C",
    }  # fmt: skip
    parts = {
        name: actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        for name, text in summaries.items()
    }
    for name in ("info", "selftest"):
        parts[name].add_argument("--port", metavar="P", help="such as /dev/ttyUSB0 ($POSITCORE_BOARD)")
        parts[name].add_argument("--baud", type=int, metavar="N", help="as the board was built for (1000000)")
    parts["selftest"].add_argument("--products", type=int, default=50, metavar="N", help="how many products (50)")
    parts["selftest"].add_argument("--seed", type=int, default=0, metavar="S", help="of sizes and codes (0)")
    for name in ("list", "info", "selftest"):
        add_json(parts[name])
    add_design(parts["simulate"], board="ulx3s")
    parts["simulate"].add_argument(
        "--netlist", action="store_true", help="simulate what Yosys makes of it for the board's part, cell by cell"
    )


def run(args: argparse.Namespace) -> int:
    """Do the action."""
    return {"list": _list, "info": _info, "selftest": _selftest, "simulate": _simulate}[args.action](args)


def _list(args: argparse.Namespace) -> int:
    from serial.tools.list_ports import comports

    ports = sorted((port.device, port.description, port.hwid) for port in comports())
    if args.json:
        print(
            json.dumps([dict(zip(("port", "description", "hardware"), port, strict=True)) for port in ports], indent=2)
        )
    else:
        lines = ["  ".join(port) for port in ports]
        print("\n".join(lines) or "no serial ports; plug a board in, or try `positcore board simulate`")
    return 0


def _open(args: argparse.Namespace) -> Board:
    from positcore.fpga.board.host import Board
    from positcore.fpga.board.machine import find_port

    return Board(*find_port(args.port, args.baud))


def _info(args: argparse.Namespace) -> int:
    with _open(args) as board:
        facts = _facts(board)
    if args.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return 0
    print(f"{facts['port']}: {facts['board']}, gemm[{facts['spec']}]")
    print(f"  array     {facts['rows']} × {facts['columns']} cells, buffers of {facts['depth']} steps")
    print(f"  clock     {facts['clock_hz'] / 1e6:g} MHz")
    print(f"  UART      {facts['clock_hz'] / facts['clocks_per_bit']:.0f} baud, {facts['clocks_per_bit']} clocks a bit")
    print(f"  requests  {facts['done']:,} done, {facts['repeated']:,} answered again")
    print(f"  frames    {facts['dropped']:,} dropped")
    return 0


def _facts(board: Board) -> dict[str, Any]:
    """What a board says of itself."""
    from positcore.hw.link_protocol import MAGIC, VERSION

    spec, words = board.spec, board.registers()
    words["board"] = words["board"].to_bytes(4, "little").decode("ascii", "replace").strip()  # type: ignore[assignment]
    return {
        "port": board.link.port, "baud": board.link.baud, "link": f"{MAGIC.decode()} {VERSION}", **words,
        "spec": str(spec), "format_a": str(spec.a), "format_b": str(spec.b), "format_c": str(spec.out),
        "carry_bits": spec.quire.carry_bits, "rows": board.rows, "columns": board.columns, "depth": board.depth,
    }  # fmt: skip


def _selftest(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from positcore.errors import MismatchError
    from positcore.fpga.board.selftest import check_amount, selftest

    check_amount(args.products, args.seed)
    products = tqdm(total=args.products, desc="selftest", unit=" products", leave=False, disable=None)
    with products as bar, _open(args) as board:
        report = selftest(board, args.products, args.seed, lambda done, total: bar.update(done - bar.n))
    print(report.json() if args.json else report)
    if report.differing:
        raise MismatchError(f"board: {report.differing} of {report.codes} codes differ; {report.first}")
    return 0


def _simulate(args: argparse.Namespace) -> int:
    from positcore.cli.build import planned
    from positcore.fpga.board.virtual import VirtualBoard

    design = planned(args).design
    print(f"compiling {design.name}, if it was not yet; that takes minutes", file=sys.stderr, flush=True)
    with VirtualBoard(design, netlist=args.netlist) as virtual:
        place = f"{virtual.port}@{design.baud:.0f}"
        what = "its netlist" if args.netlist else "its RTL"
        built = f"{design.board} with gemm[{design.design.spec_text}]"
        print(f"{virtual.port}: {built}, {what} in simulation; Ctrl-C ends it")
        print(f"use it: POSITCORE_BOARD={place} positcore board selftest", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print(f"{virtual.cycles:,} clock cycles simulated")
    return 0
