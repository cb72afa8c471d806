"""`prove_netlist`: the emitted Verilog and what Yosys synthesises of it for an FPGA compute the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from positcore.fpga.targets import target
from positcore.hw.emit import emit_verilog, unit_ports
from positcore.hw.units import Design
from positcore.sim.formal.engine import always_false, never_reached
from positcore.sim.formal.prove import FormalReport, failure

__all__ = ["prove_netlist"]

# Of the cells of targets, without DSPs and with them.
_MODELS = {
    ("ecp5", False): "+/ecp5/cells_sim.v",
    ("ecp5", True): "+/ecp5/cells_sim.v multiplier.v",
    ("ice40", False): "-D ICE40_HX +/ice40/cells_sim.v",
    ("ice40", True): "-D ICE40_U +/ice40/cells_sim.v",
    ("gowin", False): "+/gowin/cells_sim.v",
    ("xc7", False): "+/xilinx/cells_sim.v",
    ("xc7", True): "+/xilinx/cells_sim.v",
}


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
    if (target_name, dsp) not in _MODELS:
        having = ", ".join(name for name, blocks in _MODELS if blocks == dsp)
        raise ValueError(
            f"formal: netlists{' with DSPs' * dsp} are proven of the targets {having}, not {target_name!r}"
        )
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
            f"read_verilog -defer -overwrite {_MODELS[target_name, dsp]}",  # those in use alone: ice40 has a large RAM
            "hierarchy -top gate",
            "proc",
            "flatten gate",
            "design -copy-from text -as gold gold",
            "miter -equiv -flatten -make_outputs gold gate miter",
            "cd miter",
            "rename trigger bad",
            "cd ..",
        ]
    )
    files = {"synthesised.v": alter(text) if alter else text, "multiplier.v": _mult18x18d()}
    if design.unit.streaming:
        verdict = never_reached(text, "miter", ["bad"], prepare=prepare, files=files)["bad"]
    else:
        verdict = always_false(text, "miter", skip=design.latency, prepare=prepare, files=files)
    if not verdict.proven:
        where = f"an output of {', '.join(outputs)} differs"
        raise failure(design, f"netlist --target {target_name}", where, verdict, waveforms)
    return FormalReport.of(design, "netlist", (f"the netlist for {target_name} has the outputs of the Verilog",), start)


def _mult18x18d() -> str:
    """ECP5's multiplier without registers: Yosys has no model (Lattice, ECP5 sysDSP Usage Guide)."""
    inputs = [f"{name}{bit}" for name in "ABC" for bit in range(18)] + ["SIGNEDA", "SIGNEDB", "SOURCEA", "SOURCEB"]
    outputs = [f"P{bit}" for bit in reversed(range(36))]
    a, b = (", ".join(f"{name}{bit}" for bit in reversed(range(18))) for name in "AB")
    return (
        f"module MULT18X18D(input {', '.join(inputs)}, output {', '.join(outputs)});\n"
        f"  wire signed [18:0] a = {{SIGNEDA & A17, {a}}};\n"
        f"  wire signed [18:0] b = {{SIGNEDB & B17, {b}}};\n"
        f"  wire signed [37:0] product = a * b;\n"
        f"  assign {{{', '.join(outputs)}}} = product[35:0];\n"
        "endmodule\n"
    )
