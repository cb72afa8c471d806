import pytest
import torch

import positcore as pc
from positcore.gemm.patches import Geometry, unfold
from positcore.nn.codes import CodesBackend
from positcore.nn.device import DeviceBackend
from positcore.nn.device.convolution import patches
from positcore.nn.tensors import quantize
from tests.nn.device.drawing import cut_blocks, same
from tests.reference import format_id

GEOMETRIES = [
    Geometry((3, 3)),
    Geometry((5, 3), padding=(2, 1)),
    Geometry((3, 2), stride=(2, 3), padding=(1, 0)),
    Geometry((2, 2), stride=(3, 2), padding=(1, 2), dilation=(1, 2)),
    Geometry((1, 1), stride=(2, 2), padding=(1, 1)),
]
FORMATS = [(pc.posit8, None), ((pc.posit8, pc.PositFormat(10, 1)), pc.PositFormat(12, 2)), (pc.posit32, pc.posit16)]
ACCUMULATORS = [pc.Quire(), pc.Fused(), pc.Rounded(), pc.Aligned(4, 14), pc.Aligned(3, 64)]
SPECS = [pc.MacSpec(*FORMATS[0], accumulator) for accumulator in ACCUMULATORS]
SPECS += [pc.MacSpec(*formats) for formats in FORMATS[1:]]
CODES, DEVICE = CodesBackend(pc.matmul), DeviceBackend()


def values(fmt, *shape, seed, nar=False):
    x = quantize(fmt, torch.randn(shape, generator=torch.Generator().manual_seed(seed)))
    if nar:
        x.view(-1)[:: max(1, x.numel() // 3)] = float("nan")
    return x


def agree(device, name, spec, *operands):
    """The backend's result stays on the device and is that of matrix products of codes; zeros have no sign here."""
    moved = [x.to(device) if isinstance(x, torch.Tensor) else x for x in operands]
    got, expected = getattr(DEVICE, name)(spec, *moved), getattr(CODES, name)(spec, *operands)
    return got.device.type == device.type and same(got + 0.0, (expected + 0.0).numpy())


@pytest.mark.parametrize("nar", [False, True], ids=["", "nar"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("spec", SPECS, ids=format_id)
def test_as_matrix_products_of_codes(spec, geometry, nar, device):
    x, weight = values(spec.b, 2, 3, 7, 8, seed=1, nar=nar), values(spec.a, 4, 3, *geometry.kernel, seed=2)
    for bias in (None, values(spec.a, 4, seed=3)):
        assert agree(device, "conv2d", spec, x, weight, bias, geometry)
    size = geometry.output_size((7, 8))
    gradient = values(spec.b, 2, 4, *size, seed=4, nar=nar)
    assert agree(device, "conv2d_input_gradient", spec, gradient, weight, geometry, (7, 8))
    gradient = values(spec.a, 2, 4, *size, seed=5)
    assert agree(device, "conv2d_weight_gradient", spec, gradient, x, geometry)


@pytest.mark.parametrize("items", [1, 100, 1000])
@pytest.mark.parametrize("spec", [*SPECS[:4], *SPECS[5:]], ids=format_id)
def test_tiles_do_not_matter(spec, items, device, monkeypatch):
    """Output rows of one image at a time, and chunks of lanes that reach over tiles."""
    cut_blocks(monkeypatch, items)
    geometry = GEOMETRIES[3]
    x, weight = values(spec.b, 3, 1, 7, 8, seed=1), values(spec.a, 2, 1, 2, 2, seed=2)
    gradient = values(spec.b, 3, 2, *geometry.output_size((7, 8)), seed=3)
    assert agree(device, "conv2d", spec, x, weight, values(spec.a, 2, seed=4), geometry)
    assert agree(device, "conv2d_input_gradient", spec, gradient, weight, geometry, (7, 8))
    assert agree(device, "conv2d_weight_gradient", spec, quantize(spec.a, gradient), x, geometry)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_patches(geometry, device):
    x = values(pc.posit8, 2, 3, 7, 8, seed=6)
    expected = unfold(x.numpy(), geometry)
    assert same(patches(x.to(device), geometry), expected)
    oh, ow = geometry.output_size((7, 8))
    rows = expected.reshape(len(expected), 2, oh, ow)[:, :, 1:2].reshape(len(expected), -1)
    assert same(patches(x.to(device), geometry, slice(1, 2)), rows)


@pytest.mark.parametrize("spec", SPECS[:2], ids=format_id)
def test_no_images(spec, device):
    geometry = GEOMETRIES[1]
    x, weight = torch.zeros(0, 3, 7, 8, device=device), values(spec.a, 4, 3, 5, 3, seed=1).to(device)
    assert DEVICE.conv2d(spec, x, weight, None, geometry).shape == (0, 4, 7, 8)
    gradient = torch.zeros(0, 4, 7, 8, device=device)
    assert DEVICE.conv2d_input_gradient(spec, gradient, weight, geometry, (7, 8)).shape == (0, 3, 7, 8)
    nothing = DEVICE.conv2d_weight_gradient(spec, gradient, x, geometry)
    assert same(nothing, torch.zeros(4, 3, 5, 3).numpy())


def test_views_and_gradients(device):
    """Channels of a larger tensor, in another layout, of a tensor that requires gradients."""
    spec, geometry = SPECS[0], Geometry((3, 3), padding=(1, 1))
    x = values(spec.b, 2, 6, 7, 8, seed=1).to(device).to(memory_format=torch.channels_last).requires_grad_()[:, 3:]
    weight = values(spec.a, 8, 3, 3, 3, seed=2).to(device).requires_grad_()[4:]
    y = DEVICE.conv2d(spec, x, weight, None, geometry)
    assert not y.requires_grad
    plain = [t.detach().clone(memory_format=torch.contiguous_format) for t in (x, weight)]
    assert torch.equal(y, DEVICE.conv2d(spec, *plain, None, geometry))
    assert agree(device, "conv2d", spec, *[t.cpu() for t in plain], None, geometry)


def test_capacity_is_that_of_all_tiles(device, monkeypatch):
    cut_blocks(monkeypatch, 1)
    spec = pc.MacSpec(pc.posit8, accumulator=pc.Quire(3))
    x, weight = torch.ones(1, 1, 3, 3, device=device), torch.ones(1, 1, 3, 3, device=device)
    message = "a dot product of 9 terms exceeds the 7 that a quire with 3 carry bits holds"
    geometry = Geometry((3, 3), padding=(1, 1))
    with pytest.raises(ValueError, match=message):
        DEVICE.conv2d(spec, x, weight, None, geometry)
    with pytest.raises(ValueError, match=message):
        DEVICE.conv2d_input_gradient(spec, x, weight, geometry, (3, 3))
    with pytest.raises(ValueError, match=message):
        DEVICE.conv2d_weight_gradient(spec, x, x, geometry)


X = torch.ones(1, 1, 3, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, g: DEVICE.conv2d(s, X.int(), X, None, g), "conv2d: operands must be float tensors, not torch.int32"),
        (lambda s, g: DEVICE.conv2d_input_gradient(s, X, X.to("meta"), g, (3, 3)), "conv2d_input_gradient: .* meta"),
        (lambda s, g: DEVICE.conv2d_weight_gradient(s, X.to("meta"), X, g), "conv2d_weight_gradient: .* meta"),
    ],
)
def test_errors(call, message):
    with pytest.raises(TypeError, match=message):
        call(SPECS[0], Geometry((3, 3)))
