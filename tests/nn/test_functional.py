from fractions import Fraction

import pytest
import torch

from positcore.gemm.patches import Geometry
from positcore.nn import Policy, functional, quantize
from positcore.nn.batch_factor import current_factor, declare_factor
from tests.nn import reference
from tests.nn.reference import array, differences

POLICIES = [
    "O12-L12-FBG8q",
    "O16-L12-F8q-B10q-G12q",
    "O12/1-L10/1-F8/1q-B9/0uq-G10/1q",
    "O32-L12/4-F8q-B16/3q-G24q",
]
POLICY = Policy.parse("O12-L12-FBG8q")
NAN = float("nan")


def normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def master(policy, *shape, seed):
    return quantize(policy.optimizer.format, normal(*shape, seed=seed) / 2).requires_grad_()


class Carrying(torch.autograd.Function):
    """The identity, with a gradient that is declared to carry a factor, as below a mean."""

    @staticmethod
    def forward(ctx, y, factor):
        ctx.factor = factor
        return y.view_as(y)

    @staticmethod
    def backward(ctx, gradient):
        declare_factor(ctx.factor)
        return gradient, None


def check(policy, call, layer, x, weight, bias):
    """Output and the three gradients against the reference, for an output gradient that B must round first."""
    y = call(x, weight, bias, policy)
    assert not differences(y, layer.forward(array(x)))
    gradient = normal(*y.shape, seed=9).to(y.dtype)
    Carrying.apply(y, layer.batch).backward(gradient)
    grad_x, grad_w, grad_b = layer.backward(array(gradient))
    assert not differences(x.grad, grad_x)
    assert not differences(weight.grad, grad_w)
    if bias is not None:
        assert not differences(bias.grad, {at: grad_b[at] for at in array(bias)})


# Linear ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 7), (2, 1, 3, 7), (7,), (1, 7)], ids=str)
@pytest.mark.parametrize("factor", [1, 4, 50])
@pytest.mark.parametrize("biased", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("text", POLICIES)
def test_linear(text, biased, shape, factor):
    """Parameter gradients are divided by the factor that the loss declared."""
    policy = Policy.parse(text)
    x = normal(*shape).double().requires_grad_()
    weight = master(policy, 4, 7, seed=2)
    bias = master(policy, 4, seed=3) if biased else None
    layer = reference.linear(policy, array(x), array(weight), bias if bias is None else array(bias), factor)
    check(policy, functional.linear, layer, x, weight, bias)


def test_linear_gradients_are_made_only_where_wanted():
    x, weight, bias = normal(3, 4), master(POLICY, 2, 4, seed=2).detach(), master(POLICY, 2, seed=3)
    functional.linear(x, weight, bias, POLICY).sum().backward()
    assert bias.grad is not None
    assert weight.grad is None
    assert x.grad is None


def test_linear_keeps_nar():
    x = normal(3, 4)
    x[1, 2] = NAN
    weight = master(POLICY, 2, 4, seed=2).detach()
    y = functional.linear(x, weight, None, POLICY)
    assert y.isnan().tolist() == [[False] * 2, [True] * 2, [False] * 2]
    x[0, 0] = float("inf")
    assert functional.linear(x, weight, None, POLICY)[0].isnan().all()


def test_an_empty_batch():
    assert functional.linear(normal(0, 4), master(POLICY, 2, 4, seed=2), None, POLICY).shape == (0, 2)
    weight = master(POLICY, 2, 3, 3, 3, seed=2)
    assert functional.conv2d(normal(0, 3, 5, 5), weight, None, Geometry((3, 3)), 1, POLICY).shape == (0, 2, 3, 3)


def test_the_output_can_be_changed_in_place():
    for y in (
        functional.linear(normal(3, 4), master(POLICY, 2, 4, seed=2), None, POLICY),
        functional.conv2d(normal(1, 3, 5, 5), master(POLICY, 2, 3, 3, 3, seed=2), None, Geometry((3, 3)), 1, POLICY),
    ):
        torch.relu_(y).sum().backward()


# Convolution -------------------------------------------------------------------------------------------------

CONVOLUTIONS = [
    (Geometry((3, 3)), 1),
    (Geometry((3, 3), padding=(1, 1)), 2),
    (Geometry((3, 2), stride=(2, 3), padding=(1, 0)), 1),
    (Geometry((2, 3), dilation=(2, 1), padding=(0, 1)), 4),
    (Geometry((1, 1), stride=(2, 2), padding=(1, 1)), 1),
    (Geometry((2, 2), stride=(3, 2), padding=(1, 2), dilation=(1, 2)), 2),
]


def convolution_id(case):
    return f"{case[0]}, groups={case[1]}".removeprefix("Geometry") if isinstance(case, tuple) else None


@pytest.mark.parametrize("biased", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=convolution_id)
@pytest.mark.parametrize("text", POLICIES)
def test_conv2d(text, case, biased):
    policy, (geometry, groups) = Policy.parse(text), case
    x = normal(2, 4, 6, 5).double().requires_grad_()
    weight = master(policy, 4, 4 // groups, *geometry.kernel, seed=2)
    bias = master(policy, 4, seed=3) if biased else None
    start = bias if bias is None else array(bias)
    layer = reference.conv2d(policy, array(x), array(weight), start, geometry, groups, 5)

    def call(x, weight, bias, policy):
        return functional.conv2d(x, weight, bias, geometry, groups, policy)

    check(policy, call, layer, x, weight, bias)


def test_conv2d_keeps_nar():
    x = normal(2, 1, 6, 6)
    x[1, 0, 0, 0] = NAN
    weight = master(POLICY, 2, 1, 3, 3, seed=2)
    y = functional.conv2d(x, weight, None, Geometry((3, 3)), 1, POLICY)
    assert y.isnan().sum() == 2  # one place in two channels
    assert y[1, :, 0, 0].isnan().all()
    y.sum().backward()
    assert weight.grad[:, 0, 0, 0].isnan().all()
    assert weight.grad.isnan().sum() == 2


def test_nar_meets_the_zeros_of_padding():
    """0 times NaR is NaR: a NaR weight spoils its whole output channel, and its input channel's gradient."""
    geometry = Geometry((3, 3), padding=(2, 2))
    x, weight = normal(1, 2, 4, 4).requires_grad_(), master(POLICY, 2, 2, 3, 3, seed=2)
    with torch.no_grad():
        weight[0, 1, 0, 0] = NAN
    y = functional.conv2d(x, weight, None, geometry, 1, POLICY)
    assert y.isnan().all(dim=3).all(dim=2).tolist() == [[True, False]]
    assert not y[:, 1].isnan().any()
    y.sum().backward()
    assert x.grad.isnan().all(dim=3).all(dim=2).tolist() == [[False, True]]
    assert not x.grad[:, 0].isnan().any()


def test_memory_layout_does_not_matter():
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        x = normal(3, 4, 6, 6).to(memory_format=memory_format).requires_grad_()
        weight = master(POLICY, 4, 2, 3, 3, seed=2).detach().to(memory_format=memory_format).requires_grad_()
        y = functional.conv2d(x, weight, None, Geometry((3, 3), padding=(1, 1)), 2, POLICY)
        y.backward(normal(*y.shape, seed=3).to(memory_format=memory_format))
        results.append((y, x.grad, weight.grad))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


# What lies between layers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "scale"),
    [("O32-L12-F8q-BG32q", 1), ("O12-L12/4-FBG8q", 400), ("O32-L12-F8q-B16/4q-G32q", 1), ("O32-L12-FB8q-G32q", 1)],
)
def test_gradients_between_layers_keep_every_bit(text, scale):
    """Gradients of wide formats pass through activations of a narrow one, whose dtype PyTorch gives them.

    With the large scale every sample is right beyond doubt, and all that is left of the gradient is tiny.
    """
    policy = Policy.parse(text)
    x = scale * normal(6, 5)
    first, second = master(policy, 7, 5, seed=2), master(policy, 3, 7, seed=3)
    hidden = functional.linear(x, first, None, policy)
    logits = functional.linear(hidden.relu(), second, None, policy)
    target = logits.argmax(dim=1) if scale > 1 else torch.tensor([0, 1, 2, 0, 1, 2])
    functional.cross_entropy(logits, target, policy).backward()
    below = reference.linear(policy, array(x), array(first), None, 6)
    between = below.forward(array(x))
    above = reference.linear(policy, array(hidden), array(second), None, 6)
    scores = above.forward({at: max(v, 0) for at, v in between.items()})
    _, gradient = reference.cross_entropy(policy, scores, target.tolist())
    gradient, second_gradient, _ = above.backward(gradient)
    _, first_gradient, _ = below.backward({at: g if between[at] > 0 else 0 for at, g in gradient.items()})
    assert any(first_gradient.values())
    assert not differences(second.grad, second_gradient)
    assert not differences(first.grad, first_gradient)


def test_a_gradient_too_fine_for_the_dtype_of_masters_is_rounded_to_them():
    """G = posit<32,2> needs float64, O = posit<12,2> has float32: one rounding from G to O, none to float32 between."""
    policy = Policy.parse("O12-L12-FB8q-G32q")
    fine = policy.gradient.format
    tie = Fraction(1) + Fraction(1, 1 << 8)  # between two values of posit<12,2>, and to round up for what follows it
    x = torch.tensor([[1.0], [1 / 2**8], [1 / 2**13]], dtype=torch.float64)
    gradient = torch.tensor([[1.0], [1.0], [1 / 2**13]], dtype=torch.float64)
    weight = torch.zeros(1, 1, requires_grad=True)
    Carrying.apply(functional.linear(x[:, None], weight, None, policy), 3).backward(gradient[:, None])
    total = reference.round_to(fine, tie + Fraction(1, 1 << 26))
    expected = reference.round_to(policy.optimizer.format, reference.round_to(fine, total / 3))
    assert not differences(weight.grad, {(0, 0): expected})


# Cross-entropy -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("upstream", [1, 3], ids=["plain", "scaled"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("order", ["exact", "positnn"])
@pytest.mark.parametrize("loss_format", ["L12", "L8", "L10/1u", "L9/3"])
@pytest.mark.parametrize("scale", [1, 30], ids=["usual", "extreme"])
def test_cross_entropy(scale, loss_format, order, reduction, upstream):
    policy = Policy.parse(f"O12-{loss_format}-FBG8q@{order}")
    logits = (scale * normal(6, 5)).double().requires_grad_()
    target = [0, 4, 2, 2, 1, 3]
    loss = functional.cross_entropy(logits, torch.tensor(target), policy, reduction)
    (upstream * loss).backward()
    expected, gradient = reference.cross_entropy(policy, array(logits), target, reduction, upstream)
    assert not differences(loss, {(): expected})
    assert not differences(logits.grad, gradient)


def test_the_batch_size_is_rounded_too():
    """Posit<8,2> has no 50: the sum over a batch of 50 is divided by 48, the nearest value."""
    policy = Policy.parse("O12-L8-FBG8q")
    logits, target = normal(50, 3), [i % 3 for i in range(50)]
    loss = functional.cross_entropy(logits, torch.tensor(target), policy)
    assert not differences(loss, {(): reference.cross_entropy(policy, array(logits), target)[0]})
    total = functional.cross_entropy(logits, torch.tensor(target), policy, "sum")
    assert array(loss)[()] == reference.round_to(policy.loss.format, array(total)[()] / 48)


def test_a_loss_that_declares_no_factor_has_none():
    """PyTorch's own mean has divided by N already: the layers must not divide again."""
    x, target = normal(5, 4), torch.tensor([0, 1, 2, 0, 1])
    gradients = []
    for loss in (torch.nn.functional.cross_entropy, lambda y, t: functional.cross_entropy(y, t, POLICY)):
        weight = master(POLICY, 3, 4, seed=2)
        loss(functional.linear(x, weight, None, POLICY), target).backward()
        gradients.append(weight.grad)
    assert torch.allclose(*gradients, rtol=0.2, atol=0.02)
    assert current_factor() == 1


def test_losses_over_different_batches_cannot_share_a_backward_pass():
    weight = master(POLICY, 3, 4, seed=2)
    loss = sum(
        functional.cross_entropy(functional.linear(normal(n, 4), weight, None, POLICY), torch.zeros(n).long(), POLICY)
        for n in (4, 6)
    )
    with pytest.raises(ValueError, match=r"means over (4 and 6|6 and 4) samples meet in one backward pass"):
        loss.backward()
    functional.cross_entropy(
        functional.linear(normal(6, 4), weight, None, POLICY), torch.zeros(6).long(), POLICY
    ).backward()


def test_cross_entropy_with_nar():
    logits = normal(3, 4).double()
    logits[1, 2] = NAN
    logits.requires_grad_()
    loss = functional.cross_entropy(logits, torch.tensor([0, 1, 2]), POLICY)
    loss.backward()
    expected, gradient = reference.cross_entropy(POLICY, array(logits), [0, 1, 2])
    assert expected is None
    assert loss.isnan()
    assert not differences(logits.grad, gradient)
    assert logits.grad.isnan().any(dim=1).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: functional.linear(normal(2, 3), normal(4, 5), None, POLICY),
            ValueError, r"linear: x must be of shape \(\.\.\., 5\), not \(2, 3\)",
        ),
        (lambda: functional.linear(torch.ones(()), normal(4, 5), None, POLICY), ValueError, r"not \(\)"),
        (
            lambda: functional.linear(normal(2, 5), normal(4, 5), normal(1), POLICY),
            ValueError, r"linear: weight and bias must be of shapes \(out, in\) and \(out,\), not \(4, 5\) and \(1,\)",
        ),
        (lambda: functional.linear(normal(2, 5), normal(5), None, POLICY), ValueError, r"not \(5,\) and None"),
        (
            lambda: functional.linear(torch.ones(2, 5, dtype=torch.int64), normal(4, 5), None, POLICY),
            TypeError, "take float tensors .*, not torch.int64",
        ),
        (
            lambda: functional.conv2d(normal(2, 3, 8, 8), normal(4, 2, 3, 3), None, Geometry((3, 3)), 1, POLICY),
            ValueError, r"conv2d: x must be of shape \(N, 2, H, W\), not \(2, 3, 8, 8\)",
        ),
        (
            lambda: functional.conv2d(normal(3, 8, 8), normal(4, 3, 3, 3), None, Geometry((3, 3)), 1, POLICY),
            ValueError, r"conv2d: x must be of shape \(N, 3, H, W\), not \(3, 8, 8\)",
        ),
        (
            lambda: functional.conv2d(normal(2, 3, 2, 8), normal(4, 3, 3, 3), None, Geometry((3, 3)), 1, POLICY),
            ValueError, r"conv2d: an input of 2×8 is smaller than the kernel \(3, 3\)",
        ),
        (
            lambda: functional.conv2d(normal(2, 4, 8, 8), normal(3, 2, 3, 3), None, Geometry((3, 3)), 2, POLICY),
            ValueError, r"shapes \(O, C / groups, 3, 3\) and \(O,\), where 2 divides O, not \(3, 2, 3, 3\) and None",
        ),
        (
            lambda: functional.conv2d(normal(2, 3, 8, 8), normal(4, 3, 3, 3), None, Geometry((2, 2)), 1, POLICY),
            ValueError, r"weight and bias must be of shapes \(O, C / groups, 2, 2\)",
        ),
        (
            lambda: functional.conv2d(normal(2, 3, 8, 8), normal(4, 3, 3, 3), normal(3), Geometry((3, 3)), 1, POLICY),
            ValueError, r"not \(4, 3, 3, 3\) and \(3,\)",
        ),
        (
            lambda: functional.cross_entropy(normal(2, 3), torch.tensor([0, 1, 2]), POLICY),
            ValueError, r"logits must be \(N, classes\) and target \(N,\), not \(2, 3\) and \(3,\)",
        ),
        (
            lambda: functional.cross_entropy(normal(2, 3), torch.tensor([0, 3]), POLICY),
            ValueError, r"cross_entropy: targets must be classes 0\.\.2",
        ),
        (
            lambda: functional.cross_entropy(normal(2, 3), torch.tensor([0, -1]), POLICY),
            ValueError, r"cross_entropy: targets must be classes 0\.\.2",
        ),
        (
            lambda: functional.cross_entropy(normal(2, 3), torch.tensor([0.0, 1.0]), POLICY),
            TypeError, r"target must be int64 class indices, not torch.float32; call \.long\(\) on it",
        ),
        (
            lambda: functional.cross_entropy(normal(2, 3), torch.tensor([0, 1]), POLICY, "none"),
            ValueError, "cross_entropy: reduction must be 'mean' or 'sum', not 'none'",
        ),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
