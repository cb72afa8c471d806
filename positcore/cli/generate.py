"""`positcore generate`: the Verilog of a unit."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from positcore.cli.arguments import accumulator_argument, add_format, add_json, format_argument
from positcore.mac import Accumulator, MacSpec, Quire

if TYPE_CHECKING:
    from positcore.hw.units import Design

__all__ = ["EXAMPLE", "add_design", "add_dsp", "configure", "design_of", "run"]

EXAMPLE = "positcore generate mac --format 8,2 --output-format 16,2 --stages 2 -o mac.v"


def add_design(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which unit, of which spec, with how many pipeline stages."""
    parser.add_argument("unit", metavar="UNIT", help="add, mul, mac, convert, ...; an unknown one lists them all")
    add_format(parser)
    parser.add_argument(
        "--second-format", type=format_argument, metavar="n,es",
        help="mac, dot, quire, gemm: the format of the second operand, if it is another",
    )  # fmt: skip
    parser.add_argument(
        "--output-format", type=format_argument, metavar="n,es",
        help="mac, dot, quire, gemm, convert: the format of the result, if it is another",
    )  # fmt: skip
    parser.add_argument(
        "--accumulator", type=accumulator_argument, metavar="A",
        help="mac, dot: how products are summed: quire, fused, rounded, or aligned:L,W with L lanes on a grid of W "
        "bits (quire)",
    )  # fmt: skip
    parser.add_argument(
        "--carry-bits", type=int, metavar="C",
        help="mac, dot, quire, gemm: headroom of the quire; 2^C - 1 products cannot overflow it (31)",
    )  # fmt: skip
    parser.add_argument("--lanes", type=int, metavar="L", help="dot: products in each cycle")
    parser.add_argument("--rows", type=int, metavar="R", help="gemm: rows of the array")
    parser.add_argument("--columns", type=int, metavar="C", help="gemm: columns of the array")
    parser.add_argument("--depth", type=int, metavar="D", help="gemm: rows of each operand's buffer (256)")
    parser.add_argument("--bits", type=int, metavar="W", help="from-int, to-int: the integer's width, 8, 16, 32 or 64")
    parser.add_argument(
        "--unsigned", action="store_const", const=True, help="from-int, to-int: the integer has no sign"
    )
    parser.add_argument("--float", metavar="F", help="from-float, to-float: float16, bfloat16 or float32")
    parser.add_argument("--function", metavar="F", help="function: exp, log, tanh, sigmoid, ...")
    parser.add_argument("--radix", type=int, metavar="R", help="div-iterative, sqrt-iterative: 2 or 4 (2)")
    parser.add_argument(
        "--stages", type=int, default=0, metavar="S", help="pipeline registers; they change no result (0)"
    )


def add_dsp(parser: argparse.ArgumentParser) -> None:
    """Add `--dsp`, of units that can leave their multiplication to the tool."""
    parser.add_argument(
        "--dsp", action="store_const", const=True,
        help="mul, fma, mac, ...: write products as one operator, for tools that make DSPs of them",
    )  # fmt: skip


def design_of(args: argparse.Namespace, *, dsp: bool | None = None) -> Design:
    """The design that the arguments describe, and `dsp`, which its unit must have if it is not None."""
    from positcore.hw.units import Design, unit

    chosen = unit(args.unit)
    sums = {
        "--second-format": args.second_format, "--accumulator": args.accumulator, "--carry-bits": args.carry_bits
    }  # fmt: skip
    output = {"--output-format": args.output_format}
    extra = [option for option, value in (sums | output).items() if value is not None]
    if chosen.converts:
        extra = [option for option in extra if option in sums]
    if extra and not chosen.accumulators:
        formats = "an input and an output format" if chosen.converts else "one format"
        raise ValueError(f"{chosen.name} has {formats} and no accumulator; drop {' and '.join(extra)}")
    signed = None if args.unsigned is None else not args.unsigned
    own = {
        "--bits": ("bits", args.bits), "--unsigned": ("signed", signed), "--float": ("float_format", args.float),
        "--function": ("function", args.function), "--lanes": ("lanes", args.lanes), "--radix": ("radix", args.radix),
        "--rows": ("rows", args.rows), "--columns": ("columns", args.columns), "--depth": ("depth", args.depth),
        "--dsp": ("dsp", dsp),
    }  # fmt: skip
    given = {option: field for option, (field, value) in own.items() if value is not None}
    foreign = [option for option, field in given.items() if field not in (*chosen.options, *chosen.choices)]
    if foreign:
        raise ValueError(f"{chosen.name} does not have {' and '.join(foreign)}; drop it")
    inputs = (args.format, args.second_format or args.format)
    spec = MacSpec(inputs, args.output_format, _accumulator(args))
    return Design(chosen, spec, args.stages, **{field: value for field, value in own.values() if value is not None})


def _accumulator(args: argparse.Namespace) -> Accumulator:
    if args.carry_bits is None:
        return args.accumulator or Quire()
    if args.accumulator not in (None, Quire()):
        raise ValueError(f"{args.unit}: only a quire has --carry-bits, not {args.accumulator}; drop it")
    return Quire(args.carry_bits)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_design(parser)
    add_dsp(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write it; standard output unless told")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Write the Verilog, or print it; with --json, say what it is."""
    from positcore.hw.emit import clock_ports, emit_verilog, unit_ports, write_verilog

    if args.json and args.output is None:
        raise ValueError("generate: --json describes the file that -o names; add -o FILE")
    design = design_of(args, dsp=args.dsp)
    if args.output is None:
        sys.stdout.write(emit_verilog(design))
        return 0
    path = write_verilog(design, args.output)
    if args.json:
        ports = [port._asdict() for port in (*clock_ports(design), *unit_ports(design))]
        description = {
            "unit": design.unit.name, "spec": design.spec_text, "module": design.name,
            "stages": design.stages, "latency": design.latency, "ports": ports, "path": str(path),
        }  # fmt: skip
        print(json.dumps(description, indent=2))
    else:
        print(f"{path}: module {design.name}, latency {design.latency}")
    return 0
