"""A table of the thesis: what was trained, what came out there and what comes out here, side by side."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from record import recorded, write_record
from runs import Run, Runs

from positcore.errors import AuditError
from positcore.files import write_aside
from positcore.nn.training import Recipe

__all__ = ["Cell", "add_arguments", "main", "rounded_sums"]


@dataclass(frozen=True)
class Cell:
    """One figure of a table.

    Parameters
    ----------
    row, column : str
        Where it stands.
    theirs : float or None
        The thesis's figure, in percent.
    policy : str
        Or "float32".
    data, model : str
    epochs : int
        Of the thesis.
    score : str
        Which field of `Epoch`, after the last one: accuracy or top3.
    """

    row: str
    column: str
    theirs: float | None
    policy: str
    data: str = "fashion-mnist"
    model: str = "lenet5"
    epochs: int = 10
    score: str = "accuracy"


def rounded_sums(n: int, es: int) -> str:
    """The policy of one format throughout and no quire: every product and every sum is rounded, in the loss too."""
    return f"O{n}/{es}-L{n}/{es}+rounded-FBG{n}/{es}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every experiment."""
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="where the data sets are ($POSITCORE_DATA)")
    parser.add_argument("--epochs", type=int, metavar="E", help="(those of the thesis: 10, for CIFAR-10 20)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="S", help="(0)")
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="only what has one of these in its row or column")
    parser.add_argument("--list", action="store_true", help="list the runs and how far they are, and train nothing")
    parser.add_argument(
        "--report", action="store_true",
        help="print what is there, or else what experiments/record has (*), and train nothing",
    )  # fmt: skip
    parser.add_argument("--skip-recorded", action="store_true", help="train only what experiments/record does not have")
    parser.add_argument("--record", action="store_true", help="put what is finished into experiments/record")
    parser.add_argument(
        "--subset", action="store_true", help="a quick look: the shipped subset in place of Fashion-MNIST, no other set"
    )
    parser.add_argument("--images", type=int, metavar="N", help="a quick look: only the first N training images")
    parser.add_argument("--threads", type=int, default=1, help="(1; float32's bits depend on it, posits' do not)")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("out/experiments"), metavar="DIR",
        help="where runs lie, shared by all experiments (out/experiments)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def main(
    name: str, title: str, cells: Sequence[Cell], argv: Sequence[str] | None = None, note: str | None = None
) -> int:
    """Train what a table needs and is not there yet, print the table, and write it as `name`.json.

    Interrupted, it goes on where it was when it is called again.

    Returns
    -------
    int
        0 done, 1 something is left to train or an audit failed, 2 a wrong option, 130 interrupted.
    """
    parser = argparse.ArgumentParser(prog=f"python experiments/{name}.py", description=f"{title}.")
    add_arguments(parser)
    parser.add_argument(
        "--order", choices=("exact", "positnn"), default="exact",
        help="of roundings: positnn rounds a convolution's bias gradient as PositNN does (exact)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    try:
        torch.set_num_threads(args.threads)
        chosen = [cell for cell in cells if _is_chosen(cell, args)]
        if not chosen:
            raise ValueError(f"no row or column has {' or '.join(args.only)} in it; see --list without --only")
        runs = Runs(args.output, args.data_root)
        plan = {cell: [_run(cell, seed, args) for seed in args.seeds] for cell in chosen}
        wanted = list(dict.fromkeys(run for cell in plan.values() for run in cell))
        if args.list:
            for run in wanted:
                print(f"{len(runs.history(run)):>3} of {run.recipe.epochs} epochs  {run.name}")
            return 0
        for run in wanted if not args.report else ():
            if not (args.skip_recorded and recorded(run)):
                runs.finish(run)
        if args.record:
            for run in wanted:
                if len(history := runs.history(run)) == run.recipe.epochs:
                    write_record(run, history)
        figures = [_figure(cell, plan[cell], runs, args.report or args.skip_recorded) for cell in chosen]
    except KeyboardInterrupt:
        print(f"{name}: interrupted; the same command goes on", file=sys.stderr)
        return 130
    except (TypeError, ValueError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except AuditError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    record = {"table": name, "title": title, "figures": figures}
    text = json.dumps(record, indent=2)
    args.output.mkdir(parents=True, exist_ok=True)
    write_aside(args.output / f"{name}.json", lambda aside: aside.write_text(text + "\n"))
    print(text if args.json else _table(title, figures, note))
    return 0 if all(figure["ours"] is not None for figure in figures) else 1


def _is_chosen(cell: Cell, args: argparse.Namespace) -> bool:
    if args.subset and cell.data != "fashion-mnist":
        return False
    return not args.only or any(text in label for text in args.only for label in (cell.row, cell.column))


def _run(cell: Cell, seed: int, args: argparse.Namespace) -> Run:
    policy = cell.policy if cell.policy == "float32" or args.order == "exact" else f"{cell.policy}@{args.order}"
    recipe = Recipe(cell.model, policy, args.epochs or cell.epochs, seed=seed)
    return Run("fashion-mnist-subset" if args.subset else cell.data, recipe, args.images)


def _figure(cell: Cell, plan: list[Run], runs: Runs, use_record: bool) -> dict[str, Any]:
    """What is known of a cell: a figure for each seed, and their mean once all are there."""
    seeds = []
    for run in plan:
        history, is_recorded = runs.history(run), False
        if use_record and len(history) < run.recipe.epochs and (before := recorded(run)):
            history, is_recorded = before, True
        done = len(history) == run.recipe.epochs
        value = getattr(history[-1], cell.score) if done else None
        seconds = sum(epoch.seconds for epoch in history)
        part = {"seed": run.recipe.seed, "epochs": len(history), "of": run.recipe.epochs, "seconds": seconds}
        seeds.append({**part, "recorded": is_recorded, cell.score: value})
    values = [seed[cell.score] for seed in seeds]
    ours = sum(values) / len(values) if None not in values else None
    return {**asdict(replace(cell, policy=plan[0].recipe.policy)), "ours": ours, "seeds": seeds}


def _table(title: str, figures: list[dict[str, Any]], note: str | None) -> str:
    """Ours, and theirs in parentheses."""
    rows = list(dict.fromkeys(figure["row"] for figure in figures))
    columns = list(dict.fromkeys(figure["column"] for figure in figures))
    found = {(figure["row"], figure["column"]): _text(figure) for figure in figures}
    wide = max(map(len, rows))
    widths = [max(len(column), *(len(found.get((row, column), "")) for row in rows)) for column in columns]
    lines = [f"{title}: ours (theirs), in %"]
    lines.append(" " * wide + "".join(f"  {c:>{w}}" for c, w in zip(columns, widths, strict=True)))
    for row in rows:
        cells = (found.get((row, column), "") for column in columns)
        lines.append(f"{row:<{wide}}" + "".join(f"  {text:>{w}}" for text, w in zip(cells, widths, strict=True)))
    seeds = sorted({seed["seed"] for figure in figures for seed in figure["seeds"]})
    if len(seeds) > 1:
        lines.append(f"ours: the mean of the seeds {', '.join(map(str, seeds))}, and the range")
    if any(seed["recorded"] for figure in figures for seed in figure["seeds"]):
        lines.append("* of experiments/record: trained before, not in this output folder")
    return "\n".join([*lines, *([note] if note else [])])


def _text(figure: dict[str, Any]) -> str:
    theirs = "" if figure["theirs"] is None else f" ({figure['theirs']:.2f})"
    if figure["ours"] is None:
        part = figure["seeds"][0]
        unknown = part["epochs"] < part["of"]
        return (f"{part['epochs']}/{part['of']} epochs" if unknown else "not recorded") + theirs
    values = [seed[figure["score"]] for seed in figure["seeds"]]
    spread = f" {min(values):.2f}–{max(values):.2f}" if len(values) > 1 else ""
    mark = "*" if any(seed["recorded"] for seed in figure["seeds"]) else ""
    return f"{figure['ours']:.2f}{spread}{mark}{theirs}"
