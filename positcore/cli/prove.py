"""`positcore prove`: training on simulated RTL, or test images on it or a board, equal to the golden model's bits."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from positcore.cli.arguments import add_json, add_network

if TYPE_CHECKING:
    from positcore.nn.inference_proof import ProvenImages
    from positcore.nn.proof import ProvenStep
    from positcore.nn.proof_report import ReportedProof
    from positcore.nn.recipe import Recipe

__all__ = ["EXAMPLE", "configure", "run"]

EXAMPLE = "positcore prove lenet5 --data fashion-mnist-subset --steps 2 --batch-size 16 -o out/proof"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from positcore.nn.recipe import Recipe

    default = Recipe()
    add_network(parser)
    parser.add_argument("--steps", type=int, default=20, metavar="N", help="steps of training (20)")
    parser.add_argument("--batch-size", type=int, default=default.batch_size, help=f"({default.batch_size})")
    parser.add_argument("--policy", default=default.policy, help=f"formats of each stage ({default.policy})")
    parser.add_argument("--lr", type=float, default=default.lr, help=f"the learning rate ({default.lr})")
    parser.add_argument("--momentum", type=float, default=default.momentum, help=f"({default.momentum})")
    parser.add_argument("--seed", type=int, default=default.seed, help=f"({default.seed})")
    parser.add_argument(
        "--images", type=_range, metavar="[A:]B",
        help="instead of training: label the test images A (0) to B, and compare every operation",
    )  # fmt: skip
    parser.add_argument("--weights", type=Path, metavar="FILE", help="of --images: checkpoint.pt of `positcore train`")
    parser.add_argument(
        "--backend", default="rtl",
        help="rtl (compiled simulation), cocotb (the Verilog under Icarus, slow), or board (that of $POSITCORE_BOARD)",
    )  # fmt: skip
    parser.add_argument(
        "--compare", action="store_true",
        help="compare every operation with the golden model, which names the first that differs; bars nothing",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=int, metavar="T", help="threads; the results are the same bits for any number"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("out/proof"), metavar="DIR", help="(out/proof)")
    parser.add_argument("--resume", action="store_true", help="go on after the steps in DIR")
    add_json(parser)


def _range(text: str) -> range:
    """An `--images` value."""
    first, colon, end = text.rpartition(":")
    if not end.isdecimal() or not (first.isdecimal() or not colon):
        raise argparse.ArgumentTypeError(f"images are given as B or A:B, such as 100 or 50:100, not {text!r}")
    return range(int(first or 0), int(end))


def run(args: argparse.Namespace) -> int:
    """Train in both, compare after each step, and write proof.json, proof.txt and checkpoint.pt into the folder."""
    import torch

    from positcore.data import load
    from positcore.nn.proof import Proof
    from positcore.nn.recipe import Recipe

    if args.weights is not None and args.images is None:
        raise ValueError("prove: --weights is of --images; training begins with its own")
    for name in ("steps", "threads"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(f"prove: --{name} must be at least 1, not {value}")
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    recipe = Recipe(
        args.model,
        args.policy,
        epochs=1,
        batch_size=args.batch_size,
        lr=args.lr,
        momentum=args.momentum,
        seed=args.seed,
    )
    if args.images is not None:
        return _prove_images(args, recipe)
    train = load(args.data, "train", args.data_root)
    proof = Proof(recipe, train, load(args.data, "test", args.data_root), args.output, args.backend, args.compare)

    def work() -> None:
        done = len(proof.steps)
        seconds: list[float] = []

        def told(step: ProvenStep) -> None:
            seconds.append(step.seconds)
            later = seconds[1:] or seconds  # the first step compiles
            left = (args.steps - step.step) * sum(later) / len(later)
            print(
                f"step {step.step}/{args.steps}: loss {step.loss:.4f}, {step.codes:,} codes equal, "
                f"{step.seconds:.1f} s, {left:.0f} s left",
                file=sys.stderr, flush=True,
            )  # fmt: skip

        proof.run(args.steps, told)
        if done == len(proof.steps):
            proof.write()

    return _prove(args, proof, proof.checkpoint, work, lambda: proof.steps and f"{len(proof.steps)} step(s)")


def _prove_images(args: argparse.Namespace, recipe: Recipe) -> int:
    """Label test images in both, and write proof.json and proof.txt into the folder."""
    from positcore.data import load
    from positcore.nn.inference_proof import InferenceProof

    test = load(args.data, "test", args.data_root)
    proof = InferenceProof(recipe, test, args.images, args.output, args.backend, args.weights)

    def told(batch: ProvenImages) -> None:
        done = batch.first + batch.count - args.images.start
        left = (len(args.images) - done) * batch.seconds / batch.count
        print(
            f"images {done}/{len(args.images)}: {batch.codes:,} codes equal, {batch.right} of {batch.count} right, "
            f"{batch.seconds:.1f} s, {left:.0f} s left",
            file=sys.stderr, flush=True,
        )  # fmt: skip

    return _prove(
        args, proof, proof.report, lambda: proof.run(told), lambda: proof.batches and f"{len(proof.batches)} batch(es)"
    )


def _prove(
    args: argparse.Namespace, proof: ReportedProof, saved: Path, work: Callable[[], object], done: Callable[[], object]
) -> int:
    """Go on from `saved` if asked, do the work in the folder, of which `done` says how much is kept, and report."""
    from positcore.nn.checkpoint import only_writer

    if saved.exists() != args.resume:
        there = f"{saved} is there already; go on from it with --resume, or choose another -o"
        raise ValueError(f"--resume: there is no {saved}; leave --resume out" if args.resume else there)
    with only_writer(args.output):
        if args.resume:
            proof.resume()
        try:
            work()
        except KeyboardInterrupt:
            kept = done()
            raise KeyboardInterrupt(f"{args.output} holds {kept}; --resume goes on" if kept else "") from None
    print(json.dumps(proof.record(), indent=2) if args.json else proof.text())
    return 0
