"""`Target`: how Yosys synthesizes for a family of FPGAs, and how the cells that it makes are counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from positcore.fpga.yosys import SynthesisError

__all__ = ["TARGETS", "Resources", "Target", "target"]


@dataclass(frozen=True)
class Resources:
    """What a netlist takes of an FPGA.

    Parameters
    ----------
    luts : int
        Look-up tables, with those that carry cells occupy where the family puts carries into LUTs.
    flip_flops, dsps, carry_cells : int
        Cells of each kind.
    """

    luts: int
    flip_flops: int
    dsps: int
    carry_cells: int


@dataclass(frozen=True)
class Target:
    """A family of FPGAs: a Yosys command, and the meaning of the names of its cells.

    Parameters
    ----------
    name : str
        What users call it.
    summary : str
        The family and its LUT, in a few words.
    fabric : str
        The Yosys command that synthesizes without DSPs.
    blocks : str or None
        The one that may use them; None where there are none.
    lut_formula : str
        `luts` in words.
    luts : tuple of (str, int)
        Names of cells, each with the LUTs that such a cell occupies. Names are globs, here and below.
    flip_flops, dsps, carries : tuple of str
        Names of cells.
    others : tuple of str
        Cells that count as none of these: the multiplexers behind LUTs, inverters.
    shift_registers : tuple of str
        Cells that end a path as flip-flops do, and are LUTs.
    """

    name: str
    summary: str
    fabric: str
    blocks: str | None
    lut_formula: str
    luts: tuple[tuple[str, int], ...]
    flip_flops: tuple[str, ...]
    dsps: tuple[str, ...] = ()
    carries: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    shift_registers: tuple[str, ...] = ()

    def synthesis(self, dsp: bool) -> str:
        """The Yosys command, less its `-top`.

        Raises
        ------
        ValueError
            If DSPs are asked for where there are none.
        """
        if not dsp:
            return self.fabric
        if self.blocks is None:
            having = ", ".join(name for name, entry in TARGETS.items() if entry.blocks)
            raise ValueError(f"target {self.name} has no DSPs; drop --dsp, or take one of: {having}")
        return self.blocks

    def count(self, cells: Mapping[str, int]) -> Resources:
        """The resources behind the cells of a netlist, by type.

        Raises
        ------
        SynthesisError
            If there is a cell of a type that the target does not know: it would be missing from the report.
        """
        occupied = tuple(name for name, _ in self.luts)
        known = occupied + self.flip_flops + self.dsps + self.carries + self.others
        unknown = [cell for cell in cells if not _among(cell, known)]
        if unknown:
            raise SynthesisError(f"target {self.name}: no rule counts these cells of the netlist: {', '.join(unknown)}")

        def total(*names: str) -> int:
            return sum(count for cell, count in cells.items() if _among(cell, names))

        return Resources(
            luts=sum(weight * total(name) for name, weight in self.luts),
            flip_flops=total(*self.flip_flops),
            dsps=total(*self.dsps),
            carry_cells=total(*self.carries),
        )


def _among(cell: str, names: tuple[str, ...]) -> bool:
    return any(fnmatchcase(cell, name) for name in names)


TARGETS: dict[str, Target] = {
    entry.name: entry
    for entry in (
        Target(
            "ecp5", "Lattice ECP5, 4-input LUTs", "synth_ecp5 -nodsp -abc9", "synth_ecp5 -abc9",
            lut_formula="LUT4 + 2·CCU2C", luts=(("LUT4", 1), ("CCU2C", 2)), flip_flops=("TRELLIS_FF",),
            dsps=("MULT18X18D", "ALU54B"), carries=("CCU2C",), others=("PFUMX", "L6MUX21"),
        ),
        Target(
            "ice40", "Lattice iCE40, 4-input LUTs; with DSPs the UP5K", "synth_ice40 -abc9 -device hx",
            "synth_ice40 -abc9 -device u -dsp", lut_formula="SB_LUT4", luts=(("SB_LUT4", 1),),
            flip_flops=("SB_DFF*",), dsps=("SB_MAC16",), carries=("SB_CARRY",), others=("SB_GB",),
        ),
        Target(
            "xc7", "Xilinx 7 series, 6-input LUTs", "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -nodsp",
            "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf", lut_formula="LUT1 to LUT6, SRL16E, SRLC32E",
            luts=(("LUT[1-6]", 1), ("SRL*", 1)), flip_flops=("FD*",), dsps=("DSP48E1",), carries=("CARRY4",),
            others=("MUXF[789]", "INV"), shift_registers=("SRL*",),
        ),
        Target(
            "generic", "4-input LUTs of no family, without carry chains", "synth -flatten -lut 4", None,
            lut_formula="$lut", luts=(("$lut", 1),), flip_flops=("$_*DFF*_",),
        ),
    )
}  # fmt: skip


def target(name: str) -> Target:
    """The target of a name.

    Raises
    ------
    ValueError
        If there is none; the message lists those that there are.
    """
    if name not in TARGETS:
        raise ValueError(f"unknown target {name!r}; the targets are: {', '.join(TARGETS)}")
    return TARGETS[name]
