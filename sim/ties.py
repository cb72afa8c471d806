"""Inputs next to the ties of conversions: halves of integers, of an ulp of a float, and of steps between posits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from positcore import arithmetic, floats, integers
from positcore.codec import encode
from positcore.format import PositFormat
from positcore.hw.units import Design

__all__ = ["codes_near_ties", "float_bits_near_ties", "integers_near_ties"]


def codes_near_ties(design: Design, codes: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Codes like those given, of which half lie within an ulp of a tie of the unit, if it rounds."""
    fmt, count = design.spec.a, codes.size
    if design.unit.name == "convert":
        finer = _finer(design.spec.out)
        ties = arithmetic.convert(finer, fmt, _random_codes(finer, count, rng))
    elif design.unit.name in ("round-to-int", "to-int"):
        halves = rng.integers(-(1 << 40), 1 << 40, count) >> rng.integers(0, 41, count)
        ties = encode(fmt, (halves | 1) / 2)
    elif design.float_format is not None:
        bits = _random_bits(design.float_format, count, rng)
        with np.errstate(invalid="ignore"):  # signaling nan, and infinity less infinity
            ties = encode(fmt, (_values(design.float_format, bits) + _values(design.float_format, bits ^ 1)) / 2)
    else:
        return codes
    ties = (ties.astype(np.int64) + rng.integers(-1, 2, count)) & fmt.mask
    return np.where(rng.integers(0, 2, count) == 0, ties, codes).astype(fmt.dtype)


def integers_near_ties(design: Design, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Integers of every length, half of them within one of a tie between codes, and the extremes."""
    assert design.bits is not None
    bits, fmt = design.bits, _finer(design.spec.out)
    drawn = rng.integers(-(1 << 63), (1 << 63) - 1, count, endpoint=True) >> rng.integers(0, 64, count)
    ties = integers.to_int(fmt, _random_codes(fmt, count, rng), bits, signed=bool(design.signed)).astype(np.int64)
    ties += rng.integers(-1, 2, count)
    extremes = rng.choice(np.array([0, 1, -1, 1 << (bits - 2), -(1 << (bits - 2)), (1 << (bits - 1)) - 1]), count)
    lowest = np.full(count, -(1 << (bits - 1)), np.int64)
    kind = rng.integers(0, 32, count)
    chosen = np.select([kind == 0, kind == 1, kind < 16], [extremes, lowest, ties], drawn)
    if bits == 64:
        return chosen
    low = chosen & ((1 << bits) - 1)
    return low - (low >> (bits - 1) << bits) if design.signed else low


def float_bits_near_ties(design: Design, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Encodings of floats: any, subnormals, infinities and nan; half of them within an ulp of a tie between codes."""
    assert design.float_format is not None
    fmt = _finer(design.spec.out)
    drawn = _random_bits(design.float_format, count, rng)
    ties = floats.to_float(fmt, _random_codes(fmt, count, rng), design.float_format).view(drawn.dtype)
    ties = ties.astype(np.int64) + rng.integers(-1, 2, count)
    width = 8 * drawn.dtype.itemsize
    return np.where(rng.integers(0, 2, count) == 0, ties, drawn.astype(np.int64)) & ((1 << width) - 1)


def _finer(fmt: PositFormat) -> PositFormat:
    """The format with a bit more, whose odd codes are the ties."""
    return PositFormat(min(fmt.n + 1, 32), fmt.es)


def _random_codes(fmt: PositFormat, count: int, rng: np.random.Generator) -> NDArray[Any]:
    codes = rng.integers(0, 1 << fmt.n, count) | 1
    inverted = rng.integers(0, 2, count) * fmt.maxpos_code  # regimes of every length, of ones and zeros
    return ((codes >> rng.integers(0, fmt.n, count) | 1) ^ inverted).astype(fmt.dtype)


def _random_bits(float_format: str, count: int, rng: np.random.Generator) -> NDArray[Any]:
    """Any bits; one in sixteen has no exponent, and one in sixteen the largest."""
    width = 32 if float_format == "float32" else 16
    exponent_bits = 5 if float_format == "float16" else 8
    bits = rng.integers(0, 1 << width, count)
    exponent = ((1 << exponent_bits) - 1) << (width - 1 - exponent_bits)
    kind = rng.integers(0, 16, count)
    bits = np.select([kind == 0, kind == 1], [bits & ~exponent, bits | exponent], bits)
    return bits.astype(np.uint32 if width == 32 else np.uint16)


def _values(float_format: str, bits: NDArray[Any]) -> NDArray[np.float64]:
    if float_format == "bfloat16":
        return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return bits.view(float_format).astype(np.float64)
