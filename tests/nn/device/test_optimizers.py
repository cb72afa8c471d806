"""Optimizers, clipping and scaling whose every operation is tensor code: the bits are those of the golden model."""

import pytest
import torch
from torch import nn

from positcore.nn import (
    SGD,
    Adam,
    AdamW,
    BackScale,
    CrossEntropyLoss,
    DynamicScaler,
    Policy,
    RMSprop,
    clip_grad_norm_,
    clip_grad_value_,
    convert,
    tensors,
)
from positcore.nn import device as dev

POLICY = Policy.parse("O12-L12-FBG8q")
KINDS = {
    SGD: {"momentum": 0.5, "dampening": 0.25},
    Adam: {"amsgrad": True, "weight_decay": 0.1},
    AdamW: {},
    RMSprop: {"centered": True, "momentum": 0.5, "eps": 0.125},
}


def trained(kind, device):
    torch.manual_seed(1)
    twin = convert(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), POLICY).to(device)
    optimizer = kind(twin.parameters(), POLICY, lr=0.125, **KINDS[kind])
    scaler, scaling = DynamicScaler(POLICY, 4.0), BackScale([twin[0], twin[2]], POLICY, "after")
    generator = torch.Generator().manual_seed(2)
    for _ in range(3):
        x, target = torch.randn(4, 6, generator=generator), torch.randint(0, 3, (4,), generator=generator)
        optimizer.zero_grad()
        scaler.scale(CrossEntropyLoss(POLICY)(twin(x.to(device)), target.to(device))).backward()
        scaler.unscale_(optimizer)
        scaling.unscale_(optimizer)
        norms = [clip_grad_norm_(twin.parameters(), 0.25, POLICY, norm_type) for norm_type in (2, 1, float("inf"))]
        clip_grad_value_(twin.parameters(), 0.0625, POLICY)
        scaler.step(optimizer)
        scaler.update()
    assert all(norm.device.type == torch.device(device).type for norm in norms)
    return [*twin.parameters(), *norms, torch.tensor(scaling.running)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_are_those_of_the_golden_model(kind, device, monkeypatch):
    expected = trained(kind, "cpu")
    called = set()

    def counted(name, operation):
        return lambda *given: called.add(name) or operation(*given)

    monkeypatch.setattr(tensors, "quantize", counted("quantize", dev.quantize))
    for name in ("add", "sub", "mul", "div", "sqrt", "fma", "exp", "log"):
        monkeypatch.setattr(tensors, name, counted(name, getattr(dev.values, name)))
    monkeypatch.setattr("positcore.nn.golden.on_cpu", lambda *operands: False)
    got = trained(kind, device)
    assert called >= {"quantize", "mul", "div", "sqrt", "fma"}
    assert all(torch.equal(a.cpu(), b) for a, b in zip(got, expected, strict=True))
