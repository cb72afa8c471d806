"""How the Verilog examples are run: the files of a folder, generated units and data, by Icarus."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from positcore.sim.verilog import find_icarus

__all__ = ["simulate"]


def simulate(folder: Path, units: Mapping[str, str], data: Mapping[str, str]) -> str:
    """What the test bench of a folder says.

    Raises
    ------
    MissingToolError
        If Icarus is not there.
    RuntimeError
        If the test bench does not say PASS, or Icarus has anything to warn of.
    """
    icarus = find_icarus()
    with tempfile.TemporaryDirectory(prefix="positcore-") as name:
        work = Path(name)
        for source in sorted(folder.glob("*.v")):
            shutil.copy(source, work)
        for file, text in {**units, **data}.items():
            (work / file).write_text(text)
        sources = sorted(path.name for path in work.glob("*.v"))
        built = subprocess.run(
            [icarus, "-g2005", "-Wall", "-Wno-timescale", "-s", "bench", "-o", "bench.vvp", *sources],
            cwd=work, capture_output=True, text=True,
        )  # fmt: skip
        if built.returncode or built.stderr:
            raise RuntimeError(f"{folder.name}: {built.stderr.strip()}")
        done = subprocess.run(["vvp", "-n", "bench.vvp"], cwd=work, capture_output=True, text=True)
    if not done.stdout.startswith("PASS"):
        raise RuntimeError(f"{folder.name}: {(done.stdout + done.stderr).strip() or 'the test bench said nothing'}")
    return done.stdout.strip()
