from fractions import Fraction

import mpmath
import pytest
import torch
from torch import nn

from positcore import nn as pnn
from positcore.nn import Policy, functional, quantize
from positcore.nn.audit import audit
from positcore.nn.mode import PositMode
from tests.nn import reference
from tests.nn.reference import add, array, differences, div, mul, number, round_to

POLICIES = ["O12-L12-FBG8q", "O16-L8-F10q-B8/1q-G12q", "O12/1-L10/1u-F8/1q-B9/0uq-G10/1q"]
POLICY = Policy.parse("O12-L12-FBG8q")
NAN = float("nan")


def normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def table(fmt, function, x):
    if x is None:
        return None
    with mpmath.workprec(1400):
        x = max(min(x, Fraction(500)), Fraction(-500))
        sign, mantissa, exponent, _ = mpmath.mpf(function(mpmath.mpf(x.numerator) / x.denominator))._mpf_
    return round_to(fmt, (-1) ** sign * Fraction(int(mantissa)) * Fraction(2) ** exponent)


def minus(x):
    return mul(x, -1)


def finished(fmt, losses, slopes, reduction, upstream, count):
    """The sum or mean of losses, and the slopes times an upstream factor."""
    total = round_to(fmt, add(Fraction(0), *losses))
    loss = round_to(fmt, div(total, round_to(fmt, count))) if reduction == "mean" else total
    factor = round_to(fmt, number(upstream))
    return loss, {at: round_to(fmt, mul(g, factor)) for at, g in slopes.items()}


# Elements ------------------------------------------------------------------------------------------------------


def mse(fmt, x, t):
    d = round_to(fmt, add(x, minus(t)))
    return mul(d, d), round_to(fmt, mul(2, d))


def huber(delta):
    def element(fmt, x, t):
        d = round_to(fmt, add(x, minus(t)))
        bound, half = round_to(fmt, number(delta)), Fraction(1, 2)
        if d is None:
            return None, None
        if abs(d) <= bound:
            return round_to(fmt, mul(round_to(fmt, half * d), d)), d
        return round_to(fmt, bound * abs(d) - round_to(fmt, number(delta) ** 2 / 2)), max(min(d, bound), -bound)

    return element


def bce(fmt, x, t):
    if x is None:
        return None, None
    small = table(fmt, lambda v: mpmath.log(1 + mpmath.exp(v)), -abs(x))
    loss = round_to(fmt, add(small, round_to(fmt, add(max(x, 0), minus(mul(x, t))))))
    if t == 1:
        return loss, minus(table(fmt, lambda v: 1 / (1 + mpmath.exp(v)), x))
    return loss, round_to(fmt, add(table(fmt, lambda v: 1 / (1 + mpmath.exp(-v)), x), minus(t)))


ELEMENTS = {
    "mse": (pnn.MSELoss, {}, mse),
    "huber": (pnn.HuberLoss, {}, huber(1.0)),
    "huber, delta": (pnn.HuberLoss, {"delta": 0.3}, huber(0.3)),
    "bce": (pnn.BCEWithLogitsLoss, {}, bce),
}


@pytest.mark.parametrize("upstream", [1.0, 0.3], ids=["plain", "scaled"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", ELEMENTS)
@pytest.mark.parametrize("text", POLICIES)
def test_losses_of_elements(text, name, reduction, upstream):
    policy, (kind, options, element) = Policy.parse(text), ELEMENTS[name]
    fmt = policy.loss.format
    x = (4 * normal(5, 4)).double().requires_grad_()
    t = (normal(5, 4, seed=2) > 0).double() if name == "bce" else normal(5, 4, seed=2).double()
    t[0] *= 0.7  # no label, but a probability
    with audit():
        loss = kind(policy, reduction, **options)(x, t)
        loss.backward(torch.tensor(upstream, dtype=loss.dtype))
    values = {at: element(fmt, round_to(fmt, v), round_to(fmt, array(t)[at])) for at, v in array(x).items()}
    wanted, slopes = finished(
        fmt, [v for v, _ in values.values()], {at: g for at, (_, g) in values.items()}, reduction, upstream, x.numel()
    )
    assert not differences(loss, {(): wanted})
    assert not differences(x.grad, slopes)


@pytest.mark.parametrize("name", ELEMENTS)
def test_nar_in_a_loss_of_elements(name):
    kind, options, _ = ELEMENTS[name]
    x = normal(2, 3)
    x[1, 1] = NAN
    x.requires_grad_()
    loss = kind(POLICY, **options)(x, torch.zeros(2, 3))
    loss.backward()
    assert loss.isnan()
    assert torch.equal(x.grad.isnan(), x.isnan())


def test_binary_cross_entropy_of_sure_and_right_logits():
    """−log of a probability near 1: not lost in a difference of large numbers."""
    x = torch.tensor([30.0, -30.0])
    loss = functional.binary_cross_entropy_with_logits(x, torch.tensor([1.0, 0.0]), POLICY, "sum")
    fmt = POLICY.loss.format
    one = table(fmt, lambda v: mpmath.log(1 + mpmath.exp(v)), Fraction(-30))
    assert 0 < one < Fraction(1, 1 << 30)
    assert array(loss)[()] == round_to(fmt, 2 * one)


@pytest.mark.parametrize("kind", [pnn.MSELoss, pnn.HuberLoss], ids=lambda kind: kind.__name__)
def test_a_target_with_a_gradient(kind):
    x, t = normal(6).requires_grad_(), normal(6, seed=2).requires_grad_()
    kind(POLICY)(x, t).backward()
    assert torch.equal(x.grad, -t.grad)
    assert x.grad.any()


def test_a_loss_of_a_parameter():
    """Its gradient is rounded in B, then in G, and divided by the number of elements."""
    policy = Policy.parse(POLICIES[1])
    p = nn.Parameter(quantize(policy.optimizer.format, normal(6)))
    x = p.detach().clone().requires_grad_()
    for operand in (p, x):
        functional.mse_loss(operand, torch.zeros(6), policy).backward()
    fmt = policy.gradient.format
    sums = {at: round_to(fmt, round_to(policy.backward.format, g)) for at, g in array(x.grad).items()}
    assert not differences(p.grad, {at: round_to(fmt, g / 6) for at, g in sums.items()})


@pytest.mark.parametrize("kind", [pnn.MSELoss, pnn.HuberLoss, pnn.BCEWithLogitsLoss], ids=lambda kind: kind.__name__)
def test_a_mean_divides_gradients_of_parameters_by_the_number_of_elements(kind):
    """By 16·4 for 16 samples of 4 outputs, as PyTorch's means do: R_G of the sum's, divided."""
    x, t = normal(16, 5), (normal(16, 4, seed=4) > 0).float()
    weights = [quantize(POLICY.optimizer.format, normal(4, 5, seed=3)).requires_grad_() for _ in range(2)]
    for weight, reduction in zip(weights, ("mean", "sum"), strict=True):
        kind(POLICY, reduction)(functional.linear(x, weight, None, POLICY), t).backward()
    fmt = POLICY.gradient.format
    assert not differences(weights[0].grad, {at: round_to(fmt, g / 64) for at, g in array(weights[1].grad).items()})


# Class indices -------------------------------------------------------------------------------------------------


def classes(policy, logits, target, reduction, upstream, smoothing, ignored, logarithms):
    """Cross-entropy or negative log-likelihood, of rows by index; targets by index."""
    fmt = policy.loss.format
    width = 1 + max(at[-1] for at in logits)
    losses, slopes = [], {}
    for at, label in target.items():
        z = [round_to(fmt, logits[(*at, c)]) for c in range(width)]
        if label == ignored:
            slopes.update({(*at, c): Fraction(0) for c in range(width)})
            continue
        if logarithms:
            losses.append(minus(z[label]))
            slopes.update({(*at, c): Fraction(-(c == label)) for c in range(width)})
            continue
        top = max(z)
        shifted = [round_to(fmt, v - top) for v in z]
        powers = [reference.exp(fmt, v) for v in shifted]
        total = round_to(fmt, add(*powers))
        logarithm = reference.log(fmt, total)
        off, on = smoothing / width, 1 - smoothing + smoothing / width
        t = [round_to(fmt, number(on if c == label else off)) for c in range(width)]
        parts = [round_to(fmt, logarithm - v) for v in shifted]
        losses.append(round_to(fmt, sum(a * b for a, b in zip(t, parts, strict=True))))
        for c in range(width):
            share = round_to(fmt, powers[c] / total)
            if not smoothing and c == label:
                slopes[(*at, c)] = -round_to(fmt, round_to(fmt, sum(powers) - powers[c]) / total)
            else:
                slopes[(*at, c)] = round_to(fmt, share - t[c])
    return finished(fmt, losses, slopes, reduction, upstream, len(losses))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("shape", [(6, 4), (2, 4, 3), (2, 4, 2, 3)], ids=str)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (pnn.CrossEntropyLoss, {}),
        (pnn.CrossEntropyLoss, {"ignore_index": 2}),
        (pnn.CrossEntropyLoss, {"label_smoothing": 0.1}),
        (pnn.CrossEntropyLoss, {"label_smoothing": 0.3, "ignore_index": -1}),
        (pnn.NLLLoss, {}),
        (pnn.NLLLoss, {"ignore_index": -1}),
    ],
    ids=lambda x: x.__name__ if isinstance(x, type) else str(x),
)
@pytest.mark.parametrize("text", POLICIES)
def test_losses_of_class_indices(text, kind, options, shape, reduction):
    policy = Policy.parse(text)
    x = (2 * normal(*shape)).double().requires_grad_()
    target = torch.arange(x.numel() // 4).reshape(shape[0], *shape[2:]) * 7 % 4
    ignored = options.get("ignore_index", -100)
    target[1] = ignored
    with audit():
        loss = kind(policy, reduction, **options)(x, target)
        loss.backward(torch.tensor(0.3, dtype=loss.dtype))
    labels = {at: int(v) for at, v in array(target).items()}
    rows = array(x.movedim(1, -1))
    wanted, slopes = classes(
        policy, rows, labels, reduction, 0.3, options.get("label_smoothing", 0.0), ignored, kind is pnn.NLLLoss
    )
    assert not differences(loss, {(): wanted})
    assert not differences(x.grad.movedim(1, -1), slopes)


@pytest.mark.parametrize("order", ["exact", "positnn"])
def test_the_gradient_of_a_target_does_not_cancel(order):
    """All but sure: what pulls the target up is as strong as what pushes the others down, as in exact arithmetic."""
    policy = Policy.parse(f"O12-L8-FBG8q@{order}")
    x = torch.tensor([[4.0, 0.0, 0.0]]).requires_grad_()
    functional.cross_entropy(x, torch.tensor([0]), policy).backward()
    assert x.grad[0, 1] == x.grad[0, 2] > 0
    if order == "exact":
        assert x.grad[0, 0] == -2 * x.grad[0, 1]
    else:  # whose sum of 1, e⁻⁴ and e⁻⁴ is 1 in eight bits
        assert x.grad[0, 0] == 0
    y = torch.tensor([4.0, 5.0, 8.0]).requires_grad_()
    functional.binary_cross_entropy_with_logits(y, torch.ones(3), policy, "sum").backward()
    z = torch.tensor([-4.0, -5.0, -8.0]).requires_grad_()
    functional.binary_cross_entropy_with_logits(z, torch.zeros(3), policy, "sum").backward()
    assert torch.equal(y.grad, -z.grad)
    assert (y.grad < 0).all()


def test_what_is_ignored_may_be_nar():
    x = normal(3, 4)
    x[1] = NAN
    x.requires_grad_()
    loss = functional.cross_entropy(x, torch.tensor([0, -100, 3]), POLICY)
    loss.backward()
    assert not loss.isnan()
    assert x.grad[1].tolist() == [0.0] * 4


def test_a_mean_over_nothing_is_nar():
    x = normal(2, 4).requires_grad_()
    loss = functional.nll_loss(x, torch.tensor([-100, -100]), POLICY)
    loss.backward()
    assert loss.isnan()
    assert not x.grad.any()


def test_the_negative_log_likelihood_of_nar():
    x = normal(2, 3)
    x[0, 1] = NAN
    x.requires_grad_()
    loss = functional.nll_loss(x, torch.tensor([1, 0]), POLICY, "sum")
    loss.backward()
    assert loss.isnan()
    assert x.grad.isnan().sum() == 1


def test_log_softmax_and_nll_train_like_cross_entropy():
    """The same steps in the same order where F, B and L are one format: the same bits."""
    policy = Policy.parse("O12-LFBG12q")
    x, target = 3 * normal(5, 4), torch.tensor([0, 3, 1, 1, 2])
    loss = functional.nll_loss(functional.log_softmax(x, 1, policy), target, policy)
    assert torch.equal(loss, functional.cross_entropy(x, target, policy))


# Options and refusals ------------------------------------------------------------------------------------------

F = nn.functional
LABELS = torch.tensor([0, 2])


@pytest.mark.parametrize(
    ("call", "steps"),
    [
        (lambda x: F.cross_entropy(x, LABELS), lambda x: functional.cross_entropy(x, LABELS, POLICY)),
        (
            lambda x: F.cross_entropy(x, LABELS, ignore_index=2, label_smoothing=0.1, reduction="sum"),
            lambda x: functional.cross_entropy(x, LABELS, POLICY, "sum", 2, 0.1),
        ),
        (lambda x: F.nll_loss(x, LABELS), lambda x: functional.nll_loss(x, LABELS, POLICY)),
        (lambda x: F.mse_loss(x, 2 * x), lambda x: functional.mse_loss(x, 2 * x, POLICY)),
        (lambda x: F.huber_loss(x, -x, delta=0.5), lambda x: functional.huber_loss(x, -x, POLICY, delta=0.5)),
        (
            lambda x: F.binary_cross_entropy_with_logits(x, torch.ones(2, 3)),
            lambda x: functional.binary_cross_entropy_with_logits(x, torch.ones(2, 3), POLICY),
        ),
    ],
)
def test_functions_in_a_forward(call, steps):
    x = quantize(POLICY.forward.format, normal(2, 3))
    wanted = steps(x)
    with PositMode(POLICY):
        assert torch.equal(call(x), wanted)


@pytest.mark.parametrize("kind", [pnn.CrossEntropyLoss, pnn.NLLLoss, pnn.MSELoss, pnn.HuberLoss, pnn.BCEWithLogitsLoss])
def test_every_loss_checks_its_policy_and_reduction(kind):
    with pytest.raises(TypeError, match=rf"{kind.__name__}: policy must be a Policy, such as .*, not 'O12-L12-FBG8q'"):
        kind("O12-L12-FBG8q")
    with pytest.raises(ValueError, match=f"{kind.__name__}: reduction must be 'mean' or 'sum', not 'none'"):
        kind(POLICY, "none")
    assert repr(kind(POLICY)) == f"{kind.__name__}(reduction='mean', policy={POLICY})"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: functional.mse_loss(x, x[:1], POLICY), ValueError, r"mse_loss: input and target must be"),
        (lambda x: functional.mse_loss(x, x, POLICY, "none"), ValueError, "mse_loss: reduction must be"),
        (lambda x: functional.huber_loss(x, x, POLICY, delta=0), ValueError, "huber_loss: delta must be .*, not 0"),
        (lambda x: pnn.HuberLoss(POLICY, delta=-1.0), ValueError, r"HuberLoss: delta must be positive, not -1\.0"),
        (
            lambda x: functional.binary_cross_entropy_with_logits(x, x.clone().requires_grad_(), POLICY),
            ValueError, "binary_cross_entropy_with_logits: the target gets no gradient; detach it",
        ),
        (lambda x: functional.nll_loss(x, LABELS.float(), POLICY), TypeError, "nll_loss: target must be int64 class"),
        (lambda x: functional.nll_loss(x, LABELS[:1], POLICY), ValueError, r"nll_loss: input must be \(N, classes\)"),
        (lambda x: functional.nll_loss(x, LABELS + 1, POLICY), ValueError, r"nll_loss: targets must be .* 0\.\.2, or"),
        (
            lambda x: functional.cross_entropy(x, LABELS, POLICY, label_smoothing=1.5),
            ValueError, r"cross_entropy: label_smoothing must be in 0\.\.1, not 1\.5",
        ),
        (lambda x: pnn.CrossEntropyLoss(POLICY, weight=torch.ones(3)), ValueError, "CrossEntropyLoss: .* no weight"),
        (lambda x: pnn.NLLLoss(POLICY, weight=torch.ones(3)), ValueError, "NLLLoss: there is no weight in posits;"),
        (lambda x: pnn.BCEWithLogitsLoss(POLICY, pos_weight=x), ValueError, "BCEWithLogitsLoss: .* no pos_weight"),
        (
            lambda x: F.cross_entropy(x, LABELS, weight=torch.ones(3)),
            ValueError, "cross_entropy: the options are reduction, ignore_index, label_smoothing, by name, not weight",
        ),
        (lambda x: F.mse_loss(x, x, reduction="none"), ValueError, "mse_loss: reduction must be 'mean' or 'sum'"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with PositMode(POLICY), pytest.raises(error, match=message):
        call(normal(2, 3))
