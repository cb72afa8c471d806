"""`positcore decode`: the value and the fields of codes."""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import Any

from positcore.cli.arguments import add_format, add_json
from positcore.cli.fields import bit_fields, exact_text, hex_text, join_fields, table, wants_color
from positcore.format import PositFormat
from positcore.rational import Fields, split, value_of

__all__ = ["EXAMPLE", "configure", "read_code", "run"]

EXAMPLE = "positcore decode --format 8,2 0x45 0b1010 69"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options and arguments of this command."""
    add_format(parser)
    add_json(parser)
    parser.add_argument(
        "codes", nargs="+", metavar="CODE",
        help="an n-bit code as an unsigned integer: 0x45, 0b1000101 or 69",
    )  # fmt: skip
    # So that a negative number gets this command's own message, not argparse's about unknown options.
    parser._negative_number_matcher = re.compile(r"-\d")


def run(args: argparse.Namespace) -> int:
    """Print the fields and the exact value of each code."""
    fmt = args.format
    codes = [read_code(fmt, text) for text in args.codes]
    if args.json:
        print(json.dumps({"format": fmt.spelling, "codes": [_record(fmt, code) for code in codes]}, indent=2))
        return 0
    color = wants_color(sys.stdout)
    rows = [("code", "sign|regime|exponent|fraction", "magnitude", "k", "exponent", "fraction", "value")]
    for code in codes:
        fields, value = _fields(fmt, code), value_of(fmt, code)
        rows.append((
            hex_text(fmt, code),
            join_fields(bit_fields(fmt, code), color),
            join_fields(bit_fields(fmt, _magnitude(fmt, code)), color),
            *(
                ("", "", "")
                if fields is None
                else (str(fields.k), str(fields.exponent), f"{fields.fraction}/{1 << fields.fraction_bits}")
            ),
            "NaR" if value is None else exact_text(value),
        ))  # fmt: skip
    print(table(rows))
    return 0


def read_code(fmt: PositFormat, text: str) -> int:
    """A code written in decimal, 0x hexadecimal, 0b binary or 0o octal.

    Raises
    ------
    ValueError
        If it is no integer, or does not fit n bits.
    """
    expected = f"decode: a code of {fmt} must be an integer in 0..{fmt.mask}, such as {hex_text(fmt, fmt.nar)}"
    try:
        code = int(text, 0)
    except ValueError:
        raise ValueError(f"{expected}, not {text[:40]!r}") from None
    if not 0 <= code <= fmt.mask:
        raise ValueError(f"{expected}, not {text[:40]}")
    return code


def _magnitude(fmt: PositFormat, code: int) -> int:
    """The two's complement of a negative code, whose fields mean what they say; 0 and NaR are their own."""
    return -code & fmt.mask if code > fmt.nar else code


def _fields(fmt: PositFormat, code: int) -> Fields | None:
    """The fields of the magnitude; None for 0 and NaR, which have none."""
    return None if code in (0, fmt.nar) else split(fmt, _magnitude(fmt, code))


def _record(fmt: PositFormat, code: int) -> dict[str, Any]:
    sign, regime, exponent, fraction = bit_fields(fmt, code)
    fields, value = _fields(fmt, code), value_of(fmt, code)
    return {
        "code": code,
        "hex": hex_text(fmt, code),
        "bits": {"sign": sign, "regime": regime, "exponent": exponent, "fraction": fraction},
        "k": None if fields is None else fields.k,
        "exponent": None if fields is None else fields.exponent,
        "fraction": None if fields is None else f"{fields.fraction}/{1 << fields.fraction_bits}",
        "scale": None if fields is None else (fields.k << fmt.es) + fields.exponent,
        "value": None if value is None else float(value),
        "exact_value": None if value is None else str(value),
    }
