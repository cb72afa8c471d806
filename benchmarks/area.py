"""LUTs, flip-flops and depth of our units on ECP5, beside the best correct public design of each kind.

    python benchmarks/area.py [--json]

Prints the tables of docs/synthesis.md. The figures of the others were measured once, by the same flow: the unit
between registers on every input and output, Yosys 0.70, `synth_ecp5 -nodsp -abc9` and `ltp -noff`, with DSPs without
`-nodsp`.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass

import positcore as pc
from positcore.fpga.report import Report
from positcore.fpga.synthesis import synthesize
from positcore.hw.units import Design

FORMATS = (pc.PositFormat(8, 2), pc.PositFormat(16, 2), pc.PositFormat(32, 2))
UNITS = ("decode", "encode", "add", "sub", "mul", "mac")


@dataclass(frozen=True)
class Peer:
    """A public design that gives correctly rounded results, and what it takes; `depth` is None where not known."""

    design: str
    luts: int
    depth: int | None
    remark: str = ""


# The smallest correct design of each kind and, where it is another, the shallowest.
PEERS: dict[tuple[str, int], tuple[Peer, ...]] = {
    ("add", 8): (Peer("FloPoCo, two's complement", 287, 39), Peer("SmallPositHDL", 328, 38)),
    ("add", 16): (Peer("SmallPositHDL", 590, 58),),
    ("add", 32): (Peer("SmallPositHDL", 1437, 83),),
    ("mul", 8): (Peer("SmallPositHDL", 228, 30), Peer("FloPoCo, two's complement", 255, 29)),
    ("mul", 16): (Peer("SmallPositHDL", 1404, 53),),
    ("mul", 32): (Peer("FloPoCo, sign-magnitude", 5406, 117), Peer("SmallPositHDL", 6214, 90)),
    ("mac", 8): (
        Peer("SmallPositHDL, with registers", 1481, None),
        Peer("FloPoCo", 730, 91, "combinational, without the final rounding"),
    ),
    ("mac", 16): (Peer("FloPoCo", 3049, 175, "combinational, without the final rounding"),),
}
PEERS_WITH_DSPS: dict[int, Peer] = {
    16: Peer("SmallPositHDL", 399, 38, "1 DSP"),
    32: Peer("FloPoCo", 1064, 81, "4 DSPs"),
}


def against(report: Report, peer: Peer) -> str:
    """Our LUTs over the peer's, in words; none where the two do not compute the same."""
    if peer.remark and not report.dsp:
        return "not the same function"
    return f"{100 * (report.luts / peer.luts - 1):+.0f} %"


def named(peer: Peer) -> str:
    return f"{peer.design} ({peer.remark})" if peer.remark else peer.design


def row(report: Report, peers: tuple[Peer, ...]) -> list[str]:
    """Unit, format, LUTs, flip-flops, DSPs, depth; then each peer's name, LUTs, depth and our LUTs against its."""
    shown = ["–" if peer.depth is None else str(peer.depth) for peer in peers]
    ours = [report.unit, report.spec.partition(" ")[0], report.luts, report.flip_flops, report.dsps, report.depth]
    theirs = [
        "<br>".join(map(named, peers)),
        "<br>".join(str(peer.luts) for peer in peers),
        "<br>".join(shown),
        "<br>".join(against(report, peer) for peer in peers),
    ]
    return [*map(str, ours), *(text or "–" for text in theirs)]


def table(rows: list[list[str]]) -> str:
    head = ["unit", "format", "LUTs", "FFs", "DSPs", "depth", "public design", "its LUTs", "its depth", "our LUTs"]
    lines = [head, ["---"] * 2 + ["---:"] * 4 + ["---"] + ["---:"] * 3, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print our reports as JSON")
    args = parser.parse_args()
    reports, rows, with_dsps = [], [], []
    for name in UNITS:
        for fmt in FORMATS:
            print(f"{name} {fmt}", file=sys.stderr)
            reports.append(synthesize(Design.of(name, fmt), "ecp5"))
            rows.append(row(reports[-1], PEERS.get((name, fmt.n), ())))
    for n, peer in PEERS_WITH_DSPS.items():
        reports.append(synthesize(Design.of("mul", pc.PositFormat(n, 2)), "ecp5", dsp=True))
        with_dsps.append(row(reports[-1], (peer,)))
    if args.json:
        print(json.dumps([asdict(report) for report in reports], indent=2, ensure_ascii=False))
        return
    print(f"{reports[0].tool}\n\n{table(rows)}\n\nWith DSPs:\n\n{table(with_dsps)}")


if __name__ == "__main__":
    main()
