"""From a board and an array to a bitstream, with tools from pip alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from positcore.fpga.bitstream import Bitstream, TimingError
from positcore.fpga.boards.description import BOARDS, Board, board
from positcore.fpga.boards.pll import find_pll, mhz_text
from positcore.fpga.boards.top import BoardTop
from positcore.fpga.kept import build_folder, keep, kept, packed, unpacked
from positcore.fpga.nextpnr import Routed, nextpnr_package, parse_routed, run_nextpnr
from positcore.fpga.parts import TooLargeError, smaller_design
from positcore.fpga.place import Place
from positcore.fpga.targets import target
from positcore.fpga.yosys import run_yosys, yosys_package
from positcore.fpga.yowasp import SynthesisError, failure, run_tool
from positcore.hw.board import BoardDesign
from positcore.hw.uart import MOST_CLOCKS
from positcore.hw.units import Design
from positcore.mac import MacSpec
from positcore.version import __version__

__all__ = ["Plan", "build", "clocks_per_bit", "plan"]

CONSTRAINTS = {"ecp5": "lpf", "ice40": "pcf"}
WRONG_BAUD = 0.02


@dataclass(frozen=True)
class Plan:
    """What is built: a board, the design on it, and how often nextpnr may try.

    Parameters
    ----------
    board : Board
    design : BoardDesign
    place : Place
    """

    board: Board
    design: BoardDesign
    place: Place = field(default_factory=Place)

    @property
    def command(self) -> str:
        """The command that builds it, less its `-o`."""
        array, facts = self.design.design, self.design
        words = array.command.removeprefix("positcore generate gemm ").replace(" --dsp", "")
        if not array.stages:
            words += " --stages 0"
        if "--carry-bits" not in words:
            words += " --carry-bits 31"
        return (
            f"positcore build --board {self.board.name} {words} --frequency {mhz_text(facts.clock_hz)} "
            f"--baud {facts.baud:.0f} --seeds {self.place.seeds}"
        )


def plan(
    name: str,
    *,
    spec: MacSpec | None = None,
    rows: int | None = None,
    columns: int | None = None,
    depth: int | None = None,
    stages: int | None = None,
    frequency_hz: int | None = None,
    baud: int | None = None,
    seeds: int = 3,
) -> Plan:
    """What is built for a board, checked; what is not told is what suits the board.

    Raises
    ------
    ValueError
        If there is no such board, it cannot make that clock, or the clock that baud rate, or the array has no such
        parameters.
    """
    chosen = board(name)
    hz = chosen.frequency_hz if frequency_hz is None else frequency_hz
    array = Design.of(
        "gemm", chosen.spec if spec is None else spec, chosen.stages if stages is None else stages,
        rows=chosen.rows if rows is None else rows, columns=chosen.columns if columns is None else columns,
        depth=chosen.depth if depth is None else depth, dsp=True,
    )  # fmt: skip
    design = BoardDesign(array, name, hz, _clocks_per_bit_on(chosen, hz, chosen.baud if baud is None else baud))
    return Plan(chosen, design, Place(seeds))


def _clocks_per_bit_on(chosen: Board, hz: int, baud: int) -> int:
    """The whole clocks that a bit takes on a board that can make such a clock; ValueError if it cannot."""
    if hz != chosen.in_hz:
        find_pll(chosen.family, chosen.in_hz, hz)
    return clocks_per_bit(hz, baud)


def clocks_per_bit(clock_hz: int, baud: int) -> int:
    """The whole clocks that a bit takes.

    Raises
    ------
    ValueError
        If the clock is not 8 to 65535 times the baud rate, or makes one that is more than 2 percent off.
    """
    if baud <= 0:
        raise ValueError(f"build: baud must be positive, not {baud}")
    clocks = max(round(clock_hz / baud), 1)
    if clocks > MOST_CLOCKS:
        raise ValueError(
            f"build: a clock of {mhz_text(clock_hz)} MHz makes no {baud} baud, for which a bit takes {MOST_CLOCKS} "
            f"clocks at most; take {-(-clock_hz // MOST_CLOCKS)} baud or more"
        )
    if clocks < 8 or abs(clock_hz / clocks / baud - 1) > WRONG_BAUD:
        rates = [clock_hz // count for count in range(8, 1000) if clock_hz % count == 0]
        near = sorted(rates, key=lambda rate: abs(rate - baud))[:3]
        raise ValueError(
            f"build: a clock of {mhz_text(clock_hz)} MHz makes no {baud} baud, for which a bit takes a whole number of "
            f"clocks, 8 or more; take one of: {', '.join(map(str, sorted(near)))}"
        )
    return clocks


def build(planned: Plan, *, progress: Callable[[str], None] | None = None) -> Bitstream:
    """Synthesize, place, route and pack; the seeds 1, 2, … are tried until one meets the clock.

    The netlist and the bitstream are kept under a hash of all that they are made from, so that a second run is
    quick and an interrupted one goes on.

    Parameters
    ----------
    planned : Plan
    progress : callable, optional
        Is told what comes next, before each run of a tool.

    Raises
    ------
    MissingToolError
        If a tool or amaranth-boards is not installed.
    SynthesisError
        If a tool fails, or the array is too large for the part.
    TimingError
        If no seed meets the clock.
    """
    tell = progress or (lambda message: None)
    chosen = planned.board
    tools = (yosys_package(), nextpnr_package(chosen.device))
    files = _sources(planned)
    key = (
        "bitstream",
        __version__,
        *tools,
        *chosen.device.options,
        *(t for item in sorted(files.items()) for t in item),
    )
    with build_folder() as folder:
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
        seconds, log = _synthesized(key, folder, tell)
        clocks: list[float] = []
        for seed in range(1, planned.place.seeds + 1):
            report, tail, data, took = _routed(planned, key, folder, seed, tell)
            run = parse_routed(report, None)
            clocks.append(run.fmax_mhz)
            if run.fmax_mhz * 1e6 >= planned.design.clock_hz:
                break
        else:
            raise TimingError(_too_slow(planned, run, clocks))
    made = {"yosys.log": log, "nextpnr.log": tail, "timing.json": report}
    return Bitstream(
        board=chosen.name, part=chosen.device.part, spec=planned.design.design.spec_text, module=planned.design.name,
        clock_mhz=planned.design.clock_hz / 1e6, fmax_mhz=run.fmax_mhz, baud=planned.design.baud, used=run.used,
        available=run.available, seed=seed, fmax_by_seed_mhz=tuple(clocks),
        critical_ns=round(run.logic_ns + run.routing_ns, 2), critical_path=run.path,
        seconds={"Yosys": seconds, "nextpnr": took}, tools=tools, command=planned.command, loader=chosen.loader,
        file=chosen.bitstream, files=files | made, data=data,
    )  # fmt: skip


def _sources(planned: Plan) -> dict[str, str]:
    """What the tools read: the Verilog, the top around it, the script and the pins."""
    chosen = planned.board
    platform = chosen.open_platform()
    first, *rest = target(chosen.family).synthesis(True, "top")
    options = first.replace(" -top top", "").partition(" ")[2]  # amaranth names command and module
    files = platform.prepare(
        BoardTop(chosen, planned.design), "top", emit_src=False, synth_opts=options, script_after_synth="\n".join(rest)
    ).files  # fmt: skip
    wanted = ("board.v", "top.il", "top.ys", f"top.{CONSTRAINTS[chosen.family]}")
    return {name: files[name] if isinstance(files[name], str) else files[name].decode() for name in wanted}


def _synthesized(key: tuple[str, ...], folder: Path, tell: Callable[[str], None]) -> tuple[float, str]:
    """The netlist, as top.json in the folder; gives the seconds that it took, and Yosys's log."""
    found = kept(
        (*key, "netlist"), ("netlist", "log", "seconds"), lambda net, log, took: (unpacked(net), float(took), log)
    )
    if found is not None:
        (folder / "top.json").write_bytes(found[0])
        return found[1:]
    tell("synthesizing with Yosys")
    began = time.monotonic()
    run_yosys((folder / "top.ys").read_text(encoding="utf-8"), folder)
    seconds = round(time.monotonic() - began, 1)
    if not (folder / "top.json").exists():
        raise SynthesisError("Yosys wrote no netlist top.json")
    log = _log(folder / "yosys.log")[-20000:]
    netlist = packed((folder / "top.json").read_bytes())
    keep((*key, "netlist"), {"netlist": netlist, "log": log, "seconds": str(seconds)})
    return seconds, log


def _routed(
    planned: Plan, key: tuple[str, ...], folder: Path, seed: int, tell: Callable[[str], None]
) -> tuple[str, str, bytes, float]:
    """The report, the log and the bitstream of a seed, and the seconds that nextpnr took."""
    chosen, mhz = planned.board, mhz_text(planned.design.clock_hz)
    found = kept((*key, mhz, str(seed)), ("report", "log", "bitstream", "seconds"), _kept_run)
    if found is not None:
        return found
    tell(f"placing and routing with nextpnr, seed {seed} of {planned.place.seeds}")
    ecp5 = chosen.family == "ecp5"
    kind, out = CONSTRAINTS[chosen.family], "--textcfg" if ecp5 else "--asc"
    words = [f"--{kind}", f"top.{kind}", out, "top.config", "--freq", mhz]
    began = time.monotonic()
    try:
        report = run_nextpnr(chosen.device, seed, folder, "top.json", words)
    except TooLargeError as error:
        raise SynthesisError(_too_large(planned, error)) from None
    seconds = round(time.monotonic() - began, 1)
    log = _log(folder / "nextpnr.log")
    packer, arguments = (
        ("ecppack", ["--compress", "--input", "top.config", "--bit", "top.bin"])
        if ecp5
        else ("icepack", ["top.config", "top.bin"])
    )
    done = run_tool(chosen.device.tool, arguments, folder, packer)
    if done.returncode or not (folder / "top.bin").exists():
        raise failure(packer, done.returncode, done.stderr)
    data = (folder / "top.bin").read_bytes()
    parse_routed(report, None)
    report = json.dumps(json.loads(report) | {"detailed_net_timings": []})
    texts = {"report": report, "log": log, "bitstream": packed(data), "seconds": str(seconds)}
    keep((*key, mhz, str(seed)), texts)
    return report, log, data, seconds


def _kept_run(report: str, log: str, bitstream: str, seconds: str) -> tuple[str, str, bytes, float]:
    parse_routed(report, None)
    return report, log, unpacked(bitstream), float(seconds)


def _log(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _too_large(planned: Plan, error: TooLargeError) -> str:
    array = planned.design.design
    larger = error.larger
    boards = [entry.name for entry in BOARDS.values() if larger and entry.device.part.startswith(larger.name)]
    remedies = [
        smaller_design(array, error.room),
        f"{larger.name} would hold it (--board {boards[0]})" if larger and boards else "",
    ]
    remedy = ", or ".join(filter(None, remedies)) or "take a smaller format, fewer --carry-bits or a larger board"
    return f"{array.rows} × {array.columns} cells are {error}; {remedy}"


def _too_slow(planned: Plan, run: Routed, clocks: list[float]) -> str:
    stages, cuts = planned.design.design.stages, len(planned.design.design.cuts)
    best = max(clocks)
    slower = _slower_mhz(planned, best)
    remedies = [
        f"more stages (--stages {stages + 1}, up to {cuts})" if stages < cuts else "",
        f"a slower clock (--frequency {slower})" if slower else "",
    ]
    remedy = " or ".join(filter(None, remedies)) or "a smaller array or format"
    wanted = planned.design.clock_hz / 1e6
    return (
        f"the clock of {wanted:g} MHz is not met: {best:.1f} MHz at best of {len(clocks)} seeds; "
        f"the longest path takes {run.logic_ns + run.routing_ns:.1f} ns, through {', '.join(run.path[:6])}; "
        f"take {remedy}"
    )


def _slower_mhz(planned: Plan, best: float) -> int | None:
    """The fastest clock of whole MHz that the design met with some room, the board makes, and the baud rate divides."""
    for mhz in range(int(best * 0.97), 0, -1):
        try:
            _clocks_per_bit_on(planned.board, mhz * 1_000_000, round(planned.design.baud))
        except ValueError:
            continue
        return mhz
    return None
