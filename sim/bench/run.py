"""`run_bench`: a cocotb bench of a unit with a handshake, on the very Verilog text that `positcore generate` emits."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from positcore.errors import MismatchError
from positcore.files import write_aside
from positcore.format import PositFormat
from positcore.hw.block_design import block_design_name, block_design_wrapper
from positcore.hw.emit import emit_verilog
from positcore.hw.units import UNITS, Design
from positcore.mac import MacSpec
from positcore.sim.bench.coverage import Coverage
from positcore.sim.bench.products import BARE, BLOCK_DESIGN, check_products, product_plan, random_products
from positcore.sim.bench.simulators import Simulator, find_simulator
from positcore.sim.bench.stream_plan import stream_plan

__all__ = ["BenchReport", "run_bench"]

DEFAULT_PACKETS = 200
DEFAULT_PRODUCTS = 24


@dataclass(frozen=True)
class BenchReport:
    """What a bench did. It has compared something, and found no difference.

    Parameters
    ----------
    unit, spec : str
        What ran.
    stages : int
        Its pipeline stages.
    simulator : str
        With its version.
    seed : int
    packets : int
        Packets or products planned; some are broken off by resets.
    results : int
        Results compared, all equal; of the gemm, codes.
    resets : int
        In mid-stream.
    cycles : int
        Of the clock.
    coverage : dict
        How often each bin was hit, by group.
    """

    unit: str
    spec: str
    stages: int
    simulator: str
    seed: int
    packets: int
    results: int
    resets: int
    cycles: int
    coverage: dict[str, dict[str, int]]

    @property
    def holes(self) -> list[str]:
        """The bins that were never hit, as `group: bin`."""
        return Coverage.of_counts(self.coverage).holes

    def json(self) -> str:
        """The report as JSON."""
        return json.dumps(asdict(self) | {"holes": self.holes}, indent=2)

    def __str__(self) -> str:
        return (
            f"{self.unit} {self.spec}: {self.packets:,} packets, {self.results:,} results compared, 0 mismatches, "
            f"{self.resets} resets, {self.cycles:,} cycles (seed {self.seed}, {self.simulator})\n"
            f"{Coverage.of_counts(self.coverage)}"
        )


def run_bench(
    spec: PositFormat | MacSpec,
    *,
    unit: str = "mac",
    stages: int = 0,
    packets: int | None = None,
    seed: int = 0,
    simulator: str | None = None,
    verilog: str | None = None,
    waveforms: Path | str | None = None,
    block_design: bool = False,
    **options: Any,
) -> BenchReport:
    """Drive a unit with pauses on all sides and resets in mid-stream, and compare every result with the golden model.

    Parameters
    ----------
    spec : PositFormat or MacSpec
    unit : str
        One with a handshake: mac, dot, quire, div-iterative, sqrt-iterative, gemm.
    stages : int
        Pipeline stages of the unit.
    packets : int, optional
        Dot products, bursts or runs of operations, 200 unless told; of the gemm, matrix products, 24 unless told.
    seed : int
    simulator : str, optional
        icarus or verilator; Icarus, where it is there, unless told.
    verilog : str, optional
        The text to run in place of the one emitted for the design.
    waveforms : path, optional
        The folder for the waveform of a failure; none is written unless told.
    block_design : bool
        Of the gemm: within the module that `positcore export` puts around it for block designs.
    **options
        The unit's own, as for `Design`.

    Raises
    ------
    MismatchError
        If a result is wrong, lost, doubled, or changes while it waits; a register is wrong; or nothing was compared.
    ValueError
        If the unit has no handshake or no block design, the simulator is unknown, or there is nothing to send.
    MissingToolError
        If the simulator, cocotb or cocotbext-axi is not there.
    """
    design = Design.of(unit, spec, stages, **options)
    if not design.unit.streaming:
        streaming = ", ".join(name for name, each in UNITS.items() if each.streaming)
        raise ValueError(f"bench: {unit} has no handshake; the units that have one are {streaming}; use verify")
    bus = design.unit.kind == "bus"
    if block_design and not bus:
        raise ValueError(f"bench: there is no block design of {unit}; gemm has one")
    if packets is None:
        packets = DEFAULT_PRODUCTS if bus else DEFAULT_PACKETS
    if isinstance(packets, bool) or not isinstance(packets, int) or packets < 1:
        raise ValueError(f"bench: packets must be a positive integer, not {packets!r}: nothing would be checked")
    runner = find_simulator(simulator, axi=bus)
    products = random_products(design, packets, seed) if bus else []
    ports = BLOCK_DESIGN if block_design else BARE
    plan = product_plan(design, products, seed, ports) if bus else stream_plan(design, packets, seed)
    top = block_design_name(design) if block_design else design.name
    wrapper = block_design_wrapper(design) if block_design else ""
    side = f"positcore.sim.bench.{'axi' if bus else 'streams'}"
    with tempfile.TemporaryDirectory(prefix="positcore-") as name:
        folder = Path(name)
        (folder / "unit.v").write_text(verilog or emit_verilog(design) + wrapper)
        (folder / "plan.json").write_text(json.dumps(plan))
        found = _run(runner, folder, top, side)
        try:
            if found["fault"]:
                raise MismatchError(found["fault"])
            results = check_products(products, found["results"]) if bus else found["results"]
            if not results:
                raise MismatchError("the bench compared nothing")
        except MismatchError as error:
            path = _waveform(runner, folder, top, side, Path(waveforms)) if waveforms is not None else None
            shown = f"; waveform: {path}" if path else ""
            command = design.command.replace("generate", "verify", 1)
            inside = " --block-design" if block_design else ""
            again = f"{command} --bench {runner.name}{inside} --packets {packets} --seed {seed}"
            raise MismatchError(f"{design}: {error}{shown}; again: {again}") from None
    return BenchReport(
        unit, design.spec_text, stages, f"{runner.version}", seed, packets, results, found["resets"],
        found["cycles"], found["coverage"],
    )  # fmt: skip


def _run(runner: Simulator, folder: Path, top: str, side: str, *, waves: bool = False) -> dict[str, Any]:
    """What the side inside the simulator told, or that it told nothing."""
    outcome = folder / "outcome.json"
    outcome.unlink(missing_ok=True)
    said = runner.run(folder, top, side, waves=waves)
    if not outcome.exists():
        return {"fault": f"no outcome\n{said}"}
    found: dict[str, Any] = json.loads(outcome.read_text())
    return found


def _waveform(runner: Simulator, folder: Path, top: str, side: str, target: Path) -> Path | None:
    """Run once more, which does the same, and keep its signals; None where the text does not even compile."""
    for path in folder.iterdir():
        if path.name == "build":
            path.rename(folder / "without_waves")
    _run(runner, folder, top, side, waves=True)
    signals = runner.waveform(folder, top)
    if signals is None:
        return None
    path = target / f"{top}_bench{signals.suffix}"
    write_aside(path, lambda aside: aside.write_bytes(signals.read_bytes()))
    return path
