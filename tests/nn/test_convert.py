import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from positcore import nn as pnn
from positcore.nn import Policy, convert, quantize
from positcore.nn.models import MODELS

POLICY = Policy.parse("O12-L12-FBG8q")


class Branches(nn.Module):
    """A module of its own, as users write them: a layer, a block in a block, one activation used twice."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3, padding="same")
        self.blocks = nn.ModuleDict({"one": nn.Sequential(nn.Sequential(nn.Conv2d(2, 2, 3, groups=2)))})
        self.relu = nn.ReLU()
        self.head = nn.ModuleList([nn.Linear(32, 4, bias=False), nn.Linear(4, 3)])

    def forward(self, x):
        x = self.relu(self.blocks["one"](self.relu(self.stem(x)))).flatten(1)
        return self.head[1](self.relu(self.head[0](x)))


def rounded_parameters(twin, model, policy):
    fmt = policy.optimizer.format
    state = model.state_dict()
    assert list(twin.state_dict()) == list(state)
    for key, parameter in twin.named_parameters():
        assert torch.equal(parameter, quantize(fmt, state[key])), key
        assert parameter.dtype == (torch.float64 if fmt.n == 32 else torch.float32)
        assert parameter.requires_grad


@pytest.mark.parametrize("text", ["O12-L12-FBG8q", "O32-L12-FBG8q"])
@pytest.mark.parametrize("name", ["lenet5", "mnistnet"])
def test_models_of_the_thesis(name, text):
    policy = Policy.parse(text)
    torch.manual_seed(1)
    model = MODELS[name]()
    before = copy.deepcopy(model.state_dict())
    twin = convert(model, policy)
    rounded_parameters(twin, model, policy)
    assert twin is not model
    assert [type(x).__module__ for x in model.modules()] == [type(x).__module__ for x in MODELS[name]().modules()]
    assert all(torch.equal(x, before[key]) for key, x in model.state_dict().items())
    assert not {p.data_ptr() for p in model.parameters()} & {p.data_ptr() for p in twin.parameters()}
    x = torch.randn(2, 1, 28, 28)
    assert twin(x).shape == model(x).shape
    assert (twin(x) - model(x)).abs().max() < 0.3
    assert f"policy={policy}" in repr(twin)


def test_lenet5_has_the_parameters_of_the_thesis():
    assert sum(p.numel() for p in convert(MODELS["lenet5"](), POLICY).parameters()) == 61706


def test_modules_of_ones_own():
    model = Branches()
    twin = convert(model, POLICY)
    assert type(twin) is Branches
    assert type(twin.stem) is type(twin.blocks["one"][0][0]) is pnn.Conv2d
    assert type(twin.head[0]) is type(twin.head[1]) is pnn.Linear
    assert twin.head[0].bias is None
    assert twin.blocks["one"][0][0].groups == 2
    rounded_parameters(twin, model, POLICY)
    twin(torch.randn(2, 1, 6, 6)).sum().backward()
    assert all(p.grad is not None for p in twin.parameters())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("layer", [nn.Linear(3, 2), nn.Conv2d(1, 2, 3, 2, 1), nn.ReLU(), nn.Flatten()], ids=str)
def test_a_layer_alone(layer):
    twin = convert(layer, POLICY)
    assert isinstance(twin, type(layer))
    assert isinstance(twin, pnn.Linear | pnn.Conv2d) == bool(list(layer.parameters()))


def test_a_layer_keeps_its_mode_and_what_is_frozen():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)).eval()
    model[0].weight.requires_grad_(False)
    twin = convert(model, POLICY)
    assert not twin[0].training
    assert [p.requires_grad for p in twin.parameters()] == [False, True, True, True]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16], ids=str)
def test_models_of_other_dtypes(dtype):
    model = nn.Linear(5, 3).to(dtype)
    rounded_parameters(convert(model, POLICY), model, POLICY)


def test_max_pooling_whose_windows_only_touch():
    for pool in (nn.MaxPool2d(2), nn.MaxPool2d(2, 3), nn.MaxPool2d((2, 1), (2, 2)), nn.MaxPool2d(2, 3, dilation=2)):
        x = torch.randn(2, 3, 9, 9)
        assert torch.equal(convert(pool, POLICY)(x), pool(x))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            nn.LSTM(2, 2),
            "LSTM at the top has no posit twin; there are twins of .*Conv2d.*, and ReLU, .* exact",
        ),
        (nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU(), nn.CELU())), "CELU '1.1' has no posit twin"),
        (nn.ModuleDict({"body": nn.Sequential(nn.Bilinear(2, 2, 2))}), "Bilinear 'body.0' has no posit twin"),
        (
            nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
            "ParametrizedLinear at the top computes its parameters in floats; make them plain .*remove_param",
        ),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, nn.Module) else None,
)
def test_what_has_no_twin(model, message):
    with pytest.raises(TypeError, match=message):
        convert(model, POLICY)


@pytest.mark.parametrize("policy", ["O12-L12-FBG8q", None, pnn.Stage(POLICY.forward.format)], ids=str)
def test_a_policy_of_the_wrong_kind(policy):
    with pytest.raises(TypeError, match=r"policy must be a Policy, such as Policy.parse\('O12-L12-FBG8q'\), not"):
        convert(nn.Linear(2, 2), policy)


def test_a_twin_is_not_converted_again():
    with pytest.raises(TypeError, match="convert: '0' is a posit layer already; convert the float model instead"):
        convert(convert(nn.Sequential(nn.Linear(2, 2)), POLICY), POLICY)
    with pytest.raises(TypeError, match="convert: 'the model' is a posit layer already"):
        convert(pnn.Conv2d(2, 2, 3, policy=POLICY), POLICY)


def test_relu_and_max_pooling_keep_nar():
    x = torch.tensor([[[[float("nan"), 1.0], [2.0, 3.0]]]])
    assert convert(nn.MaxPool2d(2), POLICY)(x).isnan().all()
    assert convert(nn.ReLU(), POLICY)(x).isnan().sum() == 1


def test_an_error_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Linear(2, 2), nn.CELU())
    with pytest.raises(TypeError, match="CELU"):
        convert(model, POLICY)
    assert type(model[0]) is nn.Linear


class Twice(nn.Module):
    """A layer in two places, parameters in containers, and an attribute that is called policy."""

    def __init__(self):
        super().__init__()
        self.first, self.policy = nn.Sequential(nn.Linear(4, 4)), nn.Linear(4, 4)
        self.again = nn.ModuleList([self.first[0], self.first])
        self.scales = nn.ParameterList([nn.Parameter(torch.tensor([0.1, 0.2, 0.3, 0.7]))])
        self.shifts = nn.ParameterDict({"one": nn.Parameter(torch.tensor([0.1, 0.2, 0.3, 0.7]))})

    def forward(self, x):
        return self.again[1](self.again[0](self.policy(x))) * self.scales[0] + self.shifts["one"]


def test_a_layer_in_two_places_and_parameters_in_containers():
    model = Twice()
    twin = convert(model, POLICY)
    assert list(twin.state_dict()) == list(model.state_dict())
    assert twin.again[0] is twin.first[0]
    rounded_parameters(twin, model, POLICY)
    with pnn.audit(twin):
        twin(torch.ones(2, 4)).backward(torch.ones(2, 4))
        pnn.SGD(twin.parameters(), POLICY, 0.5).step()
    twin.load_state_dict(model.state_dict())
    rounded_parameters(twin, model, POLICY)
    back = pnn.to_float(twin)
    assert [type(module) for module in back.modules()] == [type(module) for module in model.modules()]
    for module in back.modules():
        assert not module._forward_pre_hooks
        assert not module._load_state_dict_post_hooks
    back.load_state_dict(model.state_dict())
    x = torch.randn(2, 4)
    assert torch.equal(back(x), model(x))


def test_an_override_of_a_layer_in_two_places_goes_by_its_first_name():
    policy = pnn.Policy.parse("O12-L12-FBG8q; first.*=F10q")
    assert convert(Twice(), policy).again[0].policy.forward.format.n == 10


def test_weights_that_are_assigned_leave_their_model_alone():
    model = nn.Sequential(nn.Linear(4, 4))
    before = model[0].weight.clone()
    for policy in (POLICY, pnn.Policy.parse("O32-L16-FBG32q")):
        twin = convert(model, policy)
        twin.load_state_dict(model.state_dict(), assign=True)
        assert torch.equal(model[0].weight, before)
        rounded_parameters(twin, model, policy)


def test_what_runs_in_posits_is_not_converted_again():
    with pytest.raises(TypeError, match="convert: 'the model' is a posit layer already"):
        convert(convert(Shift(), POLICY), POLICY)


class Shift(nn.Module):
    """No layer, but a forward."""

    def forward(self, x):
        return x + 1


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    "norm", [nn.utils.weight_norm, nn.utils.spectral_norm, lambda m: torch_prune.l1_unstructured(m, "weight", 0.5)]
)
def test_weights_that_are_computed_are_refused(norm):
    model = nn.Sequential(norm(nn.Linear(4, 4)))
    with pytest.raises(
        TypeError, match=r"convert: Linear '0' computes its weight from .*weight_.*; make it a parameter"
    ):
        convert(model, POLICY)


@pytest.mark.parametrize("model", [3, None, nn.Linear])
def test_only_modules_are_converted(model):
    for name, call in (("convert", lambda: convert(model, POLICY)), ("to_float", lambda: pnn.to_float(model))):
        with pytest.raises(TypeError, match=f"{name}: model must be a torch.nn.Module that is not scripted, not"):
            call()


def test_a_lazy_layer_has_to_see_a_batch_first():
    model = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(TypeError, match="LazyLinear '0' has no shapes yet; run the float model on a batch first"):
        convert(model, POLICY)
    model(torch.ones(2, 4))
    assert convert(model, POLICY)(torch.ones(2, 4)).shape == (2, 3)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 1, 8, 8, dtype=torch.int64), "Conv2d 'body.0': posit operations take float tensors that hold"),
        (torch.zeros(2, 3, 8, 8), r"Conv2d 'body.0': conv2d: x must be of shape \(N, 1, H, W\), not \(2, 3, 8, 8\)"),
    ],
    ids=["dtype", "shape"],
)
def test_errors_name_the_layer(x, message):
    model = torch.nn.Sequential()
    model.add_module("body", torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU()))
    twin = pnn.convert(model, pnn.Policy.parse("O12-L12-FBG8q"))
    with pytest.raises((TypeError, ValueError), match=message):
        copy.deepcopy(twin)(x)
    assert "place" not in vars(pnn.to_float(twin).body[0])


def test_out_is_refused():
    class Doubled(torch.nn.Module):
        def forward(self, x):
            return torch.add(x, x, out=torch.empty_like(x))

    with pytest.raises(TypeError, match="add: a posit operation makes a new tensor; assign its result in place of out"):
        pnn.convert(Doubled(), pnn.Policy.parse("O12-L12-FBG8q"))(torch.zeros(3))
