"""Training steps in posits against PyTorch float32, in one process: time, and memory by a process each.

    python benchmarks/training.py [lenet5 resnet20 ...] [--policy O12-L12-FBG8q] [--batch-size 64] [--threads 1]
                                  [--turns 7] [--profile] [--json]

A call is one training step (forward, backward, optimizer) on random images of the size that the network takes. Memory
is the most that a process held while it ran three steps with four times that batch, without what it held before.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from timing import in_turns, machine

from positcore import nn as pnn
from positcore.nn.models import MODELS

IMAGES = {"lenet5": (1, 28, 28), "mnistnet": (1, 28, 28), "transformer": (1, 28, 28)}
COLORED = (3, 32, 32)


def step_of(name: str, arithmetic: str, batch_size: int) -> Callable[[], None]:
    """One training step of a network in float32, or in the formats of a policy."""
    torch.manual_seed(0)
    model: torch.nn.Module = MODELS[name]()
    images, labels = torch.randn(batch_size, *IMAGES.get(name, COLORED)), torch.randint(0, 10, (batch_size,))
    loss: Callable[..., torch.Tensor] = torch.nn.CrossEntropyLoss()
    optimizer: torch.optim.Optimizer = torch.optim.SGD(model.parameters(), 1 / 16, 0.5)
    if arithmetic != "float32":
        policy = pnn.Policy.parse(arithmetic)
        model, loss = pnn.convert(model, policy), pnn.CrossEntropyLoss(policy)
        optimizer = pnn.SGD(model.parameters(), policy, 1 / 16, 0.5)

    def step() -> None:
        optimizer.zero_grad()
        loss(model(images), labels).backward()
        optimizer.step()

    return step


def megabytes(entry: str) -> float:
    """This process's memory, now (VmRSS) or at most (VmHWM); Linux."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(entry)) / 1024


def memory(name: str, arithmetic: str, batch_size: int, threads: int) -> float:
    """MiB that three steps take, measured in a process of its own."""
    call = [__file__, name, "--memory-of", arithmetic, "--batch-size", str(batch_size), "--threads", str(threads)]
    done = subprocess.run([sys.executable, *call], capture_output=True, text=True, check=True, cwd=Path.cwd())
    return float(done.stdout)


def print_memory(name: str, arithmetic: str, batch_size: int) -> None:
    step_of(name, arithmetic, 1)()  # what is loaded and compiled once is no part of it
    before = megabytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the most so far is what it is now
    step = step_of(name, arithmetic, batch_size)
    for _ in range(3):
        step()
    print(megabytes("VmHWM") - before)


def print_profile(step: Callable[[], None]) -> None:
    profile = cProfile.Profile()
    step()
    profile.enable()
    for _ in range(5):
        step()
    profile.disable()
    pstats.Stats(profile).sort_stats("tottime").print_stats(20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["lenet5", "resnet20"], metavar="MODEL")
    parser.add_argument("--policy", default="O12-L12-FBG8q")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--profile", action="store_true", help="say where a step's time goes")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.memory_of:
        print_memory(args.models[0], args.memory_of, args.batch_size)
        return
    if args.profile:
        for name in args.models:
            print_profile(step_of(name, args.policy, args.batch_size))
        return
    results = []
    for name in args.models:
        steps = {arithmetic: step_of(name, arithmetic, args.batch_size) for arithmetic in ("float32", args.policy)}
        seconds = in_turns(steps, args.turns, 1 if name == "resnet20" else 5)
        held = {arithmetic: memory(name, arithmetic, 4 * args.batch_size, args.threads) for arithmetic in steps}
        results.append({"model": name, "seconds": seconds, "memory_mib": held})
    if args.json:
        print(json.dumps({"machine": machine(), "threads": args.threads, "results": results}, indent=2))
        return
    print(", ".join(f"{key} {value}" for key, value in machine().items()))
    print(f"one training step, batch {args.batch_size}, {args.threads} thread(s)\n")
    print(f"{'':<12} {'float32':>18} {args.policy:>18} {'ratio':>6}")
    for result in results:
        for what, unit in (("seconds", "s"), ("memory_mib", "MiB")):
            low, high = result[what].values()
            digits = 4 if unit == "s" else 0
            print(
                f"{result['model']:<12} {low:>14.{digits}f} {unit:<3} {high:>14.{digits}f} {unit:<3} {high / low:>6.2f}"
            )


if __name__ == "__main__":
    main()
