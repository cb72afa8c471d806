import operator

import numpy as np
import pytest

import positcore as pc
from positcore import arithmetic
from tests.reference import BYTE_FORMATS, LARGE_FORMATS, SMALL_FORMATS, all_pairs, exact, format_id, some_pairs, value

OPERATIONS = {
    "add": (pc.add, operator.add),
    "sub": (pc.sub, operator.sub),
    "mul": (pc.mul, operator.mul),
    "div": (pc.div, lambda x, y: x / y if y else None),
}


def check(fmt, name, a, b):
    array_function, function = OPERATIONS[name]
    got = array_function(fmt, a, b)
    assert got.dtype == fmt.dtype
    for x, y, z in zip(a.tolist(), b.tolist(), got.tolist(), strict=True):
        assert z == exact(fmt, function, x, y), f"{name} {fmt}: {x:#x}, {y:#x}"


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("fmt", SMALL_FORMATS + BYTE_FORMATS, ids=format_id)
def test_all_pairs(fmt, name):
    check(fmt, name, *all_pairs(fmt))


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("fmt", LARGE_FORMATS, ids=format_id)
def test_some_pairs(fmt, name):
    check(fmt, name, *some_pairs(fmt, np.random.default_rng(6), 400))


@pytest.mark.parametrize("fmt", SMALL_FORMATS + BYTE_FORMATS + LARGE_FORMATS, ids=format_id)
def test_fma(fmt):
    rng = np.random.default_rng(7)
    a, b = some_pairs(fmt, rng, 300)
    c = rng.integers(0, 1 << fmt.n, a.size)
    near = -pc.mul(fmt, a, b).astype(np.int64) + rng.integers(-1, 2, a.size)  # cancels, or nearly
    c = np.where(rng.random(a.size) < 0.5, c, near & fmt.mask).astype(fmt.dtype)
    got = pc.fma(fmt, a, b, c)
    for x, y, z, result in zip(a.tolist(), b.tolist(), c.tolist(), got.tolist(), strict=True):
        assert result == exact(fmt, lambda p, q, r: p * q + r, x, y, z), f"fma {fmt}: {x:#x}, {y:#x}, {z:#x}"


@pytest.mark.parametrize("src", SMALL_FORMATS[::7] + BYTE_FORMATS + LARGE_FORMATS, ids=format_id)
@pytest.mark.parametrize(
    "dst", [pc.PositFormat(3, 4), pc.PositFormat(8, 0), pc.posit8, pc.posit16, pc.posit32], ids=format_id
)
def test_convert(src, dst):
    codes, _ = some_pairs(src, np.random.default_rng(8), 200)
    for code, got in zip(codes.tolist(), pc.convert(src, dst, codes).tolist(), strict=True):
        assert got == pc.Posit(src, code).convert(dst).code


def check_root(fmt, code, got):
    """`got` is right if the ties around it, codes of n + 1 bits, enclose √x: their squares, x. A tie must be even."""
    x = value(fmt, code)
    if x is None or x < 0:
        assert got == fmt.nar
    elif x == 0:
        assert got == 0
    else:
        assert 0 < got <= fmt.maxpos_code
        wider = pc.PositFormat(fmt.n + 1, fmt.es)
        below, above = (value(wider, 2 * got + i) ** 2 for i in (-1, 1))
        assert below <= x <= above
        assert (x not in (below, above)) or got % 2 == 0


@pytest.mark.parametrize("fmt", SMALL_FORMATS + BYTE_FORMATS + LARGE_FORMATS, ids=format_id)
def test_sqrt(fmt):
    codes = np.arange(1 << fmt.n, dtype=fmt.dtype) if fmt.n <= 10 else roots_and_neighbors(fmt)
    got = pc.sqrt(fmt, codes)
    assert got.dtype == fmt.dtype
    for code, root in zip(codes.tolist(), got.tolist(), strict=True):
        assert root == pc.Posit(fmt, code).sqrt().code, f"sqrt {fmt}: {code:#x}"
        if fmt.n < 32 and not fmt.underflow:
            check_root(fmt, code, root)


def test_sqrt_of_all_16_bit_codes():
    f = pc.posit16
    codes = np.arange(1 << 16, dtype=np.uint16)
    for code, root in zip(codes.tolist(), pc.sqrt(f, codes).tolist(), strict=True):
        check_root(f, code, root)


def roots_and_neighbors(fmt):
    """Special and random codes, and squares of random codes with their neighbors: exact roots, and nearly."""
    codes, _ = some_pairs(fmt, np.random.default_rng(12), 400)
    squares = pc.mul(fmt, codes, codes)
    return np.concatenate([codes, squares, squares + 1 & fmt.mask, squares - 1 & fmt.mask]).astype(fmt.dtype)


@pytest.mark.parametrize("fmt", [*SMALL_FORMATS[::5], *BYTE_FORMATS, *LARGE_FORMATS[::3]], ids=format_id)
def test_fms(fmt):
    rng = np.random.default_rng(13)
    a, b = some_pairs(fmt, rng, 200)
    c = np.where(rng.random(a.size) < 0.5, rng.integers(0, 1 << fmt.n, a.size), pc.mul(fmt, a, b)).astype(fmt.dtype)
    for x, y, z, result in zip(a.tolist(), b.tolist(), c.tolist(), pc.fms(fmt, a, b, c).tolist(), strict=True):
        assert result == exact(fmt, lambda p, q, r: p * q - r, x, y, z), f"fms {fmt}: {x:#x}, {y:#x}, {z:#x}"
        assert result == pc.Posit(fmt, x).fms(pc.Posit(fmt, y), pc.Posit(fmt, z)).code


def factors_next_to_ties(fmt):
    """Factors with p fraction bits whose product, of p − 1, is a tie, but for a little that float64 may not hold.

    (1 + i/2^p)·(1 + j/2^p) = 1 + (i + j + k)/2^p + r/2^2p where i·j = k·2^p + r: j = r/i modulo 2^p.
    """
    rng, p = np.random.default_rng(14), fmt.fraction_bits
    i = rng.integers(0, 1 << (p - 1), 300) | 1
    pairs = [(int(x), r * pow(int(x), -1, 1 << p) % (1 << p)) for x in i for r in (0, 1, 2, 3, 5, -1, -2, -3, -5)]
    odd = [(x, y) for x, y in pairs if (1 << p | x) * (1 << p | y) >> p & 1]
    a, b = (1 + np.array(odd).T / 2.0**p) * 2.0 ** (1 << fmt.es - 1)
    assert (fmt.decode(fmt.encode([a, b])) == [a, b]).all()
    return fmt.encode(a), fmt.encode(b)


@pytest.mark.parametrize("fmt", [pc.PositFormat(28, 2), pc.posit32, pc.PositFormat(32, 4)], ids=format_id)
def test_products_next_to_ties(fmt):
    """Products of 48 to 56 bits that float64 rounds to a tie, or from its neighbor; and such a product and minpos."""
    a, b = factors_next_to_ties(fmt)
    assert a.size > 300
    for x, y, result in zip(a.tolist(), b.tolist(), pc.mul(fmt, a, b).tolist(), strict=True):
        assert result == exact(fmt, lambda p, q: p * q, x, y), f"mul {fmt}: {x:#x}, {y:#x}"
    for code in (1, fmt.mask):
        for x, y, result in zip(a.tolist(), b.tolist(), pc.fma(fmt, a, b, code).tolist(), strict=True):
            assert result == exact(fmt, lambda p, q, r: p * q + r, x, y, code), f"fma {fmt}: {x:#x}, {y:#x}, {code:#x}"


def test_neg_is_exact_and_leaves_zero_and_nar():
    for fmt in (pc.PositFormat(5, 1), pc.posit8, pc.PositFormat(12, 2)):
        codes = np.arange(1 << fmt.n, dtype=fmt.dtype)
        assert pc.neg(fmt, codes).tolist() == [(-pc.Posit(fmt, c)).code for c in codes.tolist()]


def test_codes_without_dimensions():
    codes = np.array([0, 5, 128, 251], np.uint8)
    for name in ("neg", "abs", "next_up", "next_down"):
        assert [getattr(pc, name)(pc.posit8, code) for code in codes] == getattr(pc, name)(pc.posit8, codes).tolist()
    assert pc.sub(pc.posit8, codes[1], 0) == 5


def test_broadcasting():
    f = pc.posit8
    a, b = np.arange(12, dtype=np.uint8).reshape(3, 4), np.array([64, 72, 80], np.uint8)[:, None]
    assert np.array_equal(pc.add(f, a, b), pc.add(f, a, np.repeat(b, 4, axis=1)))
    assert np.array_equal(pc.mul(f, 64, a), a)
    assert pc.add(f, 64, 64).shape == ()
    assert pc.add(f, np.zeros((0, 4), np.uint8), np.zeros(4, np.uint8)).shape == (0, 4)
    many = np.random.default_rng(10).integers(0, 256, 1 << 17).astype(np.uint8)
    assert np.array_equal(pc.fma(f, many, 72, many)[-5:], pc.fma(f, many[-5:], 72, many[-5:]))


@pytest.mark.parametrize("shape", [(3, 1), (1, 3, 1), (1, 50_000), (7, 1, 1), (7, 3, 1), (7, 1, 50_000), (1, 1, 1), ()])
def test_items_that_serve_many_places(shape):
    """However an operand broadcasts, in codes and in values: the same as from one that is spread out before."""
    f, rng = pc.PositFormat(12, 2), np.random.default_rng(12)
    a = rng.integers(0, 1 << 12, (7, 3, 50_000) if len(shape) > 2 else (3, 50_000)).astype(f.dtype)
    b = rng.integers(0, 1 << 12, shape).astype(f.dtype)
    full = np.ascontiguousarray(np.broadcast_to(b, a.shape))
    for x, y in ((a, b), (b, a)):
        want = pc.sub(f, a, full) if x is a else pc.sub(f, full, a)
        assert np.array_equal(pc.sub(f, x, y), want)
        for dtype in (np.float32, np.float64):
            got = arithmetic.values_sub(f, f.decode(x).astype(dtype), f.decode(y).astype(dtype))
            assert np.array_equal(f.encode(got), want)
        mixed = arithmetic.values_sub(f, f.decode(x).astype(np.float32), f.decode(y))
        assert np.array_equal(f.encode(mixed), want)


def test_values_agree_with_codes():
    f = pc.PositFormat(12, 2)
    a, b = some_pairs(f, np.random.default_rng(11), 500)
    x, y = f.decode(a), f.decode(b)
    for name in OPERATIONS:
        on_values = getattr(arithmetic, f"values_{name}")(f, x, y)
        assert on_values.dtype == np.float32
        assert np.array_equal(f.encode(on_values), getattr(pc, name)(f, a, b))
    assert np.array_equal(f.encode(arithmetic.values_sqrt(f, x)), pc.sqrt(f, a))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda f: pc.add(f, [1, 2], [1, 2, 3]),
            ValueError,
            r"add: operands of shapes \(2,\) and \(3,\) do not broadcast",
        ),
        (lambda f: pc.sqrt(f, [0.5]), TypeError, "sqrt: codes of posit<8,2> must be unsigned integers"),
        (lambda f: pc.mul(f, [0.5], [1]), TypeError, "mul: codes of posit<8,2> must be unsigned integers"),
        (lambda f: pc.fma(f, [1], [1], [999]), ValueError, r"fma: codes of posit<8,2> must be in 0\.\.255, not 999"),
        (lambda f: pc.convert(f, f, [-3]), ValueError, "convert: codes of posit<8,2>"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(pc.posit8)


def test_a_second_rounding_is_caught(monkeypatch):
    """A planted fault: fma in plain float64 loses what breaks a tie."""
    f = pc.posit32
    a = f.encode(1 + 2.0**-14)  # a² = 1 + 2^-13 + 2^-28, a tie
    expected = exact(f, lambda x, y, z: x * y + z, int(a), int(a), 1)
    assert pc.fma(f, a, a, 1) == expected

    def naive(x, y, z, out):
        out[:] = x * y + z

    monkeypatch.setattr(arithmetic, "fma_into", naive)
    assert pc.fma(f, a, a, 1) != expected
