import pytest
import torch

import positcore as pc
from positcore.gemm.patches import Geometry
from positcore.nn import backends, use_backend
from positcore.nn.backends import current_backend
from positcore.nn.codes import CodesBackend
from positcore.nn.golden import GoldenBackend
from positcore.nn.tensors import quantize
from tests.reference import format_id

SPECS = [
    pc.MacSpec(pc.posit8),
    pc.MacSpec((pc.posit8, pc.PositFormat(10, 1)), pc.PositFormat(12, 2)),
    pc.MacSpec((pc.PositFormat(16, 4), pc.PositFormat(6, 0, underflow=True)), pc.PositFormat(9, 3)),
    pc.MacSpec(pc.posit32, pc.posit16),
]
GEOMETRIES = [
    Geometry((3, 3)),
    Geometry((5, 3), padding=(2, 1)),
    Geometry((3, 2), stride=(2, 3), padding=(1, 0)),
    Geometry((2, 2), stride=(3, 2), padding=(1, 2), dilation=(1, 2)),
    Geometry((1, 1), stride=(2, 2), padding=(1, 1)),
]
CODES, GOLDEN = CodesBackend(pc.matmul), GoldenBackend()


@pytest.fixture(autouse=True)
def _golden(monkeypatch):
    monkeypatch.setattr(backends, "_current", "golden")
    monkeypatch.setattr(backends, "_loaded", {})


def values(fmt, *shape, seed, nar=False):
    x = quantize(fmt, torch.randn(shape, generator=torch.Generator().manual_seed(seed)))
    if nar:
        x.view(-1)[:: max(1, x.numel() // 3)] = float("nan")
    return x


def same(spec, x, y):
    assert x.shape == y.shape
    assert x.dtype == y.dtype
    return spec.out.encode(x.numpy()).tolist() == spec.out.encode(y.numpy()).tolist()


@pytest.mark.parametrize("nar", [None, "a", "b", "bias"])
@pytest.mark.parametrize("spec", SPECS, ids=format_id)
def test_matmul(spec, nar):
    a = values(spec.a, 7, 6, seed=1, nar=nar == "a").T  # not contiguous
    b = values(spec.b, 7, 5, seed=2, nar=nar == "b")
    for bias in (None, values(spec.a, 5, seed=3, nar=nar == "bias"), values(spec.a, 6, 1, seed=4)):
        assert same(spec, CODES.matmul(spec, a, b, bias), GOLDEN.matmul(spec, a, b, bias))


@pytest.mark.parametrize("nar", [None, "weight", "x"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("spec", SPECS, ids=format_id)
def test_conv2d(spec, geometry, nar):
    x = values(spec.b, 2, 3, 7, 8, seed=1, nar=nar == "x")
    weight = values(spec.a, 4, 3, *geometry.kernel, seed=2, nar=nar == "weight")
    for bias in (None, values(spec.a, 4, seed=3)):
        golden = GOLDEN.conv2d(spec, x, weight, bias, geometry)
        assert same(spec, CODES.conv2d(spec, x, weight, bias, geometry), golden)


@pytest.mark.parametrize("nar", [None, "weight", "gradient"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("spec", [SPECS[0], SPECS[3], pc.MacSpec(pc.PositFormat(10, 1))], ids=format_id)
def test_conv2d_input_gradient(spec, geometry, nar):
    gradient = values(spec.b, 2, 4, *geometry.output_size((7, 8)), seed=1, nar=nar == "gradient")
    weight = values(spec.a, 4, 3, *geometry.kernel, seed=2, nar=nar == "weight")
    golden = GOLDEN.conv2d_input_gradient(spec, gradient, weight, geometry, (7, 8))
    assert same(spec, CODES.conv2d_input_gradient(spec, gradient, weight, geometry, (7, 8)), golden)


@pytest.mark.parametrize("nar", [None, "gradient", "x"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("spec", SPECS, ids=format_id)
def test_conv2d_weight_gradient(spec, geometry, nar):
    gradient = values(spec.a, 2, 4, *geometry.output_size((7, 8)), seed=1, nar=nar == "gradient")
    x = values(spec.b, 2, 3, 7, 8, seed=2, nar=nar == "x")
    golden = GOLDEN.conv2d_weight_gradient(spec, gradient, x, geometry)
    assert same(spec, CODES.conv2d_weight_gradient(spec, gradient, x, geometry), golden)


def test_channels_of_a_larger_tensor():
    """Groups are views; both backends read them where they lie."""
    spec, geometry = SPECS[0], Geometry((3, 3), padding=(1, 1))
    x, weight = values(spec.b, 2, 6, 7, 8, seed=1)[:, 3:], values(spec.a, 8, 3, 3, 3, seed=2)[4:]
    for backend in (CODES, GOLDEN):
        y = backend.conv2d(spec, x, weight, None, geometry)
        assert same(spec, y, backend.conv2d(spec, x.clone(), weight.clone(), None, geometry))


# Choosing a backend ------------------------------------------------------------------------------------------


@pytest.fixture
def codes(monkeypatch):
    monkeypatch.setitem(backends.BACKENDS, "codes", lambda: CODES)


@pytest.mark.usefixtures("codes")
def test_use_backend_as_a_call():
    assert isinstance(current_backend(), GoldenBackend)
    use_backend("codes")
    assert current_backend() is CODES
    use_backend("golden")
    assert isinstance(current_backend(), GoldenBackend)


@pytest.mark.usefixtures("codes")
def test_use_backend_as_a_context():
    with use_backend("codes"):
        assert current_backend() is CODES
        with use_backend("golden"):
            assert isinstance(current_backend(), GoldenBackend)
            with use_backend("golden"):
                pass
            assert isinstance(current_backend(), GoldenBackend)
        assert current_backend() is CODES
    assert isinstance(current_backend(), GoldenBackend)


@pytest.mark.usefixtures("codes")
def test_a_context_ends_after_an_exception():
    with pytest.raises(KeyError, match="thrown"), use_backend("codes"):
        raise KeyError("thrown")
    assert isinstance(current_backend(), GoldenBackend)


@pytest.mark.usefixtures("codes")
def test_a_context_can_be_entered_again():
    codes = use_backend("codes")
    for _ in range(2):
        with codes:
            assert current_backend() is CODES
        assert isinstance(current_backend(), GoldenBackend)


def test_a_backend_is_loaded_once_and_only_when_needed(monkeypatch):
    made = []
    monkeypatch.setitem(backends.BACKENDS, "counted", lambda: made.append(1) or CODES)
    with use_backend("counted"):
        assert not made
        assert current_backend() is current_backend()
    assert made == [1]


@pytest.mark.parametrize("name", ["gpu", "", None])
def test_an_unknown_backend(name):
    with pytest.raises(ValueError, match=f"use_backend: no backend {name!r}; there are golden, rtl"):
        use_backend(name)
    assert isinstance(current_backend(), GoldenBackend)
