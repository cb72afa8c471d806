"""Compensated dot products: what they claim is right, and what they cannot tell they leave."""

from fractions import Fraction

import numpy as np
import pytest

import positcore as pc
from positcore.gemm.compensated import compensated_codes
from positcore.rational import round_fraction
from tests.reference import exact_matmul, format_id, value

FORMATS = [pc.posit8, pc.posit16, pc.PositFormat(16, 4), pc.posit32, pc.PositFormat(32, 0), pc.PositFormat(32, 4)]


def compensated(fmt, a, b, bias, sizes=None):
    """Codes and doubt of all dot products of a (M, K) and b (K, N), in one row."""
    x, y = fmt.decode(a), np.ascontiguousarray(fmt.decode(b).T)
    rows, columns = (i.ravel() for i in np.indices((len(x), len(y))))
    if sizes is None:
        sizes = np.linalg.norm(x, axis=1)[rows] * np.linalg.norm(y, axis=1)[columns]
    return compensated_codes(fmt, x, y, rows, columns, np.full(rows.size, bias), sizes)


@pytest.mark.parametrize("length", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_proven_codes_are_right_and_only_ties_are_left(fmt, length):
    rng = np.random.default_rng(length)
    a, b = fmt.encode(rng.normal(size=(5, length))), fmt.encode(rng.normal(size=(length, 6)))
    codes, doubt = compensated(fmt, a, b, 0.5)
    expected = exact_matmul(pc.MacSpec(fmt), a, b, fmt.encode([[0.5]])).ravel()
    assert np.array_equal(codes[~doubt], expected[~doubt])
    for s in np.flatnonzero(doubt):
        products = zip(a[s // 6].tolist(), b[:, s % 6].tolist(), strict=True)
        total = Fraction(1, 2) + sum(value(fmt, p) * value(fmt, q) for p, q in products)
        nearby = [round_fraction(fmt, total * (1 + Fraction(sign, 2**90))) for sign in (-1, 1)]
        assert nearby[0] != nearby[1]


@pytest.mark.parametrize("apart", [1, 64])
@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_a_tie_that_float64_cannot_tell_is_told(fmt, apart):
    """A tie of 1 and its neighbor, broken below float64's last bit where the format reaches that far: by 2^−70.

    64 terms apart, all are in the same lane.
    """
    one, ulp, tiny = int(fmt.encode(1.0)), 2.0**-fmt.fraction_bits, max(fmt.minpos, 2.0**-35)
    tie = [[one, int(fmt.encode(ulp / 2)), one, int(fmt.encode(tiny))]]
    b = np.array([[one, one, 0, 0]] * 3, fmt.dtype).T
    b[3] = [0, int(fmt.encode(tiny)), int(fmt.encode(-tiny))]
    assert fmt.decode([tie[0][1], tie[0][3]]).tolist() == [ulp / 2, tiny]
    a = np.zeros((1, 4 * apart), fmt.dtype)
    a[:, ::apart] = tie
    codes, doubt = compensated(fmt, a, np.repeat(b, apart, axis=0), 0.0)
    assert doubt.tolist() == [True, False, False]
    assert codes[1:].tolist() == [one + 1, one]


def test_total_cancellation_stays_in_doubt():
    fmt = pc.posit32
    rng = np.random.default_rng(9)
    half = fmt.encode(rng.normal(size=(3, 40)) * 2.0 ** rng.integers(-30, 30, 40))
    a = np.concatenate([half, pc.neg(fmt, half)], axis=1)
    b = np.tile(fmt.encode(rng.normal(size=(40, 2))), (2, 1))
    assert compensated(fmt, a, b, 0.0)[1].all()


def test_without_its_bound_it_would_claim_wrong_codes():
    """A planted fault: sizes of nothing claim that hi + lo is exact, and what cancels away is lost."""
    fmt = pc.PositFormat(32, 4)
    a = np.zeros((1, 5, 64))  # each in the same lane
    a[0, :, 0] = 2.0**200, 2.0**90, 1.0, -(2.0**90), -(2.0**200)
    a, b = fmt.encode(a.reshape(1, -1)), fmt.encode(np.ones((320, 1)))
    codes, doubt = compensated(fmt, a, b, 0.0, np.zeros(1))
    assert not doubt.any()
    assert codes != exact_matmul(pc.MacSpec(fmt), a, b).ravel()
    assert compensated(fmt, a, b, 0.0)[1].all()
