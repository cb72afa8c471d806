from fractions import Fraction
from itertools import pairwise

import pytest

import positcore as pc
from positcore.scalar import Posit, round_fraction, value_of
from tests.reference import BYTE_FORMATS, LARGE_FORMATS, SMALL_FORMATS, format_id


# Worked by hand from the Posit Standard (2022), §3.
@pytest.mark.parametrize(
    ("fmt", "code", "expected"),
    [
        ((8, 2), 0b01000000, Fraction(1)),
        ((8, 2), 0b01000001, Fraction(9, 8)),
        ((8, 2), 0b01001000, Fraction(2)),
        ((8, 2), 0b01100000, Fraction(16)),
        ((8, 2), 0b00100000, Fraction(1, 16)),
        ((8, 2), 0b00000001, Fraction(1, 2**24)),
        ((8, 2), 0b01111111, Fraction(2**24)),
        ((8, 2), 0b11000000, Fraction(-1)),
        ((8, 2), 0b10111111, Fraction(-9, 8)),
        ((16, 1), 0b0_0001_1_0111011101, Fraction(1024 + 477, 1024) * Fraction(2) ** (-3 * 2 + 1)),
        ((8, 0), 0b01111110, Fraction(32)),
        ((4, 3), 0b0111, Fraction(2**16)),
        ((4, 3), 0b0110, Fraction(2**8)),  # no room for exponent bits: they read as zero
        ((5, 3), 0b01011, Fraction(2**6)),  # two of three exponent bits are there
        ((2, 2), 0b01, Fraction(1)),
    ],
)
def test_value(fmt, code, expected):
    assert value_of(pc.PositFormat(*fmt), code) == expected


def test_nar_and_zero():
    f = pc.PositFormat(8, 2)
    assert value_of(f, 0) == 0
    assert value_of(f, f.nar) is None
    assert str(Posit(f, f.nar)) == "NaR"


@pytest.mark.parametrize("fmt", SMALL_FORMATS + BYTE_FORMATS, ids=format_id)
def test_values_increase_with_the_code(fmt):
    values = [value_of(fmt, c & fmt.mask) for c in range(1 - fmt.nar, fmt.nar)]
    assert all(x < y for x, y in pairwise(values))


@pytest.mark.parametrize("fmt", SMALL_FORMATS + BYTE_FORMATS, ids=format_id)
def test_rounding_turns_at_the_encoding_between_two_neighbors(fmt):
    """The definition itself: the tie lies at the (n+1)-bit code 2c + 1, and goes to the even code."""
    longer = pc.PositFormat(fmt.n + 1, fmt.es)
    for code in range(1, fmt.maxpos_code):
        tie, tiny = value_of(longer, 2 * code + 1), Fraction(1, 2**900)
        even = code if code % 2 == 0 else code + 1
        for sign in (1, -1):
            for x, expected in ((tie - tiny, code), (tie, even), (tie + tiny, code + 1), (value_of(fmt, code), code)):
                assert round_fraction(fmt, sign * x) == sign * expected & fmt.mask


@pytest.mark.parametrize("fmt", SMALL_FORMATS + BYTE_FORMATS + LARGE_FORMATS, ids=format_id)
def test_extremes(fmt):
    minpos, maxpos = value_of(fmt, 1), value_of(fmt, fmt.maxpos_code)
    assert round_fraction(fmt, maxpos * 10**9) == fmt.maxpos_code
    assert round_fraction(fmt, -maxpos * 10**9) == fmt.nar + 1
    threshold = minpos / (fmt.useed if fmt.flush is None else 2**fmt.flush)
    assert round_fraction(fmt, threshold) == (0 if fmt.underflow else 1)  # a tie goes to 0, what is flushed lies below
    assert round_fraction(fmt, threshold * Fraction(1001, 1000)) == 1
    assert round_fraction(fmt, threshold * Fraction(999, 1000)) == (0 if fmt.variant else 1)
    assert round_fraction(fmt, -threshold / 3) == (0 if fmt.variant else fmt.mask)


def test_operators():
    f = pc.PositFormat(8, 2)
    one, two, nar, zero = (Posit.from_value(f, x) for x in (1, 2.0, float("nan"), 0))
    assert (one + two).value == 3
    assert (one - two).value == -1
    assert (two * two).value == 4
    assert (one / two).value == Fraction(1, 2)
    assert one / zero == nar == one + nar == nar * zero
    assert two.fma(two, one).value == 5
    assert -one < zero < one <= two
    assert nar < -Posit(f, f.maxpos_code)
    assert abs(-two) == two
    assert float(two) == 2.0
    assert one.convert(pc.PositFormat(16, 1)).value == 1
    assert Posit.from_value(f, float("inf")) == nar


def test_errors():
    f = pc.PositFormat(8, 2)
    with pytest.raises(ValueError, match=r"a code of posit<8,2> must be in 0\.\.255, not 256"):
        Posit(f, 256)
    with pytest.raises(ValueError, match="operands must have one format, not posit<8,2> and posit<8,1>"):
        Posit(f, 1) + Posit(pc.PositFormat(8, 1), 1)
