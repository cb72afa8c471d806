"""`VendorTool`: Vivado, Quartus, Diamond and Radiant: their parts, their constraints and their commands."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from positcore.hw.emit import Port

__all__ = ["TOOLS", "VendorTool", "check_period"]

SHORTEST_NS, LONGEST_NS = 0.1, 1e6  # periods of a clock


@dataclass(frozen=True)
class VendorTool:
    """A vendor's tool.

    Parameters
    ----------
    name, title : str
        As in `--tool`, and as its vendor writes it.
    suffix, file_type : str
        Of its constraints: the end of the file's name, and what edalize calls the kind.
    part : str
        The one that a project is for unless told.
    parts : str
        A regular expression that begins like its parts, so that another vendor's are not taken for one.
    named : str
        Those parts in words.
    scripts : tuple of str
        The endings of the scripts that edalize makes, in the order in which they are run.
    commands : tuple of str
        The commands that run them, with {name} for the project's.
    note : str
        What a user should know of them; {bits} stands for the bits of all ports.
    flow : bool
        Whether edalize and FuseSoC know it as a flow, of which they say that flows will replace tools.
    families : tuple
        The families that the tool wants to be told, each behind how its parts begin.
    hook, hook_text : str
        A script of ours that the project reads, so that ports need no pins; empty where a tool has no means to that.
    """

    name: str
    title: str
    suffix: str
    file_type: str
    part: str
    parts: str
    named: str
    scripts: tuple[str, ...]
    commands: tuple[str, ...]
    note: str
    flow: bool = False
    families: tuple[tuple[str, str], ...] = ()
    hook: str = ""
    hook_text: str = ""

    def check_part(self, part: str) -> str:
        """`part` itself, if it may be a part that the tool knows.

        Raises
        ------
        ValueError
            If it has characters that parts do not have, or belongs to another tool. Whether there is such a part the
            tool will say.
        """
        if not part.replace("-", "").replace("_", "").isalnum() or not part.isascii():
            raise ValueError(f"export: a part is letters, digits, - and _, not {part!r}")
        if re.match(self.parts, part, re.IGNORECASE) is None:
            raise ValueError(
                f"export: {part} is no part of {self.title}, which takes {self.named}, such as {self.part}"
            )
        return part

    def constraints(self, clock: str, period_ns: float) -> str:
        """The period of the clock, in the tool's language."""
        if self.suffix == "lpf":
            return f'FREQUENCY PORT "{clock}" {1000 / period_ns:.6f} MHZ;\n'
        return f"create_clock -name {clock} -period {period_ns:.3f} [get_ports {{{clock}}}]\n"

    def hook_script(self, clock: str, ports: Sequence[Port]) -> str:
        """The script of ours for a design with these ports, the clock among them."""
        names = [port.name + ("[*]" if port.width > 1 else "") for port in ports if port.name != clock]
        return self.hook_text.replace("PORTS", "\n".join(f"  {name}" for name in names))

    def options(self, part: str) -> dict[str, str]:
        """What a project says of the part."""
        if not self.families:
            return {"part": part}
        known = [(start, family) for start, family in self.families if part.upper().startswith(start)]
        return {"family": max(known, key=lambda each: len(each[0]))[1], "device": part}


_QUARTUS = (
    ("EP4CE", "Cyclone IV E"), ("EP4CGX", "Cyclone IV GX"), ("5C", "Cyclone V"), ("10CL", "Cyclone 10 LP"),
    ("10CX", "Cyclone 10 GX"), ("10M", "MAX 10"), ("5A", "Arria V"), ("5AGZ", "Arria V GZ"), ("10A", "Arria 10"),
    ("5S", "Stratix V"), ("1S", "Stratix 10"), ("AG", "Agilex 7"), ("A5", "Agilex 5"), ("A3", "Agilex 3"),
)  # fmt: skip

_PINS = "From synthesis to a bitstream, which takes a part with {bits} pins: there are no virtual ones."

TOOLS = {
    tool.name: tool
    for tool in (
        VendorTool(
            "vivado", "Vivado", "xdc", "xdc", "xc7a35ticsg324-1L", "x[acq](7|[akuvz]|su)",
            "the 7 series and later", ("", "_synth"), ("vivado -mode batch -source {name}.tcl {name}_synth.tcl",),
            "Synthesis out of context, as of a part of a larger design, without pins. Open {name}.xpr for more.",
            flow=True, hook="out_of_context.tcl",
            hook_text="""\
# A part of a larger design: its ports are no pins, and have no buffers.
set_property -name {STEPS.SYNTH_DESIGN.ARGS.MORE OPTIONS} -value {-mode out_of_context} -objects [get_runs synth_1]
""",
        ),
        VendorTool(
            "quartus", "Quartus", "sdc", "SDC", "5CSEBA6U23I7", "|".join(start for start, _ in _QUARTUS),
            ", ".join(family for _, family in _QUARTUS), ("",),
            ("quartus_sh -t {name}.tcl", "quartus_sh --flow compile {name}"),
            "Place and route included: all ports but the clock are virtual pins.", families=_QUARTUS,
            hook="virtual_pins.tcl",
            hook_text="""\
# A part of a larger design: its ports, but for the clock, are no pins.
foreach port {
PORTS
} {
  set_instance_assignment -name VIRTUAL_PIN ON -to $port
}
""",
        ),
        VendorTool(
            "diamond", "Diamond", "lpf", "LPF", "LFE5U-25F-6BG381C", "LFE|LFX|LFSC|LCMXO|LAMXO|LAE|LAXP|LIFMD|LIA-MD",
            "ECP2 to ECP5, XP2, MachXO to MachXO3, CrossLink", ("", "_run"),
            ("diamondc {name}.tcl", "diamondc {name}_run.tcl"), _PINS,
        ),
        VendorTool(
            "radiant", "Radiant", "pdc", "PDC", "iCE40UP5K-SG48I",
            "iCE40UP|LIFCL|LFD2NX|LFCPNX|LFMXO[45]|UT24C|LN2|LAV", "iCE40 UltraPlus, Nexus and Avant",
            ("", "_run"), ("radiantc {name}.tcl", "radiantc {name}_run.tcl"), _PINS,
        ),
    )
}  # fmt: skip


def check_period(period_ns: float) -> float:
    """`period_ns` itself, if a clock may have it.

    Raises
    ------
    ValueError
        If it is not a number of nanoseconds in 0.1..1000000.
    """
    if not (math.isfinite(period_ns) and SHORTEST_NS <= period_ns <= LONGEST_NS):
        raise ValueError(f"export: the period must be {SHORTEST_NS:g} to {LONGEST_NS:.0f} ns, not {period_ns:g}")
    return period_ns
