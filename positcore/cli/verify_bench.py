"""The option `--bench` of `positcore verify`: a cocotb bench of a unit with a handshake."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from positcore.hw.units import Design

__all__ = ["add_bench", "run_verify_bench"]


def add_bench(parser: argparse.ArgumentParser, how: Any) -> None:
    """Add `--packets`, and to the choices of `how` `--bench`."""
    how.add_argument(
        "--bench", choices=("icarus", "verilator"), metavar="SIM",
        help="units with a handshake: a cocotb bench of the Verilog text, with stalls, in icarus or verilator",
    )  # fmt: skip
    parser.add_argument(
        "--block-design", action="store_true",
        help="gemm, with --bench: within the module that export puts around it for block designs",
    )  # fmt: skip
    parser.add_argument(
        "--packets", type=int, metavar="N",
        help="of a bench: dot products or bursts (200), of gemm matrix products (24)",
    )  # fmt: skip


def run_verify_bench(args: argparse.Namespace, design: Design) -> int:
    """Run the bench and print its report; a fault is a MismatchError."""
    from positcore.sim.bench.run import run_bench

    report = run_bench(
        design.spec, unit=design.unit.name, stages=design.stages, packets=args.packets, seed=args.seed,
        simulator=args.bench, waveforms=args.waveforms, block_design=args.block_design,
        **design.options, **design.choices,
    )  # fmt: skip
    print(report.json() if args.json else report)
    return 0
