"""`positcore demo`: one posit MAC as Verilog, proven against the golden model, and a network trained with it."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from positcore.cli.arguments import add_json
from positcore.errors import MismatchError
from positcore.files import write_aside
from positcore.format import PositFormat
from positcore.mac import MacSpec

if TYPE_CHECKING:
    from positcore.nn.training import Trainer

__all__ = ["EXAMPLE", "configure", "run"]

EXAMPLE = "positcore demo -o out/demo"
POLICY = "O12-L12-FBG8q"
FORMAT = PositFormat(8, 2)
UNITS = ("decode", "encode", "add", "sub", "mul", "mac")
BATCH = 64


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("-o", "--output", type=Path, default=Path("out/demo"), metavar="DIR", help="(out/demo)")
    parser.add_argument("--epochs", type=int, default=30, help="(30)")
    parser.add_argument("--images", type=int, default=5000, metavar="N", help="training images, up to 5000 (5000)")
    parser.add_argument("--seed", type=int, default=0, help="(0)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run the four steps; exit 1 if a code differs."""
    from positcore.data import load
    from positcore.hw.emit import write_verilog
    from positcore.hw.units import Design
    from positcore.nn.curves import plot_curves
    from positcore.nn.training import Recipe, Trainer

    if not BATCH <= args.images <= 5000:
        raise ValueError(f"demo: --images must be in {BATCH}..5000, the shipped subset, not {args.images}")
    say = (lambda *_: None) if args.json else print
    start = time.perf_counter()

    args.output.mkdir(parents=True, exist_ok=True)
    say(f"1/4  Verilog of a {FORMAT} quire MAC")
    design = Design.of("mac", MacSpec(FORMAT))
    verilog = write_verilog(design, args.output / f"{design.name}.v")
    say(f"     {verilog}: module {design.name}, {len(verilog.read_text().splitlines())} lines")

    say("2/4  its units, compiled from the same RTL, against the golden model")
    reports = [_verify(unit, args.output) for unit in UNITS]
    for report in reports:
        say(f"     {report}")

    say(f"3/4  LeNet-5 on {args.images:,} images of Fashion-MNIST, float32 and {POLICY}, from one seed")
    train, test = load("fashion-mnist-subset", "train").first(args.images), load("fashion-mnist-subset", "test")
    trainers = {
        policy: Trainer(Recipe(policy=policy, epochs=args.epochs, halve_every=6, seed=args.seed), train, test)
        for policy in ("float32", POLICY)
    }
    for policy, trainer in trainers.items():
        _train(trainer)
        last = trainer.history[-1]
        say(f"     {policy}: loss {last.loss:.4f}, test accuracy {last.accuracy:.2f} %")
    curves = args.output / "curves.png"
    histories = {policy: trainer.history for policy, trainer in trainers.items()}
    plot_curves(curves, histories, f"LeNet-5 on {args.images:,} images of Fashion-MNIST, seed {args.seed}")

    say(f"4/4  one training step of {BATCH} images of the trained network, every operation in the simulated units")
    comparisons, seconds = _replay(trainers[POLICY])
    for row in comparisons:
        say(f"     {row.tensor:<18} {row.codes:>9,} codes of {row.format}, {row.differing} differ")
    total, differing = sum(row.codes for row in comparisons), sum(row.differing for row in comparisons)

    summary = {
        "verilog": str(verilog),
        "verification": [asdict(report) for report in reports],
        "training": {policy: [asdict(epoch) for epoch in history] for policy, history in histories.items()},
        "replay": [asdict(row) for row in comparisons],
        "curves": str(curves),
        "seconds": time.perf_counter() - start,
    }
    write_aside(args.output / "summary.json", lambda aside: aside.write_text(json.dumps(summary, indent=2) + "\n"))
    if args.json:
        print(json.dumps(summary, indent=2))
    else:
        _print_table(trainers, reports, total, differing, seconds)
        print(f"\n{curves}: training curves; {args.output / 'summary.json'}: all figures; {summary['seconds']:.0f} s")
    if differing:
        worst = next(row for row in comparisons if row.differing)
        raise MismatchError(f"replay: {worst.tensor}: {worst.differing} codes differ, the first at {worst.first}")
    return 0


def _verify(unit: str, folder: Path) -> Any:
    from tqdm import tqdm

    from positcore.sim.campaign import verify

    with tqdm(desc=f"     {unit}", unit="vector", leave=False, disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return verify(unit, MacSpec(FORMAT) if unit == "mac" else FORMAT, progress=progress, waveforms=folder)


def _train(trainer: Trainer) -> None:
    from tqdm import tqdm

    total = len(trainer) * trainer.recipe.epochs
    with tqdm(total=total, desc=f"     {trainer.recipe.policy}", unit="img", leave=False, disable=None) as bar:
        while not trainer.done:
            epoch = trainer.run_epoch(bar.update)
            bar.set_postfix_str(f"test {epoch.accuracy:.1f} %")


def _replay(trainer: Trainer) -> tuple[list[Any], float]:
    from positcore.nn.replay import replay

    images, labels = trainer.test_tensors
    start = time.perf_counter()
    comparisons = replay(trainer.model, trainer.loss, images[:BATCH], labels[:BATCH])
    return comparisons, time.perf_counter() - start


def _print_table(trainers: dict[str, Trainer], reports: list[Any], total: int, differing: int, seconds: float) -> None:
    print(f"\n{'LeNet-5':<16} {'test accuracy':>14} {'s per 1,000 samples':>20}")
    for policy, trainer in trainers.items():
        spent = sum(epoch.seconds for epoch in trainer.history) / len(trainer.history) / len(trainer) * 1000
        print(f"{policy:<16} {trainer.history[-1].accuracy:>12.2f} % {spent:>20.3f}")
    vectors = sum(report.vectors for report in reports)
    print(f"{'RTL = golden':<16} {vectors:>12,} vectors of {len(reports)} units, 0 differ")
    print(f"{'RTL = training':<16} {total:>12,} codes of one step, {differing} differ ({seconds:.0f} s in simulation)")
