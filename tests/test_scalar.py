import copy
import math
import operator
import pickle
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from numbers import Real

import numpy as np
import pytest

import positcore as pc
from positcore.rational import round_fraction, value_of
from positcore.scalar import Posit
from tests.reference import BYTE_FORMATS, LARGE_FORMATS, SMALL_FORMATS, exact, format_id


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
    with pytest.raises(TypeError, match=r"a code is an integer, not 1\.5; Posit\.from_value rounds a number"):
        Posit(f, 1.5)
    with pytest.raises(TypeError, match="a code is an integer, not True"):
        Posit(f, True)
    with pytest.raises(TypeError, match="'3' is not a real number"):
        Posit.from_value(f, "3")


TINY_FORMATS = [pc.PositFormat(5, 1), pc.PositFormat(5, 2, underflow=True), pc.PositFormat(2, 0), pc.PositFormat(4, 4)]
OPERATORS = {
    "+": (operator.add, lambda x, y: x + y),
    "-": (operator.sub, lambda x, y: x - y),
    "*": (operator.mul, lambda x, y: x * y),
    "/": (operator.truediv, lambda x, y: x / y if y else None),
    "//": (operator.floordiv, lambda x, y: Fraction(math.floor(x / y)) if y else None),
    "%": (operator.mod, lambda x, y: x - y * math.floor(x / y) if y else None),
}
# Numbers of other kinds, with their exact values.
OTHERS = [
    (7, Fraction(7)),
    (-(2**70) - 1, Fraction(-(2**70) - 1)),
    (0.1, Fraction(0.1)),
    (Fraction(-1, 3), Fraction(-1, 3)),
    (0, Fraction(0)),
    (True, Fraction(1)),
    (Decimal("0.3"), Fraction(3, 10)),
    (np.float32(0.1), Fraction(float(np.float32(0.1)))),
    (np.float64(-2.5), Fraction(-5, 2)),
    (np.int64(2**62 + 1), Fraction(2**62 + 1)),
    (np.bool_(True), Fraction(1)),
]


@pytest.mark.parametrize("fmt", TINY_FORMATS, ids=format_id)
@pytest.mark.parametrize("name", OPERATORS)
def test_operators_on_all_pairs(fmt, name):
    apply, function = OPERATORS[name]
    for x in range(fmt.mask + 1):
        for y in range(fmt.mask + 1):
            assert apply(Posit(fmt, x), Posit(fmt, y)) == Posit(fmt, exact(fmt, function, x, y)), f"{x:#x} {y:#x}"


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize(("other", "value"), OTHERS, ids=lambda x: f"{type(x).__name__}({x})")
def test_other_numbers_are_rounded_first(name, other, value):
    apply, function = OPERATORS[name]
    fmt = pc.PositFormat(5, 1)
    rounded = round_fraction(fmt, value)
    for code in range(fmt.mask + 1):
        assert apply(Posit(fmt, code), other) == Posit(fmt, exact(fmt, function, code, rounded))
        assert apply(other, Posit(fmt, code)) == Posit(fmt, exact(fmt, function, rounded, code))


def test_a_rounded_operand_differs_from_an_exact_one():
    """3 · 0.1: 0.1 is 13/128 as a posit<8,2>, of which three are exactly 39/128; and 0.3 rounds to 40/128."""
    three = Posit.from_value(pc.posit8, 3)
    assert three * 0.1 == three * Posit.from_value(pc.posit8, 0.1)
    assert (three * Fraction(1, 10)).value == value_of(pc.posit8, round_fraction(pc.posit8, Fraction(39, 128)))


def test_nan_and_infinity_are_nar_in_arithmetic():
    one, nar = Posit.from_value(pc.posit8, 1), Posit(pc.posit8, pc.posit8.nar)
    for x in (math.nan, math.inf, -math.inf, np.float32("nan"), Decimal("nan"), Decimal("inf")):
        assert one + x == nar == x * one
        assert Posit.from_value(pc.posit8, x).is_nar


@pytest.mark.parametrize("fmt", TINY_FORMATS, ids=format_id)
def test_comparisons_and_hashes_are_exact(fmt):
    numbers = [Fraction(n, 8) for n in range(-20, 21, 2)] + [
        Fraction(10) ** 30,
        -(Fraction(10) ** 30),
        Fraction(1, 10**30),
    ]
    for code in range(fmt.mask + 1):
        posit = Posit(fmt, code)
        for y in numbers:
            kinds = [y, *([float(y)] if Fraction(float(y)) == y else []), *([int(y)] if y.denominator == 1 else [])]
            for other in kinds:
                if posit.is_nar:
                    assert posit < other and posit <= other and posit != other and not posit > other  # noqa: PT018
                    assert other > posit and not other == posit and not other <= posit  # noqa: PT018, SIM201
                    continue
                for compare in (operator.lt, operator.le, operator.eq, operator.ne, operator.gt, operator.ge):
                    assert compare(posit, other) is compare(posit.value, y)
                    assert compare(other, posit) is compare(y, posit.value)
                if posit == other:
                    assert hash(posit) == hash(other)


def test_comparisons_of_formats_infinity_and_nan():
    one, other, nar = Posit.from_value(pc.posit8, 1), Posit.from_value(pc.posit16, 1), Posit(pc.posit8, pc.posit8.nar)
    assert one == other
    assert len({one, other, 1, Fraction(1)}) == 1
    assert one < Posit.from_value(pc.posit16, 1.001)
    assert nar == Posit(pc.posit16, pc.posit16.nar)
    assert hash(nar) == hash(Posit(pc.posit16, pc.posit16.nar))
    assert nar < -math.inf < one < math.inf
    for x in (one, nar):
        assert not any(compare(x, math.nan) for compare in (operator.lt, operator.le, operator.eq, operator.ge))
        assert x != math.nan
    assert one == 1 + 0j
    assert one != 1 + 1j
    assert one != "1"
    assert one != None  # noqa: E711
    with pytest.raises(TypeError, match="not supported between instances of 'Posit' and 'str'"):
        one < "1"  # noqa: B015
    with pytest.raises(TypeError, match="unsupported operand"):
        one + "1"


@pytest.mark.parametrize("fmt", TINY_FORMATS, ids=format_id)
def test_powers(fmt):
    for code in range(fmt.mask + 1):
        for k in (*range(-5, 6), 65536, -65535):
            got, x = Posit(fmt, code) ** k, value_of(fmt, code)
            if x is None or (x == 0 and k < 0):
                assert got.is_nar
            elif abs(k) < 6 or x in (0, 1, -1):
                assert got.value == value_of(fmt, round_fraction(fmt, x**k))
            else:  # far beyond the range, unless x is 1
                end = fmt.maxpos_code if (abs(x) > 1) == (k > 0) else 0 if fmt.underflow else 1
                assert abs(got).code == end
                assert (got.signed < 0) == (x < 0 and k % 2 == 1 and end > 0)


def test_powers_that_are_refused():
    two = Posit.from_value(pc.posit8, 2)
    with pytest.raises(TypeError, match=r"the exponent of \*\* must be an integer, not 0.5; other powers have no"):
        two**0.5
    with pytest.raises(TypeError, match=r"the exponent of \*\* must be an integer, not Posit\(2.0, posit<8,2>\)"):
        2**two
    with pytest.raises(ValueError, match=r"the exponent of \*\* must be in ±65536, not 65537"):
        two**65537


def test_the_interface_of_real_numbers():
    x, y = Posit.from_value(pc.posit16, Fraction(-13, 4)), Posit.from_value(pc.posit16, 2.5)
    assert isinstance(x, Real)
    assert (int(x), math.trunc(x), math.floor(x), math.ceil(x), round(x)) == (-3, -3, -4, -3, -3)
    assert round(y) == 2
    assert round(x, 1) == Posit.from_value(pc.posit16, Fraction(-32, 10))
    assert divmod(x, 2) == (-2, Fraction(3, 4))
    assert divmod(7, y) == (2, 2)
    assert (float(x), complex(x), x.real, x.imag, x.conjugate()) == (-3.25, -3.25 + 0j, x, 0, x)
    assert x.as_integer_ratio() == (-13, 4)
    assert sum([x, y]) == Fraction(-3, 4)
    assert (+x, -x, abs(x)) == (x, Fraction(13, 4), Fraction(13, 4))
    assert bool(x)
    assert not Posit(pc.posit16, 0)
    assert Posit.from_value(pc.posit8, x) == x.convert(pc.posit8)
    assert y.fma(2, 0.5) == Fraction(11, 2)
    assert y.fms(2, Fraction(1, 2)) == Fraction(9, 2)
    assert type(Posit(pc.posit8, np.uint8(3)).code) is int


def test_nar_has_no_integer():
    nar = Posit(pc.posit8, pc.posit8.nar)
    for function in (int, round, math.floor, math.ceil, math.trunc, Posit.as_integer_ratio):
        with pytest.raises(ValueError, match="NaR is not a number, and has no integer"):
            function(nar)
    assert math.isnan(float(nar))
    assert round(nar, 2) == nar
    assert bool(nar)


def test_text_copies_and_pickles():
    x, nar = Posit.from_value(pc.posit8, 0.1), Posit(pc.posit8, pc.posit8.nar)
    assert repr(x) == "Posit(0.1, posit<8,2>)"
    assert str(x) == "0.1015625"
    assert f"{x:.3f} {nar:>5.1f} {x}" == "0.102   NaR 0.1015625"
    for same in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert same == x
        assert same.fmt == x.fmt
        assert same.code == x.code
    with pytest.raises(AttributeError, match="cannot assign to field 'code'"):
        x.code = 3


def test_numpy_takes_a_scalar():
    x = Posit.from_value(pc.posit8, 2)
    assert np.sqrt(x) == x.sqrt()
    assert type(np.sqrt(x)) is Posit
    assert type(np.float64(0.1) * x) is Posit
    assert np.float64(0.1) * x == 0.1 * x
    assert (np.array([1.0, 0.1]) * x).astype(object).tolist() == [x, x * 0.1]
    assert np.asarray(x, np.float64) == 2.0
