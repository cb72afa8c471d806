"""What all optimizers share: state that can be saved, copied and loaded, and errors that change nothing."""

import copy
import io
import pickle

import pytest
import torch

from positcore import nn as pnn
from positcore.nn import SGD, Adam, AdamW, Policy, RMSprop, audit, clip_grad_norm_, clip_grad_value_, quantize

POLICY = Policy.parse("O12-L12-FBG8q")
KINDS = {
    SGD: {"lr": 0.1, "momentum": 0.9},
    Adam: {"lr": 0.1, "amsgrad": True},
    AdamW: {"lr": 0.1},
    RMSprop: {"lr": 0.1, "momentum": 0.5, "centered": True, "eps": 1e-2},
}


def draw(policy=POLICY, seed=1):
    w = torch.randn(3, 4, generator=torch.Generator().manual_seed(seed))
    return quantize(policy.optimizer.format, w).requires_grad_()


def run(optimizer, steps, policy=POLICY):
    for step in steps:
        for group in optimizer.param_groups:
            for w in group["params"]:
                gradient = torch.randn(w.shape, generator=torch.Generator().manual_seed(step))
                w.grad = quantize(policy.gradient.format, gradient).to(w.dtype)
        optimizer.step()


def weights(optimizer):
    return torch.stack([w.detach() for group in optimizer.param_groups for w in group["params"]])


def started(kind):
    optimizer = kind([draw()], POLICY, **KINDS[kind])
    run(optimizer, range(3))
    return optimizer


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("kind", KINDS)
def test_going_on_from_a_saved_state(kind):
    optimizer = started(kind)
    other = kind([optimizer.param_groups[0]["params"][0].detach().clone().requires_grad_()], POLICY, lr=1.0)
    other.load_state_dict(through_a_file(optimizer.state_dict()))
    assert other.param_groups[0]["lr"] == 0.1
    run(optimizer, range(3, 6))
    run(other, range(3, 6))
    assert torch.equal(weights(other), weights(optimizer))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("kind", KINDS)
def test_copies(kind, copied):
    optimizer = started(kind)
    other = copied(optimizer)
    before = weights(other)
    run(optimizer, range(3, 6))
    assert torch.equal(weights(other), before)
    assert other.policy == POLICY
    run(other, range(3, 6))
    assert torch.equal(weights(other), weights(optimizer))
    other.load_state_dict(through_a_file(other.state_dict()))


@pytest.mark.parametrize("kind", KINDS)
def test_one_vector_or_many_calls(kind):
    """Parameters updated together have the bits of those updated alone."""
    together = [draw(seed=seed) for seed in range(3)]
    alone = [w.detach().clone().requires_grad_() for w in together]
    optimizers = [kind([w], POLICY, **KINDS[kind]) for w in alone]
    optimizer = kind(together, POLICY, **KINDS[kind])
    run(optimizer, range(3))
    for other in optimizers:
        run(other, range(3))
    assert torch.equal(torch.stack(together), torch.stack(alone))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_computed_in_floats(kind):
    optimizer = kind([draw(seed=seed) for seed in range(2)], POLICY, **KINDS[kind], weight_decay=0.1, maximize=True)
    with audit():
        for _ in range(2):
            for w in optimizer.param_groups[0]["params"]:
                w.grad = draw(seed=3).detach()
            clip_grad_norm_(optimizer.param_groups[0]["params"], 0.5, POLICY)
            clip_grad_norm_(optimizer.param_groups[0]["params"], 0.25, POLICY, float("inf"))
            clip_grad_norm_(optimizer.param_groups[0]["params"], 0.25, POLICY, 1)
            clip_grad_value_(optimizer.param_groups[0]["params"], 0.125, POLICY)
            optimizer.step()


@pytest.mark.parametrize("kind", KINDS)
def test_a_learning_rate_may_be_a_tensor(kind):
    one, two = (kind([draw()], POLICY, **{**KINDS[kind], "lr": lr}) for lr in (0.0625, torch.tensor(0.0625)))
    run(one, range(2))
    run(two, range(2))
    assert torch.equal(weights(one), weights(two))


def test_states_of_others_are_refused_and_change_nothing():
    optimizer = started(Adam)
    before = copy.deepcopy(optimizer.state_dict())

    def refused(state, message):
        with pytest.raises(ValueError, match=message):
            optimizer.load_state_dict(state)
        after = optimizer.state_dict()
        assert after["param_groups"] == before["param_groups"]
        assert all(torch.equal(after["state"][0][key], x) for key, x in before["state"][0].items() if key != "step")

    refused(started(SGD).state_dict(), "Adam: the state to load is of another optimizer: it has no betas, eps, amsgrad")
    changed = copy.deepcopy(before)
    changed["state"][0]["exp_avg"][0, 0] = 0.1
    refused(
        changed, r"Adam: exp_avg of the state to load must be O values \(posit<12,2>\) in torch.float32, not 0\.1000\d"
    )
    changed["state"][0]["exp_avg"] = before["state"][0]["exp_avg"].double()
    refused(changed, "not torch.float64; it is of another policy than O12-L12-FBG8q, or of a float optimizer")
    w = draw()
    w.grad = torch.zeros_like(w)
    floats = torch.optim.Adam([w])
    floats.step()
    refused(floats.state_dict(), r"Adam: step of the state to load must be an integer, not tensor\(1\.\)")


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_that_are_no_optimizer_values(kind):
    name = kind.__name__
    optimizer = kind([draw()], POLICY, **KINDS[kind])
    wrong = torch.tensor([1.0, 0.1, float("nan")], requires_grad=True)
    message = (
        rf"{name}: parameters must be O values \(posit<12,2>\) in torch.float32, not 0\.1000\d*; convert the model"
    )
    for call in (lambda: kind([wrong], POLICY, lr=0.1), lambda: optimizer.add_param_group({"params": [wrong]})):
        with pytest.raises(ValueError, match=message):
            call()
    assert len(optimizer.param_groups) == 1
    with pytest.raises(TypeError, match=f"{name}: policy must be a Policy, not 0.1"):
        kind([draw()], 0.1, lr=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_sparse_gradients_are_refused(kind):
    w = draw()
    optimizer = kind([w], POLICY, **KINDS[kind])
    w.grad = torch.eye(3, 4).to_sparse()
    with pytest.raises(TypeError, match=f"{kind.__name__}: a gradient is sparse; posit optimizers take dense ones"):
        optimizer.step()


def test_bad_arguments_are_named():
    policy = pnn.Policy.parse("O12-L12-FBG8q")
    twin = pnn.convert(torch.nn.Linear(2, 2), policy)
    with pytest.raises(TypeError, match="SGD: lr must be a number, not 'a'"):
        pnn.SGD(twin.parameters(), policy, lr="a")
    with pytest.raises(ValueError, match="SGD: foreach chooses how PyTorch computes in floats; leave it out"):
        pnn.SGD([{"params": twin.parameters(), "foreach": True}], policy, lr=0.1)
    with pytest.raises(
        ValueError, match="Adam: the state to load is of no optimizer: it has no param_groups and state"
    ):
        pnn.Adam(twin.parameters(), policy).load_state_dict({})
    for clip in (pnn.clip_grad_norm_, pnn.clip_grad_value_):
        with pytest.raises(TypeError, match=r"clip_grad_.*_: policy must be a Policy, not 2.0"):
            clip(twin.parameters(), 1.0, 2.0)
    with pytest.raises(TypeError, match="DynamicScaler: policy must be a Policy, not 3"):
        pnn.DynamicScaler(3)
    with pytest.raises(TypeError, match="BackScale: policy must be a Policy, not 3"):
        pnn.BackScale([twin], 3)
    with pytest.raises(
        ValueError, match="BackScale: the state to load has no running and exponents; it is of something"
    ):
        pnn.BackScale([twin], policy).load_state_dict({})
    with pytest.raises(ValueError, match="quantize_model: the sample is empty; give some hundred inputs"):
        pnn.quantize_model(torch.nn.Linear(2, 2), policy, torch.ones(0, 2))
