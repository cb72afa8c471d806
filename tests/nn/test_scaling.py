"""Powers of two on gradients: `scale_gradient` and `DynamicScaler`."""

import copy
import io
import math
from fractions import Fraction

import pytest
import torch

import positcore as pc
from positcore.nn import (
    SGD,
    CrossEntropyLoss,
    DynamicScaler,
    GradientScale,
    Linear,
    Policy,
    accumulate,
    quantize,
    scale_gradient,
)
from positcore.nn.scaling.factors import largest_exponent, scale_gradients_
from tests.nn import reference
from tests.nn.reference import array, differences, mul, round_to
from tests.reference import format_id

POLICY = Policy.parse("O12-L12-FBG8q")


def draw(fmt, *shape, seed=1):
    return quantize(fmt, torch.randn(shape, generator=torch.Generator().manual_seed(seed)))


def times(fmt, values, factor):
    return {at: round_to(fmt, mul(x, Fraction(factor))) for at, x in values.items()}


@pytest.mark.parametrize(
    "fmt", [pc.PositFormat(8, 2), pc.PositFormat(8, 0), pc.PositFormat(6, 3), pc.posit32], ids=format_id
)
def test_largest_exponent(fmt):
    e = largest_exponent(fmt)
    for k in range(-e, e + 1):
        assert round_to(fmt, Fraction(2) ** k) == Fraction(2) ** k
    assert round_to(fmt, Fraction(2) ** (e + 1)) != Fraction(2) ** (e + 1)


@pytest.mark.parametrize("exponent", [-16, -3, 0, 5, 16])
@pytest.mark.parametrize("text", ["O12-L12-FBG8q", "O12-L12-F8q-B9/1uq-G8q"])
def test_scale_gradient(text, exponent):
    policy = Policy.parse(text)
    fmt = policy.backward.format
    exponent = max(-largest_exponent(fmt), min(largest_exponent(fmt), exponent))
    x, g = draw(pc.posit8, 3, 4).requires_grad_(), draw(policy.loss.format, 3, 4, seed=2)
    y = scale_gradient(x, exponent, policy)
    assert torch.equal(y, x)
    y.backward(g)
    assert not differences(x.grad, times(fmt, array(g), Fraction(2) ** exponent))


def test_the_layer_behind_may_work_in_place():
    x = draw(pc.posit8, 3, 4).requires_grad_()
    model = torch.nn.Sequential(GradientScale(3, POLICY), torch.nn.ReLU(inplace=True))
    model(x).backward(torch.ones(3, 4))
    assert torch.equal(x.grad, (x > 0) * 8.0)
    assert "3, policy=O12-L12-FBG8q" in str(model)


def test_scale_gradients():
    fmt = POLICY.optimizer.format
    parameters = [draw(fmt, 3, 4).requires_grad_(), draw(fmt, 5).requires_grad_(), draw(fmt, 2).requires_grad_()]
    for w in parameters[:2]:
        w.grad = draw(POLICY.gradient.format, *w.shape, seed=7)
    expected = [times(fmt, array(w.grad), Fraction(1, 32)) for w in parameters[:2]]
    scale_gradients_(parameters, -5, POLICY)
    assert not any(differences(w.grad, values) for w, values in zip(parameters, expected, strict=False))
    assert parameters[2].grad is None


@pytest.mark.parametrize(
    ("exponent", "error", "message"),
    [
        (17, ValueError, r"scale_gradient: exponent must be in −16\.\.16 for the backward format posit<8,2>, not 17"),
        (-17, ValueError, "not -17"),
        (0.5, TypeError, r"scale_gradient: exponent must be an integer, not 0\.5"),
        (True, TypeError, "not True"),
    ],
)
def test_exponents_out_of_range(exponent, error, message):
    with pytest.raises(error, match=message):
        scale_gradient(torch.ones(2, requires_grad=True), exponent, POLICY)


# DynamicScaler ----------------------------------------------------------------------------------------


def step_of_a_linear_layer(policy, layer, x, target, reduction="mean", scaler=None):
    """One backward pass; the gradients are in the parameters."""
    loss = CrossEntropyLoss(policy, reduction)(layer(x), target)
    (scaler.scale(loss) if scaler else loss).backward()
    return loss


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("scale", [1.0, 64.0, 0.25])
@pytest.mark.parametrize("text", ["O12-L12-FBG8q", "O16/1-L10-F8q-B9q-G10q"])
def test_gradients_of_a_scaled_loss(text, scale, reduction):
    policy = Policy.parse(text)
    torch.manual_seed(3)
    layer, x, target = Linear(5, 4, policy=policy), draw(policy.forward.format, 6, 5), torch.tensor([0, 1, 2, 3, 1, 1])
    weight, bias = array(layer.weight), array(layer.bias)
    scaler = DynamicScaler(policy, init_scale=scale)
    loss = CrossEntropyLoss(policy, reduction)(layer(x), target)
    scaled = scaler.scale(loss)
    assert Fraction(scaled.item()) == round_to(policy.loss.format, Fraction(loss.item()) * Fraction(scale))
    scaled.backward()
    optimizer = SGD(layer.parameters(), policy, lr=0.1)
    scaler.unscale_(optimizer)

    follower = reference.linear(policy, array(x), weight, bias, len(x) if reduction == "mean" else 1)
    _, gradient = reference.cross_entropy(
        policy, follower.forward(array(x)), target.tolist(), reduction, Fraction(scale)
    )
    _, grad_w, grad_b = follower.backward(gradient)
    fmt = policy.optimizer.format
    for parameter, values in ((layer.weight, grad_w), (layer.bias, grad_b)):
        expected = values if scale == 1 else times(fmt, values, 1 / Fraction(scale))
        assert not differences(parameter.grad, expected)


def test_a_loop():
    """The scale grows after so many steps, is halved by an overflow, whose step is skipped, and grows anew."""
    policy = POLICY
    torch.manual_seed(3)
    layer, x, target = Linear(5, 4, policy=policy), draw(policy.forward.format, 6, 5), torch.tensor([0, 1, 2, 3, 1, 1])
    optimizer = SGD(layer.parameters(), policy, lr=0.25)
    scaler = DynamicScaler(policy, init_scale=4.0, growth_interval=3)
    scales, moved = [], []
    for step in range(8):
        optimizer.zero_grad()
        step_of_a_linear_layer(policy, layer, x, target, scaler=scaler)
        if step == 4:
            layer.weight.grad[1, 1] = math.nan
        before = layer.weight.detach().clone()
        scaler.step(optimizer)
        scaler.update()
        moved.append(not torch.equal(layer.weight, before))
        scales.append(scaler.get_scale())
    assert scales == [4, 4, 8, 8, 4, 4, 4, 8]
    assert moved == [True] * 4 + [False] + [True] * 3


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("samples", [1, 3, 64, 100])
def test_saturated_sums_are_seen_although_they_are_divided_by_the_batch(samples, reduction):
    """Sums that reach maxpos of G overflow; those that stay just below do not."""
    policy = Policy.parse("O16-L16-F16q-B16q-G8q")
    for size, expected in ((2.0**30, True), (2.0**18, False)):
        layer = Linear(1, 2, bias=False, policy=policy)
        x = torch.full((samples, 1), size / samples if samples != 100 else size / 128)
        scaler = DynamicScaler(policy)
        optimizer = SGD(layer.parameters(), policy, lr=0.1)
        with torch.no_grad():
            layer.weight.zero_()
        target = torch.zeros(samples, dtype=torch.int64)
        step_of_a_linear_layer(policy, layer, x, target, reduction, scaler)
        scaler.unscale_(optimizer)
        limit = policy.gradient.format.maxpos / (samples if reduction == "mean" else 1)
        assert (layer.weight.grad.abs().max() >= limit * 0.9) == expected
        scaler.update()
        assert scaler.get_scale() == (0.5 if expected else 1)


def test_the_batches_of_one_step_add_up():
    policy = Policy.parse("O16-L16-F16q-B16q-G8q")
    layer = Linear(1, 2, bias=False, policy=policy)
    scaler = DynamicScaler(policy)
    with accumulate(layer.parameters()):
        for _ in range(2):
            step_of_a_linear_layer(
                policy, layer, torch.full((32, 1), 2.0**28), torch.zeros(32, dtype=torch.int64), scaler=scaler
            )
    assert layer.weight.grad.abs().max() == 2.0**24 / 64
    scaler.step(SGD(layer.parameters(), policy, lr=0.1))
    scaler.update()
    assert scaler.get_scale() == 0.5


def overflowed(policy, gradient):
    w = torch.zeros(1, dtype=torch.float64 if policy.optimizer.format.n > 16 else torch.float32, requires_grad=True)
    w.grad = torch.full_like(w, gradient)
    scaler, optimizer = DynamicScaler(policy), SGD([w], policy, lr=0.1)
    scaler.unscale_(optimizer)
    scaler.update()
    return scaler.get_scale() < 1


def test_the_smallest_of_the_formats_of_gradients_counts():
    policy = Policy.parse("O16-L12-FBG12q; a=G8q; b=F8q")
    assert [overflowed(policy, g) for g in (2.0**23, 2.0**24, -(2.0**24))] == [False, True, True]
    assert [overflowed(policy.for_layer("b"), g) for g in (2.0**24, 2.0**39, -(2.0**40))] == [False, False, True]
    assert overflowed(policy, math.nan)


def test_scales_stay_in_the_range_of_loss_and_optimizer():
    policy = Policy.parse("O12-L8-FBG8q")
    w = torch.zeros(1, requires_grad=True)
    w.grad = torch.zeros(1)
    optimizer = SGD([w], policy, lr=0.1)
    scaler = DynamicScaler(policy, init_scale=2.0**14, growth_factor=4.0, backoff_factor=2.0**-20, growth_interval=1)
    scales = []
    for _ in range(3):
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    w.grad.fill_(math.nan)
    for _ in range(2):
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    assert scales == [2.0**16, 2.0**16, 2.0**16, 2.0**-4, 2.0**-16]


def test_lists_of_losses_and_no_scaling():
    losses = [torch.tensor(1.5, requires_grad=True), (torch.tensor(0.25, requires_grad=True),)]
    one, (two,) = DynamicScaler(POLICY, init_scale=8.0).scale(losses)
    assert (one.item(), two.item()) == (12.0, 2.0)
    off = DynamicScaler(POLICY, init_scale=8.0, enabled=False)
    assert off.scale(losses) is losses
    assert (off.get_scale(), off.is_enabled(), off.state_dict()) == (1.0, False, {})
    w = torch.ones(1, requires_grad=True)
    w.grad = torch.ones(1)
    off.unscale_(SGD([w], POLICY, lr=0.5))
    off.step(SGD([w], POLICY, lr=0.5))
    off.update()
    off.load_state_dict({})
    assert w.item() == 0.5
    with pytest.raises(TypeError, match="DynamicScaler: scale takes a tensor, or a list or tuple of them, not str"):
        DynamicScaler(POLICY).scale("loss")


def test_state():
    scaler = DynamicScaler(POLICY, 4.0, 4.0, 0.25, 7)
    w = torch.zeros(1, requires_grad=True)
    w.grad = torch.zeros(1)
    scaler.step(SGD([w], POLICY, lr=0.1))
    scaler.update()
    file = io.BytesIO()
    torch.save(scaler.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    assert state == {
        "scale": 4.0, "growth_factor": 4.0, "backoff_factor": 0.25, "growth_interval": 7, "_growth_tracker": 1,
    }  # fmt: skip
    assert state.keys() == torch.amp.GradScaler("cpu").state_dict().keys()
    other = DynamicScaler(POLICY)
    other.load_state_dict(state)
    assert other.state_dict() == state == copy.deepcopy(scaler).state_dict()
    with pytest.raises(ValueError, match="DynamicScaler: the state to load has no scale, growth_factor"):
        other.load_state_dict({})
    with pytest.raises(ValueError, match=r"DynamicScaler: init_scale must be a power of two, not 3\.0"):
        other.load_state_dict({**state, "scale": 3.0})
    assert other.state_dict() == state


def test_calls_out_of_order():
    w = torch.ones(1, requires_grad=True)
    w.grad = torch.ones(1)
    scaler, optimizer = DynamicScaler(POLICY), SGD([w], POLICY, lr=0.1)
    with pytest.raises(RuntimeError, match=r"DynamicScaler: update\(\) needs a step\(\) or an unscale_\(\) since"):
        scaler.update()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match=r"unscale_\(\) has already been called on this optimizer since the last"):
        scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="DynamicScaler: a closure would make gradients that were not unscaled"):
        scaler.step(optimizer, closure=lambda: None)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"step\(\) has already been called since the last update\(\)"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"unscale_\(\) is being called after step\(\)"):
        scaler.unscale_(optimizer)
    scaler.update()
    scaler.unscale_(optimizer)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init_scale": 3.0}, r"DynamicScaler: init_scale must be a power of two, not 3\.0"),
        ({"init_scale": 0.0}, "init_scale must be a power of two"),
        ({"init_scale": math.inf}, "init_scale must be a power of two, not inf"),
        (
            {"init_scale": 2.0**40},
            r"init_scale must be at most 2\^32 and its inverse too, to be a value of L and O in O12",
        ),
        ({"growth_factor": 1.5}, r"growth_factor must be a power of two, not 1\.5"),
        ({"growth_factor": 0.5}, r"growth_factor must be above 1 and backoff_factor below, not 0\.5 and 0\.5"),
        ({"backoff_factor": 2.0}, r"backoff_factor below, not 2\.0 and 2\.0"),
        ({"growth_interval": 0}, "growth_interval must be at least 1, not 0"),
    ],
    ids=str,
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        DynamicScaler(POLICY, **options)
