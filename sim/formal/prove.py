"""`prove_formally`: a class of proofs for a design, and what it found."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from positcore.errors import MismatchError, UndecidedError
from positcore.files import write_aside
from positcore.hw.emit import emit_verilog
from positcore.hw.units import Design
from positcore.sim.formal.engine import Verdict, always_false, never_reached, prover
from positcore.sim.formal.harness import COVERS, HANDSHAKE, handshake_harness, pipeline_harness, table_harness

__all__ = ["PROPERTIES", "FormalReport", "failure", "prove_formally"]

PROPERTIES = ("handshake", "table", "pipeline")
Alter = Callable[[str], str]


@dataclass(frozen=True)
class FormalReport:
    """What was proven of a design.

    Parameters
    ----------
    unit, spec, stages
        The design.
    property : str
        handshake, table, pipeline or netlist.
    proven : tuple of str
        In words.
    tool : str
    seconds : float
    """

    unit: str
    spec: str
    stages: int
    property: str
    proven: tuple[str, ...]
    tool: str
    seconds: float

    @classmethod
    def of(cls, design: Design, name: str, proven: tuple[str, ...], start: float) -> FormalReport:
        """The report of a proof that began at `start`, by `time.perf_counter`."""
        seconds = round(time.perf_counter() - start, 1)
        return cls(design.unit.name, design.spec_text, design.stages, name, proven, prover(), seconds)

    def json(self) -> str:
        """The report as JSON."""
        return json.dumps(asdict(self), indent=2)

    def __str__(self) -> str:
        lines = "".join(f"\n  proven: {line}" for line in self.proven)
        stages = f", {self.stages} stages" if self.stages else ""
        return f"{self.unit} {self.spec}{stages}: {self.property} ({self.tool}, {self.seconds} s){lines}"


def failure(
    design: Design, name: str, what: str, verdict: Verdict | None = None, waveforms: Path | str | None = None
) -> MismatchError:
    """A proof that failed, with the command that fails again; of a verdict with its inputs, cycle by cycle.

    Their waveform goes to `<design>_<name>.vcd` in the folder `waveforms`, where that is told.
    """
    again = f"again: {design.command.replace('generate', 'formal', 1)} --property {name}"
    if verdict is None or verdict.show is None:
        return MismatchError(f"{design}: {name}: {what}; {again}")
    try:
        trace = verdict.show()
    except UndecidedError as error:
        return MismatchError(f"{design}: {name}: {what} within {verdict.depth} cycles; {again}\n  no waveform: {error}")
    what += f" in cycle {len(trace.cycles) - 1}"
    if waveforms is not None:
        path = Path(waveforms) / f"{design.name}_{name.replace(' --target ', '_')}.vcd"
        write_aside(path, lambda aside: aside.write_text(trace.vcd, encoding="utf-8"))
        what += f"; waveform: {path}"
    lines = [
        f"  cycle {number}: " + ", ".join(f"{port}={value}" for port, value in cycle.items())
        for number, cycle in enumerate(trace.cycles)
    ]
    return MismatchError("\n".join([f"{design}: {name}: {what}; {again}", *lines]))


def prove_formally(
    design: Design, name: str, *, alter: Alter | None = None, waveforms: Path | str | None = None
) -> FormalReport:
    """Prove a class of properties of the Verilog that is emitted for a design.

    handshake: of a unit with streams, whatever the two sides do and whenever reset comes, for all time: a result stays,
    unchanged, until it is taken; none is lost or doubled; items are refused only for want of room; reset empties the
    unit. table: its outputs are the golden model's, of a pipeline after its latency, of an iterative unit for all time.
    pipeline: a pipelined unit computes what the one without registers does, from any state of its registers.

    Parameters
    ----------
    design : Design
    name : str
        handshake, table or pipeline.
    alter : callable, optional
        Changes the Verilog of the design: how tests plant faults.
    waveforms : path, optional
        The folder for the waveform of a counterexample; none is written unless told.

    Raises
    ------
    ValueError
        If the unit has no such property, or a table would be too large.
    MismatchError
        If a property does not hold, with the inputs of each cycle until it breaks, and the waveform's file.
    UndecidedError
        If the tool does not decide.
    """
    if name not in PROPERTIES:
        raise ValueError(f"formal: the property must be one of {', '.join(PROPERTIES)}, netlist, not {name!r}")
    prover()
    start = time.perf_counter()
    proof = {"handshake": _handshake, "table": _table, "pipeline": _pipeline}[name]
    text = emit_verilog(design)
    return FormalReport.of(design, name, proof(design, alter(text) if alter else text, waveforms), start)


def _handshake(design: Design, text: str, waveforms: Path | str | None) -> tuple[str, ...]:
    if design.unit.kind not in ("stream", "dot", "operations"):
        raise ValueError(
            f"formal: handshakes are proven of mac, dot, quire and iterative units, which {design.unit.name} is not"
        )
    verdicts = never_reached(text + handshake_harness(design), "harness", [*HANDSHAKE, *COVERS])
    for name, what in HANDSHAKE.items():
        if not verdicts[name].proven:
            raise failure(design, "handshake", f"{what},", verdicts[name], waveforms)
    for name in COVERS:
        if verdicts[name].proven:
            raise failure(design, "handshake", f"the unit never {name}, so that nothing was proven")
    return tuple(f"never: {what}" for what in HANDSHAKE.values())


def _table(design: Design, text: str, waveforms: Path | str | None) -> tuple[str, ...]:
    if design.unit.kind not in ("vector", "stream"):
        raise ValueError(f"formal: {design.unit.name} sums, and has no table; use positcore verify")
    text += table_harness(design)
    if design.unit.streaming:
        verdict = never_reached(text, "harness", ["bad"])["bad"]
    else:
        verdict = always_false(text, "harness", skip=design.latency)
    _check(design, "table", verdict, waveforms)
    return ("its results are those of the golden model's table, for all inputs",)


def _pipeline(design: Design, text: str, waveforms: Path | str | None) -> tuple[str, ...]:
    if design.unit.streaming or not design.stages:
        raise ValueError(f"formal: a pipeline is a unit without a handshake, and with stages; {design} is none")
    plain = replace(design, stages=0)
    text += emit_verilog(plain) + pipeline_harness(design, plain)
    verdict = always_false(text, "harness", skip=design.latency)
    _check(design, "pipeline", verdict, waveforms)
    return (f"its results are those of the unit without registers, {design.latency} cycles later, from any state",)


def _check(design: Design, name: str, verdict: Verdict, waveforms: Path | str | None) -> None:
    if not verdict.proven:
        raise failure(design, name, "the outputs differ", verdict, waveforms)
