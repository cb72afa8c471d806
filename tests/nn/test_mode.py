"""What PyTorch's functions become in the forward of a converted module of one's own."""

import copy
import pickle

import pytest
import torch
from torch import nn

from positcore import nn as pnn
from positcore.nn import Policy, functional, quantize, tensors

POLICY = Policy.parse("O16-L16-F8q-B10q-G12q")
X = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))


class Own(nn.Module):
    """A module whose forward is given."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.layer = nn.Linear(8, 8)
        self.offset = nn.Parameter(torch.linspace(-1, 1, 8))

    def forward(self, x):
        return self.function(self, self.layer(x))


def run(function, policy=POLICY):
    """The layer's output, the result and the layer's weight gradient, under the audit."""
    torch.manual_seed(2)
    twin = pnn.convert(Own(function), policy)
    with pnn.audit(twin):
        hidden = twin.layer(X)
        result = twin(X)
        result.backward(torch.ones_like(result))
    return hidden, result, twin


F8 = POLICY.forward.format


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda m, h: h @ h.mT, lambda h: functional.matmul(h, h.mT, POLICY)),
        (lambda m, h: torch.matmul(h, h.T), lambda h: functional.matmul(h, h.mT, POLICY)),
        (lambda m, h: h[None].bmm(h.T[None])[0], lambda h: functional.matmul(h, h.mT, POLICY)),
        (lambda m, h: h + h.relu(), lambda h: tensors.add(F8, h, h.relu())),
        (lambda m, h: 1 - h, lambda h: tensors.sub(F8, torch.ones(()), h)),
        (lambda m, h: h * 0.3, lambda h: tensors.mul(F8, h, quantize(F8, torch.tensor(0.3)))),
        (lambda m, h: -h, lambda h: -h),
        (lambda m, h: h.view(2, 3, 8).mT.flatten(0, 1), lambda h: h.view(2, 3, 8).mT.flatten(0, 1)),
        (lambda m, h: torch.cat([h, h.relu()], 1), lambda h: torch.cat([h, h.relu()], 1)),
        (lambda m, h: torch.where(h > 0, h, h[:, :1]), lambda h: torch.where(h > 0, h, h[:, :1])),
        (lambda m, h: h[:3, 2:5], lambda h: h[:3, 2:5]),
        (lambda m, h: h.masked_fill(h > 1, 0.0).clamp(-1, 1), lambda h: h.masked_fill(h > 1, 0.0).clamp(-1, 1)),
    ],
)  # fmt: skip
def test_functions(function, expected):
    hidden, result, twin = run(function)
    assert torch.equal(result, expected(hidden.detach()).to(result.dtype))
    assert twin.layer.weight.grad.abs().sum() > 0


def test_an_activation_that_several_functions_read():
    """Views, functions of PyTorch's and posit operations read one tensor; its gradient is one rounded sum."""
    _, _, twin = run(lambda m, h: torch.cat([h.view(6, 8), h.relu(), h @ h.mT], 1))
    torch.manual_seed(2)
    hidden = pnn.convert(nn.Linear(8, 8), POLICY)(X).detach().requires_grad_()
    parts = [torch.ones_like(hidden), (hidden > 0).to(hidden.dtype)]
    for side in (0, 1):
        a, b = (hidden.detach().clone().requires_grad_(side == i) for i in (0, 1))
        product = functional.matmul(a, b.mT, POLICY)
        product.backward(torch.ones_like(product))
        parts.append((a, b)[side].grad)
    fmt = POLICY.backward.format
    total = quantize(fmt, sum(part.double() for part in parts))  # short enough to be exact in float64
    alone = pnn.convert(nn.Linear(8, 8), POLICY)
    alone.load_state_dict(twin.layer.state_dict())
    alone(X).backward(total.to(torch.float32))
    assert torch.equal(twin.layer.weight.grad, alone.weight.grad)


def test_changes_in_place():
    def function(m, h):
        h += h.relu()
        return h.relu_()

    hidden, result, _ = run(function)
    h = hidden.detach()
    assert torch.equal(result, tensors.add(F8, h, h.relu()).relu())


def test_parameters_of_ones_own():
    _, _, twin = run(lambda m, h: h @ torch.stack([m.offset, m.offset.flip(0)]).T)
    assert torch.equal(twin.offset.detach(), quantize(POLICY.optimizer.format, torch.linspace(-1, 1, 8)))
    grad = twin.offset.grad
    assert torch.equal(grad, quantize(POLICY.gradient.format, grad))
    assert grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda m, h: h.cumsum(0), "cumsum has no posit counterpart: its arithmetic would be done in floats"),
        (lambda m, h: torch.fft.rfft(h), "rfft has no posit counterpart"),
        (lambda m, h: h.double().float(), "from torch.float64 to torch.float32 would round posit values to floats"),
    ],
)  # fmt: skip
def test_what_has_no_counterpart(function, message):
    twin = pnn.convert(Own(function), POLICY)
    with pytest.raises(TypeError, match=message):
        twin(X)
    assert torch.equal(torch.ones(2) + torch.ones(2), 2 * torch.ones(2))  # the mode is off again


def test_modules_in_modules():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Own(lambda m, h: h @ h.mT)

        def forward(self, x):
            return self.inner(x).relu() @ torch.ones(6)

    policy = Policy.parse("O16-L16-F8q-B10q-G12q; inner=F16q; inner.layer=FB12q")
    twin = pnn.convert(Outer(), policy)
    policies = twin.posit_policy, twin.inner.posit_policy, twin.inner.layer.policy
    assert [str(policy.forward.format) for policy in policies] == [
        "posit<8,2>", "posit<16,2>", "posit<12,2>",
    ]  # fmt: skip
    with pnn.audit(twin):
        y = twin(X)
        y.backward(torch.ones_like(y))
    assert torch.equal(y, quantize(F8, y))


def own_forward(m, h):
    return h @ h.mT


def test_twins_are_copied_and_pickled_and_turned_back():
    torch.manual_seed(2)
    twin = pnn.convert(Own(own_forward), POLICY)
    for other in (copy.deepcopy(twin), pickle.loads(pickle.dumps(twin))):
        assert torch.equal(other(X), twin(X))
    back = pnn.to_float(twin)
    assert type(back.layer) is nn.Linear
    assert not hasattr(back, "policy")
    assert not back._forward_pre_hooks
    assert not back._forward_hooks
    h = back.layer(X)
    assert torch.equal(back(X), h @ h.mT)
    assert pickle.loads(pickle.dumps(back)).offset.dtype == torch.float32


def test_layers_of_wider_formats_than_the_first():
    """Gradients of 32 bits reach a layer whose own formats are of 8 bits without a rounding to float32."""
    policy = Policy.parse("O32-L16-FBG8q; 1=FB32q")
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    twin = pnn.convert(model, policy)
    assert twin[0](X[:, :4]).dtype == twin[1](X[:, :4]).dtype == torch.float64
    assert pnn.convert(model, Policy.parse("O32-L16-FBG8q; 1=FB16q"))[0](X[:, :4]).dtype == torch.float32
    with pytest.raises(ValueError, match=r"2=FB32q matches no layer; there are 0, 1"):
        pnn.convert(model, Policy.parse("O32-L16-FBG8q; 2=FB32q"))
