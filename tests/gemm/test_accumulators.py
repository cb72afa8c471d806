"""Fused, Rounded and Aligned, each against its definition in exact rationals, one dot product at a time."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest

import positcore as pc
from tests.reference import format_id, rounded, special_codes, value

FORMATS = [
    (pc.posit8, pc.posit8),
    (pc.PositFormat(8, 0), pc.PositFormat(8, 0)),
    (pc.PositFormat(8, 2, underflow=True), pc.PositFormat(8, 2, underflow=True)),
    ((pc.posit8, pc.PositFormat(6, 1)), pc.posit16),
    (pc.posit16, pc.posit16),
    (pc.PositFormat(16, 4), pc.PositFormat(12, 3)),
    (pc.PositFormat(5, 4), pc.PositFormat(5, 4)),
    (pc.posit32, pc.posit32),
    (pc.PositFormat(32, 4), pc.PositFormat(32, 4)),
    (pc.PositFormat(32, 0), pc.PositFormat(32, 0)),
]
ACCUMULATORS = [
    pc.Fused(),
    pc.Rounded(),
    pc.Aligned(lanes=1, width=6),
    pc.Aligned(lanes=4, width=14),
    pc.Aligned(lanes=3, width=30),
    pc.Aligned(lanes=4, width=44),
    pc.Aligned(lanes=4, width=64),
    pc.Aligned(lanes=64, width=89),
    pc.Aligned(lanes=2, width=90),
    pc.Aligned(lanes=8, width=256),
]


def scale(x):
    """⌊log2 |x|⌋ of a nonzero rational."""
    s = abs(x).numerator.bit_length() - abs(x).denominator.bit_length()
    return s if Fraction(2) ** s <= abs(x) else s - 1


def step(fmt, x):
    return value(fmt, rounded(fmt, x))


def dot(spec, a, b, start):
    """One dot product by the definition of its accumulator; None is NaR."""
    if start is None or None in a or None in b:
        return None
    out, unit = spec.out, spec.accumulator
    acc = step(out, start)
    if isinstance(unit, pc.Fused):
        for x, y in zip(a, b, strict=True):
            acc = step(out, acc + x * y)
    elif isinstance(unit, pc.Rounded):
        for x, y in zip(a, b, strict=True):
            acc = step(out, acc + step(out, x * y))
    else:
        for i in range(0, len(a), unit.lanes):
            pairs = list(zip(a, b, strict=True))[i : i + unit.lanes]
            scales = [scale(x) + scale(y) for x, y in pairs if x * y] + ([scale(acc)] if acc else [])
            if scales:
                grid = Fraction(2) ** (max(scales) - unit.width)
                acc = step(out, sum(floor(term / grid) * grid for term in [acc, *(x * y for x, y in pairs)]))
    return acc


def draw(fmt, rng, shape, how):
    if how == "normal":
        return fmt.encode(rng.normal(size=shape))
    if how == "special":
        return rng.choice(special_codes(fmt), shape)
    codes = rng.integers(0, 1 << fmt.n, shape)
    return np.where(codes == fmt.nar, 0, codes).astype(fmt.dtype)


@pytest.mark.parametrize("how", ["normal", "uniform", "special"])
@pytest.mark.parametrize("accumulator", ACCUMULATORS, ids=str)
@pytest.mark.parametrize("formats", FORMATS, ids=lambda f: f"{f[0]}-{f[1]}".replace("PositFormat", ""))
def test_against_the_definition(formats, accumulator, how):
    spec = pc.MacSpec(*formats, accumulator)
    rng = np.random.default_rng(1)
    for k in (1, 7, 13):
        a, b = draw(spec.a, rng, (4, k), how), draw(spec.b, rng, (k, 3), how)
        if k == 13:  # the second half takes back the first, nearly
            a[:, 7:], b[7:] = pc.neg(spec.a, a[:, :6]), b[:6]
        for bias in (None, draw(spec.a, rng, 3, how)):
            got = pc.matmul(spec, a, b, bias)
            for i in range(4):
                for j in range(3):
                    x, y = ([value(f, int(c)) for c in v] for f, v in ((spec.a, a[i]), (spec.b, b[:, j])))
                    start = Fraction(0) if bias is None else value(spec.a, int(bias[j]))
                    expected = dot(spec, x, y, start)
                    assert got[i, j] == (spec.out.nar if expected is None else rounded(spec.out, expected))


@pytest.mark.parametrize("fmt", [pc.posit16, pc.posit32], ids=format_id)
def test_a_tie_that_only_the_sum_so_far_breaks(fmt):
    """x² is a tie, and the sum so far ±minpos: below float64's last bit, and yet it decides."""
    spec = pc.MacSpec(fmt, accumulator=pc.Fused())
    x = int(fmt.encode(1 + 2.0 ** -((fmt.fraction_bits + 1) // 2)))
    square = value(fmt, x) ** 2
    above, below = (rounded(fmt, square + sign * Fraction(fmt.minpos)) for sign in (1, -1))
    assert above == below + 1
    codes = [[0, x], [0, x]]
    for start, expected in ((1, above), (fmt.mask, below)):
        got = pc.matmul(spec, np.array(codes, fmt.dtype), np.array(codes, fmt.dtype).T, np.array([start], fmt.dtype))
        assert got.tolist() == [[expected] * 2] * 2


@pytest.mark.parametrize("accumulator", ACCUMULATORS, ids=str)
def test_threads_and_blocks_do_not_matter(accumulator):
    spec = pc.MacSpec(pc.posit8, pc.posit8, accumulator)
    rng = np.random.default_rng(2)
    a, b = draw(spec.a, rng, (70, 40), "normal"), draw(spec.b, rng, (40, 600), "normal")
    before = pc.get_num_threads()
    try:
        pc.set_num_threads(1)
        one = pc.matmul(spec, a, b)
        pc.set_num_threads(3)
        assert np.array_equal(pc.matmul(spec, a, b), one)
    finally:
        pc.set_num_threads(before)
    assert np.array_equal(pc.matmul(spec, a[:3], b[:, 250:270]), one[:3, 250:270])


@pytest.mark.parametrize("spec", [pc.MacSpec(pc.posit8, pc.posit8, a) for a in ACCUMULATORS], ids=format_id)
def test_empty(spec):
    assert pc.matmul(spec, np.zeros((2, 0), np.uint8), np.zeros((0, 3), np.uint8)).tolist() == [[0] * 3] * 2


def test_a_wide_enough_aligned_unit_is_the_quire_for_one_chunk():
    rng = np.random.default_rng(3)
    a, b = draw(pc.posit8, rng, (9, 16), "uniform"), draw(pc.posit8, rng, (16, 9), "uniform")
    aligned = pc.MacSpec(pc.posit8, pc.posit16, pc.Aligned(lanes=16, width=112))
    assert np.array_equal(pc.matmul(aligned, a, b), pc.matmul(pc.MacSpec(pc.posit8, pc.posit16), a, b))


def test_order_matters_where_it_should():
    """The same terms in another order: a rounding accumulator gives other codes, the quire the same."""
    rng = np.random.default_rng(4)
    a, b = draw(pc.posit8, rng, (20, 50), "normal"), draw(pc.posit8, rng, (50, 20), "normal")
    for accumulator in ACCUMULATORS:
        if accumulator == pc.Aligned(lanes=64, width=89):
            continue  # all terms in one chunk, and none of them cut
        spec = pc.MacSpec(pc.posit8, pc.posit8, accumulator)
        assert not np.array_equal(pc.matmul(spec, a, b), pc.matmul(spec, a[:, ::-1], b[::-1]))
