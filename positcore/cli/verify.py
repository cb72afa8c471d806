"""`positcore verify`: a unit's RTL against the golden model."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from positcore.cli.arguments import add_json
from positcore.cli.generate import add_design, add_dsp, design_of
from positcore.cli.verify_bench import add_bench, run_verify_bench

__all__ = ["EXAMPLE", "configure", "run"]

EXAMPLE = "positcore verify add --format 8,2 --exhaustive"


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
    add_bench(parser, how)
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the seed of the vectors (0)")
    parser.add_argument("--waveforms", default=".", metavar="FOLDER", help="where the waveform of a mismatch goes (.)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run the campaign and print its report; a mismatch is a MismatchError."""
    from tqdm import tqdm

    from positcore.sim.campaign import verify

    design = design_of(args, dsp=args.dsp)
    if args.bench is not None:
        return run_verify_bench(args, design)
    if args.packets is not None:
        raise ValueError("verify: --packets is of a bench; add --bench icarus, or drop it")
    with tqdm(desc=str(design), unit=" vectors", leave=False, disable=not sys.stderr.isatty()) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        report = verify(
            design.unit.name, design.spec, exhaustive=args.exhaustive, vectors=args.vectors, seed=args.seed,
            stages=design.stages, progress=progress, waveforms=args.waveforms, **design.options, **design.choices,
        )  # fmt: skip
    print(json.dumps(asdict(report) | {"vectors_per_s": report.vectors_per_s}, indent=2) if args.json else report)
    return 0
