import copy
import pickle
from fractions import Fraction

import mpmath
import pytest
import torch
from torch import nn

import positcore
from positcore.nn import Policy, convert, quantize, tensors, to_float
from positcore.nn.audit import audit
from positcore.nn.functional import activations
from positcore.nn.layers import activations as layers
from positcore.nn.mode import PositMode
from tests.nn.reference import add, array, differences, each, mul, number, round_to

POLICIES = ["O12-L12-FBG8q", "O16-L12-F10q-B8/1q-G12q", "O12/1-L10/1-F8/1q-B9/0uq-G10/1q"]
POLICY = Policy.parse("O12-L12-FBG8q")
FAST = Policy.parse("O12-L12-F8/0q-B8/1q-G8q")
NAN = float("nan")
ONE, HALF = Fraction(1), Fraction(1, 2)
SPECIAL = [0.0, 1.0, -1.0, 6.0, 0.75, -0.75, 1e-9, -1e-9, 40.0, -40.0, 1e30, -1e30, NAN, float("inf"), 2.5, -3.0]


def inputs():
    x = torch.cat(
        [torch.tensor(SPECIAL).double(), torch.randn(48, generator=torch.Generator().manual_seed(3)).double()]
    )
    return (2 * x).requires_grad_()


def real(fmt, x, function):
    """A function of mpmath's at a rational, rounded; arguments beyond ±500 are as these."""
    if x is None:
        return None
    with mpmath.workprec(1400):
        x = max(min(x, Fraction(500)), Fraction(-500))
        sign, mantissa, exponent, _ = mpmath.mpf(function(mpmath.mpf(x.numerator) / x.denominator))._mpf_
    return round_to(fmt, (-1) ** sign * Fraction(int(mantissa)) * Fraction(2) ** exponent)


def sigmoid(x):
    return 1 / (1 + mpmath.exp(-x))


class Golden:
    """The operations of one format, on rationals."""

    def __init__(self, fmt):
        self.fmt = fmt

    def mul(self, *factors):
        total = factors[0]
        for factor in factors[1:]:
            total = round_to(self.fmt, mul(total, factor))
        return total

    def fma(self, x, y, z):
        return round_to(self.fmt, add(mul(x, y), z))

    def const(self, x):
        return round_to(self.fmt, number(x))

    def table(self, function, x):
        return real(self.fmt, x, function)


def select(condition, a, b, x):
    return None if x is None else a if condition(x) else b


def leaky(slope):
    return (
        lambda f, a: select(lambda x: x > 0, a, f.mul(f.const(slope), a), a),
        lambda f, g, a, y: select(lambda x: x > 0, g, f.mul(f.const(slope), g), a),
    )


def between(low, high):
    def gradient(f, g, a, y):
        return select(lambda x: Golden.bounds[0] < x < Golden.bounds[1], g, 0, a)

    def forward(f, a):
        Golden.bounds = f.const(low), f.const(high)
        return select(lambda x: True, None if a is None else min(max(a, Golden.bounds[0]), Golden.bounds[1]), 0, a)

    return forward, gradient


def from_result(function, top):
    def gradient(f, g, a, y):
        return f.mul(g, f.fma(mul(y, -1), y, y if top == "y" else top))

    return lambda f, a: f.table(function, a), gradient


def silu_gradient(f, g, a, y):
    s = f.table(sigmoid, a)
    u = f.fma(a, round_to(f.fmt, add(ONE, mul(s, -1))), ONE)
    return f.mul(g, f.mul(s, u))


def gelu(f, a):
    return a if a is not None and a > 100 else f.table(lambda x: x * mpmath.ncdf(x), a)


def gelu_gradient(f, g, a, y):
    below = f.fma(f.table(mpmath.erf, f.mul(a, f.const(0.5**0.5))), HALF, HALF)
    density = f.table(mpmath.exp, f.mul(f.mul(a, a), -HALF))
    return f.mul(g, f.fma(f.mul(a, f.const(0.3989422804014327)), density, below))


def curve(f, a):
    q, u = f.mul(a, a), f.mul(a, f.const(0.7978845608028654))
    return q, u, f.table(mpmath.tanh, f.mul(u, f.fma(f.const(0.044715), q, ONE)))


def by_tanh(f, a):
    h = f.mul(a, HALF)
    return f.fma(h, curve(f, a)[2], h)


def by_tanh_gradient(f, g, a, y):
    q, u, t = curve(f, a)
    w = f.mul(f.mul(u, HALF), f.fma(f.const(3 * 0.044715), q, ONE))
    return f.mul(g, f.fma(w, f.fma(mul(t, -1), t, ONE), f.fma(t, HALF, HALF)))


CASES = {
    "leaky_relu": (nn.LeakyReLU(), *leaky(0.01)),
    "leaky_relu, steep": (nn.LeakyReLU(-1.7), *leaky(-1.7)),
    "relu6": (nn.ReLU6(), *between(0, 6)),
    "hardtanh": (nn.Hardtanh(), *between(-1, 1)),
    "hardtanh, rounded bounds": (nn.Hardtanh(-0.3, 0.7), *between(-0.3, 0.7)),
    "sigmoid": (nn.Sigmoid(), *from_result(sigmoid, "y")),
    "tanh": (nn.Tanh(), *from_result(mpmath.tanh, ONE)),
    "silu": (nn.SiLU(), lambda f, a: f.mul(a, f.table(sigmoid, a)), silu_gradient),
    "gelu": (nn.GELU(), gelu, gelu_gradient),
    "gelu, tanh": (nn.GELU("tanh"), by_tanh, by_tanh_gradient),
}
FROM_F = ("leaky_relu", "relu6", "hardtanh")  # conditions on the argument before it is rounded to B


def mismatches(policy, name):
    """What differs in the result and in the gradient."""
    layer, forward, gradient = CASES[name]
    f, b = Golden(policy.forward.format), Golden(policy.backward.format)
    x = inputs()
    twin = convert(layer, policy)
    sent = torch.randn(x.shape, generator=torch.Generator().manual_seed(4))
    with audit():
        y = twin(x)
        y.backward(sent.to(y.dtype))
    slopes, outputs = {}, {}
    for at, a in each(f.fmt, array(x)).items():
        outputs[at] = forward(f, a)
        g = round_to(b.fmt, number(sent[at].item()))
        kept = a if name.startswith(FROM_F) else round_to(b.fmt, a)
        slopes[at] = gradient(b, g, kept, round_to(b.fmt, outputs[at]))
    return differences(y, outputs), differences(x.grad, slopes)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("text", POLICIES)
def test_activations(text, name):
    assert mismatches(Policy.parse(text), name) == ([], [])


FAULTS = {
    "tanh": (tensors, "fma", lambda fmt, x, y, z: tensors.add(fmt, tensors.mul(fmt, x, y), z)),
    "gelu": (tensors, "exp", lambda fmt, x: tensors.look_up(fmt, "exp2", x)),
    "silu": (tensors, "sub", tensors.add),
    "leaky_relu": (activations, "constant", lambda fmt, value: torch.tensor(value)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_reference_catches_planted_faults(monkeypatch, name):
    """An fma in two steps, another table, another sign, a constant that is not rounded."""
    monkeypatch.setattr(*FAULTS[name])
    assert any(mismatches(POLICY, name))


@pytest.mark.parametrize(("layer", "trick"), [(nn.Sigmoid(), "sigmoid"), (nn.Tanh(), "tanh")], ids=["sigmoid", "tanh"])
def test_the_bit_trick(layer, trick):
    """Every code of posit<8,0>; the derivative is from the approximated result."""
    fmt, b = FAST.forward.format, Golden(FAST.backward.format)
    codes = torch.arange(256)
    x = torch.tensor(fmt.decode(codes.numpy().astype("uint8"))).requires_grad_()
    twin = convert(layer, FAST)
    exact = twin(x)
    twin.approximate = "fast"
    y = twin(x)
    approximate = getattr(positcore, f"bit_trick_{trick}")(fmt, codes.numpy().astype("uint8"))
    assert not differences(y, array(torch.tensor(fmt.decode(approximate))))
    assert (y != exact).sum() > 20
    y.backward(torch.ones_like(y))
    top = "y" if trick == "sigmoid" else ONE
    _, gradient = from_result(None, top)
    assert not differences(x.grad, {at: gradient(b, ONE, None, round_to(b.fmt, v)) for at, v in array(y).items()})


@pytest.mark.parametrize("kind", [layers.Sigmoid, layers.Tanh], ids=lambda kind: kind.__name__)
def test_layers_with_the_bit_trick(kind):
    layer = kind(policy=FAST, approximate="fast")
    x = torch.linspace(-3, 3, 40)
    for twin in (layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))
        assert not torch.equal(twin(x), kind(policy=FAST)(x))
        assert repr(twin) == f"{kind.__name__}(approximate='fast', policy={FAST})"
    plain = to_float(layer)
    assert type(plain) is kind.float_class
    assert "approximate" not in vars(plain)


def test_a_learned_argument():
    """A parameter is an argument like any other: its gradient is rounded in B, then in G."""
    policy = Policy.parse(POLICIES[1])
    gate = nn.Parameter(quantize(policy.optimizer.format, torch.tensor([0.3, -1.2])))
    activation = gate.detach().clone().requires_grad_()
    for x in (gate, activation):
        activations.sigmoid(x, policy).backward(torch.tensor([1.5, -0.7]))
    assert torch.equal(gate.grad, quantize(policy.gradient.format, activation.grad))


# Dropout -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("text", POLICIES)
def test_dropout(text, p):
    policy = Policy.parse(text)
    f, b = Golden(policy.forward.format), Golden(policy.backward.format)
    x = torch.randn(30, 7, generator=torch.Generator().manual_seed(3)).double()
    x[0, 0] = NAN
    x.requires_grad_()
    torch.manual_seed(8)
    kept = nn.functional.dropout(torch.ones_like(x), p) > 0
    following = torch.rand(3)
    torch.manual_seed(8)
    twin = convert(nn.Dropout(p), policy)
    with audit():
        y = twin(x)
    assert torch.equal(torch.rand(3), following)
    sent = torch.randn(x.shape, generator=torch.Generator().manual_seed(4))
    y.backward(sent.to(y.dtype))
    if p == 0:
        assert y is x
        return
    scale = 1 / (1 - p) if p < 1 else 0.0
    assert not differences(
        y, {at: f.mul(round_to(f.fmt, a), f.const(scale) if kept[at] else 0) for at, a in array(x).items()}
    )
    assert not differences(
        x.grad, {at: b.mul(round_to(b.fmt, g), b.const(scale) if kept[at] else 0) for at, g in array(sent).items()}
    )
    assert p == 1 or 0 < kept.sum() < x.numel()


def test_the_mask_is_that_of_a_float_model():
    x = torch.randn(4, 8, 5, 5)[:, ::2].transpose(1, 2)
    masks = []
    for layer in (nn.Dropout(0.3), convert(nn.Dropout(0.3), POLICY)):
        torch.manual_seed(5)
        masks.append(layer(x) != 0)
    assert torch.equal(*masks)


def test_dropout_in_evaluation_is_the_identity():
    x = torch.randn(3)
    assert convert(nn.Dropout(), POLICY).eval()(x) is x
    assert activations.dropout(torch.zeros(0), 0.5, True, POLICY).shape == (0,)


# In a forward of one's own, and refusals ------------------------------------------------------------------------

F = nn.functional


@pytest.mark.parametrize(
    ("call", "steps"),
    [
        (lambda x: F.leaky_relu(x, 0.2), lambda x: activations.leaky_relu(x, 0.2, POLICY)),
        (lambda x: F.leaky_relu(x, inplace=True), lambda x: activations.leaky_relu(x, 0.01, POLICY)),
        (lambda x: F.hardtanh(x, -2.0, 2.0), lambda x: activations.hardtanh(x, -2, 2, POLICY)),
        (lambda x: F.relu6(x), lambda x: activations.relu6(x, POLICY)),
        (lambda x: x.sigmoid(), lambda x: activations.sigmoid(x, POLICY)),
        (lambda x: torch.tanh(x), lambda x: activations.tanh(x, POLICY)),
        (lambda x: F.silu(x), lambda x: activations.silu(x, POLICY)),
        (lambda x: F.gelu(x), lambda x: activations.gelu(x, POLICY)),
        (lambda x: F.gelu(x, approximate="tanh"), lambda x: activations.gelu(x, POLICY, "tanh")),
        (lambda x: F.dropout(x, 1.0), lambda x: activations.dropout(x, 1.0, True, POLICY)),
        (lambda x: F.dropout(x, 0.3, training=False), lambda x: x),
    ],
)
def test_functions_in_a_forward(call, steps):
    x = torch.randn(3, 5)
    expected = steps(x)
    with PositMode(POLICY):
        assert torch.equal(call(x), expected)


WIDE = Policy.parse("O32-L16-F32q-B32q-G32q")
WIDE_B = Policy.parse("O32-L16-F16q-B32q-G32q")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: convert(nn.Sequential(nn.Sigmoid()), WIDE), "convert: '0': sigmoid needs tables in F, which"),
        (lambda: convert(nn.Tanh(), WIDE), "tanh needs tables in F, .* n ≤ 16, not posit<32,2>; take F16 or less"),
        (lambda: convert(nn.GELU(), WIDE_B), "GELU needs tables in B"),
        (lambda: convert(nn.SiLU(), WIDE_B), "SiLU needs tables in B"),
        (lambda: activations.silu(torch.ones(2), WIDE), "silu needs tables in F"),
        (lambda: activations.gelu(torch.ones(2), WIDE_B), "gelu needs tables in B"),
        (lambda: layers.Sigmoid(policy=POLICY, approximate="fast"), r"sigmoid: .* es = 0, and F is posit<8,2>; take"),
        (lambda: layers.Tanh(policy=POLICY, approximate="exact"), "tanh: approximate must be .*, not 'exact'"),
        (lambda: activations.gelu(torch.ones(2), POLICY, "erf"), "gelu: approximate must be .*, not 'erf'"),
        (lambda: activations.dropout(torch.ones(2), 1.5, True, POLICY), "dropout: p must be a probability.*, not 1.5"),
    ],
)  # fmt: skip
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
