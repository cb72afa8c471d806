"""A cocotb bench of the units of dot products, on the very Verilog text that `positcore generate` emits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from positcore.errors import MismatchError, MissingToolError
from positcore.format import PositFormat
from positcore.hw.emit import emit_verilog
from positcore.hw.golden import golden_dots
from positcore.hw.units import Design
from positcore.mac import MacSpec
from positcore.sim.directed import random_dots

__all__ = ["BenchReport", "run_bench"]


@dataclass(frozen=True)
class BenchReport:
    """What a bench did: results compared, all equal, resets in mid-stream, clock cycles, and the simulator."""

    results: int
    resets: int
    cycles: int
    simulator: str


def run_bench(
    spec: PositFormat | MacSpec,
    *,
    unit: str = "mac",
    stages: int = 0,
    dots: int = 200,
    seed: int = 0,
    verilog: str | None = None,
    **options: Any,
) -> BenchReport:
    """Drive the unit's streams with random stalls on both sides and resets in mid-stream; compare every result.

    Parameters
    ----------
    spec : PositFormat or MacSpec
    unit : str
        mac or dot.
    stages : int
        Pipeline stages of the unit.
    dots : int
        Dot products, of random lengths from 1 on, some with NaR.
    seed : int
    verilog : str, optional
        The text to run in place of the one emitted for the spec.
    **options
        The unit's own, such as the lanes of dot.

    Raises
    ------
    MismatchError
        If a result is wrong, lost, doubled, or changes while it waits; or if nothing was compared.
    MissingToolError
        If there is neither Icarus 11 nor a Verilator that cocotb takes, or no cocotb.
    """
    design = Design.of(unit, spec, stages, **options)
    if design.unit.kind != "dot":
        raise ValueError(f"run_bench: {unit} has no dot products; take mac or dot, or positcore.sim.campaign.verify")
    if isinstance(dots, bool) or not isinstance(dots, int) or dots < 1:
        raise ValueError(f"run_bench: dots must be a positive integer, not {dots!r}: nothing would be checked")
    simulator = _simulator()
    if find_spec("cocotb") is None:
        raise MissingToolError("Python package cocotb", "the bench of dot products", 'pip install "positcore[sim]"')
    a, b, lengths = random_dots(design.spec, dots, np.random.default_rng(seed), longest=24, lanes=design.terms)
    plan = {
        "a": _packed(a, design.spec.a.n), "b": _packed(b, design.spec.b.n), "lengths": lengths.tolist(), "seed": seed,
        "expected": golden_dots(design.spec, a, b, lengths).tolist(),
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="positcore-") as name:
        folder = Path(name)
        (folder / "unit.v").write_text(verilog or emit_verilog(design))
        (folder / "plan.json").write_text(json.dumps(plan))
        log = _run(simulator, design.name, folder)
        outcome = folder / "outcome.json"
        found: dict[str, Any] = {"fault": f"no outcome\n{log[-2000:]}"}
        if outcome.exists():
            found = json.loads(outcome.read_text())
    if found.get("fault"):
        raise MismatchError(
            f"{design}: {found['fault']}; again: positcore.sim.bench.run_bench({design.spec!r}, "
            f"{''.join(f'{name}={value!r}, ' for name, value in ({'unit': unit} | options).items())}"
            f"stages={stages}, dots={dots}, seed={seed})"
        )
    if not found["results"]:
        raise MismatchError(f"{design}: the bench compared nothing")
    return BenchReport(found["results"], found["resets"], found["cycles"], simulator)


def _packed(codes: NDArray[Any], n: int) -> list[int]:
    """Items of one code or several as numbers, lane 0 in their low bits."""
    return [sum(code << n * lane for lane, code in enumerate(item)) for item in codes.reshape(len(codes), -1).tolist()]


def _simulator() -> str:
    if shutil.which("iverilog"):
        return "icarus"
    if shutil.which("verilator"):
        text = subprocess.run(["verilator", "--version"], capture_output=True, text=True).stdout.split()
        if len(text) > 1 and tuple(int(part) for part in text[1].split(".")[:2]) >= (5, 36):
            return "verilator"
    raise MissingToolError(
        "Verilog simulator Icarus (iverilog)", "the cocotb bench of dot products", "apt-get install iverilog"
    )


def _run(simulator: str, top: str, folder: Path) -> str:
    """Build and run in a process of its own, which leaves this one's environment alone; gives what it said."""
    program = (
        "from cocotb_tools.runner import get_runner\n"
        f"runner = get_runner({simulator!r})\n"
        f"runner.build(sources=['unit.v'], hdl_toplevel={top!r}, build_dir='build', timescale=('1ns', '1ps'))\n"
        f"runner.test(hdl_toplevel={top!r}, test_module='positcore.sim.mac_bench', build_dir='build',\n"
        "            test_dir='.', results_xml='results.xml', timescale=('1ns', '1ps'))\n"
    )
    # cocotb's runner behaves otherwise where it believes that pytest runs it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True,
        env=environment,
    )  # fmt: skip
    return done.stdout + done.stderr
