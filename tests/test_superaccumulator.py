import math
from fractions import Fraction

import numpy as np
import pytest

from positcore.superaccumulator import LIMBS, accumulate, exact_dots, read


def total(numbers):
    limbs = np.zeros(LIMBS, np.int64)
    for x in numbers:
        accumulate(limbs, x)
    return read(limbs)


def odd(x: Fraction) -> float:
    """A rational rounded to odd in float64, from the definition."""
    if x == 0:
        return 0.0
    exponent = math.frexp(float(abs(x)))[1] - 53
    quotient = abs(x) / Fraction(2) ** exponent
    if quotient >= 2**53:
        exponent, quotient = exponent + 1, quotient / 2
    if quotient < 2**52:
        exponent, quotient = exponent - 1, quotient * 2
    kept = math.floor(quotient)
    if kept != quotient:
        kept |= 1
    return math.copysign(math.ldexp(kept, exponent), x)


@pytest.mark.parametrize("seed", range(30))
def test_sums_are_exact_and_rounded_to_odd(seed):
    rng = np.random.default_rng(seed)
    spread = int(rng.choice([3, 60, 400, 600]))
    numbers = rng.normal(size=rng.integers(1, 60)) * 2.0 ** rng.integers(-spread, spread, 1)
    numbers = numbers * 2.0 ** rng.integers(-spread // 2, spread // 2 + 1, numbers.size)
    if seed % 3 == 0:  # all but a little cancels
        numbers = np.concatenate([numbers, -numbers[::-1], numbers[:1] * 2.0**-80])
    assert total(numbers.tolist()) == odd(sum(map(Fraction, numbers.tolist()), Fraction(0)))


@pytest.mark.parametrize("bits", range(1, 130))
def test_every_alignment_and_a_far_sticky_bit(bits):
    top, tiny = 2.0**bits * (1 + 2.0**-52), 2.0**-900
    assert total([top]) == top
    assert total([2.0**bits, tiny]) == 2.0**bits * (1 + 2.0**-52)
    assert total([-(2.0**bits), tiny]) == -(2.0**bits) * (1 - 2.0**-53)


def test_cancellation_leaves_zero():
    assert total([2.0**900, 2.0**-900, -(2.0**900), -(2.0**-900)]) == 0.0
    assert total([]) == 0.0


def test_bins_are_emptied_before_they_overflow():
    """16384 of the largest numbers of a bin and one whose last bit is the bin's last; then all but that one back."""
    large, small = 2 - 2.0**-26, 2.0**-15 * (1 + 2.0**-26)
    a = np.array([[large] * 16384 + [small] + [-large] * 16384])
    out, zero = np.empty(1), np.zeros(1, np.intp)
    exact_dots(a, np.ones_like(a), np.zeros(1), zero, zero, True, out)
    assert out[0] == small


def test_exact_dots_of_products_wider_than_float64():
    rng = np.random.default_rng(5)
    a, b = (np.round(rng.normal(size=(3, 40)) * 2.0**29) * 2.0**-100 for _ in range(2))
    rows, columns, bias = np.array([0, 2, 1]), np.array([1, 1, 0]), np.array([0.0, 2.0**-190, -1.0])
    out = np.empty(3)
    exact_dots(a, b, bias, rows, columns, False, out)
    for s in range(3):
        products = (Fraction(x) * Fraction(y) for x, y in zip(a[rows[s]].tolist(), b[columns[s]].tolist(), strict=True))
        assert out[s] == odd(sum(products, Fraction(float(bias[s]))))
