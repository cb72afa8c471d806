"""`Bitstream`: a board's bitstream with all that is known of it, and its folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from positcore.files import check_writable, fill_folder

__all__ = ["Bitstream", "TimingError", "check_folder", "write_bitstream"]

REPORT = "report.json"


class TimingError(RuntimeError):
    """No seed met the clock; the message names the path that is too long, and the remedy."""


@dataclass(frozen=True)
class Bitstream:
    """What goes into a board, and what it took to make it.

    Parameters
    ----------
    board, part, spec, module : str
        The board, its part, what the array computes, and the module that `emit_board` gives.
    clock_mhz, fmax_mhz : float
        What the clock is, and how fast it could be.
    baud : float
        Of the UART.
    used, available : mapping
        Cells of the part, by type, and how many it has.
    seed : int
        Of nextpnr, the first one that met the clock.
    fmax_by_seed_mhz : tuple of float
        That of the seeds 1, 2, … up to this one.
    critical_ns : float
        The delay of the longest path.
    critical_path : tuple of str
        The signals along it.
    seconds : mapping
        How long each tool took.
    tools : tuple of str
        The tools' packages.
    command : str
        The command that gives it again.
    loader : str
        The command that loads it.
    file : str
        Its name in its folder.
    files : mapping
        What else is in the folder: Verilog, constraints, logs.
    data : bytes
        The bitstream.
    """

    board: str
    part: str
    spec: str
    module: str
    clock_mhz: float
    fmax_mhz: float
    baud: float
    used: Mapping[str, int] = field(hash=False)
    available: Mapping[str, int] = field(hash=False)
    seed: int
    fmax_by_seed_mhz: tuple[float, ...]
    critical_ns: float
    critical_path: tuple[str, ...]
    seconds: Mapping[str, float] = field(hash=False)
    tools: tuple[str, ...]
    command: str
    loader: str
    file: str
    files: Mapping[str, str] = field(hash=False, repr=False)
    data: bytes = field(repr=False)

    def json(self) -> str:
        """All but the contents of the files, as JSON."""
        facts = asdict(self)
        facts["files"], facts["bytes"] = sorted(self.files), len(facts.pop("data"))
        return json.dumps(facts, indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        each = ", ".join(f"{clock:.1f}" for clock in self.fmax_by_seed_mhz)
        full = [
            f"  {cell:<13} {used:>6} of {self.available[cell]:<6} {100 * used / self.available[cell]:>5.1f} %"
            for cell, used in self.used.items()
        ]
        took = ", ".join(f"{tool} {seconds:.0f} s" for tool, seconds in self.seconds.items())
        return "\n".join(
            [
                f"{self.board}: gemm[{self.spec}] in {self.part}",
                f"  clock         {self.clock_mhz:g} MHz; Fmax {self.fmax_mhz:.1f} MHz with seed {self.seed} ({each})",
                f"  UART          {self.baud:.0f} baud",
                *full,
                f"  longest path  {self.critical_ns:.1f} ns, through {', '.join(self.critical_path[:4])}",
                f"  took          {took}",
                f"  tools         {', '.join(self.tools)}",
                f"  again by: {self.command}",
            ]
        )


def check_folder(path: str | os.PathLike[str]) -> Path:
    """The folder of a bitstream, checked before the work for it begins.

    Raises
    ------
    OSError
        If it is a file, a folder that may not be written to, or one with anything in it but what an earlier build
        wrote, by that build's own report.
    """
    place = Path(path)
    if place.exists() and not place.is_dir():
        raise NotADirectoryError(f"build: {place} is a file; name a folder such as out/ulx3s")
    if place.is_dir():
        known = _earlier(place)
        for entry in sorted(place.iterdir()):
            if entry.name not in known or not entry.is_file():
                raise FileExistsError(f"build: {place} holds {entry.name}, which no build wrote; name a new folder")
    check_writable(place, "build")
    return place


def _earlier(place: Path) -> set[str]:
    """The names of what an earlier build wrote into a folder; none if there is no report of one."""
    try:
        found = json.loads((place / REPORT).read_text(encoding="utf-8"))
        names = {REPORT, found["file"], *found["files"]}
        built = found["command"].startswith("positcore build ")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()
    return names if built and all(isinstance(name, str) and name == Path(name).name for name in names) else set()


def write_bitstream(made: Bitstream, path: str | os.PathLike[str]) -> Path:
    """Write the bitstream, its files and its report into a folder, all or none; gives the bitstream's path.

    What an earlier build wrote there, and this one has not, goes.
    """
    place = check_folder(path)
    texts = {**made.files, REPORT: made.json() + "\n"}
    files = {made.file: made.data} | {name: text.encode() for name, text in texts.items()}
    fill_folder(place, files, _earlier(place))
    return place / made.file
