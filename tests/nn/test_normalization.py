"""Normalization against plain Python on rationals, forward and backward, every bit."""

import math
from fractions import Fraction
from functools import reduce

import pytest
import torch
from torch import nn

from positcore import nn as pnn
from positcore.mac import Fused, MacSpec, Rounded
from positcore.nn import Policy, convert, functional, layers, quantize, tensors, workers
from positcore.nn.functional import standardization
from positcore.nn.functional import statistics as stages
from positcore.nn.optim.constants import rounded
from positcore.nn.tensors import dtype_of
from positcore.quire import QuireArray
from tests.nn.reference import add, array, differences, div, each, mul, round_to

POLICIES = [
    "O12-L12-FBG8q",
    "O16-L12-F8q-B10q-G12q",
    "O12/1-L10/1-F8/1q-B9/0uq-G10/1q",
    "O32-L12/4-F32q-B16/3q-G24q",
    "O12-L12-F8+fused-B9+fused-G10+fused",
]
POLICY = Policy.parse("O12-L12-FBG8q")
NAN = float("nan")


def normal(*shape, seed=1, scale=1.0, shift=0.0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale + shift


def master(policy, *shape, seed, shift=0.0):
    return quantize(policy.optimizer.format, normal(*shape, seed=seed, shift=shift)).requires_grad_()


# The reference -----------------------------------------------------------------------------------------------


def root(x):
    """√x to 500 bits after the point, and a bit that says that there is more."""
    if x is None or x < 0:
        return None
    scaled = x * (1 << 1000)
    floor = math.isqrt(math.floor(scaled))
    return Fraction(2 * floor + (floor * floor != scaled), 1 << 501)


def total(fmt, terms, accumulator):
    """The sum of products in a quire, or rounded after each."""
    if isinstance(accumulator, Fused):
        return reduce(lambda sum, term: round_to(fmt, add(sum, term)), terms, Fraction(0))
    return round_to(fmt, add(Fraction(0), *terms))


def range_share(count):
    return 1 / root(2 * Fraction(math.log(count)))  # exact enough for the formats of the tests


class Normalized:
    """Rows of values by the rules of docs/contract.md; `row` and `channel` give the keys of an element's index."""

    def __init__(self, policy, x, row, channel, gamma, beta, eps=1e-5, given=None, by_range=False):
        self.policy, self.row, self.channel, self.gamma = policy, row, channel, gamma
        small, fmt, sums = policy.forward.format, policy.optimizer.format, policy.forward.accumulator
        self.x = each(small, x)
        self.rows = {}
        for at in self.x:
            self.rows.setdefault(row(at), []).append(at)
        self.given, self.by_range = given is not None, by_range
        self.inverse, self.standard, self.statistics = {}, {}, {}
        for key, members in self.rows.items():
            count = len(members)
            share = round_to(fmt, Fraction(1, count))
            mean = total(fmt, [mul(self.x[at], share) for at in members], sums) if given is None else given[0][key]
            centered = {at: round_to(small, add(self.x[at], mul(round_to(small, mean), -1))) for at in members}
            if given is not None:
                variance = given[1][key]
            elif by_range:
                values = [self.x[at] for at in members]
                reach = None if None in values else round_to(fmt, max(values) - min(values))
                variance = round_to(fmt, mul(reach, round_to(fmt, range_share(count))))
                self.statistics[key] = mean, variance
            else:
                squares = total(fmt, [mul(x, x) for x in centered.values()], sums)
                variance = round_to(fmt, mul(squares, share))
                self.statistics[key] = mean, round_to(fmt, mul(squares, round_to(fmt, Fraction(1, max(1, count - 1)))))
            deviation = round_to(fmt, add(variance, round_to(fmt, Fraction(eps))))
            if not by_range:
                deviation = round_to(fmt, root(deviation))
            self.inverse[key] = round_to(fmt, div(Fraction(1), deviation))
            for at, d in centered.items():
                self.standard[at] = round_to(small, mul(d, round_to(small, self.inverse[key])))
        gammas, betas = (None if p is None else each(small, p) for p in (gamma, beta))
        self.y = dict(self.standard)
        if gamma is not None:
            self.y = {at: round_to(small, mul(h, gammas[channel(at)])) for at, h in self.standard.items()}
        if beta is not None:
            self.y = {
                at: round_to(small, add(mul(h, 1 if gamma is None else gammas[channel(at)]), betas[channel(at)]))
                for at, h in self.standard.items()
            }

    def backward(self, gradient):
        policy, fmt, large = self.policy, self.policy.backward.format, self.policy.optimizer.format
        small, sums_of = policy.gradient, policy.backward.accumulator
        g = each(fmt, gradient)
        sums = {}, {}
        for at, x in g.items():
            for terms, term in zip(sums, (mul(x, self.standard[at]), x), strict=True):
                terms.setdefault(self.channel(at), []).append(term)
        parameters = [{key: total(small.format, t, small.accumulator) for key, t in terms.items()} for terms in sums]
        gammas = None if self.gamma is None else each(fmt, self.gamma)
        grad_x = {}
        for key, members in self.rows.items():
            scale = round_to(fmt, self.inverse[key])
            h = {at: g[at] for at in members}
            if gammas is not None:
                if all(self.channel(at) == key for at in members):
                    scale = round_to(fmt, mul(gammas[key], scale))
                else:
                    h = {at: round_to(fmt, mul(x, gammas[self.channel(at)])) for at, x in h.items()}
            if not self.given:
                standard = {at: round_to(fmt, self.standard[at]) for at in members}
                share = round_to(large, Fraction(1, len(members)))
                mean = round_to(fmt, total(large, [mul(x, share) for x in h.values()], sums_of))
                slope = total(large, [mul(x, standard[at]) for at, x in h.items()], sums_of)
                if self.by_range:
                    share = round_to(large, range_share(len(members)))
                slope = round_to(fmt, round_to(large, mul(slope, share)))
                h = {at: round_to(fmt, add(x, mul(mean, -1))) for at, x in h.items()}
                if self.by_range:
                    values = {at: self.x[at] for at in members}
                    top, bottom = max(values, key=values.get), min(values, key=values.get)
                    h[top] = round_to(fmt, add(h[top], mul(slope, -1)))
                    h[bottom] = round_to(fmt, add(h[bottom], slope))
                else:
                    h = {at: round_to(fmt, add(x, mul(mul(standard[at], slope), -1))) for at, x in h.items()}
            grad_x |= {at: round_to(fmt, mul(x, scale)) for at, x in h.items()}
        return grad_x, *parameters


def check(policy, y, reference, x, weight, bias):
    """The output and the gradients against the reference, for an output gradient that B must round first."""
    assert not differences(y, reference.y)
    gradient = normal(*y.shape, seed=9).to(y.dtype)
    y.backward(gradient)
    grad_x, grad_weight, grad_bias = reference.backward(array(gradient))
    assert not differences(x.grad, grad_x)
    if weight is not None:
        assert not differences(weight.grad, grad_weight)
    if bias is not None:
        assert not differences(bias.grad, grad_bias)


def followed(policy, before, new, momentum):
    """Running statistics after one batch."""
    fmt = policy.optimizer.format
    share = round_to(fmt, Fraction(momentum))
    steps = {at: round_to(fmt, add(new[at], mul(old, -1))) for at, old in before.items()}
    return {at: round_to(fmt, add(mul(step, share), before[at])) for at, step in steps.items()}


def of_channel(at):
    return (at[1],)


# Batches -----------------------------------------------------------------------------------------------------


def statistics(policy, channels, positive_seed=5):
    fmt = policy.optimizer.format
    return quantize(fmt, normal(channels, seed=4)), quantize(fmt, normal(channels, seed=positive_seed).abs() + 0.25)


@pytest.mark.parametrize("by_range", [False, True], ids=["variance", "range"])
@pytest.mark.parametrize("shape", [(7, 3), (3, 2, 2, 3)], ids=str)
@pytest.mark.parametrize("text", POLICIES)
def test_batch_norm(text, shape, by_range):
    policy = Policy.parse(text)
    x = normal(*shape, scale=2, shift=0.7).double().requires_grad_()
    weight, bias = master(policy, shape[1], seed=2, shift=1), master(policy, shape[1], seed=3)
    mean, spread = statistics(policy, shape[1])
    before = array(mean), array(spread)
    function = functional.range_batch_norm if by_range else functional.batch_norm
    y = function(x, mean, spread, weight, bias, policy, momentum=0.3, eps=1e-3)
    reference = Normalized(
        policy, array(x), of_channel, of_channel, array(weight), array(bias), 1e-3, by_range=by_range
    )
    check(policy, y, reference, x, weight, bias)
    for i, statistic in enumerate((mean, spread)):
        new = {key: pair[i] for key, pair in reference.statistics.items()}
        assert not differences(statistic, followed(policy, before[i], new, 0.3))


FAULTS = {
    "two roundings for γ and β": (tensors, "fma", lambda fmt, x, y, z: tensors.add(fmt, tensors.mul(fmt, x, y), z)),
    "1/K rounded to F": (stages, "share_of", lambda fmt, count: rounded(POLICY.forward.format, Fraction(1, count))),
    "σ rounded to F": (stages, "deviation_of", lambda p, *given: quantize(p.forward.format, DEVIATION(p, *given))),
    "sums rounded at every step": (stages, "_total", lambda mac, terms, *rest: TOTAL(stepwise(mac), terms, *rest)),
    "sums in G rounded at every step": (
        standardization.DotTerms, "rounded", lambda terms, mac: ROUNDED(terms, stepwise(mac)),
    ),
    "gradients less no mean": (
        standardization, "mean_of", lambda mac, rows, *rest: torch.zeros(len(rows), 1, dtype=dtype_of(mac.out)),
    ),
}  # fmt: skip
DEVIATION, TOTAL, ROUNDED = stages.deviation_of, stages._total, standardization.DotTerms.rounded


def stepwise(mac):
    return MacSpec(mac.inputs, mac.out, Rounded())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault, monkeypatch):
    def checked():
        for text in POLICIES[:3]:
            test_batch_norm(text, (7, 3), False)

    monkeypatch.setattr(*FAULTS[fault])
    with pytest.raises(AssertionError):
        checked()


@pytest.mark.parametrize("by_range", [False, True], ids=["variance", "range"])
@pytest.mark.parametrize("text", POLICIES)
def test_batch_norm_by_running_statistics(text, by_range):
    policy = Policy.parse(text)
    x = normal(2, 3, 4).requires_grad_()
    weight, bias = master(policy, 3, seed=2, shift=1), master(policy, 3, seed=3)
    mean, spread = statistics(policy, 3)
    given = array(mean), array(spread)
    function = functional.range_batch_norm if by_range else functional.batch_norm
    y = function(x, mean, spread, weight, bias, policy, training=False)
    reference = Normalized(
        policy, array(x), of_channel, of_channel, array(weight), array(bias), given=given, by_range=by_range
    )
    check(policy, y, reference, x, weight, bias)
    assert (array(mean), array(spread)) == given


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_without_parameters(training):
    x = normal(5, 2, 3).requires_grad_()
    mean, variance = statistics(POLICY, 2)
    given = None if training else (array(mean), array(variance))
    y = functional.batch_norm(x, mean, variance, None, None, POLICY, training)
    check(POLICY, y, Normalized(POLICY, array(x), of_channel, of_channel, None, None, given=given), x, None, None)


class Exchange:
    """Several workers, one after the other: each runs anew with what all have given, until nothing is missing."""

    def __init__(self, monkeypatch):
        self.known, self.at = [], 0
        monkeypatch.setattr(workers, "active", lambda: True)
        monkeypatch.setattr(workers, "total", lambda n: self.meet(n))
        monkeypatch.setattr(workers, "summed", lambda q: QuireArray.from_digits(q.spec, self.meet(q.digits)))
        monkeypatch.setattr(workers, "gathered", lambda x: self.meet(x, list))
        monkeypatch.setattr(workers, "rank", lambda: self.worker)

    def meet(self, mine, together=sum):
        self.at += 1
        if self.at <= len(self.known):
            return self.known[self.at - 1]
        self.offered, self.together = mine, together
        raise InterruptedError

    def run(self, shares, work):
        """What `work` returns for each share."""
        while True:
            done, offers = [], []
            for self.worker, share in enumerate(shares):
                self.at = 0
                try:
                    done.append(work(share))
                except InterruptedError:
                    offers.append(self.offered)
            if not offers:
                return done
            assert not done
            self.known.append(self.together(offers))


@pytest.mark.parametrize("by_range", [False, True], ids=["variance", "range"])
@pytest.mark.parametrize("text", ["O12-L12-FBG8q", "O16-L12-F8q7-B10/1q-G12q", "O32-L12-F32q-B16q-G24q"])
def test_workers_normalize_as_one_process(text, by_range, monkeypatch):
    """Shares of different sizes, one of them empty; the weights' gradients are summed by `accumulate`."""
    policy = Policy.parse(text)
    images, gradient = normal(6, 2, 3, shift=3, scale=0.1), normal(6, 2, 3, seed=2)
    weight, bias = master(policy, 2, seed=2).detach(), master(policy, 2, seed=3).detach()
    function = functional.range_batch_norm if by_range else functional.batch_norm

    def work(share):
        x = images[share].clone().requires_grad_()
        mean, variance = statistics(policy, 2)
        y = function(x, mean, variance, weight, bias, policy)
        y.backward(gradient[share].to(y.dtype))
        return y.detach(), x.grad, mean, variance

    y, grad_x, *running = work(slice(0, 6))
    parts = Exchange(monkeypatch).run([slice(0, 1), slice(1, 1), slice(1, 6)], work)
    assert torch.equal(torch.cat([part[0] for part in parts]), y)
    assert torch.equal(torch.cat([part[1] for part in parts]), grad_x)
    assert all(torch.equal(a, b) for part in parts for a, b in zip(part[2:], running, strict=True))


def test_workers_need_quires(monkeypatch):
    monkeypatch.setattr(workers, "active", lambda: True)
    x, none = normal(4, 2), [None] * 4
    for text in ("O12-L12-F8-BG8q", "O12-L12-F8q-B8+fused-G8q"):
        with pytest.raises(ValueError, match=r"batch_norm: sums .* exact only in a quire, not .* add q to the F and B"):
            functional.batch_norm(x, *none, Policy.parse(text))
        with pytest.raises(ValueError, match="range_batch_norm: sums over the samples of several workers are exact"):
            functional.range_batch_norm(x, *none, Policy.parse(text))
    assert functional.layer_norm(x, (2,), None, None, Policy.parse("O12-L12-FBG8")).shape == (4, 2)


def steps(rank=0, size=1):
    """Two training steps of a network with batch norm on a worker's share of each batch; its state."""
    torch.manual_seed(1)
    model = [nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 4), nn.BatchNorm1d(4)]
    twin = convert(nn.Sequential(*model), POLICY)
    twin.append(layers.RangeBatchNorm1d(4, policy=POLICY))
    optimizer, loss = pnn.SGD(twin.parameters(), POLICY, lr=1 / 4), pnn.CrossEntropyLoss(POLICY)
    for seed in range(2):
        x, target = normal(6, 1, 5, 5, seed=seed).chunk(size)[rank], (torch.arange(6) % 4).chunk(size)[rank]
        with pnn.audit(twin), pnn.accumulate(twin.parameters()):
            loss(twin(x), target).backward()
        optimizer.step()
    return twin.state_dict()


def as_worker(rank, size, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size)
    torch.save(steps(rank, size), f"{folder}/{rank}")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
def test_processes_train_as_one(size, tmp_path, monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    torch.multiprocessing.spawn(as_worker, (size, str(tmp_path)), nprocs=size)
    expected = steps()
    for rank in range(size):
        state = torch.load(tmp_path / str(rank), weights_only=True)
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[key], value) for key, value in expected.items())


# Layers and groups of one sample -----------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", ["", "weight", "bias", "weight bias"])
@pytest.mark.parametrize("text", POLICIES)
def test_layer_norm(text, parameters):
    policy = Policy.parse(text)
    x = normal(2, 2, 3, 2, shift=0.5).requires_grad_()
    weight = master(policy, 3, 2, seed=2, shift=1) if "weight" in parameters else None
    bias = master(policy, 3, 2, seed=3) if "bias" in parameters else None
    y = functional.layer_norm(x, (3, 2), weight, bias, policy)
    values = [None if p is None else array(p) for p in (weight, bias)]
    check(policy, y, Normalized(policy, array(x), lambda at: at[:2], lambda at: at[2:], *values), x, weight, bias)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("text", POLICIES)
def test_group_norm(text, groups):
    policy = Policy.parse(text)
    x = normal(2, 4, 3, shift=0.5).requires_grad_()
    weight, bias = master(policy, 4, seed=2, shift=1), master(policy, 4, seed=3)
    y = functional.group_norm(x, groups, weight, bias, policy, 1e-2)

    def row(at):
        return at[0], "group", at[1] * groups // 4

    reference = Normalized(policy, array(x), row, of_channel, array(weight), array(bias), 1e-2)
    check(policy, y, reference, x, weight, bias)


# What is not a number, and what is not there -----------------------------------------------------------------


def test_nar_stays_in_its_row():
    x = normal(4, 2)
    x[1, 0] = NAN
    none = [None] * 4
    assert functional.batch_norm(x, *none, POLICY).isnan().all(0).tolist() == [True, False]
    assert functional.range_batch_norm(x, *none, POLICY).isnan().all(0).tolist() == [True, False]
    assert functional.layer_norm(x, (2,), None, None, POLICY).isnan().all(1).tolist() == [False, True, False, False]
    assert functional.group_norm(x, 2, None, None, POLICY).isnan().sum() == 1
    mean, variance = torch.tensor([0.0, 0.0]), torch.tensor([1.0, -1.0])
    assert functional.batch_norm(normal(4, 2), mean, variance, None, None, POLICY, False).isnan().all(0)[1]


def test_equal_values_are_normalized_to_zero():
    x = torch.full((4, 2), 1.5, requires_grad=True)
    for function in (functional.batch_norm, functional.range_batch_norm):
        x.grad = None
        y = function(x, *[None] * 4, POLICY)
        assert not y.any()
        y.backward(torch.ones_like(y))
        assert not x.grad.any()


def test_samples_of_no_batch():
    assert functional.layer_norm(normal(0, 3), (3,), None, None, POLICY).shape == (0, 3)
    assert functional.group_norm(normal(0, 4, 2), 2, None, None, POLICY).shape == (0, 4, 2)
    mean, variance = statistics(POLICY, 4)
    x = normal(0, 4, 2).requires_grad_()
    y = functional.batch_norm(x, mean, variance, None, None, POLICY, False)
    y.backward(torch.ones_like(y))
    assert y.shape == x.grad.shape == (0, 4, 2)


def test_a_large_batch_keeps_its_precision():
    """The mean of many equal values is that value, in whatever formats: no sum is rounded that grows with the count."""
    x = torch.full((3, 2, 1000), 1.5)
    x[:, :, ::2] = 0.5
    y = functional.batch_norm(x, *[None] * 4, POLICY)
    assert y.unique().tolist() == [-1.0, 1.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x, v: functional.batch_norm(x, v, v, None, None, POLICY, False),
            r"must be of shape \(3,\), not \(2,\)",
        ),
        (lambda x, v: functional.batch_norm(x, None, None, None, None, POLICY, False), "running_mean and running_var"),
        (lambda x, v: functional.batch_norm(x[:1], *[None] * 4, POLICY), r"more than one value .* x of \(1, 3\)"),
        (lambda x, v: functional.range_batch_norm(x[:1], *[None] * 4, POLICY), "range_batch_norm: .* more than one"),
        (lambda x, v: functional.range_batch_norm(x, *[None] * 4, POLICY, False), "running_mean and running_std"),
        (lambda x, v: functional.batch_norm(x[0], *[None] * 4, POLICY), r"of shape \(N, C, ...\), not \(3,\)"),
        (lambda x, v: functional.layer_norm(x, (2,), None, None, POLICY), r"of shape \(..., 2\), not \(4, 3\)"),
        (lambda x, v: functional.layer_norm(x, (), None, None, POLICY), "layer_norm: x must be of shape"),
        (lambda x, v: functional.layer_norm(x, (3,), v, None, POLICY), r"of shape \(3,\), not \(2,\)"),
        (
            lambda x, v: functional.group_norm(x, 2, None, None, POLICY),
            "must divide the 3 channels, not be 2",
        ),
        (lambda x, v: functional.group_norm(x, 3, None, v, POLICY), r"of shape \(3,\), not \(2,\)"),
    ],
)
def test_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call(normal(4, 3), torch.ones(2))


def test_statistics_that_would_be_rounded_to_floats():
    policy = Policy.parse("O32-L12-FBG8q")
    with pytest.raises(TypeError, match=r"values of posit<32,2>, which torch.float32 does not hold; make them .*64"):
        functional.batch_norm(normal(4, 3), torch.zeros(3), None, None, None, policy)


# Layers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["O12-L12-FBG8q", "O32-L12-FBG8q"])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm1d(3), (4, 3)),
        (nn.BatchNorm1d(3, momentum=None), (4, 3, 2)),
        (nn.BatchNorm2d(3, eps=0.01, momentum=0.3), (2, 3, 2, 2)),
        (nn.BatchNorm2d(3, affine=False), (2, 3, 2, 2)),
        (nn.BatchNorm2d(3, track_running_stats=False), (2, 3, 2, 2)),
        (nn.LayerNorm(3), (4, 3)),
        (nn.LayerNorm((3, 2), bias=False), (4, 3, 2)),
        (nn.GroupNorm(2, 4), (2, 4, 3)),
    ],
    ids=str,
)
def test_a_layer_trains_evaluates_and_returns(layer, shape, text):
    """Near the float layer, which shows that options arrive; and its parameters and statistics are those of O."""
    policy = Policy.parse(text)
    twin = convert(layer, policy)
    assert type(twin).__name__ == type(layer).__name__
    assert f"policy={policy}" in repr(twin)
    same = pnn.to_float(twin)
    assert type(same) is type(layer)
    for seed in range(3):
        x = normal(*shape, seed=seed, shift=1).requires_grad_()
        with pnn.audit(twin):
            y = twin(x)
        y.backward(torch.ones_like(y))
        assert (y - same(x)).abs().max() < 0.3
    for key, value in twin.state_dict().items():
        if value.is_floating_point():
            assert value.dtype == dtype_of(policy.optimizer.format)
            assert torch.equal(value, quantize(policy.optimizer.format, value))
            assert (value - same.state_dict()[key]).abs().max() < 0.1
        else:
            assert value == same.state_dict()[key] == 3
    x = normal(*shape, seed=9)
    assert (twin.eval()(x) - same.eval()(x)).abs().max() < 0.3
    state = same.state_dict()
    twin.load_state_dict(state)
    for key, value in twin.state_dict().items():
        assert value.dtype == torch.int64 or torch.equal(value, quantize(policy.optimizer.format, state[key]))


def test_the_cumulative_average_of_batches():
    twin = convert(nn.BatchNorm1d(2, momentum=None), POLICY)
    fmt, mean = POLICY.optimizer.format, dict.fromkeys([(0,), (1,)], Fraction(0))
    for n in range(1, 4):
        x = normal(5, 2, seed=n)
        twin(x)
        batch = Normalized(POLICY, array(x), of_channel, of_channel, None, None).statistics
        mean = followed(POLICY, mean, {key: pair[0] for key, pair in batch.items()}, 1 / n)
    assert not differences(twin.running_mean, mean)
    assert twin.running_mean.dtype == dtype_of(fmt)


def test_a_layer_of_ranges():
    layer = layers.RangeBatchNorm1d(3, momentum=0.5, policy=POLICY)
    assert list(layer.state_dict()) == ["weight", "bias", "running_mean", "running_std", "num_batches_tracked"]
    x = normal(6, 3)
    with pnn.audit(layer):
        y = layer(x)
        y.backward(torch.ones_like(y))
    twin = layers.RangeBatchNorm1d(3, policy=POLICY)
    twin.load_state_dict(layer.state_dict())
    expected = functional.range_batch_norm(
        x, layer.running_mean, layer.running_std, layer.weight, layer.bias, POLICY, False
    )
    assert torch.equal(twin.eval()(x), expected)
    plain = layers.RangeBatchNorm1d(3, affine=False, track_running_stats=False, policy=Policy.parse("O32-L12-FBG8q"))
    assert not plain.state_dict()
    assert torch.equal(plain.eval()(x), plain.train()(x))
    assert "3, eps=1e-05, momentum=0.5, affine=True, track_running_stats=True, policy=O12" in repr(layer)
    with pytest.raises(ValueError, match=r"x must be of shape \(N, C\) or \(N, C, L\), not \(1, 3, 2, 2\)"):
        layer(normal(1, 3, 2, 2))
    with pytest.raises(TypeError, match=r"RangeBatchNorm1d has no twin in torch.nn; take it out of the model first"):
        pnn.to_float(layer)


class Functions(nn.Module):
    """PyTorch's functions in a forward of one's own."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(4)), nn.Parameter(torch.zeros(4))
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x):
        x = nn.functional.batch_norm(x, self.mean, torch.ones(4), self.weight, self.bias, training=True)
        x = nn.functional.group_norm(x, 2, self.weight, self.bias)
        return nn.functional.layer_norm(x, (4,), self.weight, self.bias, 1e-3)


def test_functions_in_a_forward():
    twin = convert(Functions(), POLICY)
    x = normal(5, 4)
    with pnn.audit(twin):
        y = twin(x)
        y.backward(torch.ones_like(y))
    mean, ones, zeros = torch.zeros(4), torch.ones(4), torch.zeros(4)
    expected = functional.batch_norm(x, mean, torch.ones(4), ones, zeros, POLICY)
    expected = functional.layer_norm(
        functional.group_norm(expected, 2, ones, zeros, POLICY), (4,), ones, zeros, POLICY, 1e-3
    )
    assert torch.equal(y, expected)
    assert torch.equal(twin.mean, mean)
    assert twin.weight.grad is not None


@pytest.mark.slow
@pytest.mark.rtl
def test_the_hardware_normalizes_alike():
    results = []
    for backend in ("golden", "rtl"):
        twin, x = convert(nn.BatchNorm1d(2), POLICY), normal(4, 2).requires_grad_()
        with pnn.use_backend(backend):
            y = twin(x)
            y.backward(normal(4, 2, seed=2))
        results.append([y, x.grad, twin.weight.grad, twin.bias.grad, twin.running_mean, twin.running_var])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
