"""Dot products of long rows, against exact rationals; ties that float64 cannot tell included."""

import numpy as np
import pytest

import positcore as pc
from positcore.codec import decode
from positcore.gemm import rowwise
from positcore.gemm.products import matmul_codes, stacked_codes
from tests.reference import exact_matmul

SPECS = [
    pc.MacSpec(pc.posit8),
    pc.MacSpec((pc.posit8, pc.PositFormat(12, 2)), pc.PositFormat(12, 2)),
    pc.MacSpec(pc.posit32),
]


def draw(fmt, seed, *shape):
    rng = np.random.default_rng(seed)
    return fmt.encode(np.where(rng.random(shape) < 0.6, rng.integers(-6, 7, shape) / 4, rng.normal(size=shape)))


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_rows(spec):
    a, b = draw(spec.a, 1, 9, 70), draw(spec.b, 2, 9, 70)
    a[3, 5] = spec.a.nar
    a[4] = 0
    x, y = (decode(fmt, codes, fmt.tensor_dtype) for fmt, codes in ((spec.a, a), (spec.b, b)))
    assert rowwise.row_dots_fit(spec, x, y)
    expected = exact_matmul(spec, a, b.T)
    assert np.array_equal(rowwise.row_dot_codes(spec, x, y), np.diag(expected))
    assert np.array_equal(stacked_codes(spec, x[:, None], y[:, :, None])[:, 0, 0], np.diag(expected))
    assert np.array_equal(matmul_codes(spec, x, np.ascontiguousarray(y[:1].T)), expected[:, :1])


def test_ties_that_float64_cannot_tell(monkeypatch):
    """2^22 is the tie between 2^20 and 2^24 in posit<8,2>, which 2^−48 breaks, beyond float64; and a planted fault."""
    spec, f = pc.MacSpec(pc.posit8), pc.posit8
    a = np.zeros((2, 64))
    a[:, 0], a[0, 1] = 2.0**11, 2.0**-24
    b = a.copy()
    expected = np.diag(exact_matmul(spec, f.encode(a), f.encode(b).T))
    assert expected[0] == expected[1] + 1  # the tie goes down to even, or up where it is broken
    assert np.array_equal(rowwise.row_dot_codes(spec, a, b), expected)
    monkeypatch.setattr(rowwise, "settle_precise", lambda *ignored: None)
    assert not np.array_equal(rowwise.row_dot_codes(spec, a, b), expected)


def test_what_it_leaves_to_others():
    spec, x = pc.MacSpec(pc.posit8), np.ones((3, 64))
    assert rowwise.row_dots_fit(spec, x, x[:1])
    assert not rowwise.row_dots_fit(spec, x, x[:2])
    assert not rowwise.row_dots_fit(spec, x[:, :63], x[:, :63])
    assert not rowwise.row_dots_fit(spec, np.ones((64, 3)).T, x)
    assert not rowwise.row_dots_fit(pc.MacSpec(pc.posit8, accumulator=pc.Rounded()), x, x)


def test_threads_do_not_matter(monkeypatch):
    monkeypatch.setattr(rowwise, "_GRAIN", 1)
    spec = pc.MacSpec(pc.posit8)
    x, y = spec.a.decode(draw(spec.a, 3, 7, 80)), spec.a.decode(draw(spec.a, 4, 7, 80))
    before = pc.get_num_threads()
    try:
        pc.set_num_threads(1)
        expected = rowwise.row_dot_codes(spec, x, y)
        pc.set_num_threads(3)
        assert np.array_equal(rowwise.row_dot_codes(spec, x, y), expected)
    finally:
        pc.set_num_threads(before)


def test_capacity():
    spec = pc.MacSpec(pc.posit8, accumulator=pc.Quire(3))
    with pytest.raises(
        ValueError, match="a dot product of 64 terms exceeds the 7 that a quire with 3 carry bits holds"
    ):
        matmul_codes(spec, np.ones((2, 64)), np.ones((64, 1)))
