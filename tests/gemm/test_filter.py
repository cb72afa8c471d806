from fractions import Fraction

import numpy as np
import pytest

import positcore as pc
from positcore.gemm.dots import column_norms, row_norms
from positcore.gemm.filter import filter_codes
from tests.reference import exact_matmul, format_id, rounded

FORMATS = [pc.PositFormat(8, 0), pc.posit8, pc.posit16, pc.PositFormat(16, 4), pc.posit32]


@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_proven_codes_are_right_and_few_are_doubtful(fmt):
    rng = np.random.default_rng(1)
    spec = pc.MacSpec(fmt)
    a, b = fmt.encode(rng.normal(size=(20, 60))), fmt.encode(rng.normal(size=(60, 20)))
    x, y = fmt.decode(a), fmt.decode(b)
    codes, doubtful = filter_codes(fmt, x @ y, 60, row_norms(x), column_norms(y))
    expected = exact_matmul(spec, a, b)
    proven = np.ones(codes.size, bool)
    proven[doubtful] = False
    assert np.array_equal(codes.ravel()[proven], expected.ravel()[proven])
    assert doubtful.size < 20


@pytest.mark.parametrize("order", ["C", "F"])
def test_norms(order):
    x = np.asarray(np.random.default_rng(2).normal(size=(37, 3001)), order=order)
    assert np.allclose(row_norms(x), np.linalg.norm(x, axis=1), rtol=2.0**-40)
    assert np.allclose(column_norms(x), np.linalg.norm(x, axis=0), rtol=2.0**-40)


def test_sums_in_any_order_stay_within_the_bound():
    """The worst orders and a running sum in float64 differ from the exact sum by less than the filter assumes."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 500)) * 2.0 ** rng.integers(-20, 20, (2, 500))
    exact = sum((Fraction(p) * Fraction(q) for p, q in zip(x.tolist(), y.tolist(), strict=True)), Fraction(0))
    gamma = 502 * 2.0**-53
    bound = Fraction(gamma * row_norms(x[None])[0] * row_norms(y[None])[0])
    for order in (np.arange(500), np.argsort(x * y), np.argsort(-x * y), np.argsort(np.abs(x * y))):
        assert abs(Fraction(float(np.cumsum((x * y)[order])[-1])) - exact) <= bound


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bound_grows_with_the_length_and_the_bias(dtype, biased):
    """A running sum that loses half a unit at each of 1000 steps, and so stays on the wrong side of a tie."""
    f, unit = pc.posit8, float(np.finfo(dtype).eps)
    start = 1 + 2.0**-4 - 2 * unit  # the tie of codes 0x40 and 0x41, nearly
    x, y = np.full((1, 1000), unit / 2**20), np.full((1000, 1), 2.0**19)
    x, y = x * 2.0**10, y / 2.0**10  # of norms that do not cover the start
    if not biased:
        x, y = np.append([[start]], x, axis=1), np.append([[1.0]], y, axis=0)
    total = dtype(start)
    for product in (x[0] * y[:, 0])[0 if biased else 1 :]:
        total = total + dtype(product)
    assert total == start
    exact = Fraction(start) + 1000 * Fraction(unit) / 2
    assert (f.encode(total), rounded(f, exact)) == (0x40, 0x41)
    bias = np.array([[start]]) if biased else None
    sums = np.array([[total]])
    assert filter_codes(f, sums, 1001, row_norms(x), column_norms(y), bias)[1].tolist() == [0]


def test_without_a_bound_the_filter_would_pass_wrong_codes():
    """A planted fault: norms of zero claim exact sums, and a broken tie comes out wrong."""
    f = pc.posit16
    spec = pc.MacSpec(f)
    a = f.encode([[1 + 2.0**-6, 2.0**-28]])  # a tie that only the last product breaks, beyond float64's reach
    b = f.encode([[1 + 2.0**-6], [2.0**-28]])
    x, y = f.decode(a), f.decode(b)
    expected = exact_matmul(spec, a, b)
    codes, doubtful = filter_codes(f, x @ y, 2, np.zeros(1), np.zeros(1))
    assert doubtful.size == 0
    assert codes != expected
    assert filter_codes(f, x @ y, 2, row_norms(x), column_norms(y))[1].size == 1
    assert pc.matmul(spec, a, b) == expected
