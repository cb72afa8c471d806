from fractions import Fraction

import numpy as np

import positcore as pc
from positcore.gemm.certificate import certified, smallest_lsb
from positcore.gemm.dots import column_norms, row_norms


def test_smallest_lsb():
    rows = np.array([[1.0, 0.75, 0.0], [0.0, 0.0, 0.0], [-96.0, 2.0**-300, 5.0], [3.0, -6.0, 2.0**60]])
    assert smallest_lsb(rows).tolist() == [0.25, np.inf, 2.0**-300, 1.0]


def test_certified_sums_are_exact_and_most_small_ones_are_certified():
    rng = np.random.default_rng(1)
    for fmt in (pc.PositFormat(8, 0), pc.posit8, pc.posit16):
        x, y = (fmt.decode(fmt.encode(rng.normal(size=s))) for s in ((30, 25), (25, 30)))
        lsb = smallest_lsb(x)[:, None] * smallest_lsb(y.T)[None, :]
        sure = certified(lsb, row_norms(x)[:, None] * column_norms(y)[None, :])
        sums = x @ y
        for i, j in zip(*np.nonzero(sure), strict=True):
            exact = sum(Fraction(p) * Fraction(q) for p, q in zip(x[i].tolist(), y[:, j].tolist(), strict=True))
            assert Fraction(float(sums[i, j])) == exact
        assert sure.mean() > 0.5


def test_a_sum_of_54_bits_is_not_certified():
    x = np.array([[2.0**53, 1.0]])
    assert not certified(smallest_lsb(x), row_norms(x)).any()
    assert certified(smallest_lsb(x[:, :1]), row_norms(x[:, :1])).all()


def test_a_bias_counts():
    lsb, size = np.array([1.0]), np.array([8.0])
    assert certified(lsb, size, np.array([0.0])).all()
    assert certified(lsb, size, np.array([2.0**40])).all()
    assert not certified(lsb, size, np.array([2.0**-51])).any()
    assert not certified(lsb, size, np.array([2.0**54])).any()
