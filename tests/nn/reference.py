"""Training in plain Python: one number at a time, in exact rationals, rounded where `docs/contract.md` says.

An array is a dict from index to value; a value is a Fraction, or None for NaR. Nothing here knows of NumPy, of
kernels or of autograd.
"""

from fractions import Fraction
from itertools import product

import mpmath
import torch

from tests.reference import rounded, value


def number(x):
    """A float as a rational; None for nan and the infinities."""
    return Fraction(x) if abs(x) < float("inf") else None


def array(tensor):
    """A tensor's values by index."""
    items = tensor.detach().double().reshape(-1).tolist()
    return {at: number(x) for at, x in zip(product(*map(range, tensor.shape)), items, strict=True)}


def differences(tensor, expected):
    """Indices where a tensor's values are not those expected, as a readable list."""
    got = array(tensor)
    assert got.keys() == expected.keys()
    return [f"{at}: {got[at]} is not {x}" for at, x in expected.items() if got[at] != x]


def round_to(fmt, x):
    """x rounded to the nearest value of a format."""
    return None if x is None else value(fmt, rounded(fmt, Fraction(x)))


def each(fmt, values):
    """Every value of an array, rounded."""
    return {at: round_to(fmt, x) for at, x in values.items()}


def add(*terms):
    return None if any(x is None for x in terms) else sum(terms)


def mul(x, y):
    return None if x is None or y is None else x * y


def div(x, y):
    return None if x is None or not y else x / y


def _function(name, fmt, x):
    with mpmath.workprec(1400):
        sign, mantissa, exponent, _ = getattr(mpmath, name)(mpmath.mpf(x.numerator) / x.denominator)._mpf_
    return round_to(fmt, (-1) ** sign * Fraction(int(mantissa)) * Fraction(2) ** exponent)


def exp(fmt, x):
    return None if x is None else _function("exp", fmt, max(min(x, Fraction(500)), Fraction(-500)))


def log(fmt, x):
    return None if x is None or x <= 0 else _function("log", fmt, x)


# Layers: every output element and every gradient element is one sum, rounded once ---------------------------


def _sums(fmt, keys, terms, start=None):
    """Exact sums of products by key, each rounded once; `start` is what the accumulators hold at first."""
    sums = {key: Fraction(0) if start is None else start[key] for key in keys}
    for key, x, y in terms:
        sums[key] = add(sums[key], mul(x, y))
    return each(fmt, sums)


def convolution_meetings(x, weight, geometry, groups):
    """(output index, weight index, input index) of every product of a convolution; padding meets nothing."""
    n, channels, h, w = (1 + max(i) for i in zip(*x, strict=True))
    outputs = 1 + max(weight)[0]
    (sv, sh), (pv, ph), (dv, dh) = geometry.stride, geometry.padding, geometry.dilation
    (kh, kw), (oh, ow) = geometry.kernel, geometry.output_size((h, w))
    meetings = []
    for m, o, p, q in product(range(n), range(outputs), range(oh), range(ow)):
        for c, i, j in product(range(channels // groups), range(kh), range(kw)):
            row, column = p * sv - pv + i * dv, q * sh - ph + j * dh
            if 0 <= row < h and 0 <= column < w:
                first = o // (outputs // groups) * (channels // groups)
                meetings.append(((m, o, p, q), (o, c, i, j), (m, first + c, row, column)))
    return meetings


def linear_meetings(x, weight):
    """(output index, weight index, input index) of every product of a linear layer."""
    rows = sorted({at[:-1] for at in x})
    return [((*row, o), (o, i), (*row, i)) for row in rows for o, i in weight]


class Layer:
    """A linear layer or a convolution: forward, and backward from its output's gradient.

    `meetings` lists which products make which output; `channel` is the position of the output channel in an output's
    index, and `outputs` are all outputs (those that meet only padding too).
    """

    def __init__(self, policy, weight, bias, meetings, channel, outputs, batch):
        self.policy, self.weight, self.bias, self.meetings = policy, weight, bias, meetings
        self.channel, self.outputs, self.batch = channel, outputs, batch

    def forward(self, x):
        fmt = self.policy.forward.format
        self.x = each(fmt, x)
        copy = each(fmt, self.weight)
        start = {at: Fraction(0) if self.bias is None else round_to(fmt, self.bias[at[self.channel],])
                 for at in self.outputs}  # fmt: skip
        return _sums(fmt, self.outputs, [(o, copy[k], self.x[i]) for o, k, i in self.meetings], start)

    def backward(self, gradient):
        """Gradients of input, weight and bias; the last two divided by `batch`, the factor that gradients carry."""
        fmt, small = self.policy.backward.format, self.policy.gradient.format
        g, copy = each(fmt, gradient), each(fmt, self.weight)
        grad_x = _sums(fmt, self.x, [(i, copy[k], g[o]) for o, k, i in self.meetings])
        grad_w = _sums(small, self.weight, [(k, g[o], self.x[i]) for o, k, i in self.meetings])
        channels = {(at[0],) for at in self.weight}
        grad_b = _sums(small, channels, [((o[self.channel],), g[o], 1) for o in self.outputs])
        return grad_x, *(self._divided(x) for x in (grad_w, grad_b))

    def _divided(self, sums):
        count = round_to(self.policy.optimizer.format, self.batch)
        return {at: round_to(self.policy.gradient.format, div(x, count)) for at, x in sums.items()}


def linear(policy, x, weight, bias, batch=1):
    meetings = linear_meetings(x, weight)
    return Layer(policy, weight, bias, meetings, -1, sorted({o for o, _, _ in meetings}), batch)


def conv2d(policy, x, weight, bias, geometry, groups=1, batch=1):
    n, _, h, w = (1 + max(i) for i in zip(*x, strict=True))
    sizes = (n, 1 + max(weight)[0], *geometry.output_size((h, w)))
    outputs = list(product(*map(range, sizes)))
    return Layer(policy, weight, bias, convolution_meetings(x, weight, geometry, groups), 1, outputs, batch)


def max_pool(x, size):
    """Maxima of windows that touch, the first on a tie; returns them and where they came from."""
    windows = {}
    for at in sorted(x):
        windows.setdefault((*at[:2], at[2] // size, at[3] // size), []).append(at)
    source = {out: max(window, key=lambda at: x[at]) for out, window in windows.items()}  # max() keeps the first
    return {out: x[at] for out, at in source.items()}, source


# The loss: each step in L ------------------------------------------------------------------------------------


def cross_entropy(policy, logits, target, reduction="mean", upstream=1):
    """The loss and its gradient, in L."""
    fmt = policy.loss.format
    n = len(target)
    classes = len(logits) // n
    losses, gradient = [], {}
    for i in range(n):
        z = [round_to(fmt, logits[i, c]) for c in range(classes)]
        top = None if None in z else max(z)
        shifted = [round_to(fmt, add(x, mul(top, -1))) for x in z]
        powers = [exp(fmt, x) for x in shifted]
        total = round_to(fmt, add(*powers))
        losses.append(round_to(fmt, add(log(fmt, total), mul(shifted[target[i]], -1))))
        for c in range(classes):
            g = round_to(fmt, div(powers[c], total))
            if c == target[i] and policy.order == "positnn":
                g = round_to(fmt, mul(add(powers[c], mul(total, -1)), round_to(fmt, div(1, total))))
            elif c == target[i]:
                others = round_to(fmt, add(Fraction(0), *powers[:c], *powers[c + 1 :]))
                g = round_to(fmt, div(mul(others, -1), total))
            gradient[i, c] = round_to(fmt, mul(g, round_to(fmt, upstream)))
    loss = round_to(fmt, add(*losses))
    return (round_to(fmt, div(loss, round_to(fmt, n))) if reduction == "mean" else loss), gradient


# The optimizer: each line in O -------------------------------------------------------------------------------


class SGD:
    """Stochastic gradient descent on one array of weights."""

    def __init__(self, fmt):
        self.fmt, self.velocity = fmt, None

    def step(self, weights, gradients, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
        fmt = self.fmt
        lr, momentum, dampening, decay = (round_to(fmt, number(x)) for x in (lr, momentum, dampening, weight_decay))

        def fma(x, y, z):
            return round_to(fmt, add(mul(x, y), z))

        steps = each(fmt, gradients)
        if decay:
            steps = {at: fma(decay, weights[at], g) for at, g in steps.items()}
        if momentum:
            if self.velocity is None:
                self.velocity = dict(steps)
            else:
                kept = round_to(fmt, 1 - dampening)
                fresh = {at: round_to(fmt, mul(kept, g)) for at, g in steps.items()}
                self.velocity = {at: fma(momentum, v, fresh[at]) for at, v in self.velocity.items()}
            v = self.velocity
            steps = {at: fma(momentum, v[at], g) for at, g in steps.items()} if nesterov else v
        return {at: fma(-lr, steps[at], w) for at, w in weights.items()}


def tensor_of(values, like):
    """An array of values as a tensor of the shape and dtype of another."""
    flat = [float("nan") if values[at] is None else float(values[at]) for at in product(*map(range, like.shape))]
    return torch.tensor(flat, dtype=torch.float64).reshape(like.shape).to(like.dtype)
