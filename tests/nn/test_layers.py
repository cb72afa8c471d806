import copy
import pickle

import pytest
import torch

from positcore.gemm.patches import Geometry
from positcore.nn import Conv2d, CrossEntropyLoss, Linear, Policy, functional, quantize

POLICY = Policy.parse("O12-L12-FBG8q")
LAYERS = {
    "linear": (lambda **more: Linear(5, 3, **more), torch.nn.Linear(5, 3), (2, 5)),
    "linear, no bias": (lambda **more: Linear(5, 3, False, **more), torch.nn.Linear(5, 3, False), (2, 5)),
    "conv": (lambda **more: Conv2d(4, 6, 3, **more), torch.nn.Conv2d(4, 6, 3), (2, 4, 6, 7)),
    "conv, all options": (
        lambda **more: Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2, False, **more),
        torch.nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2, False),
        (2, 4, 6, 7),
    ),
}


def normal(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", LAYERS)
def test_names_and_shapes_are_those_of_torch(name):
    make, float_layer, shape = LAYERS[name]
    layer = make(policy=POLICY)
    assert isinstance(layer, type(float_layer))
    expected = {key: x.shape for key, x in float_layer.state_dict().items()}
    assert {key: x.shape for key, x in layer.state_dict().items()} == expected
    assert layer(normal(*shape)).shape == float_layer(normal(*shape)).shape
    assert repr(layer) == repr(float_layer)[:-1] + ", policy=O12-L12-FBG8q)"


@pytest.mark.parametrize("text", ["O12-L12-FBG8q", "O8/0-L12-FBG8q", "O32-L12-FBG8q"])
@pytest.mark.parametrize("name", LAYERS)
def test_new_parameters_are_values_of_the_optimizers_format(name, text):
    policy = Policy.parse(text)
    layer = LAYERS[name][0](policy=policy)
    fmt = policy.optimizer.format
    for parameter in layer.parameters():
        assert parameter.requires_grad
        assert parameter.dtype == (torch.float64 if fmt.n == 32 else torch.float32)
        assert torch.equal(quantize(fmt, parameter), parameter)
        assert parameter.abs().sum() > 0


def test_new_parameters_are_those_of_torch_rounded():
    torch.manual_seed(5)
    expected = torch.nn.Linear(5, 3)
    torch.manual_seed(5)
    layer = Linear(5, 3, policy=POLICY)
    for key, parameter in expected.named_parameters():
        assert torch.equal(getattr(layer, key), quantize(POLICY.optimizer.format, parameter))


def test_linear_is_its_function():
    layer, x = Linear(5, 3, policy=POLICY), normal(2, 5)
    assert torch.equal(layer(x), functional.linear(x, layer.weight, layer.bias, POLICY))


PADDINGS = [
    ({"kernel_size": 3, "padding": "same"}, Geometry((3, 3), padding=(1, 1))),
    ({"kernel_size": (5, 3), "padding": "same"}, Geometry((5, 3), padding=(2, 1))),
    ({"kernel_size": (2, 3), "padding": "same", "dilation": (2, 3)}, Geometry((2, 3), padding=(1, 3), dilation=(2, 3))),
    ({"kernel_size": 3, "padding": "valid", "stride": 2}, Geometry((3, 3), stride=(2, 2))),
    ({"kernel_size": (3, 1), "padding": (1, 0), "stride": (2, 1)}, Geometry((3, 1), stride=(2, 1), padding=(1, 0))),
]


@pytest.mark.parametrize(("options", "geometry"), PADDINGS, ids=str)
def test_geometry(options, geometry):
    layer, x = Conv2d(2, 3, **options, policy=POLICY), normal(2, 2, 7, 8)
    assert layer.geometry == geometry
    y = layer(x)
    assert y.shape == torch.nn.Conv2d(2, 3, **options)(x).shape
    assert torch.equal(y, functional.conv2d(x, layer.weight, layer.bias, geometry, 1, POLICY))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_cross_entropy_loss(reduction):
    logits, target = normal(4, 3), torch.tensor([0, 2, 1, 1])
    loss = CrossEntropyLoss(POLICY, reduction)
    assert torch.equal(loss(logits, target), functional.cross_entropy(logits, target, POLICY, reduction))
    assert not list(loss.parameters())


@pytest.mark.parametrize("way", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("name", LAYERS)
def test_copies_compute_the_same(name, way):
    make, _, shape = LAYERS[name]
    layer, x = make(policy=POLICY), normal(*shape)
    twin = way(layer)
    assert twin.policy == layer.policy
    assert repr(twin) == repr(layer)
    assert torch.equal(twin(x), layer(x))
    assert twin.weight.data_ptr() != layer.weight.data_ptr()


def test_state_dict_round_trip(tmp_path):
    layer, other = Conv2d(2, 3, 3, policy=POLICY), Conv2d(2, 3, 3, policy=POLICY)
    torch.save(layer.state_dict(), tmp_path / "layer.pt")
    other.load_state_dict(torch.load(tmp_path / "layer.pt", weights_only=True))
    assert torch.equal(other(normal(1, 2, 5, 5)), layer(normal(1, 2, 5, 5)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: Conv2d(2, 3, 3, padding=1, padding_mode="reflect", policy=POLICY),
            ValueError, "Conv2d: padding_mode must be 'zeros', not 'reflect'",
        ),
        (
            lambda: Conv2d(2, 3, (3, 2), padding="same", policy=POLICY),
            ValueError, r"padding='same' with kernel \(3, 2\) is not symmetric; pad explicitly",
        ),
        (lambda: Linear(2, 3), TypeError, "policy"),
        (lambda: Conv2d(2, 3, 3), TypeError, "policy"),
        (lambda: Linear(2, 3, policy=POLICY)(normal(4, 3)), ValueError, r"x must be of shape \(\.\.\., 2\)"),
        (lambda: Conv2d(2, 3, 3, policy=POLICY)(normal(2, 5, 5)), ValueError, r"x must be of shape \(N, 2, H, W\)"),
        (
            lambda: CrossEntropyLoss(POLICY, "none")(normal(2, 3), torch.tensor([0, 1])),
            ValueError, "reduction must be 'mean' or 'sum', not 'none'",
        ),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_loaded_weights_become_values_of_o():
    layer = Linear(4, 3, policy=POLICY)
    state = torch.nn.Linear(4, 3).state_dict()
    layer.load_state_dict(state)
    assert torch.equal(layer.weight, quantize(POLICY.optimizer.format, state["weight"]))
    assert layer.weight.requires_grad
