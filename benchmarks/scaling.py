"""Test accuracy of LeNet-5 with and without scaling of the gradients between layers.

    python benchmarks/scaling.py [--policy O12-L12-FBG6q] [--scalings none loss after] [--seeds 0 1 2] [--epochs 5]

On the shipped subset of Fashion-MNIST. A scaling is a mode of `BackScale`, or `adaptive-` and one of `AdaptiveScale`.
The runs of a seed start from the same weights and see the samples in the same order. The accuracy is that after the
last epoch.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import torch
from timing import machine
from tqdm import tqdm

import positcore.nn as pnn
from positcore.data import Dataset, load
from positcore.nn.models import MODELS

SCALINGS = ["none", "loss", "log-loss", "mix", "before", "after", "half", "adaptive-normalize"]


def scaled(name: str, layers: list[torch.nn.Module], policy: pnn.Policy) -> pnn.BackScale | pnn.AdaptiveScale | None:
    if name == "none":
        return None
    if name.startswith("adaptive-"):
        return pnn.AdaptiveScale(layers, policy, name.removeprefix("adaptive-"))
    return pnn.BackScale(layers, policy, name)


def tensors(data: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(data.normalized()), torch.from_numpy(data.labels.astype("int64"))


def accuracy(
    text: str, name: str, seed: int, epochs: int, train: Dataset, test: Dataset, progress: Callable[[int], object]
) -> float:
    torch.manual_seed(seed)
    policy = pnn.Policy.parse(text)
    model = pnn.convert(MODELS["lenet5"](10), policy)
    layers = [layer for layer in model.modules() if isinstance(layer, pnn.Linear | pnn.Conv2d)]
    optimizer = pnn.SGD(model.parameters(), policy, lr=1 / 16, momentum=0.5)
    scaling, loss = scaled(name, layers, policy), pnn.CrossEntropyLoss(policy)
    images, labels = tensors(train)
    for epoch in range(epochs):
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed * 10007 + epoch))
        for batch in torch.split(order, 64):
            optimizer.zero_grad()
            loss(model(images[batch]), labels[batch]).backward()
            if scaling is not None:
                scaling.unscale_(optimizer)
            optimizer.step()
            progress(len(batch))
    images, labels = tensors(test)
    with torch.no_grad():
        guesses = torch.cat([model(part).argmax(1) for part in torch.split(images, 500)])
    return 100 * float((guesses == labels).sum()) / len(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="O12-L12-FBG6q")
    parser.add_argument("--scalings", nargs="+", default=SCALINGS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    train, test = load("fashion-mnist-subset", "train"), load("fashion-mnist-subset", "test")
    rows: dict[str, list[float]] = {}
    with tqdm(total=len(args.scalings) * len(args.seeds) * args.epochs * len(train), unit="img", disable=None) as bar:
        for name in args.scalings:
            rows[name] = [
                accuracy(args.policy, name, seed, args.epochs, train, test, bar.update) for seed in args.seeds
            ]
    if args.json:
        print(json.dumps({"machine": machine(), "policy": args.policy, "accuracy": rows}, indent=2))
        return
    print(f"{args.policy:<20}" + "".join(f"  seed {seed}" for seed in args.seeds) + "    mean")
    for name, found in rows.items():
        print(f"{name:<20}" + "".join(f"{x:7.2f}%" for x in found) + f"{sum(found) / len(found):7.2f}%")


if __name__ == "__main__":
    main()
