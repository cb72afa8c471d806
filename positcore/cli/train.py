"""`positcore train`: a network of the thesis on one of its data sets, with checkpoints, metrics and curves."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from positcore.cli.arguments import add_json

__all__ = ["EXAMPLE", "configure", "run"]

EXAMPLE = "positcore train lenet5 --data fashion-mnist-subset --policy O12-L12-FBG8q --epochs 3 -o out/lenet5"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from positcore.data import NAMES
    from positcore.nn.models import MODELS
    from positcore.nn.training import Recipe

    default = Recipe()
    parser.add_argument("model", metavar="MODEL", help=f"the network: {', '.join(MODELS)}")
    parser.add_argument(
        "--data", choices=NAMES, default="fashion-mnist-subset",
        help="the data set (fashion-mnist-subset, which is part of the package)",
    )  # fmt: skip
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="where its files are ($POSITCORE_DATA)")
    parser.add_argument("--download", action="store_true", help="fetch Fashion-MNIST if it is not there")
    parser.add_argument(
        "--policy", default=default.policy, help=f"formats of each stage ({default.policy}), or float32"
    )
    parser.add_argument("--epochs", type=int, default=default.epochs, help=f"({default.epochs})")
    parser.add_argument("--batch-size", type=int, default=default.batch_size, help=f"({default.batch_size})")
    parser.add_argument("--lr", type=float, default=default.lr, help=f"the first learning rate ({default.lr})")
    parser.add_argument("--momentum", type=float, default=default.momentum, help=f"({default.momentum})")
    parser.add_argument(
        "--halve-every", type=int, default=default.halve_every, metavar="E",
        help=f"epochs after which the learning rate is halved ({default.halve_every})",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=default.seed, help=f"({default.seed})")
    parser.add_argument("--images", type=int, metavar="N", help="only the first N training images")
    parser.add_argument("--backend", default="golden", help="golden (the golden model) or rtl (the simulated hardware)")
    parser.add_argument(
        "--threads", type=int, metavar="T", help="threads; the results are the same bits for any number"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("out/train"), metavar="DIR", help="(out/train)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in DIR")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Train, writing checkpoint.pt, metrics.csv and curves.png into the output folder after every epoch."""
    import torch
    from tqdm import tqdm

    from positcore.data import load
    from positcore.nn import use_backend
    from positcore.nn.curves import plot_curves, write_metrics
    from positcore.nn.training import Recipe, Trainer

    recipe = Recipe(
        args.model, args.policy, args.epochs, args.batch_size, args.lr, args.momentum, args.halve_every, args.seed
    )
    if args.images is not None and args.images < 1:
        raise ValueError(f"train: --images must be at least 1, not {args.images}")
    if args.threads is not None:
        if args.threads < 1:
            raise ValueError(f"train: --threads must be at least 1, not {args.threads}")
        torch.set_num_threads(args.threads)
    checkpoint = args.output / "checkpoint.pt"
    if checkpoint.exists() and not args.resume:
        raise ValueError(f"{checkpoint} is there already; go on from it with --resume, or choose another -o")
    if args.resume and not checkpoint.exists():
        raise ValueError(f"--resume: there is no {checkpoint}; leave --resume out to start")
    with use_backend(args.backend):
        train = load(args.data, "train", args.data_root, args.download)
        test = load(args.data, "test", args.data_root, args.download)
        trainer = Trainer(recipe, train if args.images is None else train.first(args.images), test)
        if args.resume:
            trainer.resume(checkpoint)
        try:
            while not trainer.done:
                label = f"epoch {len(trainer.history) + 1}/{recipe.epochs}"
                with tqdm(total=len(trainer), desc=label, unit="img", leave=False, disable=None) as bar:
                    epoch = trainer.run_epoch(bar.update)
                trainer.save(checkpoint)
                write_metrics(args.output / "metrics.csv", trainer.history)
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
        history = [asdict(epoch) for epoch in trainer.history]
        print(json.dumps({"recipe": asdict(recipe), "data": args.data, "history": history}, indent=2))
    else:
        print(f"written to {args.output}: checkpoint.pt, metrics.csv, curves.png")
    return 0
