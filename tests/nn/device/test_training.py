"""Training steps whose every operation is tensor code: the weights are those of the golden model."""

import pytest
import torch
from torch import nn

from positcore.nn import SGD, CrossEntropyLoss, Policy, backends, convert, quantize, tensors
from positcore.nn import device as dev
from positcore.nn.golden import GoldenBackend


def trained(policy, device):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3))
    twin = convert(model, policy).to(device)
    loss_function, optimizer = CrossEntropyLoss(policy), SGD(twin.parameters(), policy, lr=0.1, momentum=0.5)
    generator = torch.Generator().manual_seed(2)
    for _ in range(3):
        x, target = torch.randn(4, 1, 6, 6, generator=generator), torch.randint(0, 3, (4,), generator=generator)
        optimizer.zero_grad()
        loss = loss_function(twin(x.to(device)), target.to(device))
        loss.backward()
        optimizer.step()
    assert loss.device.type == torch.device(device).type
    return {key: weight.cpu() for key, weight in twin.state_dict().items()}


@pytest.mark.parametrize("notation", ["O12-L12-FBG8q", "OLG16q-FB9/1uq"])
def test_the_weights_are_those_of_the_golden_model(notation, device, monkeypatch):
    policy = Policy.parse(notation)
    expected = trained(policy, "cpu")
    called = set()

    def counted(name, operation):
        return lambda *given: called.add(name) or operation(*given)

    monkeypatch.setattr(tensors, "quantize", counted("quantize", dev.quantize))
    for name in ("add", "sub", "mul", "div", "fma", "exp", "log"):
        monkeypatch.setattr(tensors, name, counted(name, getattr(dev.values, name)))
    monkeypatch.setattr("positcore.nn.golden.on_cpu", lambda *operands: False)
    got = trained(policy, device)
    assert called >= {"quantize", "sub", "div", "fma", "exp", "log"}
    assert expected.keys() == got.keys()
    assert all(torch.equal(got[key], weight) for key, weight in expected.items())
    assert all(torch.equal(quantize(policy.optimizer.format, w), w) for w in got.values())
    assert isinstance(backends.current_backend(), GoldenBackend)
