"""Convolutions along one axis, and transposed ones, against plain Python on rationals, forward and backward."""

from fractions import Fraction
from functools import reduce
from itertools import product

import pytest
import torch
from torch import nn

from positcore import nn as pnn
from positcore.gemm.patches import Geometry
from positcore.mac import Fused
from positcore.nn import Policy, convert, functional, quantize, use_backend
from positcore.nn.backends import BACKENDS
from positcore.nn.codes import CodesBackend
from positcore.nn.functional.convolutions import geometry_of
from tests.nn.reference import add, array, differences, each, mul, round_to

POLICIES = [
    "O12-L12-FBG8q",
    "O16-L12-F8q-B10q-G12q",
    "O12/1-L10/1-F8/1q-B9/0uq-G10/1q",
    "O32-L12/4-F32q-B16/3q-G24q",
    "O12-L12-F8+fused-B9+fused-G10+fused",
]
POLICY = Policy.parse("O12-L12-FBG8q")


def normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def master(policy, *shape, seed):
    return quantize(policy.optimizer.format, normal(*shape, seed=seed) / 2).requires_grad_()


def total(stage, terms, start=Fraction(0)):
    """The sum of products in the accumulator of a stage, in order."""
    fmt = stage.format
    if isinstance(stage.accumulator, Fused):
        return reduce(lambda s, x: round_to(fmt, add(s, x)), terms, start)
    return round_to(fmt, add(start, *terms))


def check(policy, y, outputs, meetings, x, weight, bias):
    """The output of a sum over `meetings`, (output, weight, input) in the order of each output's terms; and backward.

    Returns the gradient in B, and the terms of the gradients of input and weight with where they come from.
    """
    forward, backward = policy.forward, policy.backward
    values, copy = each(forward.format, array(x)), each(forward.format, array(weight))
    start = dict.fromkeys(outputs, Fraction(0))
    if bias is not None:
        start = {at: round_to(forward.format, array(bias)[at[1],]) for at in outputs}
    terms = {at: [] for at in outputs}
    for o, k, i in meetings:
        terms[o].append(mul(copy[k], values[i]))
    assert not differences(y, {at: total(forward, t, start[at]) for at, t in terms.items()})
    gradient = normal(*y.shape, seed=9).to(y.dtype)
    y.backward(gradient)
    g, copy = each(backward.format, array(gradient)), each(backward.format, array(weight))
    of_input, of_weight = {at: [] for at in array(x)}, {at: [] for at in copy}
    for o, k, i in meetings:
        of_input[i].append((o, k, mul(g[o], copy[k])))
        of_weight[k].append((i, o, mul(g[o], values[i])))
    return g, of_input, of_weight


def sums(stage, terms, key):
    return {at: total(stage, [x for *_, x in sorted(t, key=key)]) for at, t in terms.items()}


def bias_gradient(policy, g):
    channels = {}
    for at, value in g.items():
        channels.setdefault((at[1],), []).append(value)
    return {at: total(policy.gradient, t) for at, t in channels.items()}


# Along one axis ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "groups", "biased"),
    [((1, 0, 1), 1, True), ((2, 1, 1), 2, False), ((1, 2, 2), 4, True), ((3, 0, 1), 1, True)],
    ids=str,
)
@pytest.mark.parametrize("text", POLICIES)
def test_conv1d(text, options, groups, biased):
    policy = Policy.parse(text)
    stride, padding, dilation = options
    x = normal(2, 4, 9).double().requires_grad_()
    weight = master(policy, 4, 4 // groups, 3, seed=2)
    bias = master(policy, 4, seed=3) if biased else None
    geometry = geometry_of("conv1d", (3,), stride, padding, dilation)
    y = functional.conv1d(x, weight, bias, geometry, groups, policy)
    assert y.shape == nn.functional.conv1d(x, weight.double(), None, stride, padding, dilation, groups).shape
    each_group, meetings = 4 // groups, []
    for n, o, p in product(*map(range, y.shape)):
        for c, k in product(range(each_group), range(3)):
            at = p * stride - padding + k * dilation
            if 0 <= at < 9:
                meetings.append(((n, o, p), (o, c, k), (n, o // each_group * each_group + c, at)))
    g, of_input, of_weight = check(policy, y, list(product(*map(range, y.shape))), meetings, x, weight, bias)
    assert not differences(x.grad, sums(policy.backward, of_input, key=lambda t: (t[0][1], t[0][2])))
    assert not differences(weight.grad, sums(policy.gradient, of_weight, key=lambda t: (t[0][0], t[1][2])))
    if biased:
        assert not differences(bias.grad, bias_gradient(policy, g))


# Transposed --------------------------------------------------------------------------------------------------

TRANSPOSED = [
    (Geometry((2, 2), (2, 2)), 1, (0, 0)),
    (Geometry((3, 3), (2, 2), (1, 1)), 2, (1, 1)),
    (Geometry((3, 2), (2, 1), (0, 1), (1, 2)), 1, (1, 0)),
    (Geometry((2, 1), (1, 3), (1, 0)), 1, (0, 2)),
    (Geometry((1, 2), (3, 2), (1, 1)), 2, (2, 0)),
]


@pytest.mark.parametrize(
    "case", TRANSPOSED, ids=lambda c: f"{c[0]}, groups={c[1]}, more={c[2]}".removeprefix("Geometry")
)
@pytest.mark.parametrize("text", POLICIES)
def test_conv_transpose2d(text, case):
    """The third geometry has padding beyond the kernel's reach; the last one drops inputs altogether."""
    policy = Policy.parse(text)
    geometry, groups, more = case
    (kh, kw), stride, padding, dilation = geometry.kernel, geometry.stride, geometry.padding, geometry.dilation
    x = normal(2, 2, 3, 4).requires_grad_()
    weight = master(policy, 2, 3, kh, kw, seed=2)
    bias = None if groups == 2 else master(policy, 3, seed=3)
    y = functional.conv_transpose2d(x, weight, bias, geometry, groups, policy, more)
    options = stride, padding, more, groups, dilation
    assert y.shape == nn.functional.conv_transpose2d(x, weight.float(), None, *options).shape
    outputs, meetings = list(product(*map(range, y.shape))), []
    for n, c, i, j in product(*map(range, x.shape)):
        for o, p, q in product(range(3), range(kh), range(kw)):
            row, column = i * stride[0] - padding[0] + p * dilation[0], j * stride[1] - padding[1] + q * dilation[1]
            if 0 <= row < y.shape[2] and 0 <= column < y.shape[3]:
                meetings.append(((n, c // (2 // groups) * 3 + o, row, column), (c, o, p, q), (n, c, i, j)))
    g, of_input, of_weight = check(policy, y, outputs, meetings, x, weight, bias)
    assert not differences(x.grad, sums(policy.backward, of_input, key=lambda t: t[1][1:]))
    assert not differences(weight.grad, sums(policy.gradient, of_weight, key=lambda t: t[0]))
    if bias is not None:
        assert not differences(bias.grad, bias_gradient(policy, g))


def test_a_backend_of_codes_gives_the_same(monkeypatch):
    from positcore.gemm.products import matmul_codes

    def matmul(spec, a, b, bias):
        return matmul_codes(spec, spec.a.decode(a), spec.b.decode(b), None if bias is None else spec.a.decode(bias))

    monkeypatch.setitem(BACKENDS, "codes", lambda: CodesBackend(matmul))
    x, weight, bias = normal(2, 2, 3, 3), master(POLICY, 2, 3, 3, 3, seed=2), master(POLICY, 3, seed=3)
    results = []
    for name in ("golden", "codes"):
        with use_backend(name):
            leaf = x.clone().requires_grad_()
            weight.grad = bias.grad = None
            y = functional.conv_transpose2d(leaf, weight, bias, Geometry((3, 3), (2, 2), (1, 1)), 1, POLICY, (1, 1))
            y.backward(normal(*y.shape, seed=4))
            results.append((y.detach(), leaf.grad, weight.grad, bias.grad))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("transposed", [True, False], ids=["transposed", "one axis"])
def test_parts_of_a_batch_make_one_sum(transposed):
    """Within `accumulate`, and where a weight is used twice in one backward pass."""
    policy = Policy.parse("O16-L12-F8/1q-B10q-G12q")
    if transposed:
        x, weight = normal(3, 2, 3, 3), master(policy, 2, 3, 2, 2, seed=2)
        geometry, groups, function = Geometry((2, 2), (2, 2)), 2, functional.conv_transpose2d
    else:
        x, weight = normal(3, 2, 7), master(policy, 4, 1, 3, seed=2)
        geometry, groups, function = Geometry((1, 3)), 2, functional.conv1d
    y = function(x, weight, None, geometry, groups, policy)
    gradient = normal(*y.shape, seed=4)
    y.backward(gradient)
    expected, weight.grad = weight.grad, None
    assert expected.shape == weight.shape
    torch.cat([function(part, weight, None, geometry, groups, policy) for part in x.split(2)]).backward(gradient)
    assert torch.equal(weight.grad, expected)
    with pnn.accumulate([weight]):
        for part, g in zip(x.split(2), gradient.split(2), strict=True):
            function(part, weight, None, geometry, groups, policy).backward(g)
    assert torch.equal(weight.grad, expected)


def test_an_input_of_two_convolutions_gets_one_sum():
    x, weight = normal(1, 2, 5).requires_grad_(), master(POLICY, 2, 2, 3, seed=2)
    parts = []
    for _ in range(2):
        leaf = x.detach().clone().requires_grad_()
        functional.conv1d(leaf, weight, None, Geometry((1, 3)), 1, POLICY).backward(torch.full((1, 2, 3), 1.25))
        parts.append(leaf.grad)
    y = [functional.conv1d(x, weight, None, Geometry((1, 3)), 1, POLICY) for _ in range(2)]
    torch.cat(y).backward(torch.full((2, 2, 3), 1.25))
    assert torch.equal(x.grad, functional.add(*parts, POLICY))


def test_nar_and_an_empty_batch():
    x, weight = normal(2, 1, 3, 3), master(POLICY, 1, 1, 2, 2, seed=2)
    x[0, 0, 1, 1] = float("nan")
    y = functional.conv_transpose2d(x, weight, None, Geometry((2, 2), (2, 2)), 1, POLICY)
    assert y.isnan().sum() == 4
    assert y[0, 0, 2:4, 2:4].isnan().all()
    assert functional.conv_transpose2d(x[:0], weight, None, Geometry((2, 2)), 1, POLICY).shape == (0, 1, 4, 4)
    assert functional.conv1d(x[:0, 0], normal(2, 3, 2), None, Geometry((1, 2)), 1, POLICY).shape == (0, 2, 2)


def one(x, weight, groups=1, kernel=2):
    return functional.conv1d(x, weight, None, Geometry((1, kernel)), groups, POLICY)


def two(x, weight, bias=None, more=(0, 0), padding=(0, 0)):
    return functional.conv_transpose2d(x, weight, bias, Geometry((2, 2), padding=padding), 1, POLICY, more)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, w: one(x[0], w[0]), r"conv1d: x must be of shape \(N, 2, L\), not \(2, 3, 3\)"),
        (lambda x, w: one(x, w), r"shapes \(O, C / groups, 2\) and"),
        (lambda x, w: one(x[0], w[0], 3), r"and \(O,\), where 3 divides the channels"),
        (lambda x, w: one(x[:, :, 0], torch.ones(2, 2, 5), 1, 5), "conv1d: an input of 3 is smaller than the kernel 5"),
        (lambda x, w: two(x, w[0]), r"\(C, O / groups, 2, 2\)"),
        (lambda x, w: two(x[0], w), r"x must be of shape \(N, 2, H, W\), not"),
        (lambda x, w: two(x, w, normal(3)), r"and \(3,\)$"),
        (
            lambda x, w: two(x, w, None, (1, 0)),
            r"must be smaller than the stride \(1, 1\), not \(1, 0\)",
        ),
        (lambda x, w: two(x, w, None, padding=(3, 3)), "an input of 3×3 gives an output of -2×-2"),
        (
            lambda x, w: convert(nn.Conv1d(2, 2, 4, padding="same"), POLICY),
            r"padding='same' with kernel \(4,\)",
        ),
        (lambda x, w: convert(nn.Conv1d(2, 2, 3, padding_mode="circular"), POLICY), "padding_mode must be 'zeros'"),
        (lambda x, w: geometry_of("conv1d", (3,), (1, 1), 0, 1), r"conv1d: stride must be 1 number\(s\) from 1, not"),
        (lambda x, w: geometry_of("conv2d", (3, 3), 1, -1, 1), r"conv2d: padding must be 2 number\(s\) from 0, not -1"),
    ],
)
def test_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call(normal(1, 2, 3, 3), normal(2, 2, 2, 2))


# Layers and functions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(2, 4, 3, stride=2, padding=1, groups=2),
        nn.Conv1d(2, 3, 3, padding="same", dilation=2, bias=False),
        nn.Conv1d(2, 3, 2, padding="valid"),
        nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=1),
        nn.ConvTranspose2d(2, 4, (2, 3), stride=(1, 2), groups=2, dilation=(2, 1)),
    ],
    ids=str,
)
def test_layers(layer):
    """Near PyTorch's, which shows that options arrive."""
    twin = convert(layer, POLICY)
    assert type(twin).__name__ == type(layer).__name__
    assert f"policy={POLICY}" in repr(twin)
    x = normal(2, 2, *[5] * (layer.weight.ndim - 2)).requires_grad_()
    with pnn.audit(twin):
        y = twin(x)
        y.backward(torch.ones_like(y))
    expected = layer(x)
    expected.sum().backward()
    assert y.shape == expected.shape
    assert (y - expected).abs().max() < 0.2
    assert all(
        (p.grad - q.grad).abs().max() < 0.1 * q.grad.abs().max() + 0.1
        for p, q in zip(twin.parameters(), layer.parameters(), strict=True)
    )
    same = pnn.to_float(twin)
    assert type(same) is type(layer)
    assert not hasattr(same, "geometry")


def test_an_output_size_chosen_at_the_call():
    twin = convert(nn.ConvTranspose2d(1, 1, 3, stride=2), POLICY)
    assert twin(normal(1, 1, 3, 3), output_size=[8, 7]).shape == (1, 1, 8, 7)


class Functions(nn.Module):
    """PyTorch's functions in a forward of one's own."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Parameter(normal(4, 2, 3, seed=5)), nn.Parameter(normal(2, 2, 2, 2, seed=6))
        self.bias = nn.Parameter(normal(4, seed=7))

    def forward(self, x):
        x = nn.functional.conv1d(x, self.one, self.bias, padding="same").reshape(-1, 2, 2, 5)
        x = nn.functional.conv2d(x, self.two, stride=(1, 2), padding=1)
        return nn.functional.conv_transpose2d(x, self.two, stride=2, output_padding=(0, 1))


def test_functions_in_a_forward():
    """`two` is used twice: its gradient is one sum."""
    twin = convert(Functions(), POLICY)
    x = normal(3, 2, 5)
    with pnn.audit(twin):
        y = twin(x)
        y.backward(torch.ones_like(y))
    z = functional.conv1d(x, twin.one, twin.bias, Geometry((1, 3), padding=(0, 1)), 1, POLICY).reshape(-1, 2, 2, 5)
    z = functional.conv2d(z, twin.two, None, Geometry((2, 2), (1, 2), (1, 1)), 1, POLICY)
    z = functional.conv_transpose2d(z, twin.two, None, Geometry((2, 2), (2, 2)), 1, POLICY, (0, 1))
    assert torch.equal(y, z)
    assert all(p.grad is not None for p in twin.parameters())
