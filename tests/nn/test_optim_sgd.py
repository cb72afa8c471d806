import pytest
import torch

from positcore.nn import SGD, Policy, quantize
from tests.nn import reference
from tests.nn.reference import array, differences

POLICY = Policy.parse("O12-L12-FBG8q")
OPTIONS = {
    "plain": {},
    "momentum": {"momentum": 0.5},
    "momentum 0.9": {"momentum": 0.9},
    "dampening": {"momentum": 0.9, "dampening": 0.3},
    "full dampening": {"momentum": 0.9, "dampening": 1.0},
    "dampening without momentum": {"dampening": 0.3},
    "weight decay": {"weight_decay": 0.013},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "all": {"momentum": 0.7, "weight_decay": 0.01, "nesterov": True},
    "all but nesterov": {"momentum": 0.7, "weight_decay": 0.01, "dampening": 0.1},
}
FORMATS = ["O12", "O8", "O16/1", "O9/0u", "O32"]


def draw(policy, count, seed=1):
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(3, 4, generator=generator) for _ in range(count)]
    return [quantize(policy.optimizer.format, w).requires_grad_() for w in weights]


def give_gradients(policy, parameters, step):
    generator = torch.Generator().manual_seed(100 + step)
    for w in parameters:
        gradient = quantize(policy.gradient.format, torch.randn(w.shape, generator=generator))
        w.grad = gradient.to(w.dtype)


def follow(policy, parameters, options, optimizer, steps=4, before=lambda step: None):
    """Steps of the optimizer beside the reference's; `options` are those of each parameter."""
    followers = [reference.SGD(policy.optimizer.format) for _ in parameters]
    for step in range(steps):
        before(step)
        give_gradients(policy, parameters, step)
        expected = [
            follower.step(array(w), array(w.grad), **(options(step)[i]))
            for i, (w, follower) in enumerate(zip(parameters, followers, strict=True))
        ]
        optimizer.step()
        for w, values in zip(parameters, expected, strict=True):
            assert not differences(w, values)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("text", FORMATS)
def test_steps(text, name):
    policy = Policy.parse(f"{text}-L12-FB8q-G10q")
    (w,) = draw(policy, 1)
    options = dict(lr=0.1, **OPTIONS[name])
    follow(policy, [w], lambda step: [options], SGD([w], policy, **options))


def test_groups_and_a_schedule():
    parameters = draw(POLICY, 3)
    groups = [
        {"params": parameters[:2]},
        {"params": parameters[2:], "lr": 0.3, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    ]
    optimizer = SGD(groups, POLICY, lr=1 / 16, momentum=0.5)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.3)

    def options(step):
        shrink = 0.3 ** (step // 2)
        first = {"lr": 1 / 16 * shrink, "momentum": 0.5}
        second = {"lr": 0.3 * shrink, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}
        return [first, first, second]

    follow(POLICY, parameters, options, optimizer, 6, lambda step: step and schedule.step())
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1 / 16 * 0.09)


def test_dampening_is_rounded_once():
    """A hair above a tie of O: float32 would see the tie, and round it down to the even code."""
    policy = Policy.parse("O12-L12-FBG8q")
    dampening = 0.5 + 2.0**-9 + 2.0**-40  # posit<12,2> has steps of 2^−8 there
    assert quantize(policy.optimizer.format, torch.tensor(dampening, dtype=torch.float64)) != quantize(
        policy.optimizer.format, torch.tensor(dampening, dtype=torch.float32)
    )
    (w,) = draw(policy, 1)
    options = {"lr": 1.0, "momentum": 0.5, "dampening": dampening}
    follow(policy, [w], lambda step: [options], SGD([w], policy, **options))


def test_state_is_of_the_optimizers_format_and_can_be_saved():
    (w,), (v,) = draw(POLICY, 1), draw(POLICY, 1)
    optimizer, other = (SGD([p], POLICY, lr=0.1, momentum=0.9, weight_decay=0.01) for p in (w, v))
    for step in range(4):
        if step == 2:
            v.data.copy_(w)
            other.load_state_dict(optimizer.state_dict())
        give_gradients(POLICY, [w, v], step)
        v.grad = w.grad.clone()
        optimizer.step()
        other.step()
    assert torch.equal(w, v)
    velocity = optimizer.state[w]["momentum_buffer"]
    assert torch.equal(quantize(POLICY.optimizer.format, velocity), velocity)
    assert velocity.dtype == w.dtype


def test_a_parameter_without_gradient_stays():
    w, v = draw(POLICY, 2)
    before = v.clone()
    optimizer = SGD([w, v], POLICY, lr=0.1, momentum=0.9)
    give_gradients(POLICY, [w], 0)
    optimizer.step()
    assert torch.equal(v, before)
    assert v not in optimizer.state


def test_nar_gradients_make_nar_weights():
    (w,) = draw(POLICY, 1)
    w.grad = torch.zeros_like(w)
    w.grad[1, 2] = float("nan")
    SGD([w], POLICY, lr=0.1).step()
    assert w.isnan().nonzero().tolist() == [[1, 2]]


def test_closure():
    (w,) = draw(POLICY, 1)
    before = array(w)
    optimizer = SGD([w], POLICY, lr=0.5)

    def closure():
        assert torch.is_grad_enabled()
        optimizer.zero_grad()
        loss = w.sum()
        loss.backward()
        return loss

    loss = optimizer.step(closure)
    assert loss.item() == pytest.approx(float(sum(before.values())))
    expected = reference.SGD(POLICY.optimizer.format).step(before, dict.fromkeys(before, 1), lr=0.5)
    assert not differences(w, expected)
    assert optimizer.step() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -0.1}, r"SGD: lr must be finite and not negative, not -0\.1"),
        ({"lr": float("nan")}, "SGD: lr must be finite and not negative, not nan"),
        ({"lr": float("inf")}, "SGD: lr must be finite and not negative, not inf"),
        ({"lr": 0.1, "momentum": -1}, "SGD: momentum must be finite and not negative, not -1"),
        ({"lr": 0.1, "dampening": -1}, "SGD: dampening must be finite and not negative, not -1"),
        ({"lr": 0.1, "weight_decay": -1}, "SGD: weight_decay must be finite and not negative, not -1"),
        ({"lr": 0.1, "nesterov": True}, "SGD: nesterov needs a momentum and no dampening"),
        (
            {"lr": 0.1, "nesterov": True, "momentum": 0.5, "dampening": 0.1},
            "nesterov needs a momentum and no dampening",
        ),
    ],
    ids=str,
)
def test_hyper_parameters_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        SGD(draw(POLICY, 1), POLICY, **options)


def test_parameters_that_are_no_optimizer_values():
    (w,) = draw(POLICY, 1)
    expected = (
        r"parameters must be O values \(posit<12,2>\) in torch.float32, not {}; convert the model with this policy"
    )
    with pytest.raises(ValueError, match=expected.format("torch.float64")):
        SGD([w.detach().double().requires_grad_()], POLICY, lr=0.1)
    with pytest.raises(ValueError, match=expected.format(r"0\.1000\d*")):
        SGD([w, torch.tensor([1.0, 0.1, float("nan")], requires_grad=True)], POLICY, lr=0.1)
    SGD([torch.tensor([1.0, float("nan")], requires_grad=True)], POLICY, lr=0.1)  # NaR is a value
