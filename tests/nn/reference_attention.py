"""Softmax and attention in plain Python, as `docs/contract.md` says: one number at a time, in exact rationals."""

from fractions import Fraction
from itertools import product

from tests.nn.reference import add, div, exp, log, mul, number, round_to

ABSENT = float("-inf")


def softmax_row(policy, values, gradient, logarithm):
    """Result and gradient of one row, of rationals; `None` is NaR, `ABSENT` what takes no part."""
    f, b = policy.forward.format, policy.backward.format
    here = [x != ABSENT for x in values]
    z = [round_to(f, x) for x, kept in zip(values, here, strict=True) if kept]
    top = None if None in z or not z else max(z)
    shifted = [round_to(f, add(x, mul(top, -1))) for x in z]
    some = iter([exp(f, s) for s in shifted])
    powers = [next(some) if kept else 0 for kept in here]
    total = round_to(f, add(*powers))
    shares = [round_to(f, div(p, total)) for p in powers]
    y = [round_to(f, add(s, mul(log(f, total), -1))) for s in shifted] if logarithm else shares
    g, q = [round_to(b, v) for v in gradient], [round_to(b, v) for v in shares]
    if logarithm:
        whole = round_to(b, add(*g))
        return y, [round_to(b, add(v, mul(mul(p, -1), whole))) for v, p in zip(g, q, strict=True)]
    common = round_to(b, add(*[mul(v, p) for v, p in zip(g, q, strict=True)]))
    return y, [round_to(b, mul(p, round_to(b, add(v, mul(common, -1))))) for v, p in zip(g, q, strict=True)]


def attention(policy, query, key, value, gradient, scale, mask=None, bias=None):
    """Result, and gradients of query, key and value; matrices are lists of rows of rationals.

    `mask` says by (i, j) what takes part; `bias` is added.
    """
    f, b = policy.forward.format, policy.backward.format
    rows, keys = range(len(query)), range(len(key))
    c = round_to(f, number(scale))
    query, key, value = ([[round_to(f, x) for x in row] for row in matrix] for matrix in (query, key, value))
    scaled = [[round_to(f, mul(x, c)) for x in row] for row in query]
    small = [[[round_to(b, x) for x in row] for row in matrix] for matrix in (scaled, key, value, gradient)]
    weights, below = [], []
    for i in rows:
        scores = [round_to(f, add(*map(mul, scaled[i], key[j]))) for j in keys]
        if bias is not None:
            scores = [round_to(f, add(x, round_to(f, bias[i, j]))) for j, x in zip(keys, scores, strict=True)]
        if mask is not None:
            scores = [x if mask[i, j] else ABSENT for j, x in zip(keys, scores, strict=True)]
        sent = [round_to(b, add(*map(mul, small[3][i], small[2][j]))) for j in keys]
        if mask is not None and not any(mask[i, j] for j in keys):
            w, g = [Fraction(0)] * len(key), [Fraction(0)] * len(key)
        else:
            w, g = softmax_row(policy, scores, sent, False)
        weights.append(w)
        below.append([Fraction(0) if s == ABSENT else x for x, s in zip(g, scores, strict=True)])
    depth, width = range(len(query[0])), range(len(value[0]))
    y = {(i, e): round_to(f, add(*[mul(weights[i][j], value[j][e]) for j in keys])) for i, e in product(rows, width)}
    half = {
        (i, e): round_to(b, add(*[mul(below[i][j], small[1][j][e]) for j in keys])) for i, e in product(rows, depth)
    }
    grad_query = {at: round_to(b, mul(x, round_to(b, c))) for at, x in half.items()}
    grad_key = {
        (j, e): round_to(b, add(*[mul(below[i][j], small[0][i][e]) for i in rows])) for j, e in product(keys, depth)
    }
    grad_value = {
        (j, e): round_to(b, add(*[mul(round_to(b, weights[i][j]), small[3][i][e]) for i in rows]))
        for j, e in product(keys, width)
    }
    return y, grad_query, grad_key, grad_value
