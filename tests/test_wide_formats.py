"""Formats of 9 to 32 bits on named kinds of cases, each counted, against exact rationals."""

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

import positcore as pc
from positcore import arithmetic
from positcore.rational import split
from tests.rational_tables import place, same
from tests.reference import format_id, rounded, some_pairs, special_codes, value

WIDE = [pc.PositFormat(9, 1)] + [pc.PositFormat(n, n % 5) for n in range(10, 33)] + [
    pc.PositFormat(32, 0), pc.PositFormat(32, 4), pc.PositFormat(32, 2, underflow=True), pc.PositFormat(20, 2, flush=5)
]  # fmt: skip
EXACT = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y if y else None,
    "fma": lambda x, y, z: x * y + z,
    "sqrt": lambda x: root(x) if x >= 0 else None,
}
ENDS = ("0", "NaR", "minpos", "-minpos", "maxpos", "-maxpos")
HARD = "within 2^−F of a tie, F the most fraction bits"
SIDES = ("tie to the code below", "tie to the code above", "just below a tie", "just above a tie")


def root(x):
    """√x, or, if it is irrational, a number on the same side of every tie."""
    scaled = int(x * (1 << 1024))  # exact: no posit has a bit below 2^−1024
    floor = math.isqrt(scaled)
    return Fraction(2 * floor + (floor * floor != scaled), 1 << 513)


def regime_of(fmt, code):
    """The regime of a code: how many ones, or how many zeros."""
    k = split(fmt, min(code, -code & fmt.mask)).k
    return f"{k + 1} ones" if k >= 0 else f"{-k} zeros"


def every_regime(fmt):
    return [f"{length} {bit}" for bit in ("ones", "zeros") for length in range(1, fmt.n - (bit == "zeros"))]


def operand_cases(fmt, code):
    ends = dict(zip((0, fmt.nar, 1, fmt.mask, fmt.maxpos_code, fmt.nar + 1), ENDS, strict=True))
    yield f"operand {ends.get(code)}"
    if code not in (0, fmt.nar):
        yield f"operand with a regime of {regime_of(fmt, code)}"


def result_cases(fmt, x, largest):
    """Names for the place of an exact result x; `largest` is a term of the sum that x is, or 0."""
    if x is None:
        yield "NaR"
        return
    if largest:
        if x == 0:
            yield "cancels to 0"
        elif abs(x) * 2 ** (fmt.fraction_bits - 3) <= largest:
            yield "cancels all but three bits"
    if x == 0:
        return
    at = place(fmt, abs(x))
    below = int(at)
    if abs(x) > value(fmt, fmt.maxpos_code):
        yield "above maxpos"
    elif abs(x) < value(fmt, 1):
        yield "below minpos"
    elif at == below:
        yield "exact"
    else:
        rest, regime = at - below - Fraction(1, 2), regime_of(fmt, below)
        if rest == 0:
            side = SIDES[below % 2]
        elif abs(rest) <= Fraction(1, 8):
            side = SIDES[3 if rest > 0 else 2]
        else:
            return
        yield side
        yield f"{side}, regime of {regime}"
        if 0 < abs(rest) < Fraction(1, 1 << fmt.fraction_bits - 1):
            yield HARD


def codes_by_regime(fmt, rng):
    """Positive codes below maxpos, two even and two odd of every regime where there are as many."""
    for length in range(1, fmt.n - 1):
        room = fmt.n - 2 - length
        for start in (((1 << length) - 1) << (room + 1), 1 << room):
            codes = {start + (int(rng.integers(0, 1 << room)) & ~1 | odd if room else 0) for odd in (0, 1) * 2}
            yield from (c for c in codes if 0 < c < fmt.maxpos_code)


def tie_operands(fmt, rng):
    """a, b, c such that a·b + c is the tie above the code c, or the like of −c, or what lies beside it."""
    for c in codes_by_regime(fmt, rng):
        low = value(fmt, c)
        step = tie_above(fmt, c) - low
        if step.numerator == 1 or (step.denominator == 1 and step.numerator & (step.numerator - 1) == 0):
            scale = step.numerator.bit_length() - step.denominator.bit_length()
            a, b = (rounded(fmt, Fraction(2) ** s) for s in (scale // 2, scale - scale // 2))
        else:
            a, b = rounded(fmt, step / low), c
        for near, other in (
            (a, b),
            (a + 1, b),
            (a - 1, b),
            (a + 1, max(b - 2, 1)),
        ):  # the last: (1 + u)·(1 − u) = 1 − u²
            yield near, other, c
            yield -near & fmt.mask, other, -c & fmt.mask


def tie_above(fmt, code):
    """Between neighbors: the mean of their scales where the exponent is cut, else that of the values."""
    low, high = value(fmt, code), value(fmt, code + 1)
    ratio = high / low
    return low * Fraction(2) ** ((ratio.numerator.bit_length() - 1) // 2) if ratio >= 4 else (low + high) / 2


def near_tie_products(fmt, rng, count):
    """Significands of F fraction bits whose product differs from a tie by 2^−2F: a·b ≡ 2^(F−1) ± 1 modulo 2^F."""
    modulus = 1 << fmt.fraction_bits
    for _ in range(count):
        a = int(rng.integers(0, modulus)) | 1
        for rest in (modulus // 2 - 1, modulus // 2 + 1):
            yield a, rest * pow(a, -1, modulus) % modulus  # the hidden bits are multiples of the modulus


def near_tie_quotients(fmt, rng, count):
    """The same for x / y = (t ± 1/y) / 2^(F+2), t odd of F + 2 bits: t·y ≡ ∓1 modulo 2^(F+2)."""
    hidden = 1 << fmt.fraction_bits
    for _ in range(count):
        t = int(rng.integers(2 * hidden, 4 * hidden)) | 1
        for sign in (-1, 1):
            y = sign * pow(t, -1, 4 * hidden) % (4 * hidden)
            x = (t * y - sign) // (4 * hidden)
            if hidden <= min(x, y) and max(x, y) < 2 * hidden:
                yield x - hidden, y - hidden


def near_one(fmt, fractions):
    """The codes of 1 + fraction, one column an operand, with both signs of the second."""
    columns = np.array(list(fractions), np.int64).T + (fmt.nar >> 1)
    both = zip(columns, (columns[0], -columns[1] & fmt.mask), strict=True)
    return [np.concatenate(pair).astype(fmt.dtype) for pair in both]


def wide_operands(fmt, rng):
    """Operands of each operation."""
    special = special_codes(fmt)
    ends = [0, fmt.nar, 1, fmt.mask, fmt.maxpos_code, fmt.nar + 1]
    a, b = some_pairs(fmt, rng, 150)
    other = rng.integers(0, 1 << fmt.n, special.size)
    powers = fmt.encode(2.0 ** rng.integers(-fmt.max_scale // 2, fmt.max_scale // 2 + 1, 400))
    a, b = (np.concatenate(x).astype(fmt.dtype) for x in (
        (a, ends * 6, special, other, rng.integers(0, 1 << fmt.n, 400)), (b, np.repeat(ends, 6), other, special, powers)
    ))  # fmt: skip
    x, y, z = (np.array(column, fmt.dtype) for column in zip(*tie_operands(fmt, rng), strict=True))
    one = np.full_like(x, fmt.nar >> 1)
    half = pc.mul(fmt, x, y)  # exact wherever half a unit of c is a code
    third = rng.integers(0, 1 << fmt.n, a.size).astype(fmt.dtype)
    third[::3] = pc.neg(fmt, pc.mul(fmt, a, b))[::3]
    third[1::3] = rng.choice(special, third[1::3].size)
    triples = [
        np.concatenate(pair) for pair in ((x, a, special, one), (y, b, one[: special.size], z), (z, third, special, z))
    ]
    return {
        "add": [np.concatenate(pair) for pair in ((a, z), (b, half))],
        "sub": [np.concatenate(pair) for pair in ((a, a, z), (b, pc.neg(fmt, b), pc.neg(fmt, half)))],
        "mul": [np.concatenate(x) for x in zip((a, b), near_one(fmt, near_tie_products(fmt, rng, 50)), strict=True)],
        "div": [np.concatenate(x) for x in zip((a, b), near_one(fmt, near_tie_quotients(fmt, rng, 300)), strict=True)],
        "fma": triples,
        "sqrt": [np.concatenate([special, a, near_squares(fmt, rng)])],
    }


def near_squares(fmt, rng):
    """Squares of codes and the codes nearest to squares of ties, and their neighbors."""
    codes = rng.integers(1, fmt.maxpos_code, 300).tolist()
    squares = [value(fmt, c) ** 2 for c in codes] + [tie_above(fmt, c) ** 2 for c in codes]
    near = np.array([rounded(fmt, x) for x in squares])
    return (np.concatenate([near, near - 1, near + 1]) & fmt.mask).astype(fmt.dtype)


def required_cases(fmt, name):
    """The names that the vectors of an operation must bring up."""
    cases = {f"operand {end}" for end in ENDS} | {f"operand with a regime of {r}" for r in every_regime(fmt)}
    if name == "sqrt":  # which has no ties, and stays between minpos and maxpos
        return cases | {"NaR", "exact", *SIDES[2:]}
    cases |= {"NaR", "exact", "above maxpos", *SIDES}
    if name in ("mul", "div", "fma"):
        cases |= {"below minpos", HARD}
    if name not in ("mul", "div"):
        cases |= {"cancels to 0", "cancels all but three bits"}
    if name == "fma":
        cases |= every_boundary(fmt)
    return cases


def every_boundary(fmt):
    """Ties and both their sides, above codes of every regime."""
    last = {f"{fmt.n - 2} zeros": SIDES[0], f"{fmt.n - 2} ones": SIDES[1]}  # of one code, an odd or an even one
    beyond = f"{fmt.n - 1} ones"  # maxpos, above which there is no tie
    return {f"{s}, regime of {r}" for s in SIDES for r in every_regime(fmt) if s != last.get(r) and r != beyond}


def missing_cases(fmt, name, operands):
    """The required names that no vector brings up, and the exact codes."""
    counts = Counter()
    expected = []
    for codes in zip(*[x.tolist() for x in operands], strict=True):
        values = [value(fmt, c) for c in codes]
        x = None if None in values else EXACT[name](*values)
        expected.append(fmt.nar if x is None else rounded(fmt, x))
        for code in codes:
            counts.update(operand_cases(fmt, code))
        counts.update(result_cases(fmt, x, 0 if x is None or name in ("mul", "div", "sqrt") else abs(values[-1])))
    return sorted(required_cases(fmt, name) - set(counts)), np.array(expected, fmt.dtype)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("fmt", WIDE, ids=format_id)
def test_every_kind_of_case(fmt, name):
    operands = wide_operands(fmt, np.random.default_rng(62))[name]
    missing, expected = missing_cases(fmt, name, operands)
    same(name, fmt, getattr(pc, name)(fmt, *operands), expected, *operands)
    assert not missing, f"{name} {fmt}: no vector for {missing}"


@pytest.mark.parametrize("fmt", WIDE, ids=format_id)
def test_encode_at_every_boundary(fmt):
    """Ties above codes of every regime, the float64s beside them, the ends and beyond."""
    codes = codes_by_regime(fmt, np.random.default_rng(64))
    ties = np.array([float(tie_above(fmt, c)) for c in codes])
    ends = [0.0, fmt.minpos / 3, fmt.minpos, fmt.minpos * 1.1, fmt.maxpos * 0.9, fmt.maxpos, fmt.maxpos * 5]
    x = np.concatenate([ties, np.nextafter(ties, 0), np.nextafter(ties, np.inf), ends])
    x = np.concatenate([x, -x])
    numbers = [Fraction(y) for y in x.tolist()]
    counts = Counter(case for y in numbers for case in result_cases(fmt, y, 0))
    expected = np.array([rounded(fmt, y) for y in numbers], fmt.dtype)
    same("encode", fmt, fmt.encode(x), expected, x.view(np.uint64))
    assert not (every_boundary(fmt) | {"exact", "above maxpos", "below minpos"}) - set(counts)


def test_a_second_rounding_is_caught(monkeypatch):
    """A planted fault: fma in float64, which rounds before the code is rounded."""

    def naive(x, y, z, out):
        out[:] = x * y + z

    operands = wide_operands(pc.posit32, np.random.default_rng(62))["fma"]
    right = pc.fma(pc.posit32, *operands)
    monkeypatch.setattr(arithmetic, "fma_into", naive)
    with pytest.raises(pytest.fail.Exception, match=r"pc\.fma"):
        same("fma", pc.posit32, pc.fma(pc.posit32, *operands), right, *operands)


def test_random_vectors_alone_would_not_do():
    fmt = pc.posit32
    operands = np.random.default_rng(63).integers(0, 1 << 32, (2, 1000)).astype(np.uint32)
    missing, _ = missing_cases(fmt, "fma", [*operands, operands[0]])
    assert {"operand NaR", "operand maxpos", "cancels to 0", "tie to the code above, regime of 9 zeros"} <= set(missing)
