"""A cocotb bench of the gemm on its Verilog text, with bus models of other hands: cocotbext-axi."""

from __future__ import annotations

import json
import os
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
from positcore.gemm import matmul
from positcore.hw.driver import GemmJob, plan
from positcore.hw.emit import FlatUnit, emit_modules
from positcore.hw.gemm import Gemm
from positcore.hw.gemm_registers import gemm_registers
from positcore.hw.registers import Kind, Register
from positcore.mac import MacSpec
from positcore.sim.verilog import find_icarus

__all__ = ["GemmReport", "gemm_verilog", "run_gemm_bench"]


@dataclass(frozen=True)
class GemmReport:
    """What the bench did: elements compared, all equal, and jobs broken off by a reset."""

    codes: int
    resets: int


def gemm_verilog(spec: MacSpec, **parameters: Any) -> str:
    """The Verilog of a module `gemm` with these parameters of `Gemm`."""
    flat = FlatUnit(Gemm(spec, **parameters))
    return emit_modules(flat, "gemm", flat.signals)


def run_gemm_bench(
    spec: MacSpec, *, rows: int, columns: int, depth: int, stages: int = 0,
    jobs: int = 8, seed: int = 0, verilog: str | None = None,
) -> GemmReport:  # fmt: skip
    """Random matrix products on a gemm, all its channels pausing at random, some broken off; compare all results.

    Parameters
    ----------
    spec : MacSpec
    rows, columns, depth, stages : int
        The parameters of `Gemm`.
    jobs : int
        Products; every fourth is broken off by a reset, of the design or by register.
    seed : int
    verilog : str, optional
        The text to run in place of the one emitted, of a module `gemm`.

    Raises
    ------
    MismatchError
        If a result or a register is wrong, a beat lost or doubled, or nothing was compared.
    MissingToolError
        If Icarus, cocotb or cocotbext-axi is not there.
    """
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise ValueError(f"run_gemm_bench: jobs must be a positive integer, not {jobs!r}: nothing would be checked")
    find_icarus()
    for package in ("cocotb", "cocotbext"):
        if find_spec(package) is None:
            name = package.replace("ext", "ext-axi")
            raise MissingToolError(f"Python package {name}", "the bench of the gemm", 'pip install "positcore[sim]"')
    registers = gemm_registers(spec, rows=rows, columns=columns, depth=depth)
    products = _products(spec, jobs, seed, rows=rows, columns=columns, depth=depth)
    with tempfile.TemporaryDirectory(prefix="positcore-") as name:
        folder = Path(name)
        (folder / "gemm.v").write_text(
            verilog or gemm_verilog(spec, rows=rows, columns=columns, depth=depth, stages=stages)
        )
        (folder / "plan.json").write_text(json.dumps(_plan(registers, products, seed)))
        log = _run(folder)
        outcome = folder / "outcome.json"
        found: dict[str, Any] = {"fault": f"no outcome\n{log[-2000:]}"}
        if outcome.exists():
            found = json.loads(outcome.read_text())
    what = (
        f"run_gemm_bench({spec!r}, rows={rows}, columns={columns}, depth={depth}, stages={stages}, "
        f"jobs={jobs}, seed={seed})"
    )
    if found["fault"]:
        raise MismatchError(f"{what}: {found['fault']}")
    codes = 0
    for number, text in found["results"].items():
        job, expected = products[int(number)]
        got = bytes.fromhex(text)
        if len(got) != job.size:
            raise MismatchError(f"{what}: job {number}: {len(got)} bytes of results in place of {job.size}")
        wrong = np.argwhere(job.product(got) != expected)
        if wrong.size:
            row, column = wrong[0].tolist()
            raise MismatchError(
                f"{what}: job {number}: C[{row}, {column}]: RTL {job.product(got)[row, column]} "
                f"!= golden {expected[row, column]}"
            )
        codes += expected.size
    if not codes:
        raise MismatchError(f"{what}: the bench compared nothing")
    return GemmReport(codes, found["resets"])


def _products(spec: MacSpec, jobs: int, seed: int, **sizes: int) -> list[tuple[GemmJob, NDArray[Any]]]:
    """Random products, some longer than the buffers, with their golden results; NaR in some of them."""
    rng = np.random.default_rng(seed)
    products = []
    for _ in range(jobs):
        m, n = rng.integers(1, 3 * sizes["rows"] + 1), rng.integers(1, 3 * sizes["columns"] + 1)
        k = rng.integers(1, rng.choice([sizes["depth"] // 2 + 2, 2 * sizes["depth"] + 3]))  # fits its ring, or not
        a = rng.integers(0, 1 << spec.a.n, (m, k)).astype(spec.a.dtype)
        b = rng.integers(0, 1 << spec.b.n, (k, n)).astype(spec.b.dtype)
        a[a == spec.a.nar], b[b == spec.b.nar] = 0, 0
        bias = [None, a[:, :1].copy(), a[0, 0]][rng.integers(3)]
        if rng.random() < 0.3:
            a[rng.integers(m), rng.integers(k)] = spec.a.nar
        job = plan(spec, a, b, bias, **sizes)
        products.append((job, matmul(spec, a, b, bias)))
    return products


def _plan(table: tuple[Register, ...], products: list[tuple[GemmJob, NDArray[Any]]], seed: int) -> dict[str, Any]:
    registers = {register.name: register for register in table}
    control, status = registers["control"], registers["status"]
    return {
        "seed": seed,
        "constants": [(r.address, r.value) for r in table if r.kind is Kind.CONSTANT],
        "nowhere": table[-1].address + 4,
        "control": control.address, "start": control.mask("start"), "reset": control.mask("reset"),
        "status": status.address, "done": status.mask("done"), "tiles": registers["tiles"].address,
        "jobs": [
            {
                "settings": [(registers[name].address, word) for name, word in job.settings.items()],
                "a": job.bytes_a.hex(), "b": job.bytes_b.hex(),
                "tiles": job.settings["row_tiles"] * job.settings["column_tiles"],
                "reset": 3 + number if number % 4 == 1 else 0,
            }
            for number, (job, _) in enumerate(products)
        ],
    }  # fmt: skip


def _run(folder: Path) -> str:
    """Build and run in a process of its own, which leaves this one's environment alone; gives what it said."""
    program = (
        "from cocotb_tools.runner import get_runner\n"
        "runner = get_runner('icarus')\n"
        "runner.build(sources=['gemm.v'], hdl_toplevel='gemm', build_dir='build', timescale=('1ns', '1ps'))\n"
        "runner.test(hdl_toplevel='gemm', test_module='positcore.sim.axi_bench', build_dir='build', test_dir='.',\n"
        "            results_xml='results.xml', timescale=('1ns', '1ps'))\n"
    )
    # cocotb's runner behaves otherwise where it believes that pytest runs it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    return done.stdout + done.stderr
