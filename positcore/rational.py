"""Codes and their exact values: fields, values and rounding, in rational arithmetic, one number at a time.

This is the definition that everything else is compared with.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from positcore.format import PositFormat

__all__ = ["Fields", "floor_log2", "round_fraction", "split", "value_of"]


class Fields(NamedTuple):
    """The fields of a positive code, each with its width in bits."""

    k: int
    exponent: int
    fraction: int
    regime_bits: int
    exponent_bits: int
    fraction_bits: int


def split(fmt: PositFormat, code: int) -> Fields:
    """The fields of a positive code; exponent bits that do not fit read as zero."""
    body_bits = fmt.n - 1
    bits = [(code >> i) & 1 for i in reversed(range(body_bits))]
    run = next((i for i, bit in enumerate(bits) if bit != bits[0]), body_bits)
    k = run - 1 if bits[0] else -run
    regime_bits = min(run + 1, body_bits)
    left = body_bits - regime_bits
    exponent_bits = min(fmt.es, left)
    fraction_bits = left - exponent_bits
    exponent = (code >> fraction_bits) & ((1 << exponent_bits) - 1)
    return Fields(
        k=k,
        exponent=exponent << (fmt.es - exponent_bits),
        fraction=code & ((1 << fraction_bits) - 1),
        regime_bits=regime_bits,
        exponent_bits=exponent_bits,
        fraction_bits=fraction_bits,
    )


def value_of(fmt: PositFormat, code: int) -> Fraction | None:
    """The exact value of a code; None for NaR (Posit Standard 2022, §3.3)."""
    if code == 0:
        return Fraction(0)
    if code == fmt.nar:
        return None
    if code > fmt.nar:
        return -_positive_value(fmt, (1 << fmt.n) - code)
    return _positive_value(fmt, code)


def _positive_value(fmt: PositFormat, code: int) -> Fraction:
    fields = split(fmt, code)
    significand = 1 + Fraction(fields.fraction, 1 << fields.fraction_bits)
    return significand * Fraction(2) ** ((fields.k << fmt.es) + fields.exponent)


def round_fraction(fmt: PositFormat, x: Fraction | int) -> int:
    """The code nearest to x: its infinitely long encoding, rounded to n bits, ties to the even code.

    Saturates at minpos and maxpos; with `fmt.underflow`, |x| ≤ minpos / 2^(2^es) gives 0, and with `fmt.flush`
    |x| < minpos / 2^flush does.
    (Posit Standard 2022, §4.1; Raposo 2021, eq. 6.)
    """
    x = Fraction(x)
    if x == 0:
        return 0
    if x < 0:
        return (1 << fmt.n) - magnitude if (magnitude := round_fraction(fmt, -x)) else 0
    scale = floor_log2(x)
    k, exponent = divmod(scale, 1 << fmt.es)
    regime, regime_bits = ((1 << (k + 2)) - 2, k + 2) if k >= 0 else (1, 1 - k)
    fraction = x / Fraction(2) ** scale - 1
    # The encoding of x as a number whose unit is the last of the n − 1 bits that follow the sign.
    body = ((regime << fmt.es) + exponent + fraction) * Fraction(2) ** (fmt.n - 1 - regime_bits - fmt.es)
    code = min(round(body), fmt.maxpos_code)  # round() of a Fraction takes ties to even
    if fmt.flush is not None and scale < -fmt.max_scale - fmt.flush:
        return 0
    return code if fmt.underflow else max(code, 1)


def floor_log2(x: Fraction) -> int:
    """The largest s with 2^s ≤ x, for x > 0."""
    s = x.numerator.bit_length() - x.denominator.bit_length()
    return s if Fraction(2) ** s <= x else s - 1
