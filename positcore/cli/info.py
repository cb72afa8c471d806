"""`positcore info`: the constants of a format and its quire."""

from __future__ import annotations

import argparse
import json
import math
from fractions import Fraction

from positcore.cli.arguments import add_format, add_json
from positcore.cli.fields import exact_text, hex_text, rounded_text, table
from positcore.format import PositFormat

__all__ = ["EXAMPLE", "configure", "run"]

EXAMPLE = "positcore info --format 8,2"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_format(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the constants of `args.format`."""
    fmt = args.format
    decades = 2 * fmt.max_scale * math.log10(2)
    if args.json:
        constants = {
            "format": fmt.spelling,
            "n": fmt.n,
            "es": fmt.es,
            "underflow": fmt.underflow,
            "flush": fmt.flush,
            "codes": fmt.mask + 1,
            "nar": fmt.nar,
            "useed": fmt.useed,
            "minpos": fmt.minpos,
            "maxpos": fmt.maxpos,
            "max_scale": fmt.max_scale,
            "dynamic_range_decades": decades,
            "significand_bits": fmt.significand_bits,
            "quire_bits": fmt.quire_bits(),
            "quire_fraction_bits": fmt.quire_fraction_bits,
            "code_dtype": str(fmt.dtype),
            "tensor_dtype": str(fmt.tensor_dtype),
        }
        print(json.dumps(constants, indent=2))
        return 0
    least = Fraction(1, 1 << fmt.max_scale)
    rows = [
        ("format", str(fmt)),
        ("n", f"{fmt.n} bits"),
        ("es", f"{fmt.es} exponent bits"),
        ("codes", f"{fmt.mask + 1}, in {fmt.dtype}"),
        ("NaR", hex_text(fmt, fmt.nar)),
        ("useed", f"2^{1 << fmt.es} = {fmt.useed}"),
        ("minpos", f"2^{-fmt.max_scale}, about {rounded_text(least)}"),
        ("maxpos", f"2^{fmt.max_scale}, about {rounded_text(1 / least)}"),
        ("dynamic range", f"{decades:.1f} decades"),
        ("significand bits", f"{fmt.significand_bits} at most, the hidden bit included"),
        ("underflow", _underflow(fmt, least)),
        ("quire", f"{fmt.quire_bits()} bits: sign, 31 carry, 4*{fmt.max_scale}; LSB weighs 2^{-2 * fmt.max_scale}"),
        ("tensor dtype", str(fmt.tensor_dtype)),
    ]
    print(table(rows))
    return 0


def _underflow(fmt: PositFormat, least: Fraction) -> str:
    if fmt.underflow:
        return f"magnitudes up to {exact_text(least / fmt.useed)} round to 0"
    if fmt.flush is not None:
        return f"magnitudes below {exact_text(least / (1 << fmt.flush))} become 0"
    return "none, a nonzero value never rounds to 0"
