"""Whole training steps: every bit of the weights against plain Python, for any order, thread count and backend."""

import numpy as np
import pytest
import torch
from torch import nn

import positcore as pc
from positcore.gemm.patches import Geometry
from positcore.nn import SGD, CrossEntropyLoss, Policy, backends, convert, golden, quantize, tensors, use_backend
from positcore.nn import gradients as core
from positcore.nn.codes import CodesBackend
from positcore.nn.functional import products
from positcore.nn.models import lenet5
from tests.nn import reference
from tests.nn.reference import array, differences

BATCHES, SAMPLES = 3, 4
OPTIONS = {"lr": 0.1, "momentum": 0.5}


def tiny():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3)
    )  # fmt: skip


def batches():
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(BATCHES, SAMPLES, 1, 6, 6, generator=generator)
    return list(zip(images, torch.randint(0, 3, (BATCHES, SAMPLES), generator=generator), strict=True))


def trained(policy, model, data, reduction="mean"):
    """The state of a twin after a step for each batch, in an ordinary PyTorch loop, and the losses."""
    twin = convert(model, policy)
    loss_function, optimizer = CrossEntropyLoss(policy, reduction), SGD(twin.parameters(), policy, **OPTIONS)
    losses = []
    for x, target in data:
        optimizer.zero_grad()
        loss = loss_function(twin(x), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return twin.state_dict(), losses


def reference_trained(policy, model, data, reduction="mean"):
    """The same in exact rationals: conv, pooling, ReLU, linear, loss, and back, one number at a time."""
    master = policy.optimizer.format
    weights = {key: reference.each(master, array(w)) for key, w in model.state_dict().items()}
    optimizers = {key: reference.SGD(master) for key in weights}
    losses = []
    factor = SAMPLES if reduction == "mean" else 1
    for x, target in data:
        conv = reference.conv2d(
            policy, array(x), weights["0.weight"], weights["0.bias"], Geometry((3, 3), padding=(1, 1)), batch=factor
        )
        pooled, source = reference.max_pool(conv.forward(array(x)), 2)
        places = {(n, c * 9 + i * 3 + j): (n, c, i, j) for n, c, i, j in pooled}
        flat = {at: max(pooled[place], 0) for at, place in places.items()}
        linear = reference.linear(policy, flat, weights["4.weight"], weights["4.bias"], factor)
        logits = linear.forward(flat)
        loss, gradient = reference.cross_entropy(policy, logits, target.tolist(), reduction)
        losses.append(loss)
        flat_gradient, *linear_gradients = linear.backward(gradient)
        spread = dict.fromkeys(conv.outputs, 0)
        for at, place in places.items():
            spread[source[place]] = flat_gradient[at] if pooled[place] > 0 else 0
        _, *conv_gradients = conv.backward(spread)
        gradients = dict(zip(weights, [*conv_gradients, *linear_gradients], strict=True))
        weights = {key: optimizers[key].step(w, gradients[key], **OPTIONS) for key, w in weights.items()}
    return weights, losses


def deviations(state, weights):
    assert list(state) == list(weights)
    return [f"{key}{line}" for key, w in state.items() for line in differences(w, weights[key])]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(
    "text",
    ["O12-L12-FBG8q", "O16-L12-F8q-B10q-G12q", "O12/1-L10/1-FBG8/1uq", "O32-L12-F8q-BG32q", "O12-L12/3-F9q-B8/0q-G8q"],
)
def test_a_network_against_rationals(text, reduction):
    policy = Policy.parse(text)
    state, losses = trained(policy, tiny(), batches(), reduction)
    weights, expected = reference_trained(policy, tiny(), batches(), reduction)
    assert [array(loss)[()] for loss in losses] == expected
    assert not deviations(state, weights)
    before = tiny().state_dict()
    assert all((w != before[key]).any() for key, w in state.items())


# Planted faults: what the comparison above must see ----------------------------------------------------------


def rounding_every_product(spec, a, b, bias):
    """A matrix product that rounds each product before it sums exactly."""
    x, y = spec.a.decode(a), spec.b.decode(b)
    products = spec.out.decode(spec.out.encode(x[:, :, None] * y[None]))
    start = 0 if bias is None else spec.a.decode(bias)
    return spec.out.encode(products.sum(axis=1) + start)


def forgetting_the_bias(spec, a, b, bias):
    return pc.matmul(spec, a, b)


def dropping_the_last_bit(spec, a, b, bias):
    wider = pc.MacSpec(spec.inputs, pc.PositFormat(spec.out.n + 4, spec.out.es), spec.accumulator)
    return (pc.matmul(wider, a, b, bias) >> 4).astype(spec.out.dtype)  # truncates where it should round


@pytest.mark.parametrize("fault", [rounding_every_product, forgetting_the_bias, dropping_the_last_bit])
def test_a_wrong_matrix_product_is_seen(fault, monkeypatch):
    policy = Policy.parse("O12-L12-FBG8q")
    weights, _ = reference_trained(policy, tiny(), batches())
    monkeypatch.setitem(backends.BACKENDS, "faulty", lambda: CodesBackend(fault))
    monkeypatch.setattr(backends, "_loaded", {})
    with use_backend("faulty"):
        state, _ = trained(policy, tiny(), batches())
    assert deviations(state, weights)


def plain_sum(policy, total, factor):
    return total


class TwoRoundings:
    """A bias gradient rounded over each half of the terms, then over both, as if the accumulator had been read out."""

    def __init__(self, rows):
        self.rows = rows

    def rounded(self, mac):
        halves = self.rows.split(self.rows.shape[1] // 2, dim=1)[:2]
        return tensors.add(mac.out, *[core.row_sums(half).rounded(mac) for half in halves])


def rounding_twice(fmt, x, y, z):
    return tensors.add(fmt, tensors.mul(fmt, x, y), z)


def float32_quotient(fmt, x, y):
    return quantize(fmt, x.float() / y.float() * (1 + 2**-6))


@pytest.mark.parametrize(
    ("module", "name", "fault"),
    [
        (core, "_mean", plain_sum),
        (products, "row_sums", TwoRoundings),
        (tensors, "fma", rounding_twice),
        (tensors, "div", float32_quotient),
        (tensors, "log", tensors.exp),
    ],
    ids=["no division by the batch", "bias in two roundings", "no fused update", "quotients a little off", "no log"],
)
def test_a_wrong_operation_is_seen(module, name, fault, monkeypatch):
    policy = Policy.parse("O12-L12-FBG8q")
    weights, losses = reference_trained(policy, tiny(), batches())
    monkeypatch.setattr(module, name, fault)
    state, got = trained(policy, tiny(), batches())
    assert deviations(state, weights) or [array(loss)[()] for loss in got] != losses


# LeNet-5: what must not matter -------------------------------------------------------------------------------


def lenet_batches():
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(BATCHES, 16, 1, 28, 28, generator=generator)
    return list(zip(images, torch.randint(0, 10, (BATCHES, 16), generator=generator), strict=True))


def lenet():
    torch.manual_seed(4)
    return lenet5()


def same(state, other):
    return [key for key in state if not torch.equal(state[key], other[key])]


POLICY = Policy.parse("O12-L12-FBG8q")


@pytest.fixture(scope="module")
def lenet_state():
    return trained(POLICY, lenet(), lenet_batches())[0]


def test_the_number_of_threads_does_not_matter(lenet_state):
    before = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            assert not same(trained(POLICY, lenet(), lenet_batches())[0], lenet_state)
            assert pc.get_num_threads() == count
    finally:
        torch.set_num_threads(before)


def test_the_order_of_summation_does_not_matter(lenet_state, monkeypatch):
    rng = np.random.default_rng(5)

    def shuffled(a, b):
        order = rng.permutation(a.shape[1])
        return np.matmul(a[:, order], b[order])

    monkeypatch.setattr(golden, "_torch_product", shuffled)
    assert not same(trained(POLICY, lenet(), lenet_batches())[0], lenet_state)


def test_the_order_of_the_samples_in_a_batch_does_not_matter(lenet_state):
    order = torch.randperm(16, generator=torch.Generator().manual_seed(6))
    shuffled = [(x[order], target[order]) for x, target in lenet_batches()]
    assert not same(trained(POLICY, lenet(), shuffled)[0], lenet_state)


def gradients(policy):
    twin = convert(lenet(), policy)
    x, target = lenet_batches()[0]
    x = x[:4].requires_grad_()
    loss = CrossEntropyLoss(policy)(twin(x), target[:4])
    loss.backward()
    return {"loss": loss.detach(), "input": x.grad} | {key: w.grad for key, w in twin.named_parameters()}


@pytest.mark.parametrize("text", ["O12-L12-FBG8q", "O16-L12-F8q-B10q-G12q"])
def test_a_backend_of_codes_gives_the_same_gradients(text, monkeypatch):
    """The way the rtl backend takes, with the golden model on codes at its end."""
    policy, calls = Policy.parse(text), []
    monkeypatch.setitem(
        backends.BACKENDS, "codes", lambda: CodesBackend(lambda *x: calls.append(x[0]) or pc.matmul(*x))
    )
    monkeypatch.setattr(backends, "_loaded", {})
    expected = gradients(policy)
    assert not calls
    with use_backend("codes"):
        got = gradients(policy)
    assert not same(got, expected)
    assert set(calls) == {policy.forward_mac, policy.backward_mac, policy.gradient_mac, policy.loss_mac}
