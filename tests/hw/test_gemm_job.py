"""What a gemm is sent for a product: panels, what is held in its buffers, settings, and what cannot be planned."""

import numpy as np
import pytest

import positcore as pc
from positcore.hw.gemm_job import Tiling, plan
from tests.hw.gemm_model import random_codes, traffic

F8 = pc.PositFormat(8, 2)


def test_what_fits_its_buffer_is_sent_once():
    a, b = np.zeros((5, 8), np.uint8), np.zeros((8, 6), np.uint8)
    sizes = {"rows": 2, "columns": 2}  # 3 panels of each, 8 steps

    def beats(depth, bias=None):
        job = plan(pc.MacSpec(F8), a, b, bias, depth=depth, **sizes)
        return len(job.a), len(job.b)

    assert beats(32) == (3 * 8, 3 * 8)
    assert beats(16) == (3 * 8, 9 * 8)
    assert beats(8) == (3 * 8, 9 * 8)
    assert beats(4) == (9 * 8, 9 * 8)
    assert beats(8, np.zeros((5, 1), np.uint8)) == (9 * 9, 9 * 8)


def test_traffic_by_shapes_is_what_a_job_moves():
    rng = np.random.default_rng(7)
    spec = pc.MacSpec((F8, pc.PositFormat(16, 1)), pc.PositFormat(32, 2))
    for _ in range(300):
        m, k, n, rows, columns = (int(v) for v in rng.integers((1, 0, 1, 1, 1), (9, 9, 9, 5, 5)))
        sizes = {"rows": rows, "columns": columns, "depth": int(rng.integers(1, 40))}
        a, b = random_codes(rng, spec.a, m, k), random_codes(rng, spec.b, k, n)
        for shape in (None, (m, 1), (1, n), (1, 1)):
            bias = None if shape is None else np.zeros(shape, spec.a.dtype)
            assert Tiling(m, k, n, shape, **sizes).traffic(spec) == traffic(plan(spec, a, b, bias, **sizes))


def test_settings_of_a_job():
    a, b = np.zeros((5, 8), np.uint8), np.zeros((8, 6), np.uint8)
    job = plan(pc.MacSpec(F8), a, b, np.zeros(6, np.uint8), rows=2, columns=4, depth=16)
    assert job.settings == {"mode": 0b10110, "steps": 8, "row_tiles": 3, "column_tiles": 2}
    assert (job.size, len(job.bytes_a), len(job.bytes_b)) == (3 * 2 * 2 * 4, 3 * 8 * 2, 3 * 2 * 9 * 4)
    with pytest.raises(ValueError, match="GemmJob: the product is in 48 bytes, not 3"):
        job.product(b"abc")


def test_what_cannot_be_planned():
    a, b = np.zeros((5, 8), np.uint8), np.zeros((8, 6), np.uint8)
    sizes = {"rows": 2, "columns": 2, "depth": 16}
    with pytest.raises(ValueError, match=r"plan: a product of shape \(0, 6\) has no elements to compute; leave it out"):
        plan(pc.MacSpec(F8), a[:0], b, **sizes)
    with pytest.raises(
        ValueError, match=r"plan: the bias must be one a row \(M, 1\) or one a column \(1, N\), not \(5, 6\); append"
    ):
        plan(pc.MacSpec(F8), a, b, np.zeros((5, 6), np.uint8), **sizes)
    mixed = pc.MacSpec((F8, pc.PositFormat(5, 1)))
    with pytest.raises(
        ValueError, match=r"a bias a column must have codes in B's format posit<5,1>, which this one lacks"
    ):
        plan(mixed, a, b, np.full(6, 0x41, np.uint8), **sizes)
    with pytest.raises(ValueError, match="a dot product of 9 terms exceeds the 7 that a quire with 3 carry bits holds"):
        plan(pc.MacSpec(F8, accumulator=pc.Quire(3)), a, b, np.zeros(6, np.uint8), **sizes)
    with pytest.raises(ValueError, match=r"a and b must be of shapes \(M, K\) and \(K, N\)"):
        plan(pc.MacSpec(F8), a, a, **sizes)
