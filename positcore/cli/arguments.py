"""Argument types that several commands share."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from positcore.format import PositFormat
from positcore.mac import Accumulator, Aligned, Fused, Quire, Rounded

__all__ = ["accumulator_argument", "add_format", "add_json", "add_network", "format_argument", "frequency_argument"]


def format_argument(text: str) -> PositFormat:
    """A `--format n,es` value; its error is argparse's own, so that it names the option."""
    try:
        return PositFormat.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def accumulator_argument(text: str) -> Accumulator:
    """An `--accumulator` value: quire, fused, rounded or aligned:L,W; its error is argparse's own."""
    plain: dict[str, Accumulator] = {"quire": Quire(), "fused": Fused(), "rounded": Rounded()}
    found = re.fullmatch(r"aligned:(\d+),(\d+)", text)
    if text not in plain and not found:
        raise argparse.ArgumentTypeError(
            f"an accumulator is quire, fused, rounded or aligned:L,W with L lanes and a grid of W bits, not {text!r}"
        )
    try:
        return Aligned(int(found[1]), int(found[2])) if found else plain[text]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def frequency_argument(text: str) -> float:
    """A `--frequency` value, a clock in MHz; its error is argparse's own."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:  # nor is nan
        raise argparse.ArgumentTypeError(f"a clock in MHz is a number above 0 and below 1000000, not {text!r}")
    return value


def add_format(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add `--format n,es`."""
    parser.add_argument(
        "--format", type=format_argument, required=required, metavar="n,es",
        help="the posit format, such as 8,2; 8,2u is its underflow variant, and 8,2f3 flushes below minpos/2^3",
    )  # fmt: skip


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add MODEL, `--data` and `--data-root`: what is trained, and on what."""
    from positcore.data import NAMES
    from positcore.nn.models import MODELS

    parser.add_argument("model", metavar="MODEL", help=f"the network: {', '.join(MODELS)}")
    parser.add_argument(
        "--data", choices=NAMES, default="fashion-mnist-subset",
        help="the data set (fashion-mnist-subset, which is part of the package)",
    )  # fmt: skip
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="where its files are ($POSITCORE_DATA)")
