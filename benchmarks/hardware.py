"""What the benchmarks of hardware share: public designs, measured once, the goals that they set, and tables.

The figures of the others come from the flow of docs/synthesis.md: the unit between registers on every input and output,
Yosys 0.70, `synth_ecp5 -nodsp -abc9` and `ltp -noff`, with DSPs without `-nodsp`; clocks by nextpnr 0.11.1, one seed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import positcore as pc
from positcore.hw.units import Design

POSIT8, POSIT16, POSIT32 = FORMATS = (pc.PositFormat(8, 2), pc.PositFormat(16, 2), pc.PositFormat(32, 2))
WIDER = pc.MacSpec(POSIT8, POSIT16)  # 8-bit operands, 16-bit sums
FLOPOCO_TWOS, FLOPOCO_SIGN = "FloPoCo, two's complement", "FloPoCo, sign-magnitude"
SMALL, UNROUNDED = "SmallPositHDL", "FloPoCo, without the final rounding"


@dataclass(frozen=True)
class Peer:
    """A public design: LUTs and depth where known, and its share of wrong results in words, if it has any."""

    design: str
    luts: int | None
    depth: int | None
    wrong: str = ""


@dataclass(frozen=True)
class Row:
    """A unit and a format beside public designs, and the most LUTs and cells that it should take."""

    unit: str
    spec: pc.PositFormat | pc.MacSpec
    peers: tuple[Peer, ...] = ()
    luts: int | None = None
    depth: int | None = None
    options: tuple[tuple[str, Any], ...] = ()

    def design(self, stages: int | str = 0, **choices: Any) -> Design | None:
        """Our design, with a number of stages or all that there are; None where there is none."""
        try:
            first = Design.of(self.unit, self.spec, **dict(self.options), **choices)
            count = len(first.cuts) if stages == "all" else int(stages)
            return Design.of(self.unit, self.spec, count, **dict(self.options), **choices)
        except (TypeError, ValueError) as error:
            print(f"left out: {error}", file=sys.stderr)
            return None


def tenth_less(unit: str, spec: pc.PositFormat | pc.MacSpec, *peers: Peer, **more: Any) -> Row:
    """A row whose goals are 10 % below the fewest LUTs and the least depth among peers that are right."""
    right = [peer for peer in peers if not peer.wrong]
    goals = {}
    for name in ("luts", "depth"):
        figures = [figure for peer in right if (figure := getattr(peer, name)) is not None]
        goals[name] = int(0.9 * min(figures)) if figures else None
    return Row(unit, spec, peers, **(goals | more))


def aligned(fmt: pc.PositFormat, lanes: int, width: int, *peers: Peer, luts: int) -> Row:
    return Row("dot", pc.MacSpec(fmt, POSIT16, pc.Aligned(lanes, width)), peers, luts=luts)


# Without DSPs, on ECP5. Dot products: of exact ones fewer LUTs than PDPU's, of aligned ones 70 % of them.
ROWS = (
    *(Row(name, fmt) for name in ("decode", "encode") for fmt in FORMATS),
    tenth_less("add", POSIT8, Peer(FLOPOCO_TWOS, 287, 39), Peer(SMALL, 328, 38), Peer("PACoGen", 335, 42, "4.7 %")),
    tenth_less("add", POSIT16, Peer(SMALL, 590, 58), Peer(FLOPOCO_TWOS, 650, 68)),
    tenth_less("add", POSIT32, Peer(SMALL, 1437, 83), Peer(FLOPOCO_TWOS, 1526, 106)),
    tenth_less("mul", POSIT8, Peer(SMALL, 228, 30), Peer(FLOPOCO_TWOS, 255, 29), Peer("PACoGen", 284, 37, "9.2 %")),
    tenth_less("mul", POSIT16, Peer(SMALL, 1404, 53), Peer("PACoGen", 1337, 67, "2.6 %")),
    tenth_less("mul", POSIT32, Peer(FLOPOCO_SIGN, 5406, 117), Peer(SMALL, 6214, 90)),
    tenth_less("fma", POSIT8, Peer(SMALL, 447, 57, "0.9 %"), luts=402, depth=51),
    tenth_less("fma", POSIT16, Peer(SMALL, 1394, 89, "0.03 %"), luts=1254, depth=80),
    Row("fma", POSIT32),
    Row("div", POSIT8),
    tenth_less("div", POSIT16, Peer("FloPoCo", 925, 166)),
    Row("div", POSIT32),
    *(Row("sqrt", fmt) for fmt in FORMATS),
    tenth_less("mac", POSIT8, Peer(f"{SMALL}, with registers", 1481, None), Peer(UNROUNDED, 730, 91), luts=900),
    tenth_less("mac", POSIT16, Peer(UNROUNDED, 3049, 175)),
    Row("mac", POSIT32),
    Row("dot", WIDER, (Peer("PDPU, 14-bit alignment", 2097, 95, "10 %"),), luts=2096, options=(("lanes", 4),)),
    Row("dot", WIDER, (Peer("PDPU, 14-bit alignment", 3474, 105, "7.5 %"),), luts=3473, options=(("lanes", 8),)),
    aligned(POSIT8, 4, 14, Peer("PDPU, the same width", 2097, 95, "10 %"), luts=1467),
    aligned(POSIT8, 8, 14, Peer("PDPU, the same width", 3474, 105, "7.5 %"), luts=2431),
    aligned(POSIT16, 4, 28, Peer("PDPU, the same width", 5238, 115, "0.05 %"), luts=3666),
)
ROWS_WITH_DSPS = (
    tenth_less("mul", POSIT16, Peer(f"{SMALL}, 1 DSP", 399, 38), Peer(f"{FLOPOCO_TWOS}, 1 DSP", 444, 38)),
    tenth_less("mul", POSIT32, Peer("FloPoCo, 4 DSPs", 1064, 81)),
)
ROWS_XC7 = (
    tenth_less("add", POSIT8, Peer(SMALL, 145, None), Peer("FloPoCo", 175, None)),
    tenth_less("add", POSIT16, Peer(SMALL, 383, None), Peer("FloPoCo", 402, None)),
    tenth_less("mul", POSIT8, Peer("FloPoCo", 124, None), Peer(SMALL, 141, None)),
    tenth_less("mul", POSIT16, Peer(FLOPOCO_SIGN, 587, None), Peer(SMALL, 649, None)),
    aligned(POSIT8, 4, 14, Peer("PDPU, the same width", 992, None, "10 %"), luts=694),
)

# Units without a public design beside them, by their options, and pairs of formats.
SMALL_UNITS: tuple[tuple[str, dict[str, object]], ...] = (
    *((name, {}) for name in ("compare", "min", "max", "neg", "abs", "sign", "round-to-int")),
    *((name, {"bits": bits}) for bits in (32, 8) for name in ("from-int", "to-int")),
    *(
        (name, {"float_format": kind})
        for kind in ("float16", "bfloat16", "float32") for name in ("from-float", "to-float")
    ),
)  # fmt: skip
CONVERSIONS = ((POSIT16, POSIT8), (POSIT32, POSIT16), (POSIT8, pc.PositFormat(16, 1)), (pc.PositFormat(16, 1), POSIT8))

# Clocks on ECP5-85, in MHz: the goal for the unit with all the stages that help, and what the others reach.
CLOCKS: dict[tuple[str, int], tuple[int | None, str]] = {
    ("add", 8): (200, "combinational 39 to 41"),
    ("add", 16): (170, "combinational 22 to 28"),
    ("add", 32): (140, "combinational 17 to 22"),
    ("mul", 8): (200, "combinational 59 to 64"),
    ("mul", 16): (170, "combinational 24 to 31"),
    ("mul", 32): (140, "combinational 22"),
    ("mac", 8): (150, "SmallPositHDL 97, 1481 LUTs; FloPoCo's multiply-add, combinational, 40"),
    ("mac", 16): (130, ""),
    ("dot", 8): (120, "PDPU, inexact, 75 with 1727 LUTs and 343 FFs; combinational 16"),
}


def markdown(head: Sequence[str], rows: Sequence[Sequence[object]], text: Sequence[str]) -> str:
    """A table, with the columns named in `text` to the left and all others to the right."""
    rule = ["---" if name in text else "---:" for name in head]
    cells = [["–" if cell in (None, "") else str(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *cells])


def stages_argument(text: str) -> int | str:
    return text if text == "all" else int(text)
