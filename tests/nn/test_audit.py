"""The audit sees float arithmetic wherever it happens, and lets what is exact pass."""

import pytest
import torch
from torch import nn
from torch.nn.functional import max_pool2d, relu

from positcore import nn as pnn
from positcore.nn.models import lenet5

POLICY = pnn.Policy.parse("O12-L12-FBG8q")
X, Y = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(1)), torch.tensor([1, 0, 7, 1])


def test_training_steps_pass():
    twin = pnn.convert(lenet5(), POLICY)
    loss, optimizer = pnn.CrossEntropyLoss(POLICY), pnn.SGD(twin.parameters(), POLICY, 0.0625, 0.5, 0.0, 0.01, True)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    for _ in range(2):
        with pnn.audit(twin):
            optimizer.zero_grad()
            loss(twin(X), Y).backward()
            optimizer.step()
            schedule.step()
    with pnn.audit(twin), torch.no_grad():
        assert twin.eval()(X).argmax(1).shape == (4,)


def test_a_float_model_is_named():
    model = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(784, 10)))
    with (
        pnn.audit(model),
        pytest.raises(
            pnn.AuditError,
            match=r"audit: aten.addmm.default on float32\[10\], float32\[4, 784\], float32\[784, 10\] in the forward "
            r"pass, in Linear '1.0' is float arithmetic, which no hardware unit of the policy performs; use the posit",
        ),
    ):
        model(X)


def step(twin, *, loss=None, between=None, optimizer=None):
    loss = loss or pnn.CrossEntropyLoss(POLICY)
    optimizer = optimizer or pnn.SGD(twin.parameters(), POLICY, 0.0625)
    loss(twin(X), Y).backward()
    if between:
        between(twin)
    optimizer.step()


def decay(twin):
    for parameter in twin.parameters():
        parameter.grad.mul_(0.5)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda twin: step(twin, loss=nn.CrossEntropyLoss()), r"aten._log_softmax.default .* outside of the model"),
        (lambda twin: step(twin, loss=lambda z, y: (z * z).sum()), r"aten.mul.Tensor .* outside of the model"),
        (lambda twin: step(twin, between=decay), r"aten.mul_.Tensor on float32\[6, 1, 5, 5\]"),
        (lambda twin: step(twin, between=lambda t: nn.utils.clip_grad_norm_(t.parameters(), 1.0)), r"norm|foreach"),
        (
            lambda twin: step(twin, optimizer=torch.optim.SGD(twin.parameters(), 0.1, foreach=False)),
            r"aten.add_.Tensor on float32\[6, 1, 5, 5\], float32\[6, 1, 5, 5\] outside of the model",
        ),
    ],
    ids=["loss", "loss of one's own", "scaled gradients", "clipping", "optimizer"],
)
def test_each_part_of_a_step_is_seen(how, message):
    twin = pnn.convert(lenet5(), POLICY)
    with pnn.audit(twin), pytest.raises(pnn.AuditError, match=message):
        how(twin)


class TwoReaders(nn.Module):
    """A forward that nothing converted: the engine adds two gradients of one tensor in floats."""

    def __init__(self):
        super().__init__()
        self.layer = pnn.Linear(4, 4, policy=POLICY)

    def forward(self, x):
        h = self.layer(x)
        return torch.cat([h.relu(), h.neg()], 1)


def test_the_backward_pass_is_seen():
    with (
        pnn.audit(),
        pytest.raises(pnn.AuditError, match=r"aten.add.Tensor on .* in the backward pass is float arithmetic"),
    ):
        TwoReaders()(torch.ones(2, 4)).backward(torch.ones(2, 8))
    twin = pnn.convert(nn.Sequential(nn.Linear(4, 4)), POLICY)
    with pnn.audit(twin):
        twin(torch.ones(2, 4)).backward(torch.ones(2, 4))


@pytest.mark.parametrize(
    ("call", "passes"),
    [
        (lambda x: x.to(torch.float64), True),
        (lambda x: x.half(), False),
        (lambda x: torch.zeros(2, 3).copy_(x), True),
        (lambda x: torch.zeros(2, 3).copy_(x.double()), False),
        (lambda x: x[:, torch.tensor([0, 0, 1])], True),
        (lambda x: x.clone().index_put_((torch.tensor([0, 0]),), torch.ones(3), accumulate=False), True),
        (lambda x: x.clone().index_put_((torch.tensor([0, 0]),), torch.ones(3), accumulate=True), False),
        (lambda x: x.clone().scatter_(1, torch.zeros(2, 1, dtype=torch.int64), 1.0), True),
        (lambda x: x.clone().scatter_add_(1, torch.zeros(2, 1, dtype=torch.int64), torch.ones(2, 1)), False),
        (lambda x: (x > 0).float(), True),
        (lambda x: torch.arange(5) * 3 + 1, True),
        (lambda x: relu(x).amax(1).neg(), True),
        (lambda x: x.sum(), False),
        (lambda x: x.mean(), False),
        (lambda x: x.exp(), False),
        (lambda x: x @ x.T, False),
        (lambda x: x / 2, False),
        (lambda x: x.sqrt(), False),
        (lambda x: x.var(), False),
        (lambda x: x.cumsum(0), False),
        (lambda x: max_pool2d(x[None], 1), True),
        (lambda x: torch.randn_like(x), True),
        (lambda x: x.view(torch.int32), True),
        (lambda x: (x.view(torch.int32) + 1).view(torch.float32), False),
    ],
)
def test_what_is_exact(call, passes):
    x = torch.tensor([[1.0, -2.0, 3.0], [0.5, 0.25, -1.0]])
    if passes:
        with pnn.audit():
            call(x)
        return
    with pnn.audit(), pytest.raises(pnn.AuditError, match="float arithmetic"):
        call(x)


@pytest.mark.parametrize("stride", [1, 2])
def test_pooling_gradients_that_overlap_are_sums(stride):
    x = torch.randn(1, 1, 4, 4, requires_grad=True)
    y = max_pool2d(x, 2, stride)
    if stride == 2:
        with pnn.audit():
            y.backward(torch.ones_like(y))
        return
    with pnn.audit(), pytest.raises(pnn.AuditError, match="max_pool2d_with_indices_backward"):
        y.backward(torch.ones_like(y))


def test_afterwards_nothing_is_left():
    model = nn.Linear(2, 2)
    with pnn.audit(model), pytest.raises(pnn.AuditError):
        model(torch.ones(1, 2))
    assert not model._forward_pre_hooks
    assert not model._forward_hooks
    model(torch.ones(1, 2)).sum().backward()


def test_backward_passes_of_every_device_run_in_the_thread_of_the_audit():
    with pnn.audit():
        assert not torch._C._is_multithreading_enabled()
    assert torch._C._is_multithreading_enabled()
