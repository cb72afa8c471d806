"""Layers whose every operation is tensor code: the bits are those of the golden model."""

import pytest
import torch
from torch import nn

from positcore.nn import Policy, convert, tensors
from positcore.nn import device as dev

POLICY = Policy.parse("O12-L12-F8q-B10q-G12q")


def run(layer, x, device):
    """Output and gradients in training, buffers, and the output in evaluation."""
    twin, x = convert(layer, POLICY).to(device), x.to(device)
    if x.is_floating_point():
        x.requires_grad_()
    y = twin(x)
    y.backward(torch.full_like(y, 1.25))
    gradients = [leaf.grad for leaf in (x, *twin.parameters()) if leaf.requires_grad]
    return [y.detach(), *gradients, *twin.buffers(), twin.eval()(x).detach()]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm2d(3), (4, 3, 2, 2)),
        (nn.LayerNorm(4), (2, 3, 4)),
        (nn.GroupNorm(3, 6), (2, 6, 2)),
        (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (1, 2, 5, 5)),
        (nn.AdaptiveAvgPool2d((2, 3)), (1, 2, 5, 7)),
        (nn.MaxPool2d(3, 2, 1), (1, 2, 5, 5)),
        (nn.Conv1d(2, 3, 3, padding=1), (2, 2, 5)),
        (nn.ConvTranspose2d(2, 3, 3, 2, 1, 1), (1, 2, 3, 3)),
        (nn.Embedding(5, 3, padding_idx=0), None),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, nn.Module) else "",
)
def test_the_bits_are_those_of_the_golden_model(layer, shape, device, monkeypatch):
    torch.manual_seed(1)
    x = torch.randint(0, 5, (3, 4)) if shape is None else torch.randn(shape)
    expected = run(layer, x.clone(), "cpu")
    called = set()

    def counted(fmt, values):
        called.add(fmt)
        return dev.quantize(fmt, values)

    monkeypatch.setattr(tensors, "quantize", counted)
    for name in ("add", "sub", "mul", "div", "sqrt", "fma"):
        monkeypatch.setattr(tensors, name, getattr(dev.values, name))
    monkeypatch.setattr("positcore.nn.golden.on_cpu", lambda *operands: False)
    got = run(layer, x.clone(), device)
    assert called
    assert all(torch.equal(a.cpu(), b) for a, b in zip(got, expected, strict=True))
