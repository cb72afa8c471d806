"""Gradients of what is used more than once: one exact sum, one rounding, nothing added in floats."""

import copy
import gc
import pickle
import weakref
from fractions import Fraction

import pytest
import torch
from torch import nn

from positcore import nn as pnn
from positcore.nn import Policy, functional, quantize, tensors
from positcore.nn.uses import enter
from tests.nn.reference import differences, number, round_to

POLICY = Policy.parse("O16-L16-F8q-B8q-G10q")


def posits(*shape, seed=0, fmt=POLICY.forward.format):
    return quantize(fmt, torch.randn(*shape, generator=torch.Generator().manual_seed(seed)))


class Reader(torch.autograd.Function):
    """An operation that passes a fixed gradient back."""

    @staticmethod
    def forward(ctx, x, gradient, use):
        ctx.gradient, ctx.use = gradient, use
        return x.sum()

    @staticmethod
    def backward(ctx, _):
        return ctx.use(ctx.gradient), None, None


def rounded_sum(fmt, parts):
    """By index: the sum of tensors' values in rationals, rounded once."""
    rows = [part.reshape(-1).double().tolist() for part in parts]
    sums = [None if any(x != x for x in column) else sum(map(Fraction, column)) for column in zip(*rows, strict=True)]
    return {(i,): round_to(fmt, x) for i, x in enumerate(sums)}


@pytest.mark.parametrize("readers", [1, 2, 3, 7])
def test_an_activation_that_is_read_several_times(readers):
    fmt = POLICY.backward.format
    x = (torch.zeros(64, requires_grad=True) + 0).detach().requires_grad_()
    y = x.clone()
    gradients = [quantize(fmt, posits(64, seed=seed) * 2.0 ** (5 * seed)) for seed in range(readers)]
    gradients[0][3] = float("nan")
    sum(Reader.apply(y, g, enter(y, fmt)) for g in gradients).backward()
    assert not differences(x.grad, rounded_sum(fmt, gradients))


def test_only_some_readers_take_part():
    x = torch.ones(4, requires_grad=True)
    y = x.clone()
    gradients = [posits(4, seed=seed) for seed in range(3)]
    results = [Reader.apply(y, g, enter(y, POLICY.backward.format)) for g in gradients]
    (results[0] + results[2]).backward(retain_graph=True)
    assert not differences(x.grad, rounded_sum(POLICY.backward.format, [gradients[0], gradients[2]]))
    x.grad = None
    results[1].backward()
    assert torch.equal(x.grad, gradients[1])


def test_an_activation_that_is_changed_in_place_is_another_one():
    x = torch.ones(4, requires_grad=True)
    y = x.clone()
    first, second, third = (posits(4, seed=seed) for seed in range(3))
    a = Reader.apply(y, first, enter(y, POLICY.backward.format))
    y.relu_()
    b = Reader.apply(y, second, enter(y, POLICY.backward.format))
    c = Reader.apply(y, third, enter(y, POLICY.backward.format))
    del a
    (b + c).backward()
    assert not differences(x.grad, rounded_sum(POLICY.backward.format, [second, third]))


def test_a_float_operation_that_reads_it_too_is_seen():
    x = torch.ones(4, requires_grad=True)
    y = x.clone()
    results = [Reader.apply(y, posits(4, seed=seed), enter(y, POLICY.backward.format)) for seed in range(2)]
    with pytest.raises(RuntimeError, match=r"shape \(4,\) is read by a posit operation and by one of PyTorch's"):
        (sum(results) + (y * 2).sum()).backward()


def test_nothing_is_kept_alive():
    x = torch.ones(4, requires_grad=True)
    y = x.clone()
    result = sum(Reader.apply(y, posits(4), enter(y, POLICY.backward.format)) for _ in range(2))
    gone = weakref.ref(y)
    result.backward()
    del result, y
    gc.collect()
    assert gone() is None


# Parameters ----------------------------------------------------------------------------------------


def terms(gradients, inputs):
    """By index (o, i): the sum over all samples of g_o · x_i, exact."""
    sums = {}
    for g, x in zip(gradients, inputs, strict=True):
        for row, column in zip(g.double().tolist(), x.double().tolist(), strict=True):
            for o, a in enumerate(row):
                for i, b in enumerate(column):
                    sums[o, i] = sums.get((o, i), Fraction(0)) + Fraction(a) * Fraction(b)
    return sums


def test_a_parameter_of_two_layers_has_one_sum():
    weight = quantize(POLICY.optimizer.format, posits(3, 5, seed=9)).requires_grad_()
    inputs, gradients = [posits(4, 5, seed=s) for s in (1, 2)], [posits(4, 3, seed=s) for s in (3, 4)]
    outputs = [functional.linear(x, weight, None, POLICY) for x in inputs]
    torch.autograd.backward(outputs, gradients)
    expected = {at: round_to(POLICY.gradient.format, x) for at, x in terms(gradients, inputs).items()}
    assert not differences(weight.grad, expected)


def test_tied_layers_of_a_model_stay_tied():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    twin = pnn.convert(model, POLICY)
    assert twin[2].weight is twin[0].weight
    assert len(list(twin.parameters())) == 3
    with pnn.audit(twin):
        loss = pnn.CrossEntropyLoss(POLICY)(twin(torch.randn(5, 4)), torch.tensor([0, 1, 2, 3, 0]))
        loss.backward()
    assert twin[0].weight.grad.abs().sum() > 0


def test_a_second_backward_pass_adds_in_g():
    layer = pnn.Linear(5, 3, policy=POLICY)
    gradients = []
    for seed in (1, 2):
        alone = copy.deepcopy(layer)
        alone(posits(4, 5, seed=seed)).backward(posits(4, 3, seed=seed))
        gradients.append(alone.weight.grad)
        with pnn.audit(layer):
            layer(posits(4, 5, seed=seed)).backward(posits(4, 3, seed=seed))
    assert torch.equal(layer.weight.grad, tensors.add(POLICY.gradient.format, *gradients))


def test_an_accumulator_that_is_no_quire_has_no_exact_sum():
    policy = Policy.parse("O16-L16-F8q-B8q-G8")
    weight = posits(3, 5).requires_grad_()
    outputs = [functional.linear(posits(4, 5, seed=s), weight, None, policy) for s in (1, 2)]
    with pytest.raises(
        ValueError,
        match=r"several operations use has an exact sum .* rounded of O16-L16-FB8q-G8 .*; add q to the G",
    ):
        torch.autograd.backward(outputs, [posits(4, 3), posits(4, 3)])


def test_the_order_of_positnn():
    """The bias gradient of a convolution: rounded over the plane, over the batch, and after the division."""
    policy = Policy.parse("O16-L16-F8q-B8q-G8q@positnn")
    fmt, shape = policy.gradient.format, (6, 2, 4, 4)
    layer = pnn.Conv2d(1, 2, 1, policy=policy)
    gradient = posits(*shape, seed=4)
    layer(posits(6, 1, 4, 4)).backward(gradient)
    numbers = gradient.double().tolist()
    for channel in range(2):
        planes = [round_to(fmt, sum(Fraction(x) for row in image[channel] for x in row)) for image in numbers]
        assert Fraction(float(layer.bias.grad[channel])) == round_to(fmt, sum(planes))
    with pytest.raises(ValueError, match="order positnn rounds the bias gradient of a convolution image by image"):
        with_accumulation(layer, gradient)


def with_accumulation(layer, gradient):
    with pnn.accumulate(layer.parameters()):
        layer(posits(6, 1, 4, 4)).backward(gradient)


# Several backward passes ---------------------------------------------------------------------------


def network():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    )


def gradients_of(twin):
    return {name: p.grad.clone() for name, p in twin.named_parameters()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


X, Y = posits(12, 2, 4, 4, seed=5), torch.arange(12) % 3


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("policy", ["O16-L16-FBG8q", "O12-L12-F8q-B10/1q-G9q40", "O32-L16-F16q-BG32q"])
def test_any_split_of_a_batch_gives_the_same_bits(policy, reduction):
    policy = Policy.parse(policy)
    twin, loss = pnn.convert(network(), policy), pnn.CrossEntropyLoss(policy, reduction)
    loss(twin(X), Y).backward()
    whole = gradients_of(twin)
    for sizes in ([12], [6, 6], [1, 7, 4], [1] * 12):
        with pnn.audit(twin), pnn.accumulate(twin.parameters()):
            for x, y in zip(X.split(sizes), Y.split(sizes), strict=True):
                loss(twin(x), y).backward()
        assert same(gradients_of(twin), whole), sizes
    for part in (X[:6], X[6:]):
        loss(twin(part), Y[:6]).backward()
    assert not same(gradients_of(twin), whole)


def test_what_the_block_was_not_given_is_not_touched():
    twin, loss = pnn.convert(network(), POLICY), pnn.CrossEntropyLoss(POLICY)
    with pnn.accumulate(twin[0].parameters()):
        loss(twin(X), Y).backward()
        assert twin[0].weight.grad is None
        assert twin[4].weight.grad is not None
    assert twin[0].weight.grad is not None


def test_an_error_in_the_block_leaves_the_gradients():
    twin, loss = pnn.convert(network(), POLICY), pnn.CrossEntropyLoss(POLICY)
    loss(twin(X), Y).backward()
    before = gradients_of(twin)
    with pytest.raises(IndexError), pnn.accumulate(twin.parameters()):
        loss(twin(X[:2]), Y[:2])[0].backward()
    assert same(gradients_of(twin), before)
    with pnn.accumulate(twin.parameters()):
        pass
    assert all(p.grad is None for p in twin.parameters())


def test_errors_of_blocks():
    twin = pnn.convert(network(), POLICY)
    with (
        pytest.raises(ValueError, match="accumulate: blocks must not be nested"),
        pnn.accumulate(twin.parameters()),
        pnn.accumulate(twin.parameters()),
    ):
        pass
    block = pnn.accumulate(twin.parameters())
    block.__enter__()
    for reduction in ("mean", "sum"):
        pnn.CrossEntropyLoss(POLICY, reduction)(twin(X), Y).backward()
    with pytest.raises(ValueError, match="accumulate: losses with means and with sums meet in one block"):
        block.__exit__(None, None, None)
    rounding = Policy.parse("O16-L16-FBG8")
    twin = pnn.convert(network(), rounding)
    with (
        pytest.raises(ValueError, match=r"a gradient within `accumulate` has an exact sum .*; add q to the G stage"),
        pnn.accumulate(twin.parameters()),
    ):
        pnn.CrossEntropyLoss(rounding)(twin(X), Y).backward()


# As PyTorch's users expect -------------------------------------------------------------------------


def test_copies_and_pickles_have_hooks_of_their_own():
    twin, loss = pnn.convert(network(), POLICY), pnn.CrossEntropyLoss(POLICY)
    loss(twin(X), Y).backward()
    for other in (copy.deepcopy(twin), pickle.loads(pickle.dumps(twin))):
        other.zero_grad()
        loss(other(X), Y).backward()
        assert same(gradients_of(other), gradients_of(twin))


def test_checkpointing_gives_the_same_bits():
    twin, loss = pnn.convert(network(), POLICY), pnn.CrossEntropyLoss(POLICY)
    loss(twin(X), Y).backward()
    whole = gradients_of(twin)
    twin.zero_grad()
    with pnn.audit(twin):
        middle = torch.utils.checkpoint.checkpoint(twin[:3], X, use_reentrant=False)
        loss(twin[3:](middle), Y).backward()
    assert same(gradients_of(twin), whole)


def test_frozen_parameters_get_no_gradient():
    twin, loss = pnn.convert(network(), POLICY), pnn.CrossEntropyLoss(POLICY)
    twin[0].weight.requires_grad_(False)
    with pnn.accumulate(twin.parameters()):
        loss(twin(X), Y).backward()
    assert twin[0].weight.grad is None
    assert twin[4].weight.grad is not None
    assert number(float(twin[4].bias.grad[0])) is not None
