"""What the parts of a family hold, by how much a design is too large for one, and what would fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from positcore.fpga.targets import Device
from positcore.fpga.yowasp import SynthesisError
from positcore.hw.units import Design

__all__ = ["PARTS", "Part", "TooLargeError", "smaller_design"]

ROOM = 0.85  # of a part's logic, that nextpnr still places and routes well
LOGIC = ("TRELLIS_COMB", "ICESTORM_LC")


class Part(NamedTuple):
    """A part, and how many cells of each type it holds, by nextpnr's names."""

    name: str
    holds: Mapping[str, int]

    def fits(self, used: Mapping[str, int]) -> bool:
        """Whether these cells go into it, with room left for routing."""
        return all(
            used.get(cell, 0) <= (ROOM * count if cell in LOGIC else count) for cell, count in self.holds.items()
        )


def _ecp5(name: str, logic: int, rams: int, multipliers: int) -> Part:
    held = {"TRELLIS_COMB": logic, "TRELLIS_FF": logic, "DP16KD": rams, "MULT18X18D": multipliers}
    return Part(name, held | {"ALU54B": multipliers // 2})


def _ice40(name: str, logic: int, rams: int, multipliers: int) -> Part:
    return Part(name, {"ICESTORM_LC": logic, "ICESTORM_RAM": rams, "ICESTORM_DSP": multipliers})


# By nextpnr, from the smallest on: Lattice's data sheets FPGA-DS-02012 (ECP5), FPGA-DS-02029 (iCE40 LP/HX) and
# FPGA-DS-02008 (iCE40 UltraPlus). An LFE5U-12F has what a 25F has.
PARTS: dict[str, tuple[Part, ...]] = {
    "nextpnr-ecp5": (_ecp5("LFE5U-25F", 24288, 56, 28), _ecp5("LFE5U-45F", 43848, 108, 72),
                     _ecp5("LFE5U-85F", 83640, 208, 156)),
    "nextpnr-ice40": (_ice40("iCE40HX1K", 1280, 16, 0), _ice40("iCE40UP5K", 5280, 30, 8),
                      _ice40("iCE40HX8K", 7680, 32, 0)),
}  # fmt: skip


class TooLargeError(SynthesisError):
    """A netlist has more cells than its part; the message says of which and by how much.

    Parameters
    ----------
    device : Device
        The part.
    use : mapping
        By cell, how many of them there are, and how many the part has.
    """

    def __init__(self, device: Device, use: Mapping[str, tuple[int, int]]):
        self.device, self.use = device, use
        beyond = {cell: counts for cell, counts in use.items() if counts[0] > counts[1]}
        words = ", ".join(
            f"{used} {cell} where there are {available}{_percent(used, available)}"
            for cell, (used, available) in beyond.items()
        )
        super().__init__(f"too large for {device.part}: {words}")

    @property
    def room(self) -> float:
        """The share of the design that would fit."""
        return min(ROOM * available / used for used, available in self.use.values() if used > available)

    @property
    def larger(self) -> Part | None:
        """The smallest part of the family that would hold it; None if none does."""
        used = {cell: count for cell, (count, _) in self.use.items()}
        return next((part for part in PARTS[self.device.tool] if part.fits(used)), None)


def smaller_design(design: Design, room: float) -> str:
    """What of a design should fit, by its cells alone, where a share `room` of it does; empty if nothing would.

    A gemm's or dot unit's cells go with its array or lanes. Any other unit's go with its width, or with a power of it:
    a quire's with the width itself, a product's with its square; so the width that fits is at least that share of it.
    """
    if design.rows and design.columns:
        shapes = [
            (r * c, -abs(r - c), r, c)
            for r in range(1, design.rows + 1)
            for c in range(1, design.columns + 1)
            if r * c <= room * design.rows * design.columns
        ]
        _, _, rows, columns = max(shapes, default=(0, 0, 0, 0))
        return f"{rows} × {columns} should fit (--rows {rows} --columns {columns})" if rows else ""
    lanes = math.floor(room * design.terms)
    if design.lanes and lanes:
        return f"{lanes} lane{'s' * (lanes > 1)} should fit"
    bits = math.floor(design.spec.a.n * room)
    return f"a format of {bits} bits should fit" if bits > 2 else ""


def _percent(used: int, available: int) -> str:
    return f" ({math.ceil(100 * (used - available) / available)} % too many)" if available else ""
