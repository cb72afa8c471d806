from itertools import product

import pytest
import torch
from torch import nn

from positcore.nn import Policy, convert, functional
from positcore.nn.audit import audit
from positcore.nn.functional.softmaxes import log_softmax, softmax
from positcore.nn.mode import PositMode
from tests.nn.reference import array, differences
from tests.nn.reference_attention import ABSENT, softmax_row

POLICIES = ["O12-L12-FBG8q", "O16-L12-F10q-B8/1q-G12q", "O12/1-L10/1-F8/1q-B9/0uq-G10/1q"]
POLICY = Policy.parse("O12-L12-FBG8q")
NAN = float("nan")


def normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def expected(policy, x, gradient, dim, logarithm):
    values, outputs, slopes = array(x.masked_fill(x == ABSENT, 0.0)), {}, {}
    sent = array(gradient)
    lengths = list(x.shape)
    lengths[dim] = 1
    for at in product(*map(range, lengths)):
        keys = [tuple(i if k == dim % x.ndim else v for k, v in enumerate(at)) for i in range(x.shape[dim])]
        cells = [ABSENT if x[key] == ABSENT else values[key] for key in keys]
        y, g = softmax_row(policy, cells, [sent[key] for key in keys], logarithm)
        outputs.update(zip(keys, y, strict=True))
        slopes.update(zip(keys, g, strict=True))
    return outputs, slopes


def check(policy, function, x, dim, logarithm):
    x = x.double().requires_grad_()
    gradient = normal(*x.shape, seed=5)
    with audit():
        y = function(x)
        y.backward(gradient.to(y.dtype))
    outputs, slopes = expected(policy, x.detach(), gradient, dim, logarithm)
    assert not differences(y, outputs)
    assert not differences(x.grad, slopes)


@pytest.mark.parametrize(("shape", "dim"), [((3, 5), -1), ((2, 4, 3), 1), ((6,), 0), ((3, 1), 1), ((0, 4), 1)], ids=str)
@pytest.mark.parametrize("kind", [nn.Softmax, nn.LogSoftmax], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("text", POLICIES)
def test_softmax(text, kind, shape, dim):
    policy = Policy.parse(text)
    check(policy, convert(kind(dim), policy), 3 * normal(*shape), dim, kind is nn.LogSoftmax)


@pytest.mark.parametrize("kind", [softmax, log_softmax], ids=lambda kind: kind.__name__)
def test_extreme_rows(kind):
    """Far apart, equal, and NaR, which spoils its row alone."""
    x = torch.tensor([[1e6, 0.0, -1e6], [2.0, 2.0, 2.0], [1.0, NAN, 0.0], [-1e30, 1e30, 1.0]])
    check(POLICY, lambda x: kind(x, 1, POLICY), x, 1, kind is log_softmax)
    assert kind(x, 1, POLICY).isnan().any(1).tolist() == [False, False, True, False]


@pytest.mark.parametrize("text", POLICIES)
def test_masked_elements_take_no_part(text):
    policy = Policy.parse(text)
    x = 2 * normal(4, 6)
    x[0, 3:] = x[1, :5] = x[2, ::2] = ABSENT
    check(policy, lambda x: softmax(x, 1, policy), x, 1, False)
    y = softmax(x, 1, policy)
    assert torch.equal(y == 0, x == ABSENT)
    assert torch.equal(y[0, :3], softmax(x[0, :3], 0, policy))
    assert softmax(torch.full((2, 3), ABSENT), 1, policy).isnan().all()
    assert log_softmax(x, 1, policy)[0].isnan().all()


@pytest.mark.parametrize("accumulator", ["", "+fused", "+aligned4x10"])
def test_sums_are_those_of_the_accumulator(accumulator):
    """e^0 + many small powers: each way of summing keeps another part of them."""
    policy = Policy.parse(f"O12-L12-FBG8{accumulator}")
    x = torch.tensor([[0.0] + [-3.5] * 60])
    powers = functional.exp(x, policy)
    total = functional.sum(powers, 1, policy, keepdim=True)
    assert torch.equal(softmax(x, 1, policy), functional.div(powers, total, policy))
    exact = functional.sum(powers, 1, POLICY, keepdim=True)
    assert not torch.equal(total, exact)


@pytest.mark.parametrize(
    ("call", "steps"),
    [
        (lambda x: torch.softmax(x, 1), lambda x: softmax(x, 1, POLICY)),
        (lambda x: x.softmax(dim=0), lambda x: softmax(x, 0, POLICY)),
        (lambda x: nn.functional.softmax(x, dim=-1), lambda x: softmax(x, -1, POLICY)),
        (lambda x: nn.functional.log_softmax(x, -1), lambda x: log_softmax(x, -1, POLICY)),
        (lambda x: x.log_softmax(1), lambda x: log_softmax(x, 1, POLICY)),
        (
            lambda x: x.masked_fill(torch.ones_like(x).triu(1) > 0, ABSENT).softmax(1),
            lambda x: softmax(x + torch.full_like(x, ABSENT).triu(1), 1, POLICY),
        ),
    ],
)
def test_functions_in_a_forward(call, steps):
    x = normal(4, 5)
    wanted = steps(x)
    with PositMode(POLICY):
        assert torch.equal(call(x), wanted)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: convert(nn.Softmax(), POLICY), "Softmax: dim must be given, such as dim=-1, not None"),
        (lambda: convert(nn.LogSoftmax(0), Policy.parse("O32-L16-F32q-BG8q")), "LogSoftmax needs tables in F"),
        (lambda: softmax(normal(2), 0, Policy.parse("O32-L16-F24q-BG8q")), "softmax needs tables in F, .* posit<24,2>"),
        (lambda: log_softmax(normal(2, 3), 2, POLICY), r"log_softmax: dim must be a dimension in -2\.\.1, not 2"),
        (lambda: softmax(normal(2, 3), None, POLICY), r"softmax: dim must be a dimension in -2\.\.1, not None"),
        (lambda: torch.softmax(normal(2), 0, dtype=torch.float64), "softmax: dtype must be .*, not torch.float64"),
    ],
)  # fmt: skip
def test_errors(call, message):
    with PositMode(POLICY), pytest.raises(ValueError, match=message):
        call()
