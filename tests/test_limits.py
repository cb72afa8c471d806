import math
from fractions import Fraction

import numpy as np
import pytest

import positcore as pc
from positcore.rational import value_of
from tests.reference import BYTE_FORMATS, LARGE_FORMATS, SMALL_FORMATS, format_id


@pytest.mark.parametrize("fmt", SMALL_FORMATS + BYTE_FORMATS + LARGE_FORMATS, ids=format_id)
def test_limits_are_those_of_the_codes(fmt):
    limits, one = pc.finfo(fmt), fmt.nar >> 1
    assert (limits.fmt, limits.bits, limits.es, limits.dtype) == (fmt, fmt.n, fmt.es, fmt.dtype)
    assert Fraction(limits.max) == limits.maxpos == value_of(fmt, fmt.maxpos_code)
    assert Fraction(limits.min) == value_of(fmt, fmt.nar + 1)
    assert Fraction(limits.minpos) == value_of(fmt, 1)
    assert limits.minpos == limits.tiny == limits.smallest_normal == limits.smallest_subnormal
    assert Fraction(2) ** limits.minexp == limits.minpos
    assert Fraction(2) ** limits.maxexp == limits.maxpos
    assert Fraction(limits.epsneg) == 1 - value_of(fmt, one - 1)
    assert Fraction(2) ** limits.negep <= limits.epsneg < Fraction(2) ** (limits.negep + 1)
    if fmt.n > 2:
        eps = value_of(fmt, one + 1) - 1
        assert Fraction(limits.eps) == eps
        assert Fraction(2) ** limits.machep <= eps < Fraction(2) ** (limits.machep + 1)
        assert limits.precision == 0 or Fraction(1, 10**limits.precision) >= eps
        assert Fraction(1, 10 ** (limits.precision + 1)) < eps
    assert limits.quire_bits == fmt.quire_bits()


def test_the_limits_of_one_bit_of_magnitude():
    limits = pc.finfo("2,0")
    assert math.isnan(limits.eps)
    assert (limits.epsneg, limits.max, limits.precision, limits.resolution) == (1, 1, 0, 1)


def test_names_and_numbers_are_those_of_numpy():
    """posit<32,2> next to 1 has four fraction bits more than float32."""
    limits, single = pc.finfo(pc.posit32), np.finfo(np.float32)
    assert limits.eps == float(single.eps) / 16
    assert (limits.nmant, limits.machep, limits.negep) == (27, -27, -28)
    assert limits.precision == 8
    assert limits.resolution == 1e-8


@pytest.mark.parametrize(
    "of", [pc.posit8, "8,2", pc.Posit(pc.posit8, 3), pc.array(pc.posit8, [1])], ids=lambda x: type(x).__name__
)
def test_what_has_limits(of):
    assert pc.finfo(of) == pc.finfo(pc.posit8)
    assert len({pc.finfo(of), pc.finfo(pc.posit8), pc.finfo(pc.posit16)}) == 2


def test_errors():
    with pytest.raises(TypeError, match=r"finfo: a PositFormat, or posits, are expected, not <class 'numpy\.float32'>"):
        pc.finfo(np.float32)
    with pytest.raises(ValueError, match="a format is written n,es such as 8,2"):
        pc.finfo("float32")


def test_text():
    assert repr(pc.finfo("8,2")) == (
        "finfo(posit<8,2>, min=-1.67772e+07, max=1.67772e+07, minpos=5.96046e-08, eps=0.125)"
    )
    assert str(pc.finfo("4,2")).splitlines() == [
        "Limits of posit<4,2>",
        "------------------------------------------------------------------------",
        "bits    4                          es            2",
        "eps     3                          precision     0 decimal digits near 1",
        "epsneg  0.75                       fraction bits 0 near 1, 0 at the ends",
        "minpos  2^-8 = 0.00390625          maxpos        2^8 = 256",
        "useed   16                         quire         64 bits",
    ]
