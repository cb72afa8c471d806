"""Sums that go on over several operations, in the units of a simulation: the bits of the golden model's quires."""

import numpy as np
import pytest
import torch
from torch import nn

import positcore as pc
from positcore import nn as pnn
from positcore.errors import MismatchError
from positcore.nn import backends, workers
from positcore.nn.backends import current_backend
from positcore.nn.codes import CodesBackend
from positcore.nn.golden import GoldenBackend
from positcore.nn.guard import only_simulated
from positcore.nn.term_sums import TermSums
from tests.nn.test_codes import Machine

F8, F12 = pc.PositFormat(8, 2), pc.PositFormat(12, 2)
SPEC = pc.MacSpec((F8, F12), F12)
GOLDEN = GoldenBackend()
SMALL = "O8-L8-FBG5q"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.setattr(backends, "_loaded", {})


@pytest.fixture
def units(monkeypatch):
    """A backend `units`, each of which is a golden function on codes."""
    machine = Machine()
    backend = CodesBackend(machine.matmul, machine.run)
    backend._golden = None
    monkeypatch.setitem(backends.BACKENDS, "units", lambda: backend)
    return backend


def pair(units, *shape):
    """The sums of both, all 0."""
    return [backend.quires(SPEC, shape) for backend in (units, GOLDEN)]


def codes(fmt, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 1 << fmt.n, shape).astype(fmt.dtype)


def test_parts_and_forms(units):
    """By slices, by index, elements, whole sums in another order, and an axis summed; parts overlap."""
    a, b = codes(F8, 3, 7), codes(F12, 7, 4, seed=1)
    found = []
    for backend in (units, GOLDEN):
        sums = backend.quires(SPEC, (3, 4))
        sums.add_matmul(a, b)
        sums[1:].add_matmul(a[1:, :2], b[:2])
        flat, at = sums.reshape((12,)), np.array([5, 0, 7])
        part = flat[at]
        part.add_product(a[0, :3], b[0, :1])
        flat[at] = part
        other = backend.quires(SPEC, (4, 3)).add_matmul(codes(F8, 4, 5), codes(F12, 5, 3))
        flat.add_quire(other.reshape((12,))[np.arange(12)[::-1]])
        flat.add_quire(backend.quires(SPEC, (12, 6)).add_product(codes(F8, 12, 6), codes(F12, 12, 6)).sum(1))
        found.append(sums.round().tolist())
    assert found[0] == found[1]
    assert len({code for row in found[0] for code in row}) > 6


def test_no_terms_are_zero(units):
    sums, quires = pair(units, 2, 3)
    assert sums.round().tolist() == quires.round().tolist() == [[0] * 3] * 2
    sums[:1].add_matmul(codes(F8, 1, 2), codes(F12, 2, 3))
    assert sums.round()[1].tolist() == [0] * 3


def test_what_does_not_fit(units):
    sums, _ = pair(units, 2, 3)
    with pytest.raises(ValueError, match=r"operands of shapes \(2, 2\) and \(2, 2\) do not make a product of"):
        sums.add_matmul(codes(F8, 2, 2), codes(F12, 2, 2))
    with pytest.raises(ValueError, match="only the part that was taken out by an index can be put back there"):
        sums[np.array([0])] = sums[np.array([1])]
    with pytest.raises(ValueError, match=r"whole sums of .* can be added, not 3 of 6 sums of"):
        sums[:1].add_quire(pair(units, 2, 3)[0][:1])
    with pytest.raises(ValueError, match=r"whole sums of .* sums of posit<8,2> → posit<8,2>"):
        sums.add_quire(units.quires(pc.MacSpec(F8), (2, 3)))


# Training -----------------------------------------------------------------------------------------


class Tied(nn.Module):
    """An embedding whose weight is the last layer's too, between them convolutions, a norm and a parameter by index."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(5, 4)
        self.down, self.up = nn.Conv2d(1, 2, (1, 3)), nn.ConvTranspose2d(2, 1, (1, 3))
        self.norm = nn.LayerNorm(4)
        self.out = nn.Linear(4, 5)
        self.out.weight = self.words.weight

    def forward(self, x):
        y = self.words(x)
        return self.out(self.norm(self.up(self.down(y[:, None, None]))[:, 0, 0]))


def two_linear():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    return model


def steps(model, policy, x, y, parts, scaled=False):
    """Two steps of training, each on as many micro-batches; all weights after them."""
    policy = pnn.Policy.parse(policy)
    torch.manual_seed(4)
    twin = pnn.convert(model(), policy)
    scale = pnn.BackScale([twin[0], twin[2]], policy, momentum=0.5) if scaled else None
    loss, optimizer = pnn.CrossEntropyLoss(policy), pnn.SGD(twin.parameters(), policy, lr=0.25)
    for _ in range(2):
        if parts == 1:
            optimizer.zero_grad()
            loss(twin(x), y).backward()
        else:
            with pnn.accumulate(twin.parameters()):
                for images, labels in zip(x.chunk(parts), y.chunk(parts), strict=True):
                    loss(twin(images), labels).backward()
        if scale:
            scale.unscale_(optimizer)
        optimizer.step()
    return torch.cat([p.detach().reshape(-1) for p in twin.parameters()])


WORDS, LABELS = torch.tensor([0, 3, 1, 3, 4, 0]), torch.tensor([1, 2, 0, 2, 1, 0])
X = torch.randn(6, 3, generator=torch.Generator().manual_seed(6))


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("policy", ["O12-L12-FBG8q", "O12-L12-F8q-B10/1q-G9q"])
def test_micro_batches_and_tied_parameters(units, policy, parts):
    expected = steps(Tied, policy, WORDS, LABELS, parts)
    with pnn.use_backend("units"):
        assert torch.equal(steps(Tied, policy, WORDS, LABELS, parts), expected)
    with pnn.use_backend("units", compare="golden"):
        assert torch.equal(steps(Tied, policy, WORDS, LABELS, parts), expected)


def test_sums_that_differ_are_found(units, monkeypatch):
    right = TermSums.round
    monkeypatch.setattr(TermSums, "round", lambda self: right(self) ^ 1)
    message = r"sums of posit<8,2>.*units 0b.* != golden 0b.* codes differ"
    with pytest.raises(MismatchError, match=message), pnn.use_backend("units", compare="golden"):
        steps(two_linear, "O12-L12-FBG8q", X, LABELS % 3, 2)


def test_back_scale(units):
    expected = steps(two_linear_free, "O12-L12-FBG8q", X, LABELS % 3, 1, scaled=True)
    with pnn.use_backend("units"):
        assert torch.equal(steps(two_linear_free, "O12-L12-FBG8q", X, LABELS % 3, 1, scaled=True), expected)


def two_linear_free():
    return nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))


def test_workers_send_their_terms(units, tmp_path, monkeypatch):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        monkeypatch.setattr(workers, "_size", lambda: 2)
        sums, quires = pair(units, 2, 3)
        for each in (sums, quires):
            each.add_matmul(codes(F8, 2, 4), codes(F12, 4, 3))
        assert workers.summed(sums).round().tolist() == workers.summed(quires).round().tolist()
        with pnn.use_backend("units", compare="golden"):
            both = current_backend().quires(SPEC, (2, 3)).add_matmul(codes(F8, 2, 4), codes(F12, 4, 3))
            assert workers.summed(both).round().tolist() == quires.round().tolist()
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.rtl
@pytest.mark.parametrize(
    ("backend", "model", "parts", "scaled"),
    [
        pytest.param("rtl", two_linear, 2, False, id="tied, accumulate"),
        pytest.param("rtl", two_linear, 1, False, id="tied", marks=pytest.mark.slow),
        pytest.param("rtl", two_linear_free, 1, True, id="BackScale", marks=pytest.mark.slow),
        pytest.param("cocotb", two_linear, 2, False, id="the text, tied, accumulate", marks=pytest.mark.slow),
    ],
)
def test_steps_in_rtl(backend, model, parts, scaled):
    """The golden model is barred: all sums are the simulated units'. Six is no value of G, posit<5,2>."""
    expected = steps(model, SMALL, X, LABELS % 3, parts, scaled)
    assert isinstance(current_backend(), GoldenBackend)
    with pnn.use_backend(backend), only_simulated():
        found = steps(model, SMALL, X, LABELS % 3, parts, scaled)
        counts = dict(current_backend().counts)
    assert torch.equal(found, expected)
    assert any(name.startswith("div") for name in counts)
    assert any(name.startswith(("array", "mac")) for name in counts)
