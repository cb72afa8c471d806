"""`positcore encode`: numbers, read exactly, rounded to codes."""

from __future__ import annotations

import argparse
import json
import re
import sys
from fractions import Fraction
from typing import Any

from positcore.cli.arguments import add_format, add_json
from positcore.cli.fields import bit_fields, exact_text, hex_text, join_fields, rounded_text, table, wants_color
from positcore.format import PositFormat
from positcore.rational import round_fraction, value_of

__all__ = ["EXAMPLE", "configure", "read_number", "run"]

EXAMPLE = "positcore encode --format 8,2 3.14 -0.1 nan 1/3"

_NAR_WORDS = ("nar", "nan", "inf", "infinity")
_MAX_CHARACTERS = 1000
_MAX_EXPONENT = 1000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options and arguments of this command."""
    add_format(parser)
    add_json(parser)
    parser.add_argument(
        "numbers", nargs="+", metavar="NUMBER",
        help="a decimal number (3.14, -1e-3), a fraction (1/3), or nan, inf or NaR; read without rounding",
    )  # fmt: skip
    # argparse takes -1/3, -1e-3 and -inf for options, unless they look like numbers to this pattern.
    parser._negative_number_matcher = re.compile(r"-(?:\.?\d|inf|nan|nar)", re.IGNORECASE)


def run(args: argparse.Namespace) -> int:
    """Print the code nearest to each number, with its fields, its value and its rounding error."""
    fmt = args.format
    found = []
    for text in args.numbers:
        x = read_number(text)
        found.append((text, x, fmt.nar if x is None else round_fraction(fmt, x)))
    if args.json:
        codes = [_record(fmt, *item) for item in found]
        print(json.dumps({"format": fmt.spelling, "codes": codes}, indent=2))
        return 0
    color = wants_color(sys.stdout)
    rows = [("number", "code", "sign|regime|exponent|fraction", "value", "relative error")]
    for text, x, code in found:
        value = value_of(fmt, code)
        rows.append((
            text,
            hex_text(fmt, code),
            join_fields(bit_fields(fmt, code), color),
            "NaR" if value is None else exact_text(value),
            "" if (error := _relative_error(x, value)) is None else rounded_text(error),
        ))  # fmt: skip
    print(table(rows))
    return 0


def read_number(text: str) -> Fraction | None:
    """The exact value of a decimal number or a fraction; None (NaR) for nan, inf and NaR.

    Raises
    ------
    ValueError
        If the text is neither, divides by zero, or is too long to be meant.
    """
    if text.lower().lstrip("+-") in _NAR_WORDS:
        return None
    exponent = re.search(r"[eE][+-]?([\d_]+)$", text)
    digits = exponent[1].replace("_", "").lstrip("0") if exponent else ""
    if len(text) > _MAX_CHARACTERS or len(digits) > 4 or int(digits or 0) > _MAX_EXPONENT:
        raise ValueError(
            f"encode: a number must have at most {_MAX_CHARACTERS} characters and an exponent in "
            f"±{_MAX_EXPONENT}, not {text[:40]}{'…' if len(text) > 40 else ''}"
        )
    try:
        return Fraction(text)
    except ZeroDivisionError:
        raise ValueError(f"encode: {text} divides by zero; write NaR for Not a Real") from None
    except ValueError:
        raise ValueError(f"encode: a number is written 3.14, -1e-3, 1/3, nan, inf or NaR, not {text!r}") from None


def _relative_error(x: Fraction | None, value: Fraction | None) -> Fraction | None:
    """(value − x)/x; 0 for an exact 0, None for NaR."""
    if x is None or value is None:
        return None
    return (value - x) / x if x else Fraction(0)


def _record(fmt: PositFormat, text: str, x: Fraction | None, code: int) -> dict[str, Any]:
    sign, regime, exponent, fraction = bit_fields(fmt, code)
    value = value_of(fmt, code)
    error = _relative_error(x, value)
    return {
        "number": text,
        "code": code,
        "hex": hex_text(fmt, code),
        "bits": {"sign": sign, "regime": regime, "exponent": exponent, "fraction": fraction},
        "value": None if value is None else float(value),
        "exact_value": None if value is None else str(value),
        "relative_error": None if error is None else _float(error),
        "exact_relative_error": None if error is None else str(error),
    }


def _float(x: Fraction) -> float | None:
    """The nearest float64, or None for a number beyond them, for which JSON has no spelling."""
    try:
        return float(x)
    except OverflowError:
        return None
