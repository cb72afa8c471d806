"""`positcore formal`: proofs of a unit's emitted Verilog."""

from __future__ import annotations

import argparse

from positcore.cli.arguments import add_json
from positcore.cli.generate import add_design, add_dsp, design_of

__all__ = ["EXAMPLE", "configure", "run"]

EXAMPLE = "positcore formal mac --format 4,0 --stages 2 --property handshake"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_design(parser)
    add_dsp(parser)
    parser.add_argument(
        "--property", required=True, choices=("handshake", "table", "pipeline", "netlist"), metavar="P",
        help="handshake (units with streams), table, pipeline (units with stages) or netlist",
    )  # fmt: skip
    parser.add_argument("--target", metavar="T", help="of a netlist: ecp5, ice40, gowin or xc7 (ecp5)")
    parser.add_argument(
        "--waveforms", default=".", metavar="FOLDER", help="where the waveform of a counterexample goes (.)"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Prove, and print what was proven; a property that does not hold is a MismatchError."""
    from positcore.fpga.netlist_proof import prove_netlist
    from positcore.sim.formal.prove import prove_formally

    design = design_of(args, dsp=args.dsp)
    if args.target is not None and args.property != "netlist":
        raise ValueError("formal: --target is of a netlist; add --property netlist, or drop it")
    if args.property == "netlist":
        report = prove_netlist(design, args.target or "ecp5", waveforms=args.waveforms)
    else:
        report = prove_formally(design, args.property, waveforms=args.waveforms)
    print(report.json() if args.json else report)
    return 0
