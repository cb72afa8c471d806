"""`positcore verify`: a unit's RTL against the golden model."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from positcore.cli.arguments import add_json
from positcore.cli.generate import add_design, add_dsp, design_of
from positcore.cli.verify_bench import add_bench, run_verify_bench
from positcore.files import write_aside

if TYPE_CHECKING:
    from positcore.sim.campaign import Report

__all__ = ["EXAMPLE", "configure", "run"]

EXAMPLE = "positcore verify add --format 16,1 --exhaustive --state add.json --report add"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_design(parser)
    add_dsp(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--exhaustive", action="store_true", default=None, help="all inputs")
    how.add_argument(
        "--vectors", type=int, metavar="N",
        help="N directed-random inputs (of mac and dot: dot products); unless told, all inputs where they are few",
    )  # fmt: skip
    how.add_argument(
        "--inputs", nargs="+", type=_input, metavar="NAME=V",
        help="these alone, such as a=3 b=0x40; of mac and dot the terms of a dot product, such as a=1,2 b=3,4",
    )  # fmt: skip
    add_bench(parser, how)
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the seed of the vectors (0)")
    parser.add_argument(
        "--engine", choices=["native", "graph"],
        help="compiled code, or and-inverter graphs for units without a handshake (whichever is faster)",
    )  # fmt: skip
    parser.add_argument(
        "--netlist", choices=["verilog", "rtlil"],
        help="what is simulated: the Verilog text itself, or what it is made from (rtlil; verilog for graphs)",
    )  # fmt: skip
    parser.add_argument(
        "--state", metavar="FILE", help="keep there what is finished: if stopped, the same command goes on from there"
    )
    parser.add_argument("--restart", action="store_true", help="begin anew, whatever the state holds")
    parser.add_argument("--report", metavar="STEM", help="write the report to STEM.json and STEM.txt, too")
    parser.add_argument("--waveforms", default=".", metavar="FOLDER", help="where the waveform of a mismatch goes (.)")
    add_json(parser)


def _input(text: str) -> tuple[str, list[int]]:
    """An `--inputs NAME=V,V,...` value."""
    name, _, values = text.partition("=")
    try:
        return name, [int(value, 0) for value in values.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"an input is given as NAME=V or NAME=V,V,... in integers, not {text!r}"
        ) from None


def run(args: argparse.Namespace) -> int:
    """Run the campaign and print its report; a mismatch is a MismatchError."""
    from tqdm import tqdm

    from positcore.sim.campaign import verify
    from positcore.sim.report import CampaignMismatchError

    if args.restart and args.state is None:
        raise ValueError("verify: there is no state to restart from; name it with --state FILE, or drop --restart")
    design = design_of(args, dsp=args.dsp)
    if args.bench is not None:
        return run_verify_bench(args, design)
    for option, given in (("--packets", args.packets is not None), ("--block-design", args.block_design)):
        if given:
            raise ValueError(f"verify: {option} is of a bench; add --bench icarus, or drop it")
    with tqdm(desc=str(design), unit=" vectors", unit_scale=True, leave=False, disable=not sys.stderr.isatty()) as bar:

        def progress(done: int, total: int) -> None:
            if bar.total is None and args.state is not None:
                bar.initial = bar.n = done  # of earlier runs: it counts for the time left, not for the speed
            bar.total = total
            bar.update(done - bar.n)

        try:
            report = verify(
                design.unit.name, design.spec, exhaustive=args.exhaustive, vectors=args.vectors,
                inputs=dict(args.inputs) if args.inputs else None, seed=args.seed, stages=design.stages,
                engine=args.engine, netlist=args.netlist, state=args.state, restart=args.restart, progress=progress,
                waveforms=args.waveforms, **design.options, **design.choices,
            )  # fmt: skip
        except CampaignMismatchError as error:
            _tell(args, error.report, str(error))
            raise
    _tell(args, report, report.text())
    if not args.json:
        print(report.text())
    return 0


def _tell(args: argparse.Namespace, report: Report, text: str) -> None:
    """Print the report as JSON, and write it, if asked to."""
    content = json.dumps(report.as_json(), indent=2)
    if args.json:
        print(content)
    if args.report is not None:
        _write(Path(args.report + ".json"), content)
        _write(Path(args.report + ".txt"), text)


def _write(path: Path, text: str) -> None:
    write_aside(path, lambda aside: aside.write_text(text + "\n", encoding="utf-8"))
