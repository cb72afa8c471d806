"""`Target`: how Yosys synthesizes for a family of FPGAs, how its cells are counted, and where they are placed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from positcore.fpga.yowasp import SynthesisError

__all__ = ["TARGETS", "Device", "Resources", "Target", "broken_at", "target"]


@dataclass(frozen=True)
class Resources:
    """What a netlist takes of an FPGA.

    Parameters
    ----------
    luts : int
        Look-up tables, with those that carry cells and distributed memories occupy.
    flip_flops, dsps, block_rams, carry_cells : int
        Cells of each kind.
    memory_luts : int
        Those of the LUTs that are distributed memories or shift registers.
    """

    luts: int
    flip_flops: int
    dsps: int
    block_rams: int
    carry_cells: int
    memory_luts: int


@dataclass(frozen=True)
class Device:
    """A part that netlists are placed into, and the tool for it.

    Parameters
    ----------
    part : str
        Its name, package and speed grade.
    tool : str
        The nextpnr of its family.
    options : tuple of str
        What that is told of the part. The frequency aimed at is one that no design reaches, so that it limits none.
    """

    part: str
    tool: str
    options: tuple[str, ...]


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
    prepared : (str, str), optional
        A label of that command, and what is done there before it goes on.
    lut_formula : str
        `luts` in words.
    luts : tuple of (str, int)
        Names of cells, each with the LUTs that such a cell occupies. Names are globs, here and below.
    flip_flops, dsps, carries : tuple of str
        Names of cells.
    block_rams : tuple of (str, int)
        Names of cells, each with the smallest blocks that such a cell occupies. Their reads are registered, so that
        they end a path as flip-flops do.
    block_ram : str
        What the smallest block is, in words.
    memories : tuple of str
        Those among `luts` that are distributed memories or shift registers.
    others : tuple of str
        Cells that count as none of these: the multiplexers behind LUTs, inverters.
    shift_registers : tuple of str
        Cells that end a path as flip-flops do, and are LUTs.
    device, device_with_dsps : Device, optional
        Where netlists are placed; None where no tool from pip does that.
    """

    name: str
    summary: str
    fabric: str
    blocks: str | None
    lut_formula: str
    luts: tuple[tuple[str, int], ...]
    flip_flops: tuple[str, ...]
    dsps: tuple[str, ...] = ()
    block_rams: tuple[tuple[str, int], ...] = ()
    block_ram: str = "none"
    carries: tuple[str, ...] = ()
    memories: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    shift_registers: tuple[str, ...] = ()
    prepared: tuple[str, str] | None = None
    device: Device | None = None
    device_with_dsps: Device | None = None

    def synthesis(self, dsp: bool, top: str) -> list[str]:
        """The Yosys commands for a module.

        Raises
        ------
        ValueError
            If DSPs are asked for where there are none.
        """
        if not dsp:
            return [f"{self.fabric} -top {top}"]
        if self.blocks is None:
            having = ", ".join(name for name, entry in TARGETS.items() if entry.blocks)
            raise ValueError(f"target {self.name} has no DSPs; drop --dsp, or take one of: {having}")
        if self.prepared is None:
            return [f"{self.blocks} -top {top}"]
        return broken_at(*self.prepared, f"{self.blocks} -top {top}")

    @property
    def path_ends(self) -> tuple[str, ...]:
        """Names of the cells at which a path ends, since their outputs change with the clock alone."""
        return self.flip_flops + self.shift_registers + tuple(name for name, _ in self.block_rams)

    def placement(self, dsp: bool) -> Device:
        """The part that its netlists are placed into.

        Raises
        ------
        ValueError
            If there is none.
        """
        device = self.device_with_dsps if dsp and self.device_with_dsps else self.device
        if device is None:
            having = ", ".join(name for name, entry in TARGETS.items() if entry.device)
            raise ValueError(f"target {self.name} has no place and route; drop --place, or take one of: {having}")
        return device

    def count(self, cells: Mapping[str, int]) -> Resources:
        """The resources behind the cells of a netlist, by type.

        Raises
        ------
        SynthesisError
            If there is a cell of a type that the target does not know: it would be missing from the report.
        """
        occupied = tuple(name for name, _ in self.luts + self.block_rams)
        known = occupied + self.flip_flops + self.dsps + self.carries + self.others
        unknown = [cell for cell in cells if not _among(cell, known)]
        if unknown:
            raise SynthesisError(f"target {self.name}: no rule counts these cells of the netlist: {', '.join(unknown)}")

        def total(*names: str) -> int:
            return sum(count for cell, count in cells.items() if _among(cell, names))

        def occupied_by(weights: tuple[tuple[str, int], ...], among: tuple[str, ...] = ("*",)) -> int:
            return sum(
                weight * count for cell, count in cells.items() if _among(cell, among)
                for name, weight in weights if fnmatchcase(cell, name)
            )  # fmt: skip

        return Resources(
            luts=occupied_by(self.luts),
            flip_flops=total(*self.flip_flops),
            dsps=total(*self.dsps),
            block_rams=occupied_by(self.block_rams),
            carry_cells=total(*self.carries),
            memory_luts=occupied_by(self.luts, self.memories),
        )


# Yosys 0.70 loses a product that two registers follow, if it takes both into an SB_MAC16: that drives the second one's
# output, and so does what is left of the register. `keep` on what follows a multiplier leaves its registers out of the
# SB_MAC16, where they are counted, too; no clock in an UP5K was slower for that.
REGISTERS_OUTSIDE = "setattr -set keep 1 t:$mul %co1:+[Y] %co1:+[D] %co1:+[Q] w:* %i t:$mul %co1:+[Y] %d"


def broken_at(label: str, work: str, command: str) -> list[str]:
    """A Yosys command for synthesis that does some work of others before it goes on at one of its labels."""
    return [f"{command} -run begin:{label}", work, f"{command} -run {label}:"]


def _among(cell: str, names: tuple[str, ...]) -> bool:
    return any(fnmatchcase(cell, name) for name in names)


TARGETS: dict[str, Target] = {
    entry.name: entry
    for entry in (
        Target(
            "ecp5", "Lattice ECP5, 4-input LUTs", "synth_ecp5 -nodsp -abc9", "synth_ecp5 -abc9",
            lut_formula="LUT4 + 2·CCU2C + 6·TRELLIS_DPR16X4", luts=(("LUT4", 1), ("CCU2C", 2), ("TRELLIS_DPR16X4", 6)),
            flip_flops=("TRELLIS_FF",), dsps=("MULT18X18D", "ALU54B"), block_rams=(("DP16KD", 1),),
            block_ram="DP16KD, of 18 Kbit", carries=("CCU2C",), memories=("TRELLIS_DPR16X4",),
            others=("PFUMX", "L6MUX21"),
            device=Device(
                "LFE5U-85F, CABGA381, speed grade 6", "nextpnr-ecp5",
                ("--85k", "--package", "CABGA381", "--speed", "6", "--freq", "500", "--lpf-allow-unconstrained"),
            ),
        ),
        Target(
            "ice40", "Lattice iCE40, 4-input LUTs; with DSPs the UP5K", "synth_ice40 -abc9 -device hx",
            "synth_ice40 -abc9 -device u -dsp", lut_formula="SB_LUT4", luts=(("SB_LUT4", 1),),
            flip_flops=("SB_DFF*",), dsps=("SB_MAC16",), block_rams=(("SB_RAM40_4K*", 1),),
            block_ram="SB_RAM40_4K, of 4 Kbit", carries=("SB_CARRY",), others=("SB_GB",),
            prepared=("coarse", REGISTERS_OUTSIDE),
            device=Device(
                "iCE40HX8K, CT256", "nextpnr-ice40",
                ("--hx8k", "--package", "ct256", "--freq", "500", "--pcf-allow-unconstrained"),
            ),
            device_with_dsps=Device(
                "iCE40UP5K, SG48", "nextpnr-ice40",
                ("--up5k", "--package", "sg48", "--freq", "500", "--pcf-allow-unconstrained"),
            ),
        ),
        Target(
            "xc7", "Xilinx 7 series, 6-input LUTs", "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -nodsp",
            "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf",
            lut_formula="LUT1 to LUT6, SRL16E, SRLC32E, and those in distributed memories",
            luts=(
                ("LUT[1-6]", 1), ("SRL*", 1), ("RAM32M", 4), ("RAM64M", 4), ("RAM64X1S", 1), ("RAM64X1D", 2),
                ("RAM128X1S", 2), ("RAM128X1D", 4), ("RAM256X1S", 4),
            ),
            flip_flops=("FD*",), dsps=("DSP48E1",), block_rams=(("RAMB18E1", 1), ("RAMB36E1", 2)),
            block_ram="of 18 Kbit; a RAMB36E1 is two", carries=("CARRY4",), memories=("RAM*[MSD]", "SRL*"),
            others=("MUXF[789]", "INV"), shift_registers=("SRL*",),
        ),
        Target(
            "gowin", "Gowin GW1N, 4-input LUTs", "synth_gowin -family gw1n -noiopads -nodsp",
            "synth_gowin -family gw1n -noiopads",
            lut_formula="LUT1 to LUT4, ALU, and 6 for each RAM16SDP",
            luts=(("LUT[1-4]", 1), ("ALU", 1), ("RAM16SDP1", 6), ("RAM16SDP2", 6), ("RAM16SDP4", 6)),
            flip_flops=("DFF*",),
            dsps=("MULT9X9", "MULT18X18", "MULT36X36", "MULTALU*", "MULTADDALU*", "PADD*", "ALU54D"),
            block_rams=(("DPB", 1), ("DPX9B", 1), ("SDPB", 1), ("SDPX9B", 1), ("SP", 1), ("SPX9", 1), ("pROM*", 1)),
            block_ram="of 18 Kbit", carries=("ALU",), memories=("RAM16SDP[124]",),
            others=("MUX2_LUT[5-8]", "GND", "VCC", "INV"),
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
