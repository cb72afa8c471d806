import numpy as np
import pytest
import torch

from positcore.nn.device import product
from tests.nn.device.drawing import same, to


def test_this_device_has_an_ordinary_product(device):
    a, b = np.random.default_rng(1).integers(-1000, 1000, (2, 8, 8))
    assert same(product.float64_product(to(device, a).double(), to(device, b).double()), (a @ b).astype(np.float64))


def through_float32(a, b):
    return (a.float() @ b.float()).double()


def fixed_point(bits):
    """As an emulation by integers: rows of A and columns of B cut to so many bits below their largest element."""

    def multiply(a, b):
        def cut(x, dim):
            grid = torch.ldexp(torch.ones_like(x), torch.frexp(x.abs().amax(dim, keepdim=True)).exponent - bits)
            return torch.where(grid == 0.0, x, torch.trunc(x / grid) * grid)

        return cut(a, 1) @ cut(b, 0)

    return multiply


def in_compensated_halves(a, b):
    """A Strassen-like product: exact in exact arithmetic, and with sums of elements of different size in float64."""
    half = len(a) // 2
    top, bottom = a[:half], a[half:]
    total = (top + bottom) @ b
    return torch.cat([total - bottom @ b, bottom @ b])


@pytest.mark.parametrize(
    "wrong",
    [through_float32, fixed_point(24), fixed_point(40), fixed_point(53), fixed_point(64), in_compensated_halves],
    ids=["float32", "24 bits", "40 bits", "53 bits", "64 bits", "Strassen"],
)
def test_products_of_another_kind_are_refused(wrong, device):
    with pytest.raises(
        RuntimeError, match=f"matrix product on {device.type}.* not an ordinary one.*the quire cannot prove"
    ):
        product.check_product(device, wrong)


def test_an_order_of_summation_is_no_matter(device):
    def backwards(a, b):
        return torch.flip(a, [1]) @ torch.flip(b, [0])

    def in_parts(a, b):
        return sum(a[:, i : i + 64] @ b[i : i + 64] for i in range(0, a.shape[1], 64))

    assert product.check_product(device, backwards) is None
    assert product.check_product(device, in_parts) is None


def test_a_switch_that_emulates_is_refused(monkeypatch):
    monkeypatch.setenv("CUBLAS_EMULATE_DOUBLE_PRECISION", "1")
    with pytest.raises(RuntimeError, match=r"DOUBLE_PRECISION=1 lets cuBLAS emulate float64 on cuda.*unset it"):
        product.check_product(torch.device("cuda"))
    product.check_product(torch.device("cpu"))


def test_each_device_is_tried_once(device, monkeypatch):
    tried = []
    monkeypatch.setattr(product, "check_product", tried.append)
    product._tried.cache_clear()
    x = torch.ones(2, 2, dtype=torch.float64, device=device)
    for _ in range(3):
        product.float64_product(x, x)
    product._tried.cache_clear()
    assert tried == [x.device]
