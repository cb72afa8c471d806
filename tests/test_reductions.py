from fractions import Fraction

import numpy as np
import pytest

import positcore as pc
from positcore.threads import get_num_threads
from tests.reference import BYTE_FORMATS, LARGE_FORMATS, SMALL_FORMATS, format_id, rounded, special_codes, value

FORMATS = SMALL_FORMATS + BYTE_FORMATS + LARGE_FORMATS


def exact_sum(fmt, codes, divisor=1):
    values = [value(fmt, int(code)) for code in np.ravel(codes)]
    return fmt.nar if any(x is None for x in values) else rounded(fmt, sum(values, Fraction(0)) / divisor)


def some_codes(fmt, shape, rng):
    """Codes of every kind but NaR: of any size, of special values, of normally distributed ones."""
    special = special_codes(fmt)
    choices = [rng.integers(0, 1 << fmt.n, shape), rng.choice(special, shape), fmt.encode(rng.normal(size=shape))]
    codes = np.choose(rng.integers(0, 3, shape), choices).astype(fmt.dtype)
    return np.where(codes == fmt.nar, 0, codes).astype(fmt.dtype)


@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_sum_and_mean(fmt):
    rng = np.random.default_rng(1)
    for count in (1, 2, 3, 7, 40):
        codes = some_codes(fmt, (8, count), rng)
        assert pc.sum(fmt, codes, axis=1).tolist() == [exact_sum(fmt, row) for row in codes]
        assert pc.mean(fmt, codes, axis=1).tolist() == [exact_sum(fmt, row, count) for row in codes]
        assert pc.sum(fmt, codes).tolist() == exact_sum(fmt, codes)
        assert pc.mean(fmt, codes).tolist() == exact_sum(fmt, codes, 8 * count)
    assert pc.sum(fmt, codes, axis=0).dtype == pc.mean(fmt, codes).dtype == fmt.dtype


@pytest.mark.parametrize("fmt", [pc.posit8, pc.posit16, pc.PositFormat(32, 4), pc.PositFormat(16, 1)], ids=format_id)
@pytest.mark.parametrize("count", [2047, 2048, 2049, 5000])
def test_more_than_one_block(fmt, count):
    rng = np.random.default_rng(count)
    codes = some_codes(fmt, (3, count), rng)
    codes[1] = fmt.maxpos_code
    codes[2, 0] = fmt.nar
    assert pc.sum(fmt, codes, axis=1).tolist() == [exact_sum(fmt, row) for row in codes]
    assert pc.mean(fmt, codes, axis=1).tolist() == [exact_sum(fmt, row, count) for row in codes]


@pytest.mark.parametrize("fmt", [pc.posit8, pc.posit32], ids=format_id)
def test_one_long_sum(fmt, threads):
    """Of more than 2^18 terms, which the threads share."""
    rng = np.random.default_rng(5)
    period = some_codes(fmt, 1000, rng)
    codes = np.tile(period, 301)
    total = 301 * sum((value(fmt, int(c)) for c in period), Fraction(0))
    for count in (1, 3):
        pc.set_num_threads(count)
        assert pc.sum(fmt, codes).tolist() == rounded(fmt, total)
        assert pc.mean(fmt, codes).tolist() == rounded(fmt, total / codes.size)
        codes[-1] = fmt.nar
        assert pc.sum(fmt, codes) == pc.mean(fmt, codes) == fmt.nar
        codes[-1] = period[-1]


@pytest.fixture
def threads():
    before = get_num_threads()
    yield
    pc.set_num_threads(before)


@pytest.mark.parametrize("fmt", [f for f in FORMATS if f.n > 4], ids=format_id)
def test_cancellation(fmt):
    """What is left of maxpos − maxpos + x is x, and of large numbers that nearly cancel, the small rest."""
    top, negative_top = fmt.maxpos_code, fmt.nar + 1
    for code in (1, fmt.mask, fmt.nar >> 1, 3):
        assert pc.sum(fmt, [top, code, negative_top]) == code
        assert pc.sum(fmt, [code, *[top, negative_top] * 1500]) == code
    codes = [top, 1, 1, negative_top, fmt.mask, fmt.mask]
    assert pc.sum(fmt, codes) == pc.mean(fmt, codes) == 0


@pytest.mark.parametrize("fmt", [pc.posit16, pc.posit32, pc.PositFormat(32, 4)], ids=format_id)
def test_cancellation_within_a_block(fmt):
    """2048 numbers of sizes that one float64 sum cannot take, in any order: all but one cancel."""
    rng = np.random.default_rng(6)
    half = fmt.encode(rng.normal(size=1023) * 2.0 ** rng.integers(-24, 25, 1023))
    for left in fmt.encode([2.0**-24, -(1 + 2.0**-10) * 2.0**-20, 1.0]):
        codes = rng.permutation(np.concatenate([half, pc.neg(fmt, half), [left, 0]])).astype(fmt.dtype)
        assert pc.sum(fmt, codes) == left


@pytest.mark.parametrize("fmt", [f for f in LARGE_FORMATS if f.fraction_bits >= 2], ids=format_id)
def test_ties(fmt):
    """1 and half an ulp is a tie, to the even code; with ±minpos it is none. A mean of neighbors is a tie as well."""
    one = fmt.nar >> 1
    half = int(fmt.encode(2.0 ** -(fmt.fraction_bits + 1)))
    assert value(fmt, half) == Fraction(1, 1 << (fmt.fraction_bits + 1))
    for start, tie in ((one, one), (one + 1, one + 2)):
        assert pc.sum(fmt, [start, half]) == tie
        assert pc.sum(fmt, [start, half, 1]) == start + 1
        assert pc.sum(fmt, [start, half, fmt.mask]) == start
        assert pc.mean(fmt, [start, start + 1]) == tie
        assert pc.mean(fmt, [start, start + 1, 1, fmt.mask] * 3 + [start, start + 1] * 6) == exact_sum(
            fmt, [start, start + 1, 1, fmt.mask] * 3 + [start, start + 1] * 6, 24
        )


@pytest.mark.parametrize("fmt", [pc.posit16, pc.PositFormat(16, 4), pc.posit32], ids=format_id)
def test_a_mean_next_to_a_tie(fmt):
    """Where the mean is a tie ± minpos / count, float64 would round to the tie, and then to even."""
    one, four = fmt.nar >> 1, int(fmt.encode(4.0))
    two_ulps = int(fmt.encode(2.0 ** (1 - fmt.fraction_bits)))
    for pairs in (1, 3, 5, 1022, 3001):
        for tiny, expected in ((1, one + 1), (0, one), (fmt.mask, one)):
            codes = [one, one + 1] * pairs + [four, two_ulps, 0, tiny]  # the last four sum to 4 ties ± minpos
            assert pc.mean(fmt, codes) == exact_sum(fmt, codes, len(codes)) == expected
            assert fmt.encode(float(sum(value(fmt, c) for c in codes) / len(codes))) == one
            negated = pc.neg(fmt, codes)
            assert pc.mean(fmt, negated) == pc.neg(fmt, expected)


@pytest.mark.parametrize("fmt", [pc.PositFormat(8, 2), pc.PositFormat(16, 2, underflow=True)], ids=format_id)
def test_axes_are_numpys(fmt):
    rng = np.random.default_rng(2)
    codes = some_codes(fmt, (3, 4, 5), rng)
    for axis in (None, 0, 1, 2, -1, -3, (0, 1), (2, 0), (-1, 1), (0, 1, 2), ()):
        for keepdims in (False, True):
            shape = np.sum(codes, axis=axis, keepdims=keepdims).shape
            sums = pc.sum(fmt, codes, axis=axis, keepdims=keepdims)
            means = pc.mean(fmt, codes, axis, keepdims)
            assert sums.shape == means.shape == shape
            axes = range(3) if axis is None else [a % 3 for a in np.atleast_1d(axis).astype(int)]
            moved = np.moveaxis(codes, tuple(axes), tuple(range(-len(axes), 0))) if len(axes) else codes[..., None]
            rows = moved.reshape(sums.size, -1)
            assert sums.ravel().tolist() == [exact_sum(fmt, row) for row in rows]
            assert means.ravel().tolist() == [exact_sum(fmt, row, rows.shape[1]) for row in rows]


def test_layout_and_threads_do_not_matter(threads):
    f = pc.posit16
    codes = some_codes(f, (300, 2, 500), np.random.default_rng(3))
    padded = np.zeros((600, 4, 500), f.dtype)
    padded[::2, 1::2] = codes
    layouts = [codes, np.asfortranarray(codes), padded[::2, 1::2], codes[::-1, :, ::-1], codes.astype(np.int64)]
    for axis in (None, 0, 1, 2, (0, 2)):
        expected = pc.sum(f, codes, axis), pc.mean(f, codes, axis)
        for array in layouts:
            flipped = array is layouts[3]
            for count in (1, 2, 5):
                pc.set_num_threads(count)
                for got, want in zip((pc.sum(f, array, axis), pc.mean(f, array, axis)), expected, strict=True):
                    if flipped and got.ndim:
                        kept = [a for a in range(3) if a not in np.atleast_1d(axis)]
                        got = np.flip(got, [kept.index(a) for a in (0, 2) if a in kept])
                    assert np.array_equal(got, want)
    rows = codes.reshape(300, -1)
    assert pc.sum(f, rows, 0).tolist() == [exact_sum(f, column) for column in rows.T]


def test_nothing_to_sum():
    f = pc.posit8
    assert pc.sum(f, []).tolist() == 0
    assert pc.mean(f, []).tolist() == f.nar
    assert pc.sum(f, np.zeros((3, 0), f.dtype), axis=1).tolist() == [0] * 3
    assert pc.mean(f, np.zeros((3, 0), f.dtype), axis=1).tolist() == [f.nar] * 3
    assert pc.sum(f, np.zeros((3, 0), f.dtype), axis=0).shape == pc.mean(f, np.zeros((3, 0), f.dtype), 0).shape == (0,)
    assert pc.sum(f, f.nar >> 1).shape == ()
    assert pc.mean(f, 0x4D) == 0x4D


def test_nar_absorbs():
    f = pc.posit16
    codes = np.full((3, 5000), f.nar >> 1, f.dtype)
    codes[1, 4999] = f.nar
    codes[2, 0] = f.nar
    assert (pc.sum(f, codes, 1) == f.nar).tolist() == (pc.mean(f, codes, 1) == f.nar).tolist() == [False, True, True]
    assert (pc.sum(f, codes[:, -9:], 1) == f.nar).tolist() == [False, True, False]
    assert pc.sum(f, codes) == pc.mean(f, codes) == f.nar


def test_equals_a_dot_product_with_ones():
    f = pc.PositFormat(16, 1)
    codes = some_codes(f, (50, 700), np.random.default_rng(4))
    ones = np.full((700, 1), f.nar >> 1, f.dtype)
    assert np.array_equal(pc.sum(f, codes, axis=1), pc.matmul(pc.MacSpec(f), codes, ones)[:, 0])


def test_errors():
    f = pc.posit8
    with pytest.raises(TypeError, match=r"sum: codes of posit<8,2> must be unsigned integers, not float64"):
        pc.sum(f, [1.0])
    with pytest.raises(ValueError, match=r"mean: codes of posit<8,2> must be in 0..255, not 256"):
        pc.mean(f, [256])
    with pytest.raises(ValueError, match=r"sum: axis: axis 2 is out of bounds for array of dimension 2"):
        pc.sum(f, [[0]], axis=2)
    with pytest.raises(ValueError, match=r"mean: axis"):
        pc.mean(f, [[0]], axis=(0, 0))
    with pytest.raises(TypeError, match=r"sum: axis must be None, an integer or a tuple of integers, not 'rows'"):
        pc.sum(f, [[0]], axis="rows")
    many = np.broadcast_to(np.zeros((), f.dtype), (1 << 16, 1 << 15))
    with pytest.raises(ValueError, match=r"sum: 2147483648 terms exceed the 2147483647 that a quire holds; split"):
        pc.sum(f, many)
    with pytest.raises(ValueError, match=r"mean: 2147483648 terms exceed"):
        pc.mean(f, many)
