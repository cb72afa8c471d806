"""`BackScale` and `AdaptiveScale` against plain Python."""

import copy
import io
import pickle
from fractions import Fraction

import pytest
import torch

import positcore as pc
from positcore.nn import (
    SGD,
    AdaptiveScale,
    BackScale,
    Conv2d,
    CrossEntropyLoss,
    DynamicScaler,
    Linear,
    Policy,
    accumulate,
    audit,
    convert,
    quantize,
    workers,
)
from positcore.nn.scaling.layers import log2
from tests.nn import reference
from tests.nn.reference import add, array, differences, div, mul, number, round_to
from tests.nn.reference_optimizers import root

POLICY = Policy.parse("O12-L12-FBG8q")
TEXTS = ["O12-L12-FBG8q", "O16/1-L10-F8q-B9q-G10q", "O32-L16-FBG7uq"]
TARGET = torch.tensor([0, 1, 2, 1])


def draw(fmt, *shape, seed=1):
    return quantize(fmt, torch.randn(shape, generator=torch.Generator().manual_seed(seed)))


def network(policy=POLICY):
    """Three linear layers, with a ReLU between the first two, and their inputs."""
    torch.manual_seed(5)
    layers = [Linear(6, 7, policy=policy), Linear(7, 5, policy=policy), Linear(5, 3, policy=policy)]
    return torch.nn.Sequential(layers[0], torch.nn.ReLU(), *layers[1:]), layers, draw(policy.forward.format, 4, 6)


def train(model, x, policy, scaling=None):
    """One backward pass; with a scaling, its `unscale_`."""
    model.zero_grad()
    CrossEntropyLoss(policy)(model(x), TARGET).backward()
    if scaling is not None:
        scaling.unscale_(SGD(model.parameters(), policy, lr=0.1))


class Followed:
    """The network and its backward pass in plain Python, where each point divides by 2^k."""

    def __init__(self, policy, layers, x):
        self.policy, n = policy, len(x)
        self.layers, values = [], array(x)
        self.mask = {}
        for index, layer in enumerate(layers):
            follower = reference.linear(policy, values, array(layer.weight), array(layer.bias), n)
            values = follower.forward(values)
            if index == 0:
                self.mask = {at: v > 0 for at, v in values.items()}
                values = {at: max(v, Fraction(0)) for at, v in values.items()}
            self.layers.append(follower)
        self.logits = values

    def run(self, divide):
        """Gradients (weight, bias) of each layer; `divide(i, g)` is what point i does."""
        _, gradient = reference.cross_entropy(self.policy, self.logits, TARGET.tolist())
        found = {}
        for index in (2, 1, 0):
            if index == 0:
                gradient = {at: g if self.mask[at] else Fraction(0) for at, g in gradient.items()}
            gradient = divide(index, gradient)
            gradient, *found[index] = self.layers[index].backward(gradient)
        return found


def divided(fmt, gradient, k):
    return {at: round_to(fmt, mul(g, Fraction(2) ** -k)) for at, g in gradient.items()} if k else gradient


def wrong(policy, layers, found, totals):
    """Differences between the parameters' gradients and those found, multiplied by 2^K in O."""
    fmt = policy.optimizer.format
    report = []
    for index, layer in enumerate(layers):
        for parameter, values in zip((layer.weight, layer.bias), found[index], strict=True):
            report += differences(parameter.grad, divided(fmt, values, -totals[index]))
    return report


@pytest.mark.parametrize("exponents", [[0, 0, 0], [0, 0, -5], [1, -3, 2], [-2, 4, -4]])
@pytest.mark.parametrize("text", TEXTS)
def test_gradients(text, exponents):
    policy = Policy.parse(text)
    model, layers, x = network(policy)
    scaling = BackScale(layers, policy)
    scaling.exponents, scaling.measuring = list(exponents), False
    follower = Followed(policy, layers, x)
    train(model, x, policy, scaling)
    totals = [sum(exponents[i:]) for i in range(3)]
    assert scaling.totals == totals
    found = follower.run(lambda i, g: divided(policy.backward.format, g, exponents[i]))
    assert not wrong(policy, layers, found, totals)
    assert scaling.exponents == exponents


# What is measured -------------------------------------------------------------------------------------


def average(fmt, products):
    return round_to(fmt, div(round_to(fmt, add(*products)), round_to(fmt, len(products))))


def deviation(fmt, gradient):
    x = [round_to(fmt, g) for g in gradient.values()]
    mean = average(fmt, x)
    variance = round_to(fmt, add(average(fmt, [v * v for v in x]), -mean * mean))
    return round_to(fmt, root(max(variance, Fraction(0))))


def learnt(fmt, last, new, momentum):
    if last is None:
        return new
    return round_to(fmt, add(mul(round_to(fmt, 1 - number(momentum)), round_to(fmt, new - last)), last))


@pytest.mark.parametrize("text", TEXTS)
def test_running_deviations(text):
    policy = Policy.parse(text)
    fmt = policy.optimizer.format
    model, layers, x = network(policy)
    scaling = BackScale(layers, policy, "after", momentum=0.75)
    running = [None] * 3
    for _ in range(3):
        exponents, totals = list(scaling.exponents), [*scaling.totals, 0]

        def arrive(i, g, exponents=exponents, totals=totals):
            seen = round_to(fmt, mul(deviation(fmt, g), Fraction(2) ** totals[i + 1]))
            running[i] = learnt(fmt, running[i], seen, 0.75)
            return divided(policy.backward.format, g, exponents[i])

        found = Followed(policy, layers, x).run(arrive)
        train(model, x, policy, scaling)
        assert not wrong(policy, layers, found, totals)
        assert [Fraction(r) for r in scaling.running] == running
    assert any(scaling.exponents)


def test_the_split_of_a_batch_and_the_number_of_workers_do_not_matter(monkeypatch):
    """Two workers with the same samples are one with each of them twice."""
    model, layers, _ = network()
    x, target = draw(POLICY.forward.format, 8, 6), torch.tensor([0, 1, 2, 1, 0, 0, 2, 1])
    optimizer = SGD(model.parameters(), POLICY, lr=0.1)
    found = []
    for batches in ([slice(0, 8)], [slice(0, 3), slice(3, 8)], [slice(i, i + 1) for i in range(8)]):
        scaling = BackScale(layers, POLICY, "mix", momentum=0.5)
        for _ in range(2):
            with accumulate(model.parameters()):
                for part in batches:
                    CrossEntropyLoss(POLICY)(model(x[part]), target[part]).backward()
            scaling.unscale_(optimizer)
        found.append((scaling.state_dict(), [w.grad.clone() for w in model.parameters()]))
        scaling.remove()
    whole, gradients = found[0]
    assert any(whole["exponents"])
    assert all(state == whole for state, _ in found)
    assert all(torch.equal(a, b) for _, grads in found for a, b in zip(grads, gradients, strict=True))

    def learnt_from(rows):
        scaling = BackScale(layers, POLICY, "mix")
        CrossEntropyLoss(POLICY)(model(x[rows]), target[rows]).backward()
        scaling.unscale_(optimizer)
        scaling.remove()
        return scaling.state_dict()

    together = learnt_from([0, 1, 2, 0, 1, 2])
    assert learnt_from([0, 1, 2]) != together  # the sizes differ
    monkeypatch.setattr(workers, "total", lambda count: 2 * count)
    monkeypatch.setattr(workers, "summed", lambda sums: sums.copy().add_quire(sums))
    assert learnt_from([0, 1, 2]) == together
    monkeypatch.setattr(workers, "active", lambda: True)
    AdaptiveScale(layers, POLICY)
    with pytest.raises(
        RuntimeError, match="AdaptiveScale: each worker would choose factors from its own samples; take"
    ):
        CrossEntropyLoss(POLICY)(model(x), target).backward()


def estimate(policy, layer, gradient, terms):
    fmt = policy.optimizer.format
    x = [round_to(fmt, g) for g in gradient.values()]
    w = list(array(layer.weight).values())
    squares = round_to(fmt, average(fmt, [v * v for v in x]) * average(fmt, [v * v for v in w]))
    a = round_to(fmt, average(fmt, x) * average(fmt, w))
    v = max(Fraction(0), round_to(fmt, squares - a * a))
    return round_to(fmt, root(round_to(fmt, v * round_to(fmt, terms))))


AIMS = {"normalize": Fraction(1), "half": Fraction(6745, 10000), "default": Fraction(125331447, 10**11) * 2**12}


def nearest_log2(x):
    """log2 x, rounded down to 1/256, then to an integer."""
    e = 0
    while Fraction(2) ** e > x:
        e -= 1
    while Fraction(2) ** (e + 1) <= x:
        e += 1
    fraction = (x / Fraction(2) ** e) ** 256
    steps = 0
    while Fraction(2) ** (steps + 1) <= fraction:
        steps += 1
    return round(e + Fraction(steps, 256))


@pytest.mark.parametrize("mode", AIMS)
def test_adaptive(mode):
    """Two steps; factors are decided as the gradients arrive."""
    policy, fmt = POLICY, POLICY.optimizer.format
    model, layers, x = network(policy)
    scaling = AdaptiveScale(layers, policy, mode, momentum=0.5)
    running, sums = [None] * 3, []
    for _ in range(2):
        exponents = [0] * 3

        def arrive(i, g, exponents=exponents):
            above = sum(exponents[i + 1 :])
            sigma = estimate(policy, layers[i], g, layers[i].out_features)
            running[i] = learnt(fmt, running[i], round_to(fmt, sigma * Fraction(2) ** above), 0.5)
            exponents[i] = nearest_log2(AIMS[mode] * running[i]) - above
            return divided(policy.backward.format, g, exponents[i])

        found = Followed(policy, layers, x).run(arrive)
        train(model, x, policy, scaling)
        assert scaling.exponents == exponents
        assert [Fraction(r) for r in scaling.running] == running
        assert not wrong(policy, layers, found, scaling.totals)
        sums.append(scaling.totals)
    assert any(map(any, sums))


def test_adaptive_keeps_its_factors_until_the_gradients_are_unscaled():
    model, layers, x = network()
    scaling = AdaptiveScale(layers, POLICY, "normalize", momentum=0.0)
    train(model, x, POLICY)
    first = list(scaling.exponents)
    for size in (1.0, 64.0):
        loss = CrossEntropyLoss(POLICY)(model(x), TARGET)
        loss.backward(torch.tensor(size))
        assert scaling.exponents == first
    scaling.unscale_(SGD(model.parameters(), POLICY, lr=0.1))
    CrossEntropyLoss(POLICY)(model(x), TARGET).backward(torch.tensor(64.0))
    assert scaling.totals == [k + 6 for k in [sum(first[i:]) for i in range(3)]]


def test_terms_of_convolutions():
    layers = [Conv2d(4, 6, 3, groups=2, policy=POLICY), Linear(5, 7, policy=POLICY)]
    scaling = AdaptiveScale(layers, POLICY)
    assert [scaling._terms(i) for i in range(2)] == [27, 7]


# What is chosen ---------------------------------------------------------------------------------------


def positnn_factors(mode, s, n):
    """log2 of the factor of every point as PositNN's source computes them, from logarithms s and sizes n."""
    last = len(s) - 1
    if mode == "log-loss":
        return [0] * last + [sum(a * b for a, b in zip(s, n, strict=True)) / sum(n)]
    if mode == "before":
        middle, end = (lambda i: s[i - 1] - s[i]), s[last - 1]
    elif mode == "after":
        middle, end = (lambda i: s[i] - s[i + 1]), s[last]
    else:

        def middle(i):
            a, b, c = n[i - 1], n[i], n[i + 1]
            top = a * b * (s[i - 1] - s[i]) + a * c * (s[i - 1] - s[i + 1]) + b * c * (s[i] - s[i + 1])
            return top / ((a + b) * (b + c))

        end = (n[last - 1] * s[last - 1] + n[last] * s[last]) / Fraction(n[last - 1] + n[last])
    return [0, *[middle(i) for i in range(1, last)], end]


@pytest.mark.parametrize("mode", ["log-loss", "before", "after", "mix"])
def test_targets_are_those_of_positnn(mode):
    """Sums of its factors, where deviations are powers of two, so that logarithms are exact."""
    layers = [Linear(2, 2, policy=POLICY) for _ in range(5)]
    scaling = BackScale(layers, POLICY, mode)
    s, n = [Fraction(e) for e in (-3, 2, -7, 0, 4)], [5, 40, 8, 1000, 3]
    scaling._sizes = n
    factors = positnn_factors(mode, s, n)
    expected = [sum(factors[i:]) for i in range(5)]
    assert scaling._targets([Fraction(2) ** e for e in s]) == expected


def test_targets_of_the_other_modes():
    layers = [Linear(2, 2, policy=POLICY) for _ in range(5)]
    r, n = [Fraction(x) for x in (1, 2, 8, 1, 4)], [1, 1, 2, 4, 8]
    s = [0, 1, 3, 0, 2]

    def targets(mode, **options):
        scaling = BackScale(layers, POLICY, mode, **options)
        scaling._sizes = n
        return scaling._targets(r)

    assert targets("loss") == [log2(Fraction(1 + 2 + 16 + 4 + 32, 16))] * 5
    low = Fraction(s[1] + s[2] * 2, 3)  # layers 1 and 2, for the place 3; then layer 0, for the place 1
    assert targets("multi-log", places=[1, 3]) == [0, 0, low, low, 0]
    assert targets("multi-log", places=(4,)) == [Fraction(1 + 6, 8)] * 5
    assert targets("multi-log", places=[0, 4])[4] == Fraction(7, 8)
    half = log2(Fraction(6745, 10000))
    assert targets("half") == [half + e for e in (0, 0, 1, 3, 0)]


def test_logarithms():
    for x in (Fraction(1), Fraction(3), Fraction(5, 7), Fraction(2) ** -40, Fraction(1001, 1000)):
        log = log2(x)
        steps = log * 256
        assert steps.denominator == 1
        assert Fraction(2) ** steps.numerator <= x**256 < Fraction(2) ** (steps.numerator + 1)


@pytest.mark.parametrize("mode", ["after", "mix", "log-loss", "loss"])
def test_gradients_come_to_lie_around_one(mode):
    """A network whose gradients shrink from layer to layer: with the factors that were learnt they do not."""
    policy = Policy.parse("O16-L12-FBG8q")
    torch.manual_seed(7)
    layers = [Linear(16, 16, policy=policy) for _ in range(4)]
    with torch.no_grad():
        for layer in layers:
            layer.weight.copy_(quantize(policy.optimizer.format, layer.weight / 4))
    model, x = torch.nn.Sequential(*layers), draw(policy.forward.format, 64, 16)
    target = torch.randint(0, 16, (64,))
    scaling = BackScale(layers, policy, mode)
    seen = {}
    arrive = scaling._arrive
    for handle in scaling._handles:
        handle.remove()
    scaling._arrive = lambda i, g: seen.setdefault(i, []).append(arrive(i, g)) or seen[i][-1]
    scaling._handles = [
        layer.register_forward_hook(lambda *a, i=i: scaling._place(i, *a)) for i, layer in enumerate(layers)
    ]
    optimizer = SGD(layers[0].parameters(), policy, lr=0.1)
    for layer in layers[1:]:
        optimizer.add_param_group({"params": list(layer.parameters())})
    for _ in range(2):
        model.zero_grad()
        CrossEntropyLoss(policy)(model(x), target).backward()
        scaling.unscale_(optimizer)
    before, after = ([seen[i][step].std().log2().abs().item() for i in range(4)] for step in (0, 1))
    assert max(after) < max(before)
    if mode == "after":
        assert max(after[1:]) < 0.75  # all but the first point, which has no factor of its own


def test_factors_stay_in_the_range_of_the_formats():
    policy = Policy.parse("O8-L12-F8q-B6q-G8q")
    layers = [Linear(2, 2, policy=policy) for _ in range(3)]
    scaling = BackScale(layers, policy, "after")
    for index, target in ((2, 40), (1, 40), (0, -3)):
        scaling._aim(index, target)
    assert scaling.exponents == [-8, 8, 8]  # of posit<6,2> the powers of two are complete to 2^8, of posit<8,2> to 2^16


def test_per_layer_formats():
    policy = Policy.parse("O12-L12-FBG8q; b=B12q")
    layers = [Linear(2, 2, policy=policy.for_layer(name)) for name in "ab"]
    scaling = BackScale([layers[0], torch.nn.Sequential(layers[1])], policy)
    assert [scaling._format(i) for i in range(2)] == [pc.posit8, pc.posit8]  # a block has no format of its own
    assert BackScale(layers, policy)._format(1) == pc.PositFormat(12, 2)


def test_nothing_is_computed_in_floats():
    """A network of one's own with convolutions, under both kinds of scaling."""

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = torch.nn.Conv2d(1, 3, 3, stride=3), torch.nn.Linear(12, 3)

        def forward(self, x):
            return self.fc(torch.relu(self.conv(x)).flatten(1))

    torch.manual_seed(1)
    twin = convert(Net(), POLICY)
    optimizer = SGD(twin.parameters(), POLICY, lr=0.125, momentum=0.5)
    scaler = DynamicScaler(POLICY, init_scale=4.0, growth_interval=1)
    x = draw(POLICY.forward.format, 4, 1, 6, 6)
    for make in (lambda x: BackScale(x, POLICY, "mix"), lambda x: AdaptiveScale(x, POLICY)):
        scaling = make([twin.conv, twin.fc])
        with audit(twin):
            for _ in range(2):
                optimizer.zero_grad()
                scaler.scale(CrossEntropyLoss(POLICY)(twin(x), TARGET)).backward()
                scaler.unscale_(optimizer)
                scaling.unscale_(optimizer)
                scaler.step(optimizer)
                scaler.update()
        assert any(scaling.exponents)
        scaling.remove()


# State and errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [lambda x: BackScale(x, POLICY, "mix"), lambda x: AdaptiveScale(x, POLICY)], ids=["back", "adaptive"]
)
def test_state_and_copies(make):
    model, layers, x = network()
    scaling = make(layers)
    train(model, x, POLICY, scaling)
    twin, copied = copy.deepcopy((model, scaling))
    stored, loaded = pickle.loads(pickle.dumps((model, scaling)))
    other_model, other_layers, _ = network()
    other = make(other_layers)
    file = io.BytesIO()
    torch.save(scaling.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    train(model, x, POLICY, scaling)
    for again, same in ((twin, copied), (stored, loaded), (other_model, other)):
        train(again, x, POLICY, same)
        assert same.state_dict() == scaling.state_dict()
        for a, b in zip(model.parameters(), again.parameters(), strict=True):
            assert torch.equal(a.grad, b.grad)
    with pytest.raises(ValueError, match=r"Scale: the state to load is of 3 layers, not 2"):
        make(layers[:2]).load_state_dict(scaling.state_dict())


def test_removed_points_scale_nothing_and_evaluation_has_none():
    model, layers, x = network()
    train(model, x, POLICY)
    plain = [w.grad.clone() for w in model.parameters()]
    scaling = BackScale(layers, POLICY)
    scaling.exponents = [0, 0, 3]
    with torch.no_grad():
        assert model(x).grad_fn is None
    train(model, x, POLICY)
    assert any(not torch.equal(w.grad, g) for w, g in zip(model.parameters(), plain, strict=True))
    scaling.remove()
    train(model, x, POLICY)
    assert all(torch.equal(w.grad, g) for w, g in zip(model.parameters(), plain, strict=True))


def test_nar_and_zero_teach_nothing():
    model, layers, x = network()
    scaling = BackScale(layers, POLICY, "after")
    optimizer = SGD(model.parameters(), POLICY, lr=0.1)
    for factor in (float("nan"), 0.0):
        CrossEntropyLoss(POLICY)(model(x), TARGET).backward(torch.tensor(factor))
        scaling.unscale_(optimizer)
        assert scaling.running == [None] * 3
        assert scaling.exponents == [0] * 3


def test_parameters_and_layers_that_do_not_fit():
    model, layers, x = network()
    scaling = BackScale(layers[:2], POLICY)
    with pytest.raises(ValueError, match=r"BackScale: a parameter of shape \(3, 5\) is in none of the layers, so its"):
        train(model, x, POLICY, scaling)
    scaling.remove()
    frozen = BackScale(layers, POLICY)
    layers[0].requires_grad_(False)
    with pytest.raises(ValueError, match="BackScale: no gradient came to the output of layer 0, so it teaches nothing"):
        train(model, x, POLICY, frozen)
    pair = torch.nn.LSTM(2, 2)
    BackScale([pair], POLICY)
    with pytest.raises(TypeError, match="BackScale: the output of layer 0 must be a tensor, not tuple"):
        pair(torch.ones(3, 1, 2))


LAYERS = [Linear(2, 2, policy=POLICY), Linear(2, 2, policy=POLICY)]
NO_FRACTION = Policy.parse("O12-L12-F8q-B5q-G8q")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: BackScale([], POLICY), TypeError, r"BackScale: layers must be modules in forward order, not \[\]"),
        (lambda: BackScale([3], POLICY), TypeError, r"not \[3\]"),
        (
            lambda: BackScale(LAYERS, POLICY, momentum=1.0),
            ValueError,
            r"momentum must be at least 0 and less than 1, not 1\.0",
        ),
        (
            lambda: BackScale(LAYERS, POLICY, "best"),
            ValueError,
            "no mode 'best'; there are loss, log-loss, multi-log, mix",
        ),
        (
            lambda: BackScale(LAYERS[:1], POLICY, "mix"),
            ValueError,
            "mix scales between layers and needs two; take loss or",
        ),
        (lambda: BackScale(LAYERS, POLICY, "multi-log"), ValueError, "multi-log, and no other mode, needs places"),
        (
            lambda: BackScale(LAYERS, POLICY, "mix", places=[1]),
            ValueError,
            "multi-log, and no other mode, needs places",
        ),
        (lambda: BackScale(LAYERS, POLICY, "multi-log", places=[2]), ValueError, r"indices of the 2 layers, not \[2\]"),
        (lambda: BackScale(LAYERS, POLICY, "multi-log", places=[]), ValueError, r"indices of the 2 layers, not \[\]"),
        (
            lambda: BackScale([LAYERS[0]] * 2, POLICY),
            ValueError,
            "BackScale: layers 0 and 1 share a parameter; give the block",
        ),
        (lambda: AdaptiveScale(LAYERS, POLICY, "mix"), ValueError, "no mode 'mix'; there are default, normalize, half"),
        (
            lambda: AdaptiveScale([*LAYERS, torch.nn.ReLU()], POLICY),
            TypeError,
            "layer 2 has no weight of two dimensions or",
        ),
        (
            lambda: AdaptiveScale([Linear(2, 2, policy=NO_FRACTION)], NO_FRACTION),
            ValueError,
            "posit<5,2> has a fraction bit",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
