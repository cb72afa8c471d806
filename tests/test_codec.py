from fractions import Fraction

import numpy as np
import pytest

import positcore as pc
from positcore.codec import round_values
from tests.reference import BYTE_FORMATS, LARGE_FORMATS, SMALL_FORMATS, format_id, rounded, special_codes, value

EVERY_FORMAT = [pc.PositFormat(n, es, u) for n in range(2, 33) for es in range(5) for u in (False, True)]


def codes_of(fmt, rng, count=400):
    if fmt.n <= 10:
        return np.arange(1 << fmt.n, dtype=fmt.dtype)
    return np.concatenate([special_codes(fmt), rng.integers(0, 1 << fmt.n, count).astype(fmt.dtype)])


@pytest.mark.parametrize("fmt", SMALL_FORMATS + BYTE_FORMATS + LARGE_FORMATS, ids=format_id)
def test_decode(fmt):
    codes = codes_of(fmt, np.random.default_rng(1))
    for code, x in zip(codes, fmt.decode(codes), strict=True):
        expected = value(fmt, int(code))
        assert np.isnan(x) if expected is None else Fraction(x) == expected


@pytest.mark.parametrize("fmt", EVERY_FORMAT, ids=format_id)
def test_encode_inverts_decode(fmt):
    codes = codes_of(fmt, np.random.default_rng(2))
    assert np.array_equal(fmt.encode(fmt.decode(codes)), codes)


@pytest.mark.parametrize("fmt", SMALL_FORMATS + BYTE_FORMATS + LARGE_FORMATS, ids=format_id)
def test_encode_at_ties_and_beside_them(fmt):
    """Both sides of every rounding boundary (a sample, for large n), values between, and far outside the range."""
    rng = np.random.default_rng(3)
    longer = pc.PositFormat(min(fmt.n + 1, 32), fmt.es)
    ties = longer.decode(codes_of(longer, rng, 150))
    threshold = np.array([-1.0, 1.0]) * fmt.minpos / (fmt.useed if fmt.flush is None else 2.0**fmt.flush)
    x = np.concatenate(
        [
            ties,
            np.nextafter(ties, np.inf),
            np.nextafter(ties, -np.inf),
            ties * rng.uniform(0.5, 2, ties.size),
            ties * 1e9,
            *(np.nextafter(threshold, end) for end in (0.0, threshold, 1.0)),
        ]
    )
    x = np.concatenate([x[~np.isnan(x)], [0.0, -0.0, 5e-324, -5e-324, 1e-310, 1.7e308, -1.7e308]])
    for y, code in zip(x, fmt.encode(x), strict=True):
        assert code == rounded(fmt, Fraction(float(y))), y


@pytest.mark.parametrize("x", [np.inf, -np.inf, np.nan, -np.nan])
def test_infinity_and_nan_encode_to_nar(x):
    for fmt in (pc.posit8, pc.posit16, pc.posit32):
        assert fmt.encode(x) == fmt.nar


def test_shapes_and_dtypes():
    f = pc.PositFormat(12, 2)
    x = np.linspace(-3, 3, 24).reshape(2, 3, 4)
    codes = f.encode(x)
    assert codes.shape == x.shape
    assert codes.dtype == np.uint16
    assert np.array_equal(f.encode(x[:, ::-1, ::2]), codes[:, ::-1, ::2])
    assert np.array_equal(f.encode(x.astype(np.float32)), f.encode(x.astype(np.float32).astype(np.float64)))
    assert f.encode(1.0).shape == ()
    assert f.encode([]).shape == (0,)
    assert f.decode(codes.astype(np.int64)).dtype == np.float64
    assert f.encode(np.array([3], np.int64)) == f.encode(3.0)


@pytest.mark.parametrize("fmt", EVERY_FORMAT, ids=format_id)
def test_round_values_equals_encode_then_decode(fmt):
    rng = np.random.default_rng(4)
    longer = pc.PositFormat(min(fmt.n + 1, 32), fmt.es)
    ties = longer.decode(codes_of(longer, rng, 300))
    x = np.concatenate([ties, np.nextafter(ties, np.inf), np.nextafter(ties, -np.inf), ties * 1e5, ties * 1e-5])
    x = np.concatenate([x, rng.normal(size=200), [0.0, -0.0, np.inf, -np.inf, 5e-324, 1.7e308, -1e-310]])
    assert np.array_equal(round_values(fmt, x), fmt.decode(fmt.encode(x)), equal_nan=True)


def test_round_values_gives_the_dtype_asked_for():
    x = np.linspace(-2, 2, 9)
    rounded = round_values(pc.posit8, x, np.dtype(np.float32))
    assert rounded.dtype == np.float32
    assert np.array_equal(rounded, pc.posit8.decode(pc.posit8.encode(x)))


def test_any_thread_count_gives_the_same_codes():
    x = np.random.default_rng(5).normal(size=1 << 18)
    results = []
    before = pc.get_num_threads()
    for count in (1, 2, 3):
        pc.set_num_threads(count)
        results.append(pc.posit16.encode(x))
    pc.set_num_threads(before)
    assert all(np.array_equal(r, results[0]) for r in results)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: f.encode(np.array([1j])), TypeError, "encode: x must be real numbers that float64 holds exactly"),
        (lambda f: f.encode(np.array([1 << 60])), TypeError, "not an array of int64"),
        (lambda f: f.encode(["1"]), TypeError, "encode: x must be real numbers"),
        (lambda f: f.decode([1.5]), TypeError, "decode: codes of posit<8,2> must be unsigned integers, not float64"),
        (lambda f: f.decode([256]), ValueError, r"decode: codes of posit<8,2> must be in 0\.\.255, not 256"),
        (lambda f: f.decode([-1]), ValueError, r"must be in 0\.\.255, not -1"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(pc.posit8)


@pytest.mark.parametrize("count", [0, -1])
def test_set_num_threads_error(count):
    with pytest.raises(ValueError, match="set_num_threads: count must be a positive integer"):
        pc.set_num_threads(count)
