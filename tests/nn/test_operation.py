"""Posit operations refuse what would look into them, and backward passes whose gradients would be wrong."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint

from positcore import nn as pnn

POLICY = pnn.Policy.parse("O12-L12-FBG8q")
X, Y = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 0, 1, 2])


class Own(nn.Module):
    """A forward of one's own."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x) * 2


def twin(kind):
    return pnn.convert(kind(), POLICY)


def gradient_of(model):
    def loss(parameters):
        return pnn.CrossEntropyLoss(POLICY)(torch.func.functional_call(model, parameters, (X,)), Y)

    return torch.func.grad(loss)({name: p.detach() for name, p in model.named_parameters()})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [Own, lambda: nn.Sequential(nn.Linear(4, 3))], ids=["own", "layers"])
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: torch.vmap(model)(X), r"in transforms of torch.func \(vmap, grad, jacrev, …\); use batched"),
        (lambda model: torch.func.jacrev(model)(X[0]), "in transforms of torch.func"),
        (gradient_of, "in transforms of torch.func"),
        (lambda model: torch.jit.trace(model, X), "under torch.jit.trace; call the model itself"),
        (lambda model: torch.compile(model, backend="eager")(X), "under torch.compile; call the model itself"),
    ],
    ids=["vmap", "jacrev", "grad", "trace", "compile"],
)
def test_what_looks_into_operations_is_refused(kind, call, message):
    model = twin(kind)
    with pytest.raises(TypeError, match=f"linear: posit operations do not run {message}"):
        call(model)
    assert model(X).shape == (6, 3)


def test_functional_call_gives_the_same_bits():
    model = twin(Own)
    assert torch.equal(torch.func.functional_call(model, dict(model.named_parameters()), (X,)), model(X))


def test_fake_tensors_are_refused():
    """Those of torch.export, which would leave its modes behind after the error."""
    model, message = twin(Own), "on fake tensors, as under torch.export; call the model itself"
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, pytest.raises(TypeError, match=message):
        model(mode.from_tensor(X))


def test_distributed_data_parallel_is_refused(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        model = nn.parallel.DistributedDataParallel(twin(Own))
        with pytest.raises(TypeError, match=r"DistributedDataParallel, which adds gradients in floats; use pnn.accum"):
            model(X)
    finally:
        torch.distributed.destroy_process_group()


def test_a_pass_within_another_is_refused():
    """Its gradients would not be divided by the batch: the loss declares that to the outer pass."""
    model, loss = twin(Own), pnn.CrossEntropyLoss(POLICY)
    inputs = X.clone().requires_grad_()
    with pytest.raises(RuntimeError, match=r"within another does not know by how many samples .* use_reentrant=False"):
        loss(checkpoint(model, inputs, use_reentrant=True), Y).backward()
    loss(checkpoint(model, inputs, use_reentrant=False), Y).backward()
    found = [p.grad for p in model.parameters()]
    model.zero_grad()
    loss(model(X), Y).backward()
    assert all(torch.equal(p.grad, gradient) for p, gradient in zip(model.parameters(), found, strict=True))


@pytest.mark.parametrize("wanted", ["input", "weight"])
def test_gradients_of_gradients_are_refused(wanted):
    """A penalty on a gradient would be left out without a word."""
    model, inputs = twin(Own), X.clone().requires_grad_()
    y = model(inputs)
    what = inputs if wanted == "input" else model.layer.weight
    with pytest.raises(RuntimeError, match="create_graph=True: the gradients of posit operations have no gradients"):
        torch.autograd.grad(y, what, torch.ones_like(y), create_graph=True)
    y = model(inputs)
    assert torch.autograd.grad(y, what, torch.ones_like(y))[0].shape == what.shape
