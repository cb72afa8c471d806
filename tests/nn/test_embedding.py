"""Embedding against plain Python on rationals, forward and backward, every bit."""

from fractions import Fraction
from functools import reduce

import pytest
import torch
from torch import nn

from positcore import nn as pnn
from positcore.mac import Fused
from positcore.nn import Policy, convert, functional, quantize
from tests.nn.reference import add, array, differences, div, each, round_to

POLICIES = ["O12-L12-FBG8q", "O16-L12-F8/1q-B10uq-G12q", "O32-L12-F32q-B16q-G24q", "O12-L12-F8-B9-G10+fused"]
POLICY = Policy.parse("O12-L12-FBG8q")
INDICES = torch.tensor([[3, 0, 3, 1], [3, 1, 5, 0], [0, 3, 3, 2]])


def normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def table(policy, rows, features):
    return quantize(policy.optimizer.format, normal(rows, features)).requires_grad_()


def gradients(policy, gradient, indices, rows, padding=None):
    """One sum for each element of the table, in the order of the indices."""
    g = each(policy.backward.format, array(gradient))
    terms = {at: [] for at in array(torch.zeros(rows, gradient.shape[-1]))}
    for at, x in g.items():
        row = int(indices[at[:-1]])
        if row != padding:
            terms[row, at[-1]].append(x)
    fmt = policy.gradient.format
    if isinstance(policy.gradient.accumulator, Fused):
        return {at: reduce(lambda s, x: round_to(fmt, add(s, x)), t, Fraction(0)) for at, t in terms.items()}
    return {at: round_to(fmt, add(Fraction(0), *t)) for at, t in terms.items()}


@pytest.mark.parametrize("padding", [None, 3, -6])
@pytest.mark.parametrize("text", POLICIES)
def test_embedding(text, padding):
    policy = Policy.parse(text)
    weight = table(policy, 6, 3)
    y = functional.embedding(INDICES, weight, policy, padding)
    copy = each(policy.forward.format, array(weight))
    assert not differences(y, {at: copy[int(INDICES[at[:-1]]), at[-1]] for at in array(y)})
    gradient = normal(*y.shape, seed=9).to(y.dtype)
    y.backward(gradient)
    skipped = None if padding is None else padding % 6
    assert not differences(weight.grad, gradients(policy, gradient, INDICES, 6, skipped))


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (1,)], ids=str)
def test_indices_of_any_shape(shape):
    weight = table(POLICY, 4, 3)
    y = functional.embedding(torch.full(shape, 2, dtype=torch.int32), weight, POLICY)
    assert y.shape == (*shape, 3)
    y.backward(torch.ones_like(y))
    assert weight.grad.sum() == 3 * y[..., 0].numel()


def test_a_table_that_is_read_twice_gets_one_sum():
    """Twice in a forward pass, and over the backward passes of `accumulate`."""
    weight = table(POLICY, 6, 3)
    gradient = normal(*INDICES.shape, 3, seed=9)
    expected = gradients(POLICY, gradient, INDICES, 6)
    y = torch.cat(
        [functional.embedding(INDICES[:1], weight, POLICY), functional.embedding(INDICES[1:], weight, POLICY)]
    )
    y.backward(gradient)
    assert not differences(weight.grad, expected)
    weight.grad = None
    with pnn.accumulate([weight]):
        for i in range(3):
            functional.embedding(INDICES[i], weight, POLICY).backward(gradient[i])
    assert not differences(weight.grad, expected)


def test_nar_stays_in_its_rows():
    weight = table(POLICY, 6, 2)
    y = functional.embedding(INDICES, weight, POLICY)
    gradient = torch.ones_like(y)
    gradient[0, 0, 1] = float("nan")
    y.backward(gradient)
    assert weight.grad.isnan().nonzero().tolist() == [[3, 1]]
    with torch.no_grad():
        weight[5, 0] = float("nan")
    assert functional.embedding(INDICES, weight, POLICY).isnan().nonzero().tolist() == [[1, 2, 0]]


@pytest.mark.parametrize(
    ("kind", "call", "message"),
    [
        (
            TypeError,
            lambda w: functional.embedding(torch.ones(2), w, POLICY),
            "must be int64 or int32, not torch.fl",
        ),
        (ValueError, lambda w: functional.embedding(INDICES, w[:5], POLICY), r"must be rows 0\.\.4, not 0\.\.5"),
        (ValueError, lambda w: functional.embedding(INDICES - 1, w, POLICY), r"must be rows 0\.\.5, not -1\.\.4"),
        (ValueError, lambda w: functional.embedding(INDICES, w[0], POLICY), r"\(rows, features\), not \(3,\)"),
        (ValueError, lambda w: functional.embedding(INDICES, w, POLICY, 6), "padding_idx must be one of 6 rows, not 6"),
        (ValueError, lambda w: convert(nn.Embedding(3, 2, max_norm=1.0), POLICY), "embedding: max_norm is not offered"),
        (ValueError, lambda w: convert(nn.Embedding(3, 2, sparse=True), POLICY), "embedding: sparse is not offered"),
        (
            ValueError,
            lambda w: convert(Lookup(scale_grad_by_freq=True), POLICY)(INDICES),
            "embedding: scale_grad_by_freq is not offered; leave it out",
        ),
    ],
)
def test_what_does_not_fit(kind, call, message):
    with pytest.raises(kind, match=message):
        call(table(POLICY, 6, 3))


class Lookup(nn.Module):
    """The function in a forward of one's own."""

    def __init__(self, **options):
        super().__init__()
        self.weight, self.options = nn.Parameter(normal(6, 3)), options

    def forward(self, indices):
        return nn.functional.embedding(indices, self.weight, **self.options)


@pytest.mark.parametrize("text", ["O12-L12-FBG8q", "O32-L12-FBG8q"])
def test_the_layer_and_the_function_in_a_forward(text):
    policy = Policy.parse(text)
    layer = nn.Embedding(6, 3, padding_idx=0)
    twin, own = convert(layer, policy), convert(Lookup(padding_idx=0), policy)
    own.load_state_dict(layer.state_dict())
    for model in (twin, own):
        with pnn.audit(model):
            y = model(INDICES)
            y.backward(torch.ones_like(y))
        fmt = policy.gradient.format
        counts = {i: 0 if i == 0 else round_to(fmt, INDICES.flatten().tolist().count(i)) for i in range(6)}
        assert not differences(model.weight.grad, {at: counts[at[0]] for at in array(layer.weight)})
    assert torch.equal(twin(INDICES), own(INDICES))
    assert "Embedding(6, 3, padding_idx=0, policy=" in repr(twin)
    assert torch.equal(pnn.to_float(twin).weight, twin.weight.float())


def test_a_mean_divides_once():
    policy = Policy.parse("O12-L12-FBG8q")
    model = convert(nn.Sequential(nn.Embedding(6, 4), nn.Flatten()), policy)
    y = model(INDICES[:, :1])
    target = torch.tensor([1, 2, 3])
    pnn.CrossEntropyLoss(policy)(y, target).backward()
    leaf = y.detach().clone().requires_grad_()
    pnn.CrossEntropyLoss(policy)(leaf, target).backward()
    sums = gradients(policy, leaf.grad.reshape(3, 1, 4), INDICES[:, :1], 6)
    fmt = policy.gradient.format
    assert not differences(model[0].weight.grad, {at: round_to(fmt, div(x, Fraction(3))) for at, x in sums.items()})
