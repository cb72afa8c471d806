"""`prove_netlist`: the emitted Verilog and what Yosys synthesises of it for an FPGA compute the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from positcore.fpga.cell_models import as_logic, model_files
from positcore.fpga.targets import target
from positcore.hw.emit import emit_verilog, unit_ports
from positcore.hw.units import Design
from positcore.sim.formal.engine import always_false, never_reached
from positcore.sim.formal.prove import FormalReport, failure

__all__ = ["prove_netlist"]


def prove_netlist(
    design: Design,
    target_name: str = "ecp5",
    *,
    alter: Callable[[str], str] | None = None,
    waveforms: Path | str | None = None,
) -> FormalReport:
    """Prove that the netlist, in the simulation models of its cells, has the outputs of the Verilog it is made from.

    Of a unit without a handshake for all inputs and all states of its registers, by SAT; of one with streams for all
    time from its first state, by signal correspondence and reachability.

    Parameters
    ----------
    design : Design
    target_name : str
        ecp5, ice40, gowin or xc7. A design that is written for DSPs is mapped to them; those of gowin have no models.
    alter : callable, optional
        Changes the Verilog that is synthesised, and not the one that it is compared with: how tests plant faults.
    waveforms : path, optional
        The folder for the waveform of a counterexample; none is written unless told.

    Raises
    ------
    ValueError
        If the target has no models of its cells.
    MismatchError
        If they differ, with the inputs of each cycle until then, and the waveform's file.
    UndecidedError
        If the tool does not decide.
    """
    dsp = bool(design.dsp)
    gate = as_logic(target_name, dsp, "gate")
    start = time.perf_counter()
    text = emit_verilog(design)
    ports = unit_ports(design)
    outputs = [port.name for port in ports if port.direction == "output"]
    prepare = "\n".join(
        [
            "read_verilog synthesised.v",
            *target(target_name).synthesis(dsp, design.name),
            f"rename {design.name} gate",
            "design -stash netlist",
            "read_verilog unit.v",
            f"hierarchy -top {design.name}",
            "proc -norom",
            "flatten",
            f"rename {design.name} gold",
            "design -stash text",
            "design -copy-from text -as gold gold",
            "design -copy-from netlist -as gate gate",
            *gate,
            "design -copy-from text -as gold gold",
            "miter -equiv -flatten -make_outputs gold gate miter",
            "cd miter",
            "rename trigger bad",
            "cd ..",
        ]
    )
    files = {"synthesised.v": alter(text) if alter else text} | model_files()
    if design.unit.streaming:
        verdict = never_reached(text, "miter", ["bad"], prepare=prepare, files=files)["bad"]
    else:
        verdict = always_false(text, "miter", skip=design.latency, prepare=prepare, files=files)
    if not verdict.proven:
        where = f"an output of {', '.join(outputs)} differs"
        raise failure(design, f"netlist --target {target_name}", where, verdict, waveforms)
    return FormalReport.of(design, "netlist", (f"the netlist for {target_name} has the outputs of the Verilog",), start)
