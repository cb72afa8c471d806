"""`CodesBackend` on units that are the golden functions on codes: what it asks of a machine, and what it refuses."""

import numpy as np
import pytest
import torch

import positcore as pc
from positcore import nn as pnn
from positcore.floats import from_float
from positcore.nn import backends, tensors
from positcore.nn.codes import CodesBackend
from positcore.nn.golden import GoldenBackend

F8, F12, F10 = pc.PositFormat(8, 2), pc.PositFormat(12, 2), pc.PositFormat(10, 1)
GOLDEN = GoldenBackend()


class Machine:
    """Units by the golden functions; `asked` is what was run."""

    def __init__(self):
        self.asked = []

    def run(self, unit, spec, inputs, **options):
        self.asked.append(unit)
        columns = list(inputs.values())
        assert len({len(column) for column in columns}) == 1
        if unit == "convert":
            return pc.convert(spec.a, spec.out, columns[0])
        if unit == "from-float":
            return from_float(spec.out, columns[0].view(options["float_format"]), options["float_format"])
        if unit == "function":
            return getattr(pc, options["function"])(spec.out, columns[0])
        return getattr(pc, unit)(spec.out, *columns)

    def matmul(self, spec, a, b, bias):
        self.asked.append("matmul")
        if a.ndim == 2:
            return pc.matmul(spec, a, b, bias)
        return np.stack([
            pc.matmul(spec, x, y, None if bias is None else bias[i])
            for i, (x, y) in enumerate(zip(a, b, strict=True))
        ])  # fmt: skip


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def backend(machine):
    return CodesBackend(machine.matmul, machine.run)


def values(fmt, *shape, seed=0):
    x = GOLDEN.quantize(fmt, torch.randn(shape, generator=torch.Generator().manual_seed(seed)))
    x.view(-1)[0] = torch.nan
    return x


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all())


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "fma", "sqrt"])
def test_elements(backend, machine, name):
    """Operands broadcast, each element is an operation of the unit of that name."""
    x, y, z = values(F8, 3, 4), values(F8, 4, seed=1), values(F8, 1, seed=2)
    operands = {"fma": (x, y, z), "sqrt": (x,)}.get(name, (x, y))
    assert same(getattr(backend, name)(F8, *operands), getattr(GOLDEN, name)(F8, *operands))
    assert machine.asked == [name]


@pytest.mark.parametrize("name", ["add", "sub", "mul", "fma"])
def test_operands_of_another_format(backend, machine, name):
    """R_8 of posit<12,2> operands is a sum of exact products in a quire, with one rounding."""
    x, y, z = (values(F12, 50, seed=seed) for seed in range(3))
    backend.quantize(F12, x)
    operands = (x, y, z) if name == "fma" else (x, y)
    assert same(getattr(backend, name)(F8, *operands), getattr(GOLDEN, name)(F8, *operands))
    assert machine.asked == ["matmul"]


def test_what_has_no_unit(backend):
    x = values(F12, 9)
    backend.quantize(F12, x)
    wide = torch.rand(9, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"div: an operand is no value of posit<8,2>, and no format .* power of two"):
        backend.div(F8, x, wide)
    with pytest.raises(ValueError, match=r"sqrt: an operand is no value of posit<8,2>; quantize it first"):
        backend.sqrt(F8, x)
    with pytest.raises(
        ValueError, match="add: the operands are not all values of a format in use; quantize them first"
    ):
        backend.add(F8, torch.rand(9), x)
    with pytest.raises(ValueError, match="exp: an operand is no value of posit<8,2>; quantize it first"):
        backend.look_up(F8, "exp", torch.rand(9))
    with pytest.raises(ValueError, match="matmul: an operand is no value of posit<8,2>; quantize it first"):
        backend.matmul(pc.MacSpec(F8), torch.rand(2, 2), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="no unit reads float64; give float32"):
        backend.quantize(F8, torch.tensor([1 / 3], dtype=torch.float64))
    with pytest.raises(TypeError, match="TermSums: a MacSpec must have a Quire accumulator, not fused"):
        backend.quires(pc.MacSpec(F8, F8, pc.Fused()), (2,))


@pytest.mark.parametrize("fmt", [F8, F10, pc.PositFormat(8, 2, underflow=True), pc.PositFormat(6, 1, flush=3)], ids=str)
def test_quotients_by_counts_that_the_format_does_not_have(fmt, backend, machine):
    """Every value of the format by every count up to 300, rounded to posit<12,2> first."""
    x = tensors.as_tensor(fmt.decode(np.arange(1 << fmt.n)).astype(np.float32))
    counts = GOLDEN.quantize(F12, torch.arange(1.0, 301)[:, None])
    assert same(backend.div(fmt, x, counts), GOLDEN.div(fmt, x, counts))
    assert machine.asked == ["div", "convert"]


def test_conversions(backend, machine):
    """Floats by from-float, posits of a format in use by convert, and what needs no rounding by nothing."""
    floats = torch.tensor([0.3, torch.inf, -torch.inf, torch.nan, 0.0, -1e30, 1e-30])
    assert same(backend.quantize(F12, floats), GOLDEN.quantize(F12, floats))
    x = values(F12, 100)
    assert same(backend.quantize(F8, x), GOLDEN.quantize(F8, x))
    y = values(F8, 100)
    assert same(backend.quantize(F8, y), y)
    assert machine.asked == ["from-float", "convert"]
    halves = torch.rand(5, dtype=torch.float32).double()
    assert same(backend.quantize(F8, halves), GOLDEN.quantize(F8, halves))
    assert machine.asked[2:] == ["from-float"]


def test_functions(backend, machine):
    x = values(F8, 4, 5)
    assert same(backend.look_up(F8, "tanh", x), GOLDEN.look_up(F8, "tanh", x))
    small = pc.PositFormat(8, 0)
    every = tensors.as_tensor(small.decode(np.arange(256, dtype=np.uint8)).astype(np.float32))
    for name, units in (("sigmoid", []), ("tanh", ["mul", "mul", "sub"])):
        machine.asked.clear()
        assert same(backend.bit_trick(small, name, every), GOLDEN.bit_trick(small, name, every))
        assert machine.asked == units


def test_stacks_of_matrices(backend):
    spec = pc.MacSpec((F8, F10), F12)
    a, b, bias = values(F8, 2, 3, 4, 5), values(F10, 3, 5, 6, seed=1), values(F8, 6, seed=2)
    assert same(backend.matmul(spec, a, b, bias), GOLDEN.matmul(spec, a, b, bias))


def network():
    torch.manual_seed(1)
    policy = pnn.Policy.parse("O12-L12-FBG8q")
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.ReLU(), torch.nn.AvgPool2d(2), torch.nn.Flatten(),
        torch.nn.Linear(8, 3),
    )  # fmt: skip
    twin = pnn.convert(model, policy)
    optimizer = pnn.Adam(twin.parameters(), policy, lr=0.01)
    return twin, pnn.CrossEntropyLoss(policy), optimizer, torch.randn(4, 1, 6, 6), torch.tensor([0, 1, 2, 0])


def step(twin, loss, optimizer, x, y):
    value = loss(twin(x), y)
    value.backward()
    optimizer.step()
    return value


def test_a_whole_step_asks_for_units_alone(backend, machine, monkeypatch):
    """With batch norm, average pooling and Adam: the bits of the golden step, and nothing left to the golden model."""
    expected = network()
    step(*expected)
    monkeypatch.setitem(backends.BACKENDS, "machine", lambda: backend)
    monkeypatch.setattr(backends, "_loaded", {})
    backend._golden = None
    mine = network()
    with pnn.use_backend("machine"):
        step(*mine)
    for name, weight in expected[0].state_dict().items():
        assert torch.equal(weight, mine[0].state_dict()[name]), name
    assert {"add", "sub", "mul", "div", "sqrt", "fma", "function", "convert", "from-float", "matmul"} == set(
        machine.asked
    )
