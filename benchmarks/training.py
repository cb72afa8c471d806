"""LeNet-5 training steps in posits against PyTorch float32, in one process.

    python benchmarks/training.py [--policy O12-L12-FBG8q] [--threads 1] [--turns 7] [--json]

A call trains 1,000 images of the shipped subset of Fashion-MNIST in batches of 64, in each arithmetic.
"""

from __future__ import annotations

import argparse
import json

import torch
from timing import in_turns, machine

from positcore.data import load
from positcore.nn.training import Recipe, Trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="O12-L12-FBG8q")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train, test = load("fashion-mnist-subset", "train").first(1000), load("fashion-mnist-subset", "test").first(64)
    trainers = {policy: Trainer(Recipe(policy=policy), train, test) for policy in ("float32", args.policy)}
    seconds = in_turns({name: trainer.run_epoch for name, trainer in trainers.items()}, args.turns)
    ratio = seconds[args.policy] / seconds["float32"]
    if args.json:
        print(json.dumps({"machine": machine(), "threads": args.threads, "seconds": seconds, "ratio": ratio}, indent=2))
        return
    print(", ".join(f"{key} {value}" for key, value in machine().items()))
    print(f"1,000 LeNet-5 training samples, batch 64, {args.threads} thread(s)")
    for name, value in seconds.items():
        print(f"{name:<16} {value:.3f} s")
    print(f"ratio            {ratio:.2f}")


if __name__ == "__main__":
    main()
