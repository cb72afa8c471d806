"""Netlists as logic again: the cells of a family replaced by models of what they do, mostly Yosys's."""

from __future__ import annotations

import re
from importlib.resources import files

from positcore.fpga.kept import build_folder, keep, kept, packed, unpacked
from positcore.fpga.targets import target
from positcore.fpga.yosys import run_yosys, yosys_package

__all__ = ["as_logic", "model_files", "synthesised"]

_OWN = "ecp5_cells.v"
# Of the cells of targets, without DSPs and with them.
_MODELS = {
    ("ecp5", False): f"+/ecp5/cells_sim.v {_OWN}",
    ("ecp5", True): f"+/ecp5/cells_sim.v {_OWN}",
    ("ice40", False): "-D ICE40_HX +/ice40/cells_sim.v",
    ("ice40", True): "-D ICE40_U +/ice40/cells_sim.v",
    ("gowin", False): "+/gowin/cells_sim.v",
    ("xc7", False): "+/xilinx/cells_sim.v",
    ("xc7", True): "+/xilinx/cells_sim.v",
}


def as_logic(target_name: str, dsp: bool, module: str) -> list[str]:
    """The Yosys commands that make logic of a module of cells; they read `model_files`.

    Raises
    ------
    ValueError
        If the target's cells have no models, or its DSPs none.
    """
    if (target_name, dsp) not in _MODELS:
        having = ", ".join(name for name, blocks in _MODELS if blocks == dsp)
        cells = "cells with DSPs" if dsp else "cells"
        raise ValueError(f"there are models of the {cells} of the targets {having}, not of {target_name!r}")
    return [
        f"read_verilog -defer -overwrite {_MODELS[target_name, dsp]}",  # those in use alone: ice40 has a large RAM
        f"hierarchy -top {module}",
        "proc",
        "flatten",
    ]


def model_files() -> dict[str, str]:
    """The files that `as_logic` reads, besides Yosys's own."""
    return {_OWN: (files(__package__) / _OWN).read_text(encoding="utf-8")}


def synthesised(rtlil: str, target_name: str, dsp: bool = True) -> str:
    """The netlist that Yosys makes of a design for a target, in the models of its cells: RTLIL in, RTLIL out.

    It is kept under a hash of the design, the models and Yosys's version.

    Parameters
    ----------
    rtlil : str
        A design whose top module is called `unit`.
    target_name : str
    dsp : bool
        Whether products go into DSPs.

    Raises
    ------
    ValueError
        If the target's cells have no models, or its DSPs none, or one in the netlist has none.
    SynthesisError
        If Yosys fails.
    """
    script = "\n".join(
        [
            "read_rtlil unit.il",
            *target(target_name).synthesis(dsp, "unit"),
            "design -stash netlist",
            "design -copy-from netlist -as unit unit",
            *as_logic(target_name, dsp, "unit"),
            "opt",
            "splitcells",  # a bit at a time: carry chains are loops of words, but of no bits
            "splitnets",
            "opt",
            "opt_clean -purge",
            "rename -hide w:* x:* %d",
            "rename -enumerate -pattern n%",
            "write_rtlil netlist.il",
        ]
    )
    sources = {"unit.il": rtlil} | model_files()
    key = (*sources.values(), script, yosys_package())
    if (found := kept(key, ("netlist",), lambda text: unpacked(text).decode())) is not None:
        return found
    with build_folder() as folder:
        for file, text in sources.items():
            (folder / file).write_text(text, encoding="utf-8")
        run_yosys(script, folder)
        netlist = (folder / "netlist.il").read_text(encoding="utf-8")
    if left := sorted(set(re.findall(r"^  cell (?:\$paramod\S*)?\\(\S+)", netlist, re.M))):
        raise ValueError(f"these cells of the netlist for {target_name} have no model: {', '.join(left)}")
    keep(key, {"netlist": packed(netlist.encode())})
    return netlist
