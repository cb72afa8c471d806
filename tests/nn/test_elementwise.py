from fractions import Fraction
from itertools import product

import pytest
import torch
from torch import nn

from positcore.nn import Policy, accumulate, convert, functional, quantize
from positcore.nn.audit import audit
from positcore.nn.batch_factor import declare_factor
from positcore.nn.functional import elementwise, reductions
from positcore.nn.mode import PositMode
from tests.nn import reference
from tests.nn.reference import add, array, differences, div, each, mul, round_to

POLICIES = ["O12-L12-FBG8q", "O16-L12-F10q-B8/1q-G12q", "O12/1-L10/1-F8/1q-B9/0uq-G10/1q", "O32-L12-F32q-B16/3q-G24q"]
POLICY = Policy.parse("O12-L12-FBG8q")
NAN = float("nan")
FACTOR = 3


def normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def parameter(policy, *shape, seed=2):
    return nn.Parameter(quantize(policy.optimizer.format, normal(*shape, seed=seed)))


class Carrying(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y):
        return y.view_as(y)

    @staticmethod
    def backward(ctx, gradient):
        declare_factor(FACTOR)
        return gradient


def backward(y, seed=9):
    """Send back a gradient that B must round first; returns it."""
    gradient = normal(*y.shape, seed=seed).to(y.dtype)
    Carrying.apply(y).backward(gradient)
    return array(gradient)


def source(at, shape):
    """The index in a tensor of `shape` of what is broadcast to the index `at`."""
    return tuple(0 if size == 1 else i for i, size in zip(at[len(at) - len(shape) :], shape, strict=True))


def sums(policy, x, terms):
    """The gradient of an operand: exact sums of (index, factor, factor in F), rounded in B, or in G for a parameter."""
    totals = {at: Fraction(0) for at in array(x)}
    own = isinstance(x, nn.Parameter)
    for at, g, right in terms:
        totals[at] = add(totals[at], mul(g, right if own else round_to(policy.backward.format, right)))
    if not own:
        return each(policy.backward.format, totals)
    count = round_to(policy.optimizer.format, FACTOR)
    return {at: round_to(policy.gradient.format, div(round_to(policy.gradient.format, total), count))
            for at, total in totals.items()}  # fmt: skip


def expected(policy, name, x, y, gradient):
    """z and the terms of both gradients, of values and an output gradient by index."""
    fmt, small = policy.forward.format, policy.backward.format
    values = {"add": add, "sub": lambda p, q: add(p, mul(q, -1)), "mul": mul, "div": div}[name]
    a, b = each(fmt, array(x)), each(fmt, array(y))
    z, left, right = {}, [], []
    for at in product(*map(range, torch.broadcast_shapes(x.shape, y.shape))):
        i, j = source(at, x.shape), source(at, y.shape)
        z[at] = round_to(fmt, values(a[i], b[j]))
        if gradient is None:
            continue
        g = round_to(small, gradient[at])
        t = round_to(small, div(g, round_to(small, b[j])))
        left.append({"mul": (i, g, b[j]), "div": (i, t, 1)}.get(name, (i, g, 1)))
        right.append(
            {"mul": (j, g, a[i]), "div": (j, mul(t, -1), z[at]), "sub": (j, mul(g, -1), 1)}.get(name, (j, g, 1))
        )
    return z, left, right


SHAPES = [((3, 4), (3, 4)), ((2, 3, 4), (4,)), ((2, 1, 3), (4, 1)), ((2, 3), ()), ((1,), (1, 3)), ((0, 3), (3,))]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
@pytest.mark.parametrize("text", POLICIES)
def test_two_operands(text, name, shapes):
    """An activation and a parameter, either way around: result and both gradients, every bit."""
    policy = Policy.parse(text)
    for swapped in (False, True):
        x, y = normal(*shapes[0]).double().requires_grad_(), parameter(policy, *shapes[1])
        x, y = (y, x) if swapped else (x, y)
        z = getattr(elementwise, name)(x, y, policy)
        values, left, right = expected(policy, name, x, y, backward(z))
        assert not differences(z, values)
        assert not differences(x.grad, sums(policy, x, left))
        assert not differences(y.grad, sums(policy, y, right))


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
def test_two_activations_of_which_both_are_broadcast(name):
    policy = Policy.parse(POLICIES[1])
    x, y = normal(3, 1).double().requires_grad_(), normal(2, 1, 4, seed=2).double().requires_grad_()
    z = getattr(elementwise, name)(x, y, policy)
    _, left, right = expected(policy, name, x, y, backward(z))
    assert not differences(x.grad, sums(policy, x, left))
    assert not differences(y.grad, sums(policy, y, right))


@pytest.mark.parametrize("accumulator", ["", "+fused", "+aligned2x9"])
def test_accumulators_sum_positions_in_index_order(accumulator):
    policy = Policy.parse(f"O12-L12-F8q-B8{accumulator}-G8q")
    x, y = normal(4).double().requires_grad_(), normal(3, 2, 4, seed=2).double()
    gradient = normal(3, 2, 4, seed=3)
    elementwise.mul(x, y, policy).backward(gradient.double())
    rows = [quantize(policy.forward.format, part).reshape(6, 4).T for part in (gradient, y)]
    for i in range(4):
        one = functional.matmul(rows[0][i], rows[1][i], Policy.parse(f"O12-L12-FBG8{accumulator}"))
        assert x.grad[i] == one


def test_one_tensor_as_both_operands():
    """Its gradient is the sum of both, rounded once more in B; a parameter's is one sum."""
    x, p = normal(5).double().requires_grad_(), parameter(POLICY, 5)
    fmt = POLICY.backward.format
    for operand in (x, p):
        gradient = backward(elementwise.mul(operand, operand, POLICY))
        value = each(fmt, array(operand))
        terms = {at: mul(round_to(fmt, gradient[at]), value[at]) for at in value}
        if operand is x:
            assert not differences(x.grad, {at: round_to(fmt, 2 * round_to(fmt, t)) for at, t in terms.items()})
        else:
            assert not differences(p.grad, sums(POLICY, p, [(at, 2 * t, 1) for at, t in terms.items()]))


def test_nar_is_absorbing():
    x = torch.tensor([NAN, 1.0, 0.0, float("inf")])
    zero = torch.zeros(4)
    assert elementwise.mul(x, 0, POLICY).isnan().tolist() == [True, False, False, True]
    assert elementwise.add(x, zero, POLICY).isnan().tolist() == [True, False, False, True]
    assert elementwise.div(x, zero, POLICY).isnan().all()
    assert reductions.sum(x[:3], None, POLICY).isnan()


@pytest.mark.parametrize(
    ("left", "right"),
    [((5, 3), (3, 4)), ((2, 5, 3), (3, 4)), ((5, 3), (2, 3, 4)), ((2, 5, 3), (2, 3, 4)), ((3,), (3, 4)),
     ((2, 5, 3), (3,)), ((2, 1, 5, 3), (4, 3, 2))],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("text", POLICIES)
def test_a_product_with_parameters(text, left, right):
    """Their gradients are sums of products of B and F, rounded once in G and divided; the same through quires."""
    policy = Policy.parse(text)
    x, y = parameter(policy, *left), parameter(policy, *right, seed=3)
    z = functional.matmul(x, y, policy)
    gradient = backward(z)
    a, b = x.detach().clone(), y.detach().clone()
    a, b = a if a.ndim > 1 else a[None], b if b.ndim > 1 else b[:, None]
    stack = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    sent = iter(gradient.values())
    first, second = each(policy.forward.format, array(a)), each(policy.forward.format, array(b))
    of_x, of_y = [], []
    for at in product(*map(range, (*stack, a.shape[-2], b.shape[-1]))):
        g = round_to(policy.backward.format, next(sent))
        for k in range(a.shape[-1]):
            i = (*source(at[:-2], a.shape[:-2]), at[-2], k)
            j = (*source(at[:-2], b.shape[:-2]), k, at[-1])
            of_x.append((i if x.ndim > 1 else i[1:], g, second[j]))
            of_y.append((j if y.ndim > 1 else j[:1], g, first[i]))
    assert not differences(x.grad, sums(policy, x, of_x))
    assert not differences(y.grad, sums(policy, y, of_y))
    once = x.grad.clone(), y.grad.clone()
    with accumulate([x, y]):
        Carrying.apply(functional.matmul(x, y, policy)).backward(normal(*z.shape, seed=9).to(z.dtype))
    assert torch.equal(x.grad, once[0])
    assert torch.equal(y.grad, once[1])


@pytest.mark.parametrize(
    "layer",
    [nn.Linear(4, 3), nn.LayerNorm(4), nn.Conv1d(5, 2, 3, padding=1), nn.AvgPool1d(2)],
    ids=lambda layer: type(layer).__name__,
)
def test_a_parameter_in_place_of_an_activation(layer):
    """Read by a layer it gets the gradient of an activation, rounded in G and divided by the batch."""
    policy = Policy.parse(POLICIES[1])
    latent = parameter(policy, 2, 5, 4)
    x = latent.detach().clone().requires_grad_()
    twin = convert(layer, policy)
    y = twin(latent)
    gradient = normal(*y.shape, seed=9).to(y.dtype)
    Carrying.apply(y).backward(gradient)
    twin(x).backward(gradient)
    assert not differences(latent.grad, sums(policy, latent, [(at, g, 1) for at, g in array(x.grad).items()]))


@pytest.mark.parametrize("name", ["transposed", "computed"])
def test_a_weight_that_is_made_of_a_parameter(name):
    """It gets R_G of its sum, which goes on as any gradient does: divided by the batch once, where it arrives."""
    policy = Policy.parse(POLICIES[1])
    make = {"transposed": lambda p: p.t(), "computed": lambda p: p.t() * 0.75}[name]
    x, base = normal(5, 4), parameter(policy, 4, 3)
    with PositMode(policy):
        weight = make(base)
        y = nn.functional.linear(x, weight)
    gradient = normal(5, 3, seed=9).to(y.dtype)
    Carrying.apply(y).backward(gradient)
    alone = weight.detach().clone().requires_grad_()
    functional.linear(x, alone, None, policy).backward(gradient)
    sent = {at[::-1]: g for at, g in array(alone.grad).items()}
    small = policy.backward.format
    factor = Fraction(3, 4) if name == "computed" else 1
    assert not differences(base.grad, sums(policy, base, [(at, round_to(small, g), factor) for at, g in sent.items()]))


PARTS = {
    "slice": (lambda p: p[:3, 1:], lambda x, q: x + q),
    "slice of a transpose": (lambda p: p.T[1:, :3].t(), lambda x, q: x * q),
    "reshaped": (lambda p: p.view(-1)[:20].reshape(4, 5)[:3, 1:], lambda x, q: x / q),
    "factor": (lambda p: p[:, 1:].T, lambda x, q: x @ q),
    "factor from the left": (lambda p: p[None, :, 2:], lambda x, q: q @ x),
    "indices, expanded": (lambda p: p[[2, 0, 1]][:, 1:], lambda x, q: x - q.expand(x.shape)),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_a_parameter_have_exact_sums(name):
    """As a parameter that is only this part, and over any split of a batch."""
    part, expression = PARTS[name]
    x, p = normal(6, 3, 4).double(), parameter(POLICY, 5, 5)
    q = nn.Parameter(part(p).detach().clone())
    with PositMode(POLICY):
        wanted = expression(x, q)
    gradient = normal(*wanted.shape, seed=8).to(wanted.dtype)
    wanted.backward(gradient)
    with audit(), PositMode(POLICY):
        y = expression(x, part(p))
    assert torch.equal(y, wanted)
    y.backward(gradient)
    once = p.grad
    assert torch.equal(part(once), q.grad)
    assert once.count_nonzero() == q.grad.count_nonzero() > 8
    with accumulate([p]):
        for a, g in zip(x.chunk(3), gradient.chunk(3), strict=True):
            with PositMode(POLICY):
                y = expression(a, part(p))
            y.backward(g)
    assert torch.equal(p.grad, once)


def test_a_part_that_is_changed_is_an_activation():
    p = parameter(POLICY, 4)
    with PositMode(POLICY):
        part = p[1:].clone()
        part *= 2
        y = part + 1
    y.backward(torch.ones(3))
    assert p.grad.tolist() == [0.0, 2.0, 2.0, 2.0]
    assert array(y) == {at: round_to(POLICY.forward.format, v + 1) for at, v in array(part).items()}


def test_an_empty_mean_is_nar():
    assert reductions.mean(torch.zeros(0, 3), 0, POLICY).isnan().tolist() == [True] * 3
    assert reductions.sum(torch.zeros(0, 3), 0, POLICY).tolist() == [0.0] * 3


# Functions of single elements ----------------------------------------------------------------------------------


def root(fmt, x):
    """The nearest value of a format to a square root, from one of 400 bits: nothing of 32 bits is so near a tie."""
    if x is None or x < 0:
        return None
    with reference.mpmath.workprec(400):
        sign, mantissa, exponent, _ = reference.mpmath.sqrt(reference.mpmath.mpf(x.numerator) / x.denominator)._mpf_
    return round_to(fmt, (-1) ** sign * Fraction(int(mantissa)) * Fraction(2) ** exponent)


def scaled(fmt, *factors):
    total = Fraction(1)
    for factor in factors:
        total = round_to(fmt, mul(total, factor))
    return total


MAPS = {
    "sqrt": (root, lambda fmt, g, a, y: scaled(fmt, round_to(fmt, div(g, y)), Fraction(1, 2))),
    "square": (
        lambda fmt, a: round_to(fmt, mul(a, a)),
        lambda fmt, g, a, y: round_to(fmt, mul(g, round_to(fmt, mul(2, a)))),
    ),
    "exp": (reference.exp, lambda fmt, g, a, y: round_to(fmt, mul(g, y))),
    "log": (reference.log, lambda fmt, g, a, y: round_to(fmt, div(g, a))),
    "abs": (
        lambda fmt, a: None if a is None else max(a, -a),
        lambda fmt, g, a, y: None if a is None else g * ((a > 0) - (a < 0)),
    ),
}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("text", POLICIES[:3])
def test_functions(text, name):
    policy = Policy.parse(text)
    fmt, small = policy.forward.format, policy.backward.format
    function, slope = MAPS[name]
    own = parameter(policy, 2, 5)
    x = torch.tensor([0.0, 0.5, 1.0, 3.0, 1e9, -2.0, NAN, 0.3, 1e-9, 7.5], dtype=torch.float64).reshape(2, 5)
    for operand in (x.requires_grad_(), own):
        y = getattr(elementwise, name)(operand, policy)
        gradient = backward(y)
        inputs = each(fmt, array(operand))
        outputs = {at: function(fmt, a) for at, a in inputs.items()}
        assert not differences(y, outputs)
        terms = []
        for at, a in inputs.items():
            g, a, z = round_to(small, gradient[at]), a if name == "abs" else round_to(small, a), outputs[at]
            terms.append((at, slope(small, g, a, round_to(small, z)), 1))
        assert not differences(operand.grad, sums(policy, operand, terms))


@pytest.mark.parametrize(
    ("exponent", "steps"),
    [
        (-1, lambda x: elementwise.div(1, x, POLICY)),
        (0.5, lambda x: elementwise.sqrt(x, POLICY)),
        (1, lambda x: quantize(POLICY.forward.format, x)),
        (2, lambda x: elementwise.mul(x, x, POLICY)),
        (3, lambda x: elementwise.mul(elementwise.mul(x, x, POLICY), x, POLICY)),
        (4, lambda x: elementwise.square(elementwise.square(x, POLICY), POLICY)),
    ],
    ids=["-1", "0.5", "1", "2", "3", "4"],
)
def test_powers(exponent, steps):
    x = normal(9).abs()
    assert torch.equal(elementwise.pow(x, exponent, POLICY), steps(x))


# Sums and means ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keepdim", [False, True], ids=["", "keepdim"])
@pytest.mark.parametrize("dim", [None, 1, (0, -1), (-2,), 0], ids=str)
@pytest.mark.parametrize("name", ["sum", "mean"])
@pytest.mark.parametrize("text", POLICIES)
def test_reductions(text, name, dim, keepdim):
    policy = Policy.parse(text)
    fmt, small = policy.forward.format, policy.backward.format
    dims = {d % 3 for d in range(3)} if dim is None else {d % 3 for d in (dim if isinstance(dim, tuple) else (dim,))}
    for x in (normal(2, 3, 5).double().requires_grad_(), parameter(policy, 2, 3, 5)):
        y = getattr(reductions, name)(x, dim, policy, keepdim)
        assert y.shape == torch.sum(x, dim, keepdim=keepdim).shape
        gradient = backward(y)
        totals, target = {}, {}
        for at, a in each(fmt, array(x)).items():
            target[at] = tuple(0 if keepdim and i in dims else k for i, k in enumerate(at) if keepdim or i not in dims)
            totals[target[at]] = add(totals.get(target[at], 0), a)
        count = x.numel() // len(totals) if name == "mean" else 1
        outputs = {at: round_to(fmt, round_to(fmt, total) / round_to(fmt, count)) for at, total in totals.items()}
        assert not differences(y, outputs)
        terms = []
        for at in target:
            g = round_to(small, gradient[target[at]])
            terms.append((at, round_to(small, g / round_to(small, count)), 1))
        assert not differences(x.grad, sums(policy, x, terms))


# Movement ------------------------------------------------------------------------------------------------------

MOVES = {
    "index": lambda x: x[[0, 0, 2, 1, 0]],
    "two indices": lambda x: x[torch.tensor([[0, 2], [2, 2]]), torch.tensor([1, 3])],
    "slice and index": lambda x: x[1:, [3, 3, 0]],
    "index_select": lambda x: x.index_select(1, torch.tensor([1, 1, 2])),
    "gather": lambda x: torch.gather(x, 1, torch.tensor([[0, 0, 3], [1, 2, 1], [2, 2, 2]])),
    "take_along_dim": lambda x: torch.take_along_dim(x, torch.tensor([[0, 0], [1, 1], [2, 3]]), 1),
    "repeat": lambda x: x.repeat(2, 1, 3),
    "tile": lambda x: torch.tile(x, (2, 2)),
    "repeat_interleave": lambda x: x.repeat_interleave(3, dim=0),
    "expand": lambda x: x.expand(2, -1, -1),
    "max": lambda x: x.max(),
    "max of a dimension": lambda x: x.max(dim=1).values,
    "min, kept": lambda x: torch.min(x, 0, keepdim=True)[0],
    "amax": lambda x: x.amax(1),
    "amin": lambda x: torch.amin(x, dim=0, keepdim=True),
    "sort": lambda x: x.sort(0, descending=True)[0],
    "topk": lambda x: torch.topk(x, 2, dim=1).values,
    "broadcast_to": lambda x: torch.broadcast_to(x, (2, 3, 4)),
    "expand_as": lambda x: x.expand_as(torch.zeros(2, 3, 4)),
}


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("text", POLICIES[:2])
def test_movement(text, name):
    """Values are moved as they are; each gradient is the sum of what went out from its element."""
    policy, move = Policy.parse(text), MOVES[name]
    for x in (normal(3, 4).double().requires_grad_(), parameter(policy, 3, 4)):
        with audit():
            with PositMode(policy):
                y = move(x)
            gradient = backward(y)
        assert torch.equal(y, move(x))
        if name.startswith(("max", "min", "amax", "amin", "sort", "topk")):  # all values differ
            places = {value: 4 * i + j for (i, j), value in array(x).items()}
            origin = {at: places[value] for at, value in array(y).items()}
        else:
            origin = array(move(torch.arange(12.0).reshape(3, 4)))
        terms = [(divmod(int(origin[at]), 4), round_to(policy.backward.format, gradient[at]), 1) for at in gradient]
        got = sums(policy, x, terms)
        assert not differences(x.grad, got)


def test_parts_are_exact_sums_in_accumulate():
    """The terms of broadcast and indexed parameters go to quires: any split of a batch gives the same bits."""
    policy = Policy.parse("O16-L12-F10q-B8/1q-G12q")
    x, gradient = normal(8, 3, 4).double(), normal(8, 3, 4, seed=3).double()
    places = torch.tensor([[0, 1, 0], [1, 1, 1], [0, 0, 1], [1, 0, 0]] * 2)
    gradients = []
    for parts in (1, 2, 8):
        scale, table = parameter(policy, 4), parameter(policy, 2, 4, seed=4)
        with accumulate([scale, table]):
            for a, i, g in zip(x.chunk(parts), places.chunk(parts), gradient.chunk(parts), strict=True):
                with PositMode(policy):
                    y = (a * scale + table[i]) / scale
                y.backward(g)
        gradients.append([scale.grad, table.grad])
    once = parameter(policy, 4), parameter(policy, 2, 4, seed=4)
    with PositMode(policy):
        y = (x * once[0] + once[1][places]) / once[0]
    y.backward(gradient)
    for got in gradients:
        assert all(torch.equal(a, b.grad) for a, b in zip(got, once, strict=True))


# In a forward of one's own -------------------------------------------------------------------------------------

EXPRESSIONS = {
    "x + w": (lambda x, w: x + w, lambda x, w: elementwise.add(x, w, POLICY)),
    "2 + x": (lambda x, w: 2 + x, lambda x, w: elementwise.add(x, 2, POLICY)),
    "torch.add": (lambda x, w: torch.add(x, w), lambda x, w: elementwise.add(x, w, POLICY)),
    "x - w": (lambda x, w: x - w, lambda x, w: elementwise.sub(x, w, POLICY)),
    "1 - x": (lambda x, w: 1 - x, lambda x, w: elementwise.sub(1, x, POLICY)),
    "rsub": (lambda x, w: torch.rsub(x, w), lambda x, w: elementwise.sub(w, x, POLICY)),
    "x * 0.3": (lambda x, w: x * 0.3, lambda x, w: elementwise.mul(x, 0.3, POLICY)),
    "3 * w": (lambda x, w: 3 * w, lambda x, w: elementwise.mul(w, 3, POLICY)),
    "x / 3": (lambda x, w: x / 3, lambda x, w: elementwise.div(x, 3, POLICY)),
    "1 / x": (lambda x, w: 1 / x, lambda x, w: elementwise.div(1, x, POLICY)),
    "x ** 2": (lambda x, w: x**2, lambda x, w: elementwise.square(x, POLICY)),
    "x.pow(3)": (lambda x, w: x.pow(3), lambda x, w: elementwise.pow(x, 3, POLICY)),
    "a mask": (lambda x, w: x * (x > 0), lambda x, w: elementwise.mul(x, x > 0, POLICY)),
    "mean": (lambda x, w: x.mean(dim=1), lambda x, w: reductions.mean(x, 1, POLICY)),
    "mean(0, 1)": (lambda x, w: x.mean((0, 1)), lambda x, w: reductions.mean(x, (0, 1), POLICY)),
    "mean, kept": (lambda x, w: torch.mean(x, -1, True), lambda x, w: reductions.mean(x, -1, POLICY, True)),
    "sum": (lambda x, w: x.sum(), lambda x, w: reductions.sum(x, None, POLICY)),
    "sum(axis)": (lambda x, w: x.sum(axis=0), lambda x, w: reductions.sum(x, 0, POLICY)),
    "abs": (lambda x, w: abs(x) + x.abs(), lambda x, w: elementwise.mul(elementwise.abs(x, POLICY), 2, POLICY)),
    "exp": (lambda x, w: torch.exp(x), lambda x, w: elementwise.exp(x, POLICY)),
    "sqrt": (lambda x, w: x.sqrt(), lambda x, w: elementwise.sqrt(x, POLICY)),
    "log": (lambda x, w: x.log(), lambda x, w: elementwise.log(x, POLICY)),
    "square": (lambda x, w: x.square(), lambda x, w: elementwise.square(x, POLICY)),
    "reciprocal": (lambda x, w: x.reciprocal(), lambda x, w: elementwise.div(1, x, POLICY)),
    "vectors": (lambda x, w: x[0] @ w, lambda x, w: functional.matmul(x[0], w, POLICY)),
}  # fmt: skip


class Own(nn.Module):
    def __init__(self, expression):
        super().__init__()
        self.expression, self.weight = expression, nn.Parameter(normal(4, seed=2))

    def forward(self, x):
        return self.expression(x, self.weight)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    expression, steps = EXPRESSIONS[name]
    twin = convert(Own(expression), POLICY)
    x = normal(3, 4).requires_grad_()
    with audit(twin):
        y = twin(x)
        y.backward(torch.ones_like(y))
    wanted = steps(x, twin.weight)
    assert y.shape == wanted.shape
    assert ((y == wanted) | (y.isnan() & wanted.isnan())).all()


def test_expressions_in_place():
    def steps(x, weight):
        x = x * 1
        x += weight
        x -= 0.5
        x *= weight
        x /= 3
        return x

    def plain(x, weight):
        return (x * 1 + weight - 0.5) * weight / 3

    gradients = []
    for expression in (steps, plain):
        twin = convert(Own(expression), POLICY)
        x = normal(3, 4).requires_grad_()
        y = twin(x)
        y.backward(normal(3, 4, seed=5))
        gradients.append((y.detach(), x.grad, twin.weight.grad))
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_a_residual_connection_is_one_sum_in_b():
    """x is read by a layer and by the addition: R_B(Σ w·g rounded, plus g)."""

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4, bias=False)

        def forward(self, x):
            return x + self.layer(x)

    twin = convert(Residual(), POLICY)
    fmt = POLICY.backward.format
    x = normal(3, 4).requires_grad_()
    y = twin(x)
    gradient = normal(3, 4, seed=7)
    y.backward(gradient)
    layer = reference.linear(POLICY, array(x), array(twin.layer.weight), None)
    layer.forward(array(x))
    below, _, _ = layer.backward(array(gradient))
    assert not differences(x.grad, {at: round_to(fmt, add(round_to(fmt, g), below[at]))
                                    for at, g in array(gradient).items()})  # fmt: skip


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: elementwise.add(x, "1", POLICY), TypeError, "add: operands must be tensors or numbers .*, not '1'"),
        (lambda x: elementwise.mul(x, x.to(torch.complex64), POLICY), TypeError, "mul: .* not torch.complex64"),
        (lambda x: elementwise.sub(x, 1j, POLICY), TypeError, "sub: operands must be .* that are real, not 1j"),
        (lambda x: elementwise.div(x, x[:2], POLICY), ValueError, r"div: shapes .* and \(2, 4\) do not broadcast"),
        (lambda x: elementwise.sqrt(x > 0, POLICY), TypeError, "sqrt: x must be a tensor of floats, not torch.bool"),
        (lambda x: elementwise.exp(1.0, POLICY), TypeError, "exp: x must be a tensor of floats, not 1.0"),
        (lambda x: elementwise.exp(x, Policy.parse("O32-L12-FBG32q")), ValueError, "exp: tables are .* n ≤ 16"),
        (lambda x: elementwise.pow(x, 2.5, POLICY), ValueError, "pow: the exponent must be one of .*, not 2.5"),
        (lambda x: reductions.sum(x, 2, POLICY), ValueError, r"sum: dim must be .* in -2\.\.1, not 2"),
        (lambda x: reductions.mean(x, (0, -2), POLICY), ValueError, r"mean: dim must be different .*, not \(0, -2\)"),
        (lambda x: x.amax((0, 1)), ValueError, "amax: dim must be one dimension or left out, not tuple"),
        (lambda x: x.max(x), ValueError, "max: dim must be one dimension or left out, not Tensor"),
        (lambda x: torch.add(x, x, alpha=2), ValueError, "add: alpha must be 1, not 2; write the product as"),
        (lambda x: torch.sub(x, x, alpha=2), ValueError, "sub: alpha must be 1, not 2"),
        (lambda x: torch.div(x, x, rounding_mode="floor"), ValueError, "div: rounding_mode must be None, not 'floor'"),
        (lambda x: x.sum(0, dtype=torch.float64), ValueError, "sum: the options are dim and keepdim, not dtype"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with PositMode(POLICY), pytest.raises(error, match=message):
        call(normal(3, 4))
