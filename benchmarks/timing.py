"""Timing of candidates against each other: in turns, several calls a turn, after a call to warm up."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch


def in_turns(candidates: Mapping[str, Callable[[], Any]], turns: int, calls: int = 1) -> dict[str, float]:
    """The median seconds of each candidate's calls.

    Every candidate has its turn before the next one starts, so that a disturbance hits all. A turn begins with a
    call that does not count and a pause before it: idle threads of one library's pool may spin for a while.
    """
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(turns):
        for name, call in candidates.items():
            time.sleep(0.05)
            call()
            for _ in range(calls):
                start = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown")
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
    }


def _cpuinfo() -> list[str]:
    try:
        with open("/proc/cpuinfo") as file:
            return file.read().splitlines()
    except OSError:
        return []
