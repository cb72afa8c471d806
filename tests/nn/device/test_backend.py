"""`GoldenBackend` and tensors that are not on the CPU: they stay where they are, with the same bits."""

import pytest
import torch

import positcore as pc
from positcore.gemm.patches import Geometry
from positcore.nn.device import DeviceBackend
from positcore.nn.golden import GoldenBackend
from positcore.nn.tensors import quantize
from tests.nn.device.conftest import WITHOUT_CUDA

SPEC, GEOMETRY = pc.MacSpec(pc.posit8), Geometry((3, 3), padding=(1, 1))


def values(*shape, seed):
    return quantize(pc.posit8, torch.randn(shape, generator=torch.Generator().manual_seed(seed)))


X, WEIGHT, BIAS, GRADIENT = (values(*s, seed=i) for i, s in enumerate([(2, 3, 6, 5), (4, 3, 3, 3), (4,), (2, 4, 6, 5)]))
CALLS = {
    "matmul": (values(7, 6, seed=5), values(6, 4, seed=6), BIAS),
    "conv2d": (X, WEIGHT, BIAS, GEOMETRY),
    "conv2d_input_gradient": (GRADIENT, WEIGHT, GEOMETRY, (6, 5)),
    "conv2d_weight_gradient": (GRADIENT, X, GEOMETRY),
}


def moved(operands, device):
    return [x.to(device) if isinstance(x, torch.Tensor) else x for x in operands]


@pytest.mark.parametrize("name", CALLS)
def test_tensors_elsewhere_go_to_the_device_code(name, monkeypatch):
    expected = getattr(GoldenBackend(), name)(SPEC, *CALLS[name])
    called = []
    original = getattr(DeviceBackend, name)
    monkeypatch.setattr(DeviceBackend, name, lambda *given: called.append(given[1:]) or original(*given))
    assert torch.equal(getattr(GoldenBackend(), name)(SPEC, *CALLS[name]), expected)
    assert not called  # the CPU has its own kernels
    monkeypatch.setattr("positcore.nn.golden.on_cpu", lambda *tensors: False)
    assert torch.equal(getattr(GoldenBackend(), name)(SPEC, *CALLS[name]), expected)
    assert called == [(SPEC, *CALLS[name])]


@pytest.mark.gpu
@WITHOUT_CUDA
@pytest.mark.parametrize("name", CALLS)
def test_on_a_gpu(name):
    got = getattr(GoldenBackend(), name)(SPEC, *moved(CALLS[name], "cuda"))
    assert got.device.type == "cuda"
    assert torch.equal(got.cpu(), getattr(GoldenBackend(), name)(SPEC, *CALLS[name]))


@pytest.mark.parametrize("name", CALLS)
def test_a_device_that_holds_no_numbers(name):
    with pytest.raises(TypeError, match=f"{name}: posit operations do not run on meta, which holds no numbers"):
        getattr(GoldenBackend(), name)(SPEC, *moved(CALLS[name], "meta"))


@pytest.mark.parametrize("name", CALLS)
def test_no_operand_is_left_on_another_device(name):
    first, *rest = CALLS[name]
    with pytest.raises(TypeError, match=f"{name}: posit operations do not run on meta"):
        getattr(GoldenBackend(), name)(SPEC, first, *moved(rest, "meta"))
