"""Adam, AdamW and RMSprop in plain Python, one number at a time: each line as the classes' docstrings say."""

from fractions import Fraction
from math import isqrt

from tests.nn.reference import add, div, each, mul, number, round_to


def negative(x):
    return mul(x, -1)


def root(x):
    """√x, or a number on the same side of every tie; None for NaR."""
    if x is None or x < 0:
        return None
    scaled = x * 4**600
    floor = isqrt(scaled.numerator // scaled.denominator)
    return Fraction(2 * floor + (floor * floor != scaled), 2 * 2**600)


class Optimizer:
    """What the optimizers share: one array of weights, an operation of each kind that rounds once."""

    decoupled = False

    def __init__(self, fmt, **options):
        self.fmt, self.options, self.t = fmt, options, 0
        self.state = {}

    def constant(self, x):
        return round_to(self.fmt, x if isinstance(x, Fraction) else number(x))

    def fma(self, x, y, z):
        return round_to(self.fmt, add(mul(x, y), z))

    def averaged(self, key, at, x, kept):
        last = self.state.get((key, at), Fraction(0))
        moved = x
        if kept:
            difference = round_to(self.fmt, add(x, negative(last)))
            moved = self.fma(self.constant(1 - number(kept)), difference, last)
        self.state[key, at] = moved
        return moved

    def step(self, weights, gradients, **options):
        """The weights after a step; options given here replace those of before."""
        self.options |= options
        self.t += 1
        fresh = each(self.fmt, gradients)
        return {at: self.moved(at, w, self.decayed(w, fresh[at])) for at, w in weights.items()}

    def decayed(self, w, g):
        g = negative(g) if self.options.get("maximize") else g
        decay = self.options["weight_decay"]
        return self.fma(self.constant(decay), w, g) if decay and not self.decoupled else g


class Adam(Optimizer):
    def moved(self, at, w, g):
        fmt, o, t = self.fmt, self.options, self.t
        beta1, beta2 = o["betas"]
        m = self.averaged("m", at, g, beta1)
        v = self.averaged("v", at, round_to(fmt, mul(g, g)), beta2)
        if o["amsgrad"]:
            largest = self.state.get(("top", at), Fraction(0))
            v = None if v is None or largest is None else max(largest, v)
            self.state["top", at] = v
        rho = self.constant(root(1 - number(beta2) ** t))
        d = round_to(fmt, div(round_to(fmt, root(v)), rho))
        if o["eps"]:
            d = round_to(fmt, add(d, self.constant(o["eps"])))
        if self.decoupled and o["weight_decay"]:
            w = self.fma(-self.constant(number(o["lr"]) * number(o["weight_decay"])), w, w)
        rate = self.constant(number(o["lr"]) / (1 - number(beta1) ** t))
        return self.fma(-rate, round_to(fmt, div(m, d)), w)


class AdamW(Adam):
    decoupled = True


class RMSprop(Optimizer):
    def moved(self, at, w, g):
        fmt, o = self.fmt, self.options
        v = self.averaged("v", at, round_to(fmt, mul(g, g)), o["alpha"])
        if o["centered"]:
            a = self.averaged("a", at, g, o["alpha"])
            v = self.fma(negative(a), a, v)
            v = None if v is None else max(v, Fraction(0))
        d = round_to(fmt, root(v))
        if o["eps"]:
            d = round_to(fmt, add(d, self.constant(o["eps"])))
        u = round_to(fmt, div(g, d))
        if o["momentum"]:
            u = self.fma(self.constant(o["momentum"]), self.state.get(("b", at), Fraction(0)), u)
            self.state["b", at] = u
        return self.fma(-self.constant(o["lr"]), u, w)
