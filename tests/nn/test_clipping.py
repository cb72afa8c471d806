import math
from fractions import Fraction

import pytest
import torch

from positcore.nn import SGD, Policy, clip_grad_norm_, clip_grad_value_, quantize, use_backend
from tests.nn.reference import add, array, differences, div, each, mul, round_to
from tests.nn.reference_optimizers import root

TEXTS = ["O12-L12-FBG8q", "O8-L8-FBG8", "O16/1-L12-FB8q-G10q", "O32-L12-FB8q-G9u", "O9/0u-L12-FBG12q"]
SHAPES = [(3, 5), (7,), (2, 2, 2)]


def draw(policy, size=1.0):
    """Parameters of some shapes with gradients in G; one has none."""
    generator = torch.Generator().manual_seed(3)
    parameters = []
    for shape in SHAPES:
        w = quantize(policy.optimizer.format, torch.randn(shape, generator=generator)).requires_grad_()
        spread = size * torch.exp2(torch.randint(-6, 3, shape, generator=generator))
        w.grad = quantize(policy.gradient.format, spread * torch.randn(shape, generator=generator)).to(w.dtype)
        parameters.append(w)
    return [parameters[0], torch.ones(2, requires_grad=True), *parameters[1:]]


def gradients(parameters):
    """All gradients by parameter and index."""
    return {(i, *at): x for i, w in enumerate(parameters) if w.grad is not None for at, x in array(w.grad).items()}


def norm_of(fmt, values, kind):
    if kind == math.inf:
        return max(abs(x) for x in values)
    if kind == 1:
        return round_to(fmt, add(*[abs(x) for x in values]))
    return round_to(fmt, root(round_to(fmt, add(*[mul(x, x) for x in values]))))


@pytest.mark.parametrize("kind", [2, 1, math.inf])
@pytest.mark.parametrize("max_norm", [0.37, 1e3, 0.0])
@pytest.mark.parametrize("text", TEXTS)
def test_norm(text, max_norm, kind):
    policy = Policy.parse(text)
    fmt, parameters = policy.optimizer.format, draw(policy)
    before = gradients(parameters)
    expected = each(fmt, before)
    norm = norm_of(fmt, expected.values(), kind)
    limit = round_to(fmt, Fraction(max_norm))
    if norm > limit:
        factor = round_to(fmt, div(limit, norm))
        expected = {at: round_to(fmt, mul(x, factor)) for at, x in expected.items()}
    else:
        expected = before
    got = clip_grad_norm_(parameters, max_norm, policy, kind)
    assert got.shape == ()
    assert got.dtype == parameters[0].dtype
    assert Fraction(got.item()) == norm
    after = gradients(parameters)
    assert {at: x for at, x in after.items() if x != expected[at]} == {}
    assert (max_norm == 1e3) == (norm <= limit)


@pytest.mark.parametrize("value", [0.37, 5.0, 0.0])
@pytest.mark.parametrize("text", TEXTS)
def test_value(text, value):
    policy = Policy.parse(text)
    fmt, parameters = policy.optimizer.format, draw(policy)
    bound = round_to(fmt, Fraction(value))
    expected = {at: max(min(x, bound), -bound) for at, x in each(fmt, gradients(parameters)).items()}
    clip_grad_value_(parameters, value, policy)
    assert gradients(parameters) == expected
    assert value == 5.0 or any(abs(x) == bound for x in expected.values())


def test_sums_of_squares_are_one_quire():
    """A sum that rounds once: small squares beside a large one count, however many there are."""
    policy = Policy.parse("O8-L8-FBG8q")
    w = torch.zeros(1025, requires_grad=True)
    w.grad = torch.full((1025,), 1 / 32)
    w.grad[0] = 4.0
    assert clip_grad_norm_([w], 100.0, policy).item() == 4.0  # √17 is 4.123, and 4.0 is the nearest posit
    w.grad[0] = 2.0
    assert clip_grad_norm_([w], 100.0, policy).item() == 2.25  # √5 is 2.236; without the small ones it were 2


def test_nar():
    policy = Policy.parse(TEXTS[0])
    parameters = draw(policy)
    parameters[0].grad[1, 2] = math.nan
    before = [w.grad.clone() for w in parameters if w.grad is not None]
    with pytest.raises(
        RuntimeError, match="clip_grad_norm_: the norm of the gradients is NaR, so it cannot be clipped"
    ):
        clip_grad_norm_(parameters, 1.0, policy, error_if_nonfinite=True)
    assert all(
        torch.equal(w.grad.nan_to_num(9), old.nan_to_num(9))
        for w, old in zip([w for w in parameters if w.grad is not None], before, strict=True)
    )
    clip_grad_value_(parameters, 1.0, policy)
    assert parameters[0].grad.isnan().sum() == 1
    assert clip_grad_norm_(parameters, 1.0, policy).isnan()
    assert all(w.grad.isnan().all() for w in parameters if w.grad is not None)


def test_one_tensor_and_none():
    policy = Policy.parse(TEXTS[0])
    w, other = draw(policy)[0], draw(policy)[0]
    assert clip_grad_norm_(w, 0.5, policy) == clip_grad_norm_([other], 0.5, policy)
    assert torch.equal(w.grad, other.grad)
    assert not differences(w.grad, array(other.grad))
    empty = clip_grad_norm_([torch.ones(2, requires_grad=True)], 1.0, policy)
    assert empty == 0
    clip_grad_value_(torch.ones(2, requires_grad=True), 1.0, policy)


def test_what_was_clipped_is_what_the_optimizer_takes():
    """Rounding to O is the optimizer's first step anyhow: a limit that nothing exceeds changes no weight."""
    policy = Policy.parse("O8-L12-FB8q-G12q")
    one, two = draw(policy), draw(policy)
    clip_grad_value_(one, 1e4, policy)
    for parameters in (one, two):
        SGD([w for w in parameters if w.grad is not None], policy, lr=0.1).step()
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.slow
@pytest.mark.rtl
def test_the_norm_in_rtl():
    policy = Policy.parse("O8-L8-FBG8q")
    one, two = draw(policy), draw(policy)
    with use_backend("rtl"):
        norm = clip_grad_norm_(one, 0.5, policy)
    assert norm == clip_grad_norm_(two, 0.5, policy)
    assert gradients(one) == gradients(two)


@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan])
def test_errors(value):
    policy = Policy.parse(TEXTS[0])
    parameters = draw(policy)
    with pytest.raises(ValueError, match=f"clip_grad_norm_: max_norm must be finite and not negative, not {value}"):
        clip_grad_norm_(parameters, value, policy)
    with pytest.raises(ValueError, match=f"clip_grad_value_: clip_value must be finite and not negative, not {value}"):
        clip_grad_value_(parameters, value, policy)
    with pytest.raises(ValueError, match=r"clip_grad_norm_: norm_type must be 2, 1 or infinity, not 3"):
        clip_grad_norm_(parameters, 1.0, policy, 3)
