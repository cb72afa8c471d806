"""Scripts that make a project for a vendor's tool: written by edalize, for the place where they will lie."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from positcore.errors import MissingToolError
from positcore.fpga.vendors.tools import VendorTool

__all__ = ["project_scripts"]


def project_scripts(tool: VendorTool, name: str, top: str, files: Mapping[str, str], part: str) -> dict[str, str]:
    """The scripts of a project, by their names.

    Parameters
    ----------
    tool : VendorTool
    name : str
        Of the project.
    top : str
        Of the top module.
    files : mapping
        What kind each file of the project is, as edalize calls it, by its path from where the scripts will lie.
    part : str

    Raises
    ------
    MissingToolError
        If edalize is not installed.
    """
    if find_spec("edalize") is None:
        raise MissingToolError(
            "Python package edalize", "the project scripts of vendors' tools", 'pip install "positcore[export]"'
        )
    edam = {
        "name": name,
        "toplevel": top,
        "files": [{"name": path, "file_type": kind} for path, kind in files.items()],
    }
    with tempfile.TemporaryDirectory(prefix="positcore-") as folder, _silence("edalize"):
        _backend(tool, edam, part, folder).configure()
        return {
            f"{name}{ending}.tcl": Path(folder, f"{name}{ending}.tcl").read_text(encoding="utf-8").rstrip() + "\n"
            for ending in tool.scripts
        }


def _backend(tool: VendorTool, edam: dict[str, Any], part: str, folder: str) -> Any:
    """What edalize has for the tool: a flow, or one of its older tools."""
    options = tool.options(part)
    module = import_module(f"edalize.{'flows.' if tool.flow else ''}{tool.name}")
    given = {"flow_options": options} if tool.flow else {"tool_options": {tool.name: options}}
    return getattr(module, tool.name.capitalize())(edam | given, folder)


@contextmanager
def _silence(name: str) -> Iterator[None]:
    """Without the warnings of a logger, such as that a vendor's tool is not there, which only runs the scripts."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
