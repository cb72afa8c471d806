"""`positcore train`: a network on one of the data sets, with checkpoints, metrics and curves."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from positcore.cli.arguments import add_json, add_network
from positcore.errors import MissingToolError

if TYPE_CHECKING:
    from positcore.nn.training import Trainer

__all__ = ["EXAMPLE", "configure", "run"]

EXAMPLE = "positcore train lenet5 --data fashion-mnist-subset --policy O12-L12-FBG8q --epochs 3 -o out/lenet5"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from positcore.nn.recipe import OPTIMIZERS, SCHEDULES, Recipe

    default = Recipe()
    add_network(parser)
    parser.add_argument("--download", action="store_true", help="fetch Fashion-MNIST if it is not there")
    parser.add_argument(
        "--policy", default=default.policy, help=f"formats of each stage ({default.policy}), or float32"
    )
    parser.add_argument("--epochs", type=int, default=default.epochs, help=f"({default.epochs})")
    parser.add_argument("--batch-size", type=int, default=default.batch_size, help=f"({default.batch_size})")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default=default.optimizer, help=f"({default.optimizer})")
    parser.add_argument("--lr", type=float, default=default.lr, help=f"the first learning rate ({default.lr})")
    parser.add_argument(
        "--momentum", type=float, default=default.momentum, help=f"of sgd and rmsprop ({default.momentum})"
    )
    parser.add_argument("--nesterov", action="store_true", help="Nesterov's momentum, with sgd")
    parser.add_argument("--weight-decay", type=float, default=default.weight_decay, help=f"({default.weight_decay:g})")
    parser.add_argument(
        "--schedule", choices=SCHEDULES, default=default.schedule,
        help=f"of the learning rate ({default.schedule}); cosine goes from --lr to 0 over all epochs",
    )  # fmt: skip
    parser.add_argument(
        "--halve-every", type=int, default=default.halve_every, metavar="E",
        help=f"epochs after which --schedule halve halves the learning rate ({default.halve_every})",
    )  # fmt: skip
    parser.add_argument(
        "--clip-norm", type=float, default=default.clip_norm, metavar="M",
        help="bring the norm of all gradients down to M (0: leave them)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=default.seed, help=f"({default.seed})")
    parser.add_argument("--images", type=int, metavar="N", help="only the first N training images")
    parser.add_argument("--test-images", type=int, metavar="N", help="only the first N test images")
    parser.add_argument(
        "--backend", default="golden",
        help="golden (the golden model), rtl (the simulated hardware), cocotb (its Verilog under Icarus, slow), or "
        "board (products on that of $POSITCORE_BOARD)",
    )  # fmt: skip
    parser.add_argument(
        "--compare", metavar="BACKEND",
        help="do every operation in this backend too, such as golden, and stop at the first code that differs",
    )  # fmt: skip
    parser.add_argument("--audit", action="store_true", help="stop at any float arithmetic in a training step")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda where there is one (cpu)")
    parser.add_argument(
        "--threads", type=int, metavar="T", help="threads; the results are the same bits for any number"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("out/train"), metavar="DIR", help="(out/train)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in DIR")
    parser.add_argument(
        "--checkpoint-every", type=_interval, metavar="K",
        help="write the checkpoint every K steps too (100), or every so many seconds (60s), beside every epoch",
    )  # fmt: skip
    parser.add_argument("--tensorboard", action="store_true", help="write metrics for TensorBoard too, into DIR")
    add_json(parser)


def _interval(text: str) -> tuple[int, str]:
    """A `--checkpoint-every` value: a number of steps, or of seconds with an s."""
    found = re.fullmatch(r"(\d+)(s?)", text)
    if not found or not int(found[1]):
        raise argparse.ArgumentTypeError(f"steps such as 100, or seconds such as 60s, not {text!r}")
    return int(found[1]), found[2]


def run(args: argparse.Namespace) -> int:
    """Train, writing checkpoint.pt, metrics.csv, metrics.json and curves.png into the output folder."""
    import torch
    from tqdm import tqdm

    from positcore.data import load
    from positcore.nn import use_backend
    from positcore.nn.checkpoint import only_writer
    from positcore.nn.curves import plot_curves, run_record, write_json, write_metrics
    from positcore.nn.ranges import RangeWarning
    from positcore.nn.training import Recipe, Trainer

    recipe = Recipe(
        args.model, args.policy, args.epochs, args.batch_size, args.lr, args.momentum, args.halve_every, args.seed,
        args.optimizer, args.weight_decay, args.nesterov, args.schedule, args.clip_norm,
    )  # fmt: skip
    for name in ("images", "test_images", "threads"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(f"train: --{name.replace('_', '-')} must be at least 1, not {value}")
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    checkpoint = args.output / "checkpoint.pt"
    if checkpoint.exists() and not args.resume:
        raise ValueError(f"{checkpoint} is there already; go on from it with --resume, or choose another -o")
    if args.resume and not checkpoint.exists():
        raise ValueError(f"--resume: there is no {checkpoint}; leave --resume out to start")
    device = _device(args.device)
    board = _board(args.output) if args.tensorboard else None
    with use_backend(args.backend, compare=args.compare), ExitStack() as stack:
        train = load(args.data, "train", args.data_root, args.download)
        test = load(args.data, "test", args.data_root, args.download)
        train = train if args.images is None else train.first(args.images)
        test = test if args.test_images is None else test.first(args.test_images)
        with warnings.catch_warnings(record=True, category=RangeWarning, action="always") as caught:
            trainer = Trainer(recipe, train, test, device, args.audit)
        for warning in caught:
            print(f"positcore: warning: {warning.message}", file=sys.stderr)
        stack.enter_context(only_writer(args.output))
        if args.resume:
            trainer.resume(checkpoint)
        after_step = _saver(trainer, checkpoint, *args.checkpoint_every) if args.checkpoint_every else None
        try:
            while not trainer.done:
                label = f"epoch {len(trainer.history) + 1}/{recipe.epochs}"
                with tqdm(
                    total=len(trainer), initial=trainer.samples_done, desc=label, unit="img", leave=False, disable=None
                ) as bar:
                    epoch = trainer.run_epoch(bar.update, after_step)
                trainer.save(checkpoint)
                write_metrics(args.output / "metrics.csv", trainer.history)
                write_json(args.output / "metrics.json", recipe, args.data, trainer.history)
                if board:
                    board(epoch)
                if not args.json:
                    print(
                        f"{label}: loss {epoch.loss:.4f}, test accuracy {epoch.accuracy:.2f} %, {epoch.seconds:.1f} s",
                        flush=True,
                    )
        except KeyboardInterrupt:
            kept = f"{checkpoint} holds epoch {len(trainer.history)}; --resume goes on" if checkpoint.exists() else ""
            raise KeyboardInterrupt(kept) from None
    plot_curves(args.output / "curves.png", {recipe.policy: trainer.history}, f"{recipe.model}, {args.data}")
    if args.json:
        print(json.dumps(run_record(recipe, args.data, trainer.history), indent=2))
    else:
        print(f"written to {args.output}: checkpoint.pt, metrics.csv, metrics.json, curves.png")
    return 0


def _saver(trainer: Trainer, checkpoint: Path, count: int, unit: str) -> Callable[[], None]:
    """What saves after a step, if enough steps or seconds have passed."""
    saved = time.monotonic()

    def after_step() -> None:
        nonlocal saved
        if trainer.steps % count == 0 if not unit else time.monotonic() - saved >= count:
            trainer.save(checkpoint)
            saved = time.monotonic()

    return after_step


def _device(name: str) -> Any:
    import torch

    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"train: --device must be cpu or cuda, not {name!r}") from None
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"train: --device must be cpu or cuda, not {name!r}")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("train: --device cuda: PyTorch finds no CUDA device here; leave --device out to use the CPU")
    return device


def _board(folder: Path) -> Callable[[Any], None]:
    """What writes an epoch's metrics for TensorBoard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingToolError(
            "Python package tensorboard", "positcore train --tensorboard", "pip install tensorboard"
        ) from None
    writer = SummaryWriter(str(folder / "tensorboard"))

    def write(epoch: Any) -> None:
        for name in ("loss", "test_loss", "accuracy", "top3", "seconds"):
            writer.add_scalar(name, getattr(epoch, name), epoch.epoch)
        writer.flush()

    return write
