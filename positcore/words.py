"""Arrays of two's-complement integers of any width, in words of 32 bits: the arithmetic of quires.

An integer is a row of uint32 words, least significant first. Bits above its width, `spare` of them in the last word,
repeat the sign. The pattern 100…0 is NaR: it stays, whatever is added (Posit Standard 2022).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from positcore.codec import decode_bits
from positcore.jit import float_bits, float_from_bits, kernel
from positcore.superaccumulator import BINS, LIMBS, add_dot, propagate

__all__ = ["add_dots", "add_products", "add_rows", "find_nar", "join_digits", "negate_rows", "read_rows", "sum_rows"]

_LOW = (1 << 32) - 1
_FRACTION = (1 << 52) - 1


@kernel
def _wrap(row: Any, spare: int) -> None:
    """Drop what is above the width: repeat the sign instead."""
    row[row.size - 1] = (np.int64(row[row.size - 1]) << (32 + spare) >> (32 + spare)) & _LOW


@kernel
def _is_nar(row: Any, spare: int) -> bool:
    if row[row.size - 1] != (_LOW << (31 - spare)) & _LOW:
        return False
    rest = np.int64(0)
    for k in range(row.size - 1):
        rest |= np.int64(row[k])
    return bool(rest == 0)


@kernel
def _set_nar(row: Any, spare: int) -> None:
    row[:] = 0
    row[row.size - 1] = (_LOW << (31 - spare)) & _LOW


@kernel
def find_nar(words: Any, spare: int, out: Any) -> None:
    """out[i] ← whether words[i] is NaR."""
    for i in range(out.size):
        out[i] = _is_nar(words[i], spare)


@kernel
def _add_shifted(row: Any, spare: int, position: int, magnitude: int, sign: int) -> None:
    """Row ← row + magnitude · 2^position, or − for a sign of −1; below 2^62, and a multiple of the unit."""
    if position < 0:
        magnitude >>= min(-position, 63)
        position = 0
    first = position >> 5
    offset = position & 31
    low = (magnitude & _LOW) << offset
    high = (magnitude >> 32) << offset
    carry = np.int64(0)
    for k in range(first, row.size):
        if k == first:
            part = low & _LOW
        elif k == first + 1:
            part = (low >> 32) + (high & _LOW)
        elif k == first + 2:
            part = high >> 32
        elif carry == 0:
            break
        else:
            part = 0
        total = np.int64(row[k]) + ((part ^ sign) - sign) + carry
        row[k] = total & _LOW
        carry = total >> 32
    _wrap(row, spare)


@kernel
def add_products(
    words: Any, spare: int, point: int, a: Any, n_a: int, es_a: int, b: Any, n_b: int, es_b: int, negative: bool
) -> None:
    """words[i] ← words[i] ± a[i] · b[i], exact; an operand of one code serves all rows.

    `point` is the number of fraction bits, at least the sum of both formats' max_scale.
    """
    for i in range(words.shape[0]):
        row = words[i]
        if _is_nar(row, spare):
            continue
        x = decode_bits(np.int64(a[i if a.size > 1 else 0]) << (64 - n_a) >> (64 - n_a), n_a, es_a)
        y = decode_bits(np.int64(b[i if b.size > 1 else 0]) << (64 - n_b) >> (64 - n_b), n_b, es_b)
        if x != x or y != y:
            _set_nar(row, spare)
        elif x != 0.0 and y != 0.0:
            p, q = float_bits(x), float_bits(y)
            significand = (p & _FRACTION | 1 << 52) >> 22  # of a posit's, the lowest 22 bits are zero
            magnitude = significand * ((q & _FRACTION | 1 << 52) >> 22)
            scale = (p >> 52 & 0x7FF) + (q >> 52 & 0x7FF) - 2046
            _add_shifted(row, spare, scale - 60 + point, magnitude, (p ^ q) >> 63 ^ (-1 if negative else 0))


@kernel
def add_dots(words: Any, spare: int, point: int, a: Any, bt: Any, nar: Any, short: bool) -> None:
    """words[i, j] ← words[i, j] + a[i] · bt[j], exact; `nar[j]` where bt[j] holds a NaR.

    a (M, K) and bt (N, K) of floats; `short` where a product of two operands has at most 27 bits.
    """
    limbs, bins = np.zeros(LIMBS, np.int64), np.zeros(BINS)
    shift = 1075 - point  # between the unit of the limbs, the least float64's, and that of the words
    first, offset = shift >> 5, shift & 31
    for i in range(words.shape[0]):
        nar_row = False
        for k in range(a.shape[1]):
            nar_row |= a[i, k] != a[i, k]
        for j in range(words.shape[1]):
            row = words[i, j]
            if _is_nar(row, spare):
                continue
            if nar_row or nar[j]:
                _set_nar(row, spare)
                continue
            limbs[:] = 0
            add_dot(limbs, bins, a[i], bt[j], short)
            propagate(limbs)
            carry = np.int64(0)
            for k in range(row.size):
                above = limbs[first + k + 1] if first + k + 1 < LIMBS else limbs[LIMBS - 1] >> 32
                total = ((limbs[first + k] >> offset) | (above << (32 - offset))) & _LOW
                total += np.int64(row[k]) + carry
                row[k] = total & _LOW
                carry = total >> 32
            _wrap(row, spare)


@kernel
def add_rows(words: Any, spare: int, others: Any, negative: bool) -> None:
    """words[i] ← words[i] ± others[i]; one row of others serves all."""
    flip = _LOW if negative else 0
    for i in range(words.shape[0]):
        row, other = words[i], others[i if others.shape[0] > 1 else 0]
        if _is_nar(row, spare):
            continue
        if _is_nar(other, spare):
            _set_nar(row, spare)
            continue
        carry = np.int64(1 if negative else 0)
        for k in range(row.size):
            total = np.int64(row[k]) + (np.int64(other[k]) ^ flip) + carry
            row[k] = total & _LOW
            carry = total >> 32
        _wrap(row, spare)


@kernel
def join_digits(words: Any, spare: int, digits: Any) -> None:
    """words[i] ← Σ digits[i, k]·2^32k over all columns but the last, which says how many NaR there are."""
    for i in range(words.shape[0]):
        row = words[i]
        if digits[i, row.size] != 0:
            _set_nar(row, spare)
            continue
        carry = np.int64(0)
        for k in range(row.size):
            total = digits[i, k] + carry
            row[k] = total & _LOW
            carry = total >> 32
        _wrap(row, spare)


@kernel
def negate_rows(words: Any, spare: int, only_negative: bool) -> None:
    """words[i] ← −words[i], or its magnitude; NaR stays."""
    for i in range(words.shape[0]):
        row = words[i]
        if only_negative and row[row.size - 1] >> 31 == 0:
            continue
        carry = np.int64(1)
        for k in range(row.size):
            total = (np.int64(row[k]) ^ _LOW) + carry
            row[k] = total & _LOW
            carry = total >> 32
        _wrap(row, spare)


@kernel
def sum_rows(words: Any, spare: int, out: Any) -> None:
    """out[i] ← Σ words[i, j] over j; words (rows, terms, words of an integer)."""
    for i in range(out.shape[0]):
        nar = False
        row = out[i]
        row[:] = 0
        for j in range(words.shape[1]):
            nar = nar or _is_nar(words[i, j], spare)
            carry = np.int64(0)
            for k in range(row.size):
                total = np.int64(row[k]) + np.int64(words[i, j, k]) + carry
                row[k] = total & _LOW
                carry = total >> 32
        if nar:
            _set_nar(row, spare)
        else:
            _wrap(row, spare)


@kernel
def _read(row: Any, point: int) -> float:
    """A row by 2^point, rounded to odd in float64, with at least 32 bits; at most 2^900 · 2^53."""
    top = row.size - 1
    sign = -(np.int64(row[top]) >> 31)  # 0 or −1
    while top > 0 and row[top] == sign & _LOW:
        top -= 1
    below = np.int64(row[top - 1]) if top > 0 else 0
    window = ((np.int64(row[top]) + (sign << 32)) << 31) | (below >> 1)
    rest = below & 1
    for k in range(top - 1):
        rest |= np.int64(row[k])
    # Toward −∞, and the last bit set where something was lost: rounding to odd, of either sign.
    window |= 1 if rest else 0
    exponent = 32 * top - 31 - point
    if window >> 53 != window >> 63:
        window = window >> 11 | (1 if window & 2047 else 0)
        exponent += 11
    return float(window) * float_from_bits((min(exponent, 900) + 1023) << 52)


@kernel
def read_rows(words: Any, spare: int, point: int, out: Any) -> None:
    """out[i] ← words[i] by 2^point, rounded to odd; nan for NaR."""
    for i in range(out.size):
        out[i] = np.nan if _is_nar(words[i], spare) else _read(words[i], point)
