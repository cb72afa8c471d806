import numpy as np
import pytest

import positcore as pc
from positcore.sim.backend import matmul
from positcore.threads import get_num_threads, set_num_threads

pytestmark = pytest.mark.rtl

F8 = pc.PositFormat(8, 2)
SPEC = pc.MacSpec(F8)


def operands(m, k, n, spec=SPEC, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 1 << spec.a.n, (m, k)).astype(spec.a.dtype)
    b = rng.integers(0, 1 << spec.b.n, (k, n)).astype(spec.b.dtype)
    a[a == spec.a.nar], b[b == spec.b.nar] = 0, 0
    return a, b


@pytest.mark.parametrize("bias_shape", [None, (9,), (7, 1), (7, 9), (1, 9)])
@pytest.mark.parametrize("stages", [0, 5])
def test_same_bits_as_the_golden_matmul(bias_shape, stages):
    a, b = operands(7, 33, 9)
    bias = (
        None if bias_shape is None else operands(*np.atleast_2d(np.empty(bias_shape)).shape, 1)[0].reshape(bias_shape)
    )
    got = matmul(SPEC, a, b, bias, stages=stages)
    assert got.dtype == F8.dtype
    np.testing.assert_array_equal(got, pc.matmul(SPEC, a, b, bias))


@pytest.mark.parametrize("accumulator", [pc.Fused(), pc.Rounded()], ids=str)
def test_accumulators_that_round_at_every_step(accumulator):
    spec = pc.MacSpec(pc.PositFormat(6, 1), pc.PositFormat(7, 1), accumulator)
    a, b = operands(5, 9, 6, spec)
    bias = operands(1, 6, 1, spec, seed=1)[0]
    np.testing.assert_array_equal(matmul(spec, a, b, bias), pc.matmul(spec, a, b, bias))
    np.testing.assert_array_equal(matmul(spec, a, b), pc.matmul(spec, a, b))


def test_mixed_formats_and_nar():
    spec = pc.MacSpec((F8, pc.PositFormat(6, 1)), pc.PositFormat(16, 2))
    a, b = operands(20, 50, 30, spec)
    a[3, 4], b[5, 6] = spec.a.nar, spec.b.nar
    got = matmul(spec, a, b)
    assert got.dtype == np.uint16
    assert (got[3] == spec.out.nar).all()
    assert (got[:, 6] == spec.out.nar).all()
    np.testing.assert_array_equal(got, pc.matmul(spec, a, b))


@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (3, 4, 0), (1, 1, 1)])
def test_empty_and_single(shape):
    a, b = operands(*shape)
    bias = np.full(shape[2], 0x48, np.uint8)
    np.testing.assert_array_equal(matmul(SPEC, a, b), pc.matmul(SPEC, a, b))
    np.testing.assert_array_equal(matmul(SPEC, a, b, bias), pc.matmul(SPEC, a, b, bias))


def test_threads_and_progress():
    a, b = operands(64, 300, 64)
    want, threads, calls = pc.matmul(SPEC, a, b), get_num_threads(), []
    try:
        for count in (1, 2, 5):
            set_num_threads(count)
            np.testing.assert_array_equal(matmul(SPEC, a, b, progress=lambda *done: calls.append(done)), want)
    finally:
        set_num_threads(threads)
    assert calls[-1][0] == calls[-1][1] > 0
    assert all(done <= total for done, total in calls)


def test_wrong_operands():
    a, b = operands(3, 4, 5)
    with pytest.raises(ValueError, match=r"shapes \(M, K\) and \(K, N\), not \(3, 4\) and \(5, 4\)"):
        matmul(SPEC, a, b.T)
    with pytest.raises(ValueError, match=r"bias of shape \(4,\) does not broadcast"):
        matmul(SPEC, a, b, np.zeros(4, np.uint8))
    with pytest.raises(TypeError, match="must be unsigned integers"):
        matmul(SPEC, a.astype(float), b)
    short = pc.MacSpec(F8, accumulator=pc.Quire(2))
    with pytest.raises(ValueError, match=r"a dot product of 4 terms exceeds the 3 .* take more carry bits"):
        matmul(short, a, b)
    with pytest.raises(ValueError, match="a dot product of 4 terms exceeds the 3"):
        matmul(short, a[:, :3], b[:3], np.zeros(5, np.uint8))
    np.testing.assert_array_equal(matmul(short, a[:, :3], b[:3]), pc.matmul(short, a[:, :3], b[:3]))
