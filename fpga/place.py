"""`Place`: how often a netlist is placed and routed; `Routing`: what came of it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from positcore.fpga.nextpnr import Routed
from positcore.fpga.targets import Device

__all__ = ["Place", "Routing"]


@dataclass(frozen=True)
class Place:
    """Place and route, with the seeds 1 to `seeds`: the clock of one netlist differs by some percent among them.

    Parameters
    ----------
    seeds : int
        1..100.

    Raises
    ------
    TypeError, ValueError
        If `seeds` is not an integer in that range.
    """

    seeds: int = 3

    def __post_init__(self) -> None:
        if isinstance(self.seeds, bool) or not isinstance(self.seeds, int):
            raise TypeError(f"Place: seeds must be an integer in 1..100, not {self.seeds!r}")
        if not 1 <= self.seeds <= 100:
            raise ValueError(f"Place: seeds must be an integer in 1..100, not {self.seeds}")


@dataclass(frozen=True)
class Routing:
    """A unit between registers, placed and routed into a part with several seeds.

    Parameters
    ----------
    part : str
        The part, its package and speed grade.
    fmax_mhz, fmax_best_mhz : float
        The highest clock: the median of the seeds, and the best of them.
    fmax_by_seed_mhz : tuple of float
        That of the seeds 1, 2, ….
    used, available : mapping
        Cells of the part after packing, by type, and how many it has.
    critical_seed : int
        The seed whose path is told: the one of the median, of two the slower.
    critical_logic_ns, critical_routing_ns : float
        The delay of the longest path between two registers, in cells and in wires.
    critical_path : tuple of str
        Along that path, the signals of the Verilog, and `near` one where synthesis left none but named its own after
        one nearby.
    tool : str
        The version of nextpnr's package.
    """

    part: str
    fmax_mhz: float
    fmax_best_mhz: float
    fmax_by_seed_mhz: tuple[float, ...]
    used: Mapping[str, int] = field(hash=False)
    available: Mapping[str, int] = field(hash=False)
    critical_seed: int
    critical_logic_ns: float
    critical_routing_ns: float
    critical_path: tuple[str, ...]
    tool: str

    @classmethod
    def of(cls, device: Device, runs: Sequence[Routed], tool: str) -> Routing:
        """What the runs with the seeds 1, 2, … say together."""
        clocks = [run.fmax_mhz for run in runs]
        middle = clocks.index(statistics.median_low(clocks))
        told = runs[middle]
        return cls(
            device.part, round(statistics.median(clocks), 2), max(clocks), tuple(clocks), told.used, told.available,
            middle + 1, told.logic_ns, told.routing_ns, told.path, tool,
        )  # fmt: skip

    def rows(self) -> list[tuple[str, object, str]]:
        """The rows of a table: name, value, note."""
        each = ", ".join(f"{clock:.1f}" for clock in self.fmax_by_seed_mhz)
        packed = [(f"{cell}", used, f"of {self.available[cell]}") for cell, used in self.used.items()]
        return [("Fmax, MHz", f"{self.fmax_mhz:.1f}", f"best {self.fmax_best_mhz:.1f}; by seed: {each}"), *packed]

    def path_lines(self) -> list[str]:
        """The critical path in lines."""
        total, wires = self.critical_logic_ns + self.critical_routing_ns, self.critical_routing_ns
        return [
            f"critical path of seed {self.critical_seed}: {total:.2f} ns, {wires:.2f} in wires",
            *(f"  {name}" for name in self.critical_path),
        ]
