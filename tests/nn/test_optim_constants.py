"""The constants of a step, against exact rationals and, for many steps, against mpmath."""

from fractions import Fraction

import mpmath
import pytest

import positcore as pc
from positcore.nn.optim import constants
from tests.nn.reference import round_to
from tests.nn.reference_optimizers import root
from tests.reference import format_id

FORMATS = [pc.PositFormat(6, 0), pc.posit8, pc.PositFormat(12, 2), pc.PositFormat(16, 1), pc.posit32]
STEPS = [1, 2, 3, 7, 64, 200]


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.75, 0.9, 0.999, 1 - 2.0**-53])
@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_against_rationals(fmt, beta):
    for step in STEPS:
        correction = 1 - Fraction(beta) ** step
        assert Fraction(constants.correction_root(fmt, beta, step)) == round_to(fmt, root(correction))
        for rate in (0.0, 1e-3, 0.1, 1.0, 3.5):
            assert Fraction(constants.corrected_rate(fmt, rate, beta, step)) == round_to(
                fmt, Fraction(rate) / correction
            )


@pytest.mark.parametrize("step", [10_000, 1_000_000])
def test_many_steps(step):
    fmt = pc.posit32
    with mpmath.workprec(4000):
        correction = 1 - mpmath.power(mpmath.mpf(0.9999), step)
        for got, exact in (
            (constants.corrected_rate(fmt, 0.1, 0.9999, step), mpmath.mpf(0.1) / correction),
            (constants.correction_root(fmt, 0.9999, step), mpmath.sqrt(correction)),
        ):
            sign, mantissa, exponent, _ = exact._mpf_
            assert not sign
            assert Fraction(got) == round_to(fmt, int(mantissa) * Fraction(2) ** exponent)


def test_more_bits_where_the_first_try_cannot_tell():
    """1 − beta^step is a hair below a tie of posit<8,2>: 128 bits give bounds on both sides of it."""
    fmt = pc.posit8
    tie = Fraction(31, 32)  # between 15/16 and 1
    assert round_to(fmt, tie) == 1
    assert round_to(fmt, tie - Fraction(1, 2**300)) == Fraction(15, 16)

    tried = []

    def bounds(bits):
        tried.append(bits)
        exact = tie - Fraction(1, 2**300)
        return Fraction(int(exact * 2**bits), 2**bits), Fraction(int(exact * 2**bits) + 1, 2**bits)

    assert constants._settled(fmt, bounds) == 15 / 16
    assert tried == [128, 256, 512]


def test_rounded():
    assert constants.rounded(pc.posit8, 0.1) == pc.posit8.decode(pc.posit8.encode(0.1))
    assert constants.rounded(pc.posit8, Fraction(-1, 3)) == pc.posit8.decode(pc.posit8.encode(-1 / 3))
    assert constants.rounded(pc.PositFormat(8, 0, underflow=True), 1e-9) == 0
