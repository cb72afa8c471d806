"""Test accuracy of LeNet-5 in posits beside its float32 twin, on the shipped subset of Fashion-MNIST.

    python benchmarks/accuracy.py [--policy O12-L12-FBG8q] [--seeds 0 1 2] [--epochs 30] [--json]

Twins start from the same weights and see the samples in the same order. The accuracy is that after the last epoch.
One thread, because the bits of float32 depend on their number.
"""

from __future__ import annotations

import argparse
import json

import torch
from timing import machine
from tqdm import tqdm

from positcore.data import load
from positcore.nn.training import Recipe, Trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="O12-L12-FBG8q")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--halve-every", type=int, default=6)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    train, test = load("fashion-mnist-subset", "train"), load("fashion-mnist-subset", "test")
    rows = []
    with tqdm(total=len(args.seeds) * 2 * args.epochs * len(train), unit="img", disable=None) as bar:
        for seed in args.seeds:
            row: dict[str, float] = {"seed": seed}
            for policy in ("float32", args.policy):
                recipe = Recipe(policy=policy, epochs=args.epochs, halve_every=args.halve_every, seed=seed)
                trainer = Trainer(recipe, train, test)
                while not trainer.done:
                    trainer.run_epoch(bar.update)
                row[policy] = trainer.history[-1].accuracy
            row["difference"] = row[args.policy] - row["float32"]
            rows.append(row)
    if args.json:
        print(json.dumps({"machine": machine(), "rows": rows}, indent=2))
        return
    print(f"{'seed':>4} {'float32':>9} {args.policy:>16} {'difference':>11}")
    for row in rows:
        print(f"{row['seed']:>4} {row['float32']:>8.2f}% {row[args.policy]:>15.2f}% {row['difference']:>+11.2f}")


if __name__ == "__main__":
    main()
