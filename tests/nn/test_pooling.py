"""Pooling against plain Python on rationals, forward and backward, every bit, window by window."""

import math
from fractions import Fraction
from functools import reduce

import pytest
import torch
from torch import nn

from positcore import nn as pnn
from positcore.mac import Fused
from positcore.nn import Policy, convert, functional, quantize
from tests.nn.reference import add, array, differences, each, mul, round_to

POLICIES = [
    "O12-L12-FBG8q",
    "O12/1-L10/1-F8/1q-B9/0uq-G10/1q",
    "O32-L12/4-F32q-B16/3q-G24q",
    "O10-L12-F8+fused-B9+fused-G10+fused",
]
POLICY = Policy.parse("O12-L12-FBG8q")
NAN = float("nan")


def normal(*shape, seed=1, scale=1.0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale


# The reference -----------------------------------------------------------------------------------------------


def total(fmt, terms, accumulator):
    if isinstance(accumulator, Fused):
        return reduce(lambda sum, term: round_to(fmt, add(sum, term)), terms, Fraction(0))
    return round_to(fmt, add(Fraction(0), *terms))


def windows(size, count, kernel, stride, padding, dilation=1):
    """(inputs, length with padding) of each window along an axis."""
    found = []
    for i in range(count):
        start = i * stride - padding
        inside = [start + t * dilation for t in range(kernel) if 0 <= start + t * dilation < size]
        found.append((inside, min(start + kernel, size + padding) - start))
    return found


def places(at, rows, columns):
    """The inputs of the window of an output."""
    return [(*at[:-2], i, j) for i in rows[at[-2]][0] for j in columns[at[-1]][0]]


def averages(policy, x, shape, rows, columns, divisor):
    """Forward, and a function for backward; `divisor` gives the count of an output."""
    small, fmt, large = policy.forward.format, policy.backward.format, policy.optimizer.format
    values = each(small, x)
    outputs = list(array(torch.zeros(shape)))
    shares = {at: round_to(large, Fraction(1, divisor(at))) for at in outputs}
    y = {
        at: total(small, [mul(values[i], shares[at]) for i in places(at, rows, columns)], policy.forward.accumulator)
        for at in outputs
    }

    def backward(gradient):
        g, terms = each(fmt, gradient), {at: [] for at in x}
        for at in outputs:
            for i in places(at, rows, columns):
                terms[i].append(mul(g[at], shares[at]))
        return {at: total(fmt, t, policy.backward.accumulator) for at, t in terms.items()}

    return y, backward


def maxima(policy, x, shape, rows, columns):
    fmt, source = policy.backward.format, {}
    for at in array(torch.zeros(shape)):
        inputs = places(at, rows, columns)
        missing = [i for i in inputs if x[i] is None]
        source[at] = missing[-1] if missing else max(inputs, key=x.get)  # max() keeps the first

    def backward(gradient):
        g, terms = each(fmt, gradient), {at: [] for at in x}
        for at, i in source.items():
            terms[i].append(g[at])
        return {at: total(fmt, t, policy.backward.accumulator) for at, t in terms.items()}

    return {at: x[i] for at, i in source.items()}, backward


def check(y, x, expected, backward):
    assert not differences(y, expected)
    gradient = normal(*y.shape, seed=9).to(y.dtype)
    y.backward(gradient)
    assert not differences(x.grad, backward(array(gradient)))


# Averages ----------------------------------------------------------------------------------------------------

AVERAGES = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 0)},
    {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
    {"kernel_size": (2, 3), "stride": 2, "ceil_mode": True},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 2, "stride": 3, "divisor_override": 5},
]


@pytest.mark.parametrize("options", AVERAGES, ids=str)
@pytest.mark.parametrize("text", POLICIES)
def test_avg_pool2d(text, options):
    policy = Policy.parse(text)
    x = normal(2, 1, 5, 6).requires_grad_()
    y = functional.avg_pool2d(x, policy=policy, **options)
    assert y.shape == nn.functional.avg_pool2d(x, **options).shape
    kernel, stride, padding = (
        (v, v) if isinstance(v := options.get(name, default), int) else v
        for name, default in (("kernel_size", 0), ("stride", options["kernel_size"]), ("padding", 0))
    )
    rows, columns = (windows(x.shape[2 + i], y.shape[2 + i], kernel[i], stride[i], padding[i]) for i in range(2))

    def divisor(at):
        if "divisor_override" in options:
            return options["divisor_override"]
        if options.get("count_include_pad", True):
            return rows[at[2]][1] * columns[at[3]][1]
        return len(places(at, rows, columns))

    check(y, x, *averages(policy, array(x), y.shape, rows, columns, divisor))


@pytest.mark.parametrize("size", [1, 2, 3, (2, 5), (None, 4), (5, None), 7], ids=str)
@pytest.mark.parametrize("text", POLICIES)
def test_adaptive_avg_pool2d(text, size):
    policy = Policy.parse(text)
    x = normal(2, 5, 6).requires_grad_()
    y = functional.adaptive_avg_pool2d(x, size, policy)
    assert y.shape == nn.functional.adaptive_avg_pool2d(x, size).shape
    rows, columns = (
        [(list(range(math.floor(i * n / count), math.ceil((i + 1) * n / count))), None) for i in range(count)]
        for n, count in zip((5, 6), y.shape[1:], strict=True)
    )
    divisor = lambda at: len(places(at, rows, columns))  # noqa: E731
    check(y, x, *averages(policy, array(x), y.shape, rows, columns, divisor))


def test_averages_along_one_axis():
    """Those of a plane of one row, as PyTorch shapes them."""
    x = normal(2, 3, 7)
    for options in ({"kernel_size": 3}, {"kernel_size": (4,), "stride": 1, "padding": 2, "count_include_pad": False}):
        y = functional.avg_pool1d(x, policy=POLICY, **options)
        assert y.shape == nn.functional.avg_pool1d(x, **options).shape
        plane = {key: (0 if key == "padding" else 1, v if isinstance(v, int) else v[0]) for key, v in options.items()}
        plane["count_include_pad"] = options.get("count_include_pad", True)
        assert torch.equal(y, functional.avg_pool2d(x[:, :, None], policy=POLICY, **plane)[:, :, 0])
    y = functional.adaptive_avg_pool1d(x[0], 3, POLICY)
    assert torch.equal(y, functional.adaptive_avg_pool2d(x[0, :, None], (1, 3), POLICY)[:, 0])
    assert functional.adaptive_avg_pool1d(x, (None,), POLICY).shape == x.shape


def test_the_average_of_equal_values_is_theirs():
    """Of 49, whose reciprocal in posit<8,2> is 4 % too small."""
    assert functional.adaptive_avg_pool2d(torch.full((2, 3, 7, 7), 1.5), 1, POLICY).unique().tolist() == [1.5]


# Maxima ------------------------------------------------------------------------------------------------------

MAXIMA = [
    {"kernel_size": 2},
    {"kernel_size": (2, 1), "stride": (3, 2)},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 1},
    {"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 1)},
    {"kernel_size": 2, "stride": 1, "dilation": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
]


@pytest.mark.parametrize("options", MAXIMA, ids=str)
@pytest.mark.parametrize("text", POLICIES)
def test_max_pool2d(text, options):
    """Of values with ties, one of them NaR; not rounded on the way."""
    policy = Policy.parse(text)
    x = (normal(2, 1, 5, 6) * 2).round() + 1 / 1024
    x[1, 0, 2, 3] = NAN
    x.requires_grad_()
    y = functional.max_pool2d(x, policy=policy, **options)
    kernel, stride, padding, dilation = (
        (v, v) if isinstance(v := options.get(name, default), int) else v
        for name, default in (("kernel_size", 0), ("stride", options["kernel_size"]), ("padding", 0), ("dilation", 1))
    )
    rows, columns = (
        windows(x.shape[2 + i], y.shape[2 + i], kernel[i], stride[i], padding[i], dilation[i]) for i in range(2)
    )
    assert y.shape == nn.functional.max_pool2d(x, **options).shape
    expected, backward = maxima(policy, array(x), y.shape, rows, columns)
    assert not differences(y, expected)
    gradient = quantize(policy.backward.format, normal(*y.shape, seed=9)).to(y.dtype)
    y.backward(gradient)
    assert not differences(x.grad, backward(array(gradient)))


def test_maxima_along_one_axis():
    x = normal(2, 3, 7)
    for options in (
        {"kernel_size": 2},
        {"kernel_size": 3, "stride": 1, "padding": 1},
        {"kernel_size": 3, "dilation": 2},
    ):
        assert torch.equal(functional.max_pool1d(x, policy=POLICY, **options), nn.functional.max_pool1d(x, **options))
    assert torch.equal(functional.max_pool1d(x[0], 2, POLICY), nn.functional.max_pool1d(x[0], 2))


def test_nar_stays_in_its_windows():
    x = normal(1, 1, 4, 4).requires_grad_()
    with torch.no_grad():
        x[0, 0, 0, 0] = NAN
    for function in (functional.avg_pool2d, functional.max_pool2d):
        assert function(x, 2, POLICY).isnan().flatten().tolist() == [True, False, False, False]
    gradient = torch.tensor([[[[1.0, NAN], [1.0, 1.0]]]])
    for y in (functional.avg_pool2d(x, 3, POLICY, 1), functional.max_pool2d(x, 3, POLICY, 1)):
        x.grad = None
        y.backward(gradient.to(y.dtype))
        assert x.grad.isnan().any()
        assert not x.grad.isnan().all()


def test_an_empty_batch():
    x = normal(0, 2, 4, 4).requires_grad_()
    for y in (functional.avg_pool2d(x, 3, POLICY, 2, 1), functional.max_pool2d(x, 3, POLICY, 2, 1)):
        y.backward(torch.ones_like(y))
        assert y.shape == (0, 2, 2, 2)
        assert x.grad.shape == x.shape


def test_an_input_of_two_poolings_gets_one_sum():
    x = normal(1, 1, 4, 4).requires_grad_()
    parts = []
    for function in (functional.avg_pool2d, functional.max_pool2d):
        leaf = x.detach().clone().requires_grad_()
        function(leaf, 2, POLICY).backward(torch.full((1, 1, 2, 2), 1.125))
        parts.append(leaf.grad)
    y = functional.add(functional.avg_pool2d(x, 2, POLICY), functional.max_pool2d(x, 2, POLICY), POLICY)
    y.backward(torch.full((1, 1, 2, 2), 1.125))
    assert torch.equal(x.grad, functional.add(*parts, POLICY))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: functional.avg_pool2d(x[0, 0], 2, POLICY), r"avg_pool2d: x must be of shape \(N, C, H, W\) or \(C"),
        (lambda x: functional.max_pool1d(x, 2, POLICY), r"max_pool1d: x must be of shape \(N, C, L\) or \(C, L\), not"),
        (lambda x: functional.avg_pool2d(x, 5, POLICY), r"an input of 4×4 is smaller than the window \(5, 5\)"),
        (lambda x: functional.max_pool2d(x, 3, POLICY, padding=2), "at most half of the window 3, not 2"),
        (lambda x: functional.max_pool2d(x, (2, 2, 2), POLICY), r"positive, one for each of 2 axes, not \(2, 2, 2\)"),
        (lambda x: functional.max_pool2d(x, 2, POLICY, 0), "sizes must be positive, .* not 0"),
        (lambda x: functional.avg_pool2d(x, 2, POLICY, padding=-1), "sizes must be 0 or more, .* not -1"),
        (lambda x: functional.avg_pool2d(x, 2, POLICY, divisor_override=0), "divisor_override must be positive, not 0"),
        (lambda x: functional.adaptive_avg_pool2d(x, 0, POLICY), "output_size must be positive, .* of 2 axes, not 0"),
        (lambda x: functional.adaptive_avg_pool2d(x, (1, 2, 3), POLICY), "output_size must be positive"),
        (lambda x: convert(nn.MaxPool2d(2, return_indices=True), POLICY), "MaxPool2d: return_indices is not offered"),
    ],
)
def test_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call(normal(1, 1, 4, 4))


def test_what_is_not_offered():
    with pytest.raises(TypeError, match="AdaptiveMaxPool2d at the top has no posit twin"):
        convert(nn.AdaptiveMaxPool2d(2), POLICY)
    with pytest.raises(TypeError, match="max_pool2d_with_indices has no posit counterpart"):
        convert(Indices(), POLICY)(normal(1, 1, 4, 4))


# Layers and functions ----------------------------------------------------------------------------------------


class Indices(nn.Module):
    def forward(self, x):
        return nn.functional.max_pool2d(x, 2, return_indices=True)[0]


@pytest.mark.parametrize(
    "layer",
    [
        nn.AvgPool1d(3, 1, 1, count_include_pad=False),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True),
        nn.AvgPool2d(2, divisor_override=3),
        nn.AdaptiveAvgPool1d(2),
        nn.AdaptiveAvgPool2d((2, None)),
        nn.MaxPool1d(3, 2, 1),
        nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        nn.MaxPool2d((2, 3), 1, dilation=(2, 1)),
    ],
    ids=str,
)
def test_layers(layer):
    """Near PyTorch's, which shows that options arrive."""
    twin = convert(layer, POLICY)
    assert type(twin).__name__ == type(layer).__name__
    assert f"policy={POLICY}" in repr(twin)
    x = normal(2, 6, 7).requires_grad_()
    with pnn.audit(twin):
        y = twin(x)
        y.backward(torch.ones_like(y))
    same = x.detach().clone().requires_grad_()
    expected = layer(same)
    expected.sum().backward()
    assert y.shape == expected.shape
    assert (y - expected).abs().max() < 0.15
    assert (x.grad - same.grad).abs().max() < 0.15
    assert type(pnn.to_float(twin)) is type(layer)


class Functions(nn.Module):
    def forward(self, x):
        x = nn.functional.max_pool2d(x, 3, stride=1, padding=1)
        x = nn.functional.avg_pool2d(x, (2, 1))
        x = nn.functional.adaptive_avg_pool2d(x, output_size=(2, 3)).flatten(2)
        x = nn.functional.avg_pool1d(nn.functional.max_pool1d(x, 2, 1), 2, 1)
        return nn.functional.adaptive_avg_pool1d(x, 2)


def test_functions_in_a_forward():
    x = normal(1, 2, 6, 4)
    twin = convert(Functions(), POLICY)
    with pnn.audit(twin):
        y = twin(x)
    expected = functional.avg_pool2d(functional.max_pool2d(x, 3, POLICY, 1, 1), (2, 1), POLICY)
    expected = functional.adaptive_avg_pool2d(expected, (2, 3), POLICY).flatten(2)
    expected = functional.avg_pool1d(functional.max_pool1d(expected, 2, POLICY, 1), 2, POLICY, 1)
    assert torch.equal(y, functional.adaptive_avg_pool1d(expected, 2, POLICY))
