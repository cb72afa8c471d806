"""The `cocotb` backend: the units' emitted Verilog under Icarus, driven by cocotb; for small work, since it is slow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from positcore.errors import MissingToolError
from positcore.hw.array import SystolicArray
from positcore.hw.emit import FlatUnit, emit_modules
from positcore.hw.units import Design
from positcore.mac import MacSpec
from positcore.sim.backend import Codes, Machine, Product, Progress, Unit
from positcore.sim.verilog import find_icarus

__all__ = ["CocotbMachine"]


class CocotbMachine(Machine):
    """The same units as `LockstepMachine`, as Verilog text; one run of the simulator for each call.

    Operands go to the simulator in a file, and results come back in one. A unit's text is compiled once.

    Raises
    ------
    MissingToolError
        If Icarus or cocotb is not there.
    """

    def __init__(self, rows: int = 2, columns: int = 2) -> None:
        super().__init__(rows, columns)
        find_icarus()
        if find_spec("cocotb") is None:
            raise MissingToolError("Python package cocotb", "the cocotb backend", 'pip install "positcore[sim]"')
        self._folder = Path(tempfile.mkdtemp(prefix="positcore-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def make_unit(self, design: Design) -> Unit:
        """See `Machine.make_unit`."""
        return _Elements(FlatUnit(design.component()), self._place(), str(design))

    def make_product(self, spec: MacSpec, shape: tuple[int, int] | None, stages: int) -> Product:
        """See `Machine.make_product`."""
        if shape is not None:
            component: Any = SystolicArray(spec, rows=shape[0], columns=shape[1], stages=stages)
            return _Sums(spec, component, shape, 1, f"array {shape[0]}×{shape[1]}[{spec}]", self._place())
        design = Design.of("mac", spec, stages)
        return _Sums(spec, design.component(), (1, 1), design.terms, str(design), self._place())

    def _place(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._folder))


class _Simulation:
    """The text of a unit in a folder of its own, and runs of it."""

    def __init__(self, flat: FlatUnit, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        (folder / "unit.v").write_text(emit_modules(flat, "unit", flat.signals))
        self.ports = flat.ports

    def simulate(self, test: str, plan: Mapping[str, Any]) -> NDArray[np.uint64]:
        """What `positcore.sim.cocotb_loops` writes for a plan.

        Raises
        ------
        RuntimeError
            If the run fails, with the end of what it said.
        """
        outcome = self.folder / "outcome.npy"
        outcome.unlink(missing_ok=True)
        np.savez(self.folder / "plan.npz", **plan)
        program = (
            "from cocotb_tools.runner import get_runner\n"
            "runner = get_runner('icarus')\n"
            "scale = ('1ns', '1ps')\n"
            "runner.build(sources=['unit.v'], hdl_toplevel='unit', build_dir='build', timescale=scale)\n"
            f"runner.test(hdl_toplevel='unit', test_module='positcore.sim.cocotb_loops', testcase={test!r},\n"
            "            build_dir='build', test_dir='.', results_xml='results.xml', timescale=scale)\n"
        )
        # cocotb's runner behaves otherwise where it believes that pytest runs it.
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=environment)
        if not outcome.exists():
            raise RuntimeError(f"{self.name}: the simulation failed: {(done.stdout + done.stderr).strip()[-2000:]}")
        result: NDArray[np.uint64] = np.load(outcome)
        return result


class _Elements(_Simulation):
    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Codes]:
        """See `positcore.sim.backend.Unit`."""
        plan = {port.name: inputs[port.name] for port in self.ports if port.direction == "input"}
        return {"code": self.simulate("elements", plan)}


class _Sums(_Simulation):
    def __init__(
        self, spec: MacSpec, component: Any, shape: tuple[int, int], terms: int, name: str, folder: Path
    ) -> None:
        super().__init__(FlatUnit(component), folder, name)
        self.spec, self.shape, self.terms = spec, shape, terms

    def matmul(
        self, a: Codes, b: Codes, first: tuple[Codes, Codes] | None = None, progress: Progress | None = None
    ) -> Codes:
        """See `positcore.sim.backend.Product`."""
        (stack, m, k), n = a.shape, b.shape[2]
        (rows, columns), spec = self.shape, self.spec
        down, across, steps = -(-m // rows), -(-n // columns), -(-k // self.terms)
        left = np.zeros((stack, down * rows, steps * self.terms), spec.a.dtype)
        right = np.zeros((stack, across * columns, steps * self.terms), spec.b.dtype)
        left[:, :m, :k], right[:, :n, :k] = a, b.swapaxes(1, 2)
        items: list[list[int]] = []
        for s, i, j in np.ndindex(stack, down, across):
            if first is not None:
                starts = [int(codes[s, i, j]) for codes in first]
                items.append([*starts, int(not steps)])
            for step in range(steps):
                terms = slice(step * self.terms, (step + 1) * self.terms)
                words = (
                    _packed(left[s, i * rows : (i + 1) * rows, terms], spec.a.n),
                    _packed(right[s, j * columns : (j + 1) * columns, terms], spec.b.n),
                )
                items.append([*words, int(step == steps - 1)])
        tiles = stack * down * across
        a_words, b_words, lasts = zip(*items, strict=True)
        plan = {"a": _text(a_words), "b": _text(b_words), "last": np.array(lasts), "results": np.array(tiles * rows)}
        found = self.simulate("sums", plan)
        lanes = [(found >> np.uint64(spec.out.n * c)) & np.uint64(spec.out.mask) for c in range(columns)]
        out = np.stack(lanes, axis=1).astype(spec.out.dtype).reshape(stack, down, across, rows, columns)
        if progress:
            progress(tiles, tiles)
        return out.transpose(0, 1, 3, 2, 4).reshape(stack, down * rows, across * columns)[:, :m, :n]


def _packed(codes: Codes, n: int) -> int:
    """Codes as one number, the first in its low bits."""
    return sum(code << n * place for place, code in enumerate(codes.reshape(-1).tolist()))


def _text(words: Any) -> NDArray[Any]:
    """Numbers of any size as an array of text that needs no pickle."""
    return np.array([f"{word:x}" for word in words])
