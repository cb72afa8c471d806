"""Figure 10: networks trained in float32, tested in posits of 3 to 8 bits, with and without underflow.

    python experiments/figure10.py --data-root DIR [--only cifar10] [--epochs 20]

LeNet-5 on Fashion-MNIST and CifarNet on CIFAR-10. Weights and activations are rounded to one format, sums go through a
quire. The float32 networks are those of table7.py; what was tested already is read from figure10.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from runs import Run, Runs
from tables import add_arguments
from tqdm import tqdm

from positcore.data import Dataset
from positcore.files import write_aside
from positcore.nn import Policy, convert
from positcore.nn.checkpoint import load_checkpoint
from positcore.nn.evaluation import evaluate
from positcore.nn.models import build
from positcore.nn.training import Recipe

BITS, ES, VARIANTS = range(3, 9), range(3), ("", "u")
NETWORKS = {"fashion-mnist": ("lenet5", 10), "cifar10": ("cifarnet", 20)}
THEIRS = "theirs: 8 bits within 1 % of float32 everywhere; 6 bits lose about 5 %; underflow helps most at es = 0"


@dataclass(frozen=True)
class Network:
    """A network trained in float32, what it scores there, and the images to test it on."""

    run: Run
    model: torch.nn.Module
    accuracy: float
    test: Dataset

    @property
    def digest(self) -> str:
        """Of its weights: results are those of these very weights."""
        digest = hashlib.sha256()
        for parameter in self.model.state_dict().values():
            digest.update(parameter.numpy().tobytes())
        return digest.hexdigest()


def policy_of(n: int, es: int, variant: str) -> Policy:
    """One format for weights and activations, a quire for sums; nothing is trained."""
    return Policy.parse(f"O{n}/{es}{variant}-L16-FBG{n}/{es}{variant}q")


def main(argv: Sequence[str] | None = None) -> int:
    """Train, test, draw; 0 done, 2 a wrong option, 130 interrupted: the same command goes on."""
    parser = argparse.ArgumentParser(
        prog="python experiments/figure10.py", description="Networks of float32, tested in posits of 3 to 8 bits."
    )
    add_arguments(parser)
    args = parser.parse_args(argv)
    path = args.output / "figure10.json"
    try:
        torch.set_num_threads(args.threads)
        runs = Runs(args.output, args.data_root)
        plan = _plan(args)
        if args.list:
            for run in plan:
                print(f"{len(runs.history(run)):>3} of {run.recipe.epochs} epochs  {run.name}")
            return 0
        record = json.loads(path.read_text()) if path.exists() else {}
        for run in plan:
            _test(run, runs, record, args.report, path)
        if not record:
            raise ValueError(f"nothing is in {path} yet; leave --report out to train and test")
    except KeyboardInterrupt:
        print("figure10: interrupted; the same command goes on", file=sys.stderr)
        return 130
    except (TypeError, ValueError, OSError) as error:
        print(f"figure10: {error}", file=sys.stderr)
        return 2
    chosen = {run.name: record[run.name] for run in plan if run.name in record}
    draw(args.output / "figure10.png", chosen)
    if args.json:
        print(json.dumps(chosen, indent=2))
    else:
        print("\n\n".join(_table(name, part) for name, part in chosen.items()))
        print(f"\n{THEIRS}\ndrawn as {args.output / 'figure10.png'}")
    return 0


def _plan(args: argparse.Namespace) -> list[Run]:
    plan = []
    for data, (model, epochs) in NETWORKS.items():
        if (args.subset and data != "fashion-mnist") or (args.only and not any(text in data for text in args.only)):
            continue
        for seed in args.seeds:
            recipe = Recipe(model, "float32", args.epochs or epochs, seed=seed)
            plan.append(Run("fashion-mnist-subset" if args.subset else data, recipe, args.images))
    if not plan:
        raise ValueError(f"no data set has {' or '.join(args.only)} in its name; there are {', '.join(NETWORKS)}")
    return plan


def _network(run: Run, runs: Runs) -> Network:
    """The float32 network of a run, which is trained first if it was not."""
    accuracy = runs.finish(run)[-1].accuracy
    state = load_checkpoint(runs.checkpoint(run))
    if len(state["history"]) != run.recipe.epochs:
        raise ValueError(
            f"{runs.checkpoint(run)} holds the weights after {len(state['history'])} epochs; give --epochs "
            f"{len(state['history'])}, or another -o"
        )
    train, test = runs.data(run)
    channels, height, width = train.images.shape[1:]
    model = build(run.recipe.model, len(train.classes), (channels, height, width))
    model.load_state_dict(state["model"])
    return Network(run, model, accuracy, test)


def _test(run: Run, runs: Runs, record: dict[str, Any], report: bool, path: Path) -> None:
    """Test the network of a run in every format that `record` does not have yet, and keep `path` up to date."""
    if report:
        return
    network = _network(run, runs)
    part = record.get(run.name, {})
    if part.get("weights") != network.digest:
        part = {"weights": network.digest, "images": len(network.test), "float32": network.accuracy, "posits": {}}
    record[run.name] = part
    formats = [(n, es, variant) for n in BITS for es in ES for variant in VARIANTS]
    left = [item for item in formats if _key(*item) not in part["posits"]]
    with tqdm(total=len(left) * len(network.test), desc=run.name, unit="img", leave=False, disable=None) as bar:
        for item in left:
            part["posits"][_key(*item)] = _accuracy(network, policy_of(*item), bar.update)
            write_aside(path, lambda aside: aside.write_text(json.dumps(record, indent=2) + "\n"))


def _accuracy(network: Network, policy: Policy, progress: Callable[[int], object]) -> float:
    return evaluate(convert(network.model, policy), network.test, progress=progress).accuracy


def _key(n: int, es: int, variant: str) -> str:
    return f"{n},{es}{variant}"


def _found(part: dict[str, Any], n: int, es: int, variant: str) -> float:
    """The accuracy in a format; nan if it was not tested yet."""
    return part["posits"].get(_key(n, es, variant), float("nan"))


def _table(name: str, part: dict[str, Any]) -> str:
    lines = [f"{name}: float32 {part['float32']:.2f} %; tested in posits, plain and with underflow, in %"]
    heads = [f"es {es}{' underflow' if variant else ''}" for es in ES for variant in VARIANTS]
    lines.append("bits" + "".join(f"  {head:>14}" for head in heads))
    for n in BITS:
        cells = (_found(part, n, es, variant) for es in ES for variant in VARIANTS)
        lines.append(f"{n:>4}" + "".join(f"  {accuracy:>14.2f}" for accuracy in cells))
    return "\n".join(lines)


def draw(path: Path, record: dict[str, Any]) -> None:
    """Accuracy over bits, a panel for each network, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(record), 4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, part) in zip(figure.subplots(1, len(record), squeeze=False)[0], record.items(), strict=True):
        axes.axhline(part["float32"], color="#444444", linewidth=1, label="float32")
        for es, color, marker in zip(ES, ("#1f77b4", "#d95f02", "#1b9e77"), "os^", strict=False):
            for variant, line in zip(VARIANTS, ("-", ":"), strict=True):
                accuracies = [_found(part, n, es, variant) for n in BITS]
                label = f"es {es}{', underflow' if variant else ''}"
                axes.plot(list(BITS), accuracies, color=color, marker=marker, markersize=4, linestyle=line, label=label)
        axes.set(title=name, xlabel="bits", ylabel="test accuracy in %", ylim=(0, 100))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    write_aside(path, lambda aside: figure.savefig(aside, format="png", dpi=150))


if __name__ == "__main__":
    sys.exit(main())
