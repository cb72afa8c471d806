"""Adam, AdamW and RMSprop against plain Python, bit for bit."""

import pytest
import torch

import positcore as pc
from positcore.nn import Adam, AdamW, Policy, RMSprop, quantize, tensors
from tests.nn import reference_optimizers
from tests.nn.reference import array, differences

KINDS = {
    Adam: {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-3, "weight_decay": 0.0, "amsgrad": False},
    AdamW: {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-3, "weight_decay": 1e-2, "amsgrad": False},
    RMSprop: {"lr": 1e-2, "alpha": 0.99, "eps": 1e-3, "weight_decay": 0.0, "momentum": 0.0, "centered": False},
}
MOMENTS = {
    "plain": {},
    "large steps": {"lr": 0.25, "betas": (0.5, 0.75), "eps": 0.125},
    "amsgrad": {"lr": 0.1, "betas": (0.8, 0.5), "amsgrad": True},
    "weight decay": {"lr": 0.1, "weight_decay": 0.3},
    "maximize": {"lr": 0.1, "maximize": True, "weight_decay": 0.1},
    "no memory": {"lr": 0.1, "betas": (0.0, 0.0)},
    "no eps": {"lr": 0.1, "eps": 0.0},
}
CASES = [(kind, name, options) for kind in (Adam, AdamW) for name, options in MOMENTS.items()] + [
    (RMSprop, name, options)
    for name, options in {
        "plain": {},
        "large steps": {"lr": 0.25, "alpha": 0.5, "eps": 0.125},
        "momentum": {"momentum": 0.9},
        "centered": {"lr": 0.1, "alpha": 0.75, "centered": True, "eps": 0.125},
        "weight decay": {"lr": 0.1, "weight_decay": 0.3, "momentum": 0.3, "maximize": True},
        "no memory": {"alpha": 0.0, "centered": True, "lr": 0.1},
        "no eps": {"eps": 0.0},
    }.items()
]
NAMES = [f"{kind.__name__} {name}" for kind, name, _ in CASES]
FORMATS = ["O12", "O8", "O16/1", "O9/0f3", "O32"]
POLICY = Policy.parse("O12-L12-FBG8q")


def draw(policy, shape=(2, 4), seed=1):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return quantize(policy.optimizer.format, w).requires_grad_()


def give_gradients(policy, parameters, step):
    """Gradients in G of many sizes; the first is always zero, and one is NaR at the last of four steps."""
    generator = torch.Generator().manual_seed(100 + step)
    for w in parameters:
        size = torch.exp2(torch.randint(-9, 4, w.shape, generator=generator))
        gradient = quantize(policy.gradient.format, size * torch.randn(w.shape, generator=generator))
        gradient.view(-1)[0] = 0
        if step == 3:
            gradient.view(-1)[1] = float("nan")
        w.grad = gradient.to(w.dtype)


@pytest.mark.parametrize(("kind", "name", "options"), CASES, ids=NAMES)
@pytest.mark.parametrize("text", FORMATS)
def test_steps(text, kind, name, options):
    policy = Policy.parse(f"{text}-L12-FB8q-G10q")
    w, options = draw(policy), {**KINDS[kind], **options}
    optimizer = kind([w], policy, **options)
    follower = getattr(reference_optimizers, kind.__name__)(policy.optimizer.format, **options)
    for step in range(4):
        give_gradients(policy, [w], step)
        expected = follower.step(array(w), array(w.grad))
        optimizer.step()
        assert not differences(w, expected)
    for key, state in optimizer.state[w].items():
        if key == "step":
            assert state == 4
        else:
            assert torch.equal(quantize(policy.optimizer.format, state).nan_to_num(0.5), state.nan_to_num(0.5))
            assert state.dtype == w.dtype
            assert state.shape == w.shape


@pytest.mark.parametrize("kind", KINDS)
def test_groups_schedules_and_parameters_that_come_later(kind):
    """Parameters whose first gradients come later have a step count of their own."""
    options = KINDS[kind]
    one, two, late = (draw(POLICY, seed=seed) for seed in range(3))
    groups = [{"params": [one, late]}, {"params": [two], "lr": 0.3, "weight_decay": 0.1}]
    optimizer = kind(groups, POLICY, **{**options, "lr": 0.1})
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.7)
    make = getattr(reference_optimizers, kind.__name__)
    followers = {w: make(POLICY.optimizer.format, **options) for w in (one, late)}
    followers[two] = make(POLICY.optimizer.format, **{**options, "weight_decay": 0.1})
    for step in range(4):
        ready = [one, two, late] if step >= 2 else [one, two]
        give_gradients(POLICY, ready, step)
        rates = {w: group["lr"] for group in optimizer.param_groups for w in group["params"]}
        assert rates[two] == pytest.approx(0.3 * 0.7**step)
        expected = {w: followers[w].step(array(w), array(w.grad), lr=rates[w]) for w in ready}
        before = late.detach().clone()
        optimizer.step()
        schedule.step()
        assert all(not differences(w, values) for w, values in expected.items())
        assert step >= 2 or (torch.equal(late, before) and late not in optimizer.state)


@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_one_cycle_moves_beta(kind):
    """OneCycleLR changes the learning rate and the first beta at every step."""
    w = draw(POLICY)
    optimizer = kind([w], POLICY, lr=0.1, eps=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.3, total_steps=5)
    follower = getattr(reference_optimizers, kind.__name__)(POLICY.optimizer.format, **KINDS[kind])
    betas = set()
    for step in range(4):
        give_gradients(POLICY, [w], 0)
        now = {name: optimizer.param_groups[0][name] for name in ("lr", "betas")}
        betas.add(now["betas"])
        expected = follower.step(array(w), array(w.grad), **now)
        optimizer.step()
        schedule.step()
        assert not differences(w, expected), step
    assert len(betas) == 4


def test_beta_of_0_999_moves_the_second_moment():
    """Its constant is 0.001 rounded to O, not 1 minus the rounded beta, which would be 0."""
    fmt = POLICY.optimizer.format
    assert quantize(fmt, torch.tensor(0.999)) == 1
    w = draw(POLICY)
    optimizer = Adam([w], POLICY)
    w.grad = torch.ones_like(w)
    optimizer.step()
    assert torch.equal(optimizer.state[w]["exp_avg_sq"], quantize(fmt, torch.full_like(w, 0.001)))


def test_a_quadratic_is_minimized():
    for kind, options in ((Adam, {}), (AdamW, {"weight_decay": 0.0}), (RMSprop, {"eps": 1e-3})):
        w = draw(POLICY)
        optimizer = kind([w], POLICY, **{"lr": 0.03, **options})
        for _ in range(200):
            w.grad = (w.detach() - 0.75) * 2
            optimizer.step()
        assert (w - 0.75).abs().max() < 1 / 16, kind


def test_a_centered_variance_that_rounding_makes_negative_is_zero():
    w = draw(POLICY)
    optimizer = RMSprop([w], POLICY, lr=0.01, alpha=0.5, eps=0.125, centered=True)
    w.grad = quantize(POLICY.optimizer.format, torch.linspace(1, 2, w.numel())).view_as(w)
    negative = 0
    for _ in range(30):
        optimizer.step()
        square, mean = (optimizer.state[w][key].double() for key in ("square_avg", "grad_avg"))
        negative += int((square < mean * mean).any())
        assert not w.isnan().any()
    assert negative


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Adam, {"lr": -1}, "Adam: lr must be finite and not negative, not -1"),
        (AdamW, {"weight_decay": -1}, "AdamW: weight_decay must be finite and not negative, not -1"),
        (Adam, {"eps": float("nan")}, "Adam: eps must be finite and not negative, not nan"),
        (Adam, {"betas": (0.9, 1.0)}, r"Adam: betas\[1\] must be at least 0 and less than 1, not 1\.0"),
        (AdamW, {"betas": (-0.1, 0.9)}, r"AdamW: betas\[0\] must be at least 0 and less than 1, not -0\.1"),
        (Adam, {"betas": (0.9,)}, r"Adam: betas must be two numbers, not \(0\.9,\)"),
        (RMSprop, {"alpha": 1}, "RMSprop: alpha must be at least 0 and less than 1, not 1"),
        (RMSprop, {"momentum": -0.5}, r"RMSprop: momentum must be finite and not negative, not -0\.5"),
    ],
    ids=str,
)
def test_hyper_parameters_out_of_range(kind, options, message):
    w = draw(POLICY)
    with pytest.raises(ValueError, match=message):
        kind([w], POLICY, **options)
    optimizer = kind([w], POLICY)
    with pytest.raises(ValueError, match=message):
        optimizer.add_param_group({"params": [draw(POLICY)], **options})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Adam, {}, r"Adam: eps = 1e-08 is 0 in posit<8,0>u; give a larger one, or an O format with it"),
        (RMSprop, {}, "RMSprop: eps = 1e-08 is 0 in"),
        (AdamW, {"eps": 0.1}, r"AdamW: 1 − betas\[1\] = 0\.001 is 0 in posit<8,0>u"),
        (RMSprop, {"eps": 0.1, "alpha": 0.999}, "RMSprop: 1 − alpha = 0.001 is 0 in"),
    ],
    ids=str,
)
def test_constants_that_the_format_loses(kind, options, message):
    policy = Policy.parse("O8/0u-L12-FBG8q")
    with pytest.raises(ValueError, match=message):
        kind([draw(policy)], policy, **options)


def rounding_twice(fmt, x, y, z):
    return tensors.add(fmt, tensors.mul(fmt, x, y), z)


def truncating(name):
    """The operation rounded down, to the next value below where it is not exact."""
    operation = getattr(tensors, name)

    def run(fmt, *operands):
        fine = operation(pc.PositFormat(32, fmt.es), *operands)
        nearest = quantize(fmt, fine)
        codes = torch.from_numpy(fmt.encode(nearest.double().numpy()).astype("int64"))
        lower = torch.from_numpy(fmt.decode(((codes - 1) & fmt.mask).numpy().astype(fmt.dtype)))
        return torch.where(nearest.double() > fine.double(), lower, nearest.double()).to(nearest.dtype)

    return run


@pytest.mark.parametrize("kind", [Adam, RMSprop])
@pytest.mark.parametrize("name", ["fma", "mul", "sub", "sqrt", "div", "add"])
def test_wrong_operations_are_seen(name, kind, monkeypatch):
    monkeypatch.setattr(tensors, name, rounding_twice if name == "fma" else truncating(name))
    policy = Policy.parse("O12-L12-FB8q-G12q")
    w = draw(policy, (8, 8))
    options = {**KINDS[kind], "lr": 0.25}
    optimizer = kind([w], policy, **options)
    follower = getattr(reference_optimizers, kind.__name__)(policy.optimizer.format, **options)
    wrong = []
    for step in range(3):
        give_gradients(policy, [w], step)
        expected = follower.step(array(w), array(w.grad))
        optimizer.step()
        wrong += differences(w, expected)
    assert wrong
