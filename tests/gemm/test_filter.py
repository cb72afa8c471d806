from fractions import Fraction

import numpy as np
import pytest

import positcore as pc
from positcore.gemm.dots import column_norms, row_norms
from positcore.gemm.filter import filter_codes
from tests.reference import exact_matmul, format_id

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
