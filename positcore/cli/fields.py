"""Showing codes: their bits with the fields apart, colored on a terminal, and exact values as text."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction
from typing import TextIO

from positcore.format import PositFormat
from positcore.rational import split

__all__ = ["bit_fields", "exact_text", "hex_text", "join_fields", "rounded_text", "table", "wants_color"]

_COLORS = ("31", "33", "36", "32")  # sign red, regime yellow, exponent cyan, fraction green
_LONGEST = 24  # characters of an exact decimal; beyond it a value is shown as m*2^e


def hex_text(fmt: PositFormat, code: int) -> str:
    """A code in hexadecimal, with as many digits as its format needs."""
    return f"0x{code:0{(fmt.n + 3) // 4}X}"


def bit_fields(fmt: PositFormat, code: int) -> tuple[str, str, str, str]:
    """The bits of a code as sign, regime, exponent and fraction; what does not fit is empty.

    They are the bits as they stand, so those of a negative code are fields in the reading of the Posit
    Standard (2022, §3.3), not those of its magnitude.
    """
    bits = f"{code:0{fmt.n}b}"
    fields = split(fmt, code)
    exponent = 1 + fields.regime_bits
    fraction = exponent + fields.exponent_bits
    return bits[0], bits[1:exponent], bits[exponent:fraction], bits[fraction:]


def wants_color(stream: TextIO) -> bool:
    """Whether a stream is a terminal that shows colors, and the user wants them (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def join_fields(fields: Sequence[str], color: bool = False) -> str:
    """Sign, regime, exponent and fraction as `0|10|01|101`, without the empty ones; colored if wanted."""
    shown = [(text, number) for text, number in zip(fields, _COLORS, strict=True) if text]
    return "|".join(f"\x1b[{number}m{text}\x1b[0m" if color else text for text, number in shown)


def exact_text(x: Fraction) -> str:
    """A dyadic rational as an exact decimal or, where that is long, as an integer times a power of two."""
    sign, numerator, exponent = "-" if x < 0 else "", abs(x.numerator), x.denominator.bit_length() - 1
    digits = f"{numerator * 5**exponent:0{exponent + 1}d}"
    text = f"{digits[:-exponent]}.{digits[-exponent:]}" if exponent else digits
    if len(text) <= _LONGEST:
        return sign + text
    zeros = (numerator & -numerator).bit_length() - 1
    odd = numerator >> zeros
    return f"{sign}{'' if odd == 1 else f'{odd}*'}2^{zeros - exponent}"


def rounded_text(x: Fraction, digits: int = 3) -> str:
    """A rational number of any magnitude, to so many significant digits: `-3.5e-2`."""
    context = Context(prec=digits, Emax=MAX_EMAX, Emin=MIN_EMIN)
    quotient = context.divide(Decimal(x.numerator), Decimal(x.denominator)).normalize(context)
    return f"{quotient:e}" if x else "0"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines of aligned columns; a cell's color codes take no room."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _width(cell: str) -> int:
    return len(re.sub(r"\x1b\[\d+m", "", cell))
