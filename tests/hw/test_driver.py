"""Products by a model of the device, and what a driver refuses."""

import numpy as np
import pytest

import positcore as pc
from positcore.errors import GemmError
from positcore.hw.driver import GemmDriver
from positcore.hw.gemm_job import plan
from tests.hw.gemm_model import ModelGemm, random_codes, traffic
from tests.reference import format_id

F8 = pc.PositFormat(8, 2)
SPECS = [
    pc.MacSpec(F8),
    pc.MacSpec(F8, pc.PositFormat(16, 2)),
    pc.MacSpec((pc.PositFormat(12, 2), pc.PositFormat(5, 1)), pc.PositFormat(32, 2, flush=3), pc.Quire(7)),
    pc.MacSpec(pc.PositFormat(6, 0, underflow=True)),
]


@pytest.mark.parametrize("spec", SPECS, ids=format_id)
def test_products_of_all_shapes(spec):
    rng = np.random.default_rng(3)
    driver = GemmDriver(ModelGemm(spec, rows=3, columns=4, depth=16))
    assert (driver.spec, driver.rows, driver.columns, driver.depth) == (spec, 3, 4, 16)
    for m, k, n in [(1, 1, 1), (3, 16, 4), (3, 17, 4), (7, 5, 9), (2, 40, 13), (6, 15, 8), (4, 0, 5), (10, 1, 30)]:
        a, b = random_codes(rng, spec.a, m, k), random_codes(rng, spec.b, k, n)
        whole = random_codes(rng, pc.PositFormat(3, 0), n).astype(spec.a.dtype) << (spec.a.n - 3)  # codes of any format
        for bias in (None, random_codes(rng, spec.a, m, 1), whole if spec.a == spec.b else None):
            np.testing.assert_array_equal(driver.matmul(a, b, bias), pc.matmul(spec, a, b, bias))


def test_the_way_round_that_moves_fewer_bytes():
    """B is too long to be held, and would be sent for each of two row tiles; transposed, both are sent once."""
    rng = np.random.default_rng(4)
    spec, sizes = pc.MacSpec(F8), {"rows": 2, "columns": 2, "depth": 16}
    driver = GemmDriver(ModelGemm(spec, **sizes))
    a, b = random_codes(rng, F8, 4, 7), random_codes(rng, F8, 7, 40)
    for bias in (None, random_codes(rng, F8, 4, 1), random_codes(rng, F8, 40), random_codes(rng, F8, 1)[0]):
        job, turned = driver._shorter_plan(a, b, bias)
        assert turned
        assert len(job.a) in (20 * 7, 20 * 8)  # with a bias by rows, one more of each panel
        assert len(job.b) in (2 * 7, 2 * 8)
        assert traffic(job) < traffic(plan(spec, a, b, bias, **sizes))
        np.testing.assert_array_equal(driver.matmul(a, b, bias), pc.matmul(spec, a, b, bias))
    assert not driver._shorter_plan(b.T, a.T, None)[1]
    mixed = pc.MacSpec((F8, pc.PositFormat(8, 1)))
    assert not GemmDriver(ModelGemm(mixed, **sizes))._shorter_plan(a, b, None)[1]


def test_a_matrix_of_biases_as_a_product():
    """As the message says: append the identity to A and the bias to B."""
    rng = np.random.default_rng(4)
    spec = pc.MacSpec(F8)
    driver = GemmDriver(ModelGemm(spec, rows=2, columns=2, depth=16))
    a, b, bias = random_codes(rng, F8, 3, 7), random_codes(rng, F8, 7, 4), random_codes(rng, F8, 3, 4)
    identity = F8.encode(np.eye(3))
    got = driver.matmul(np.hstack([a, identity]), np.vstack([b, bias]))
    np.testing.assert_array_equal(got, pc.matmul(spec, a, b, bias))


def test_devices_that_a_driver_refuses():
    device = ModelGemm(pc.MacSpec(F8), rows=2, columns=2, depth=4)
    device.constants[0x00] = 0xDEAD
    with pytest.raises(ValueError, match="GemmDriver: no gemm answers: the first register is 0x0000DEAD"):
        GemmDriver(device)
    device.constants |= {0x00: 0x6D6D6567, 0x04: 2}
    with pytest.raises(ValueError, match="has registers of version 2, not 1; use the positcore that made it"):
        GemmDriver(device)


def test_jobs_that_go_wrong(monkeypatch):
    spec = pc.MacSpec(F8)
    device = ModelGemm(spec, rows=2, columns=2, depth=4)
    driver = GemmDriver(device)
    a = np.zeros((2, 2), np.uint8)
    monkeypatch.setattr(device, "exchange", lambda a, b, size: bytes(size))
    with pytest.raises(GemmError, match="the gemm is not done, although all results came; reset it"):
        driver.matmul(a, a)
    driver.command("reset")
    monkeypatch.setattr(driver, "status", lambda flag: flag == "rejected")
    with pytest.raises(GemmError, match=r"GemmDriver: the gemm rejected the job \{'mode': .*\}; reset it"):
        driver.matmul(a, a)
