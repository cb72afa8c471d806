import copy
import doctest
import math
import operator
import pickle
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import positcore as pc
from positcore import PositArray, ufuncs
from positcore.rational import round_fraction
from positcore.scalar import Posit
from tests.reference import LARGE_FORMATS, all_pairs, exact, format_id, rounded, some_pairs, special_codes, value

FORMATS = [pc.PositFormat(6, 1), pc.PositFormat(5, 2, underflow=True), pc.PositFormat(3, 0), pc.PositFormat(8, 2)]
BINARY = {
    np.add: lambda x, y: x + y,
    np.subtract: lambda x, y: x - y,
    np.multiply: lambda x, y: x * y,
    np.divide: lambda x, y: x / y if y else None,
    np.floor_divide: lambda x, y: Fraction(x // y) if y else None,
    np.remainder: lambda x, y: x % y if y else None,
}
UNARY = {
    np.negative: operator.neg,
    np.positive: operator.pos,
    np.conjugate: operator.pos,
    np.absolute: abs,
    np.fabs: abs,
    np.sign: lambda x: Fraction((x > 0) - (x < 0)),
    np.square: lambda x: x * x,
    np.reciprocal: lambda x: 1 / x if x else None,
    np.rint: lambda x: Fraction(round(x)),
    np.floor: lambda x: Fraction(math.floor(x)),
    np.ceil: lambda x: Fraction(math.ceil(x)),
    np.trunc: lambda x: Fraction(math.trunc(x)),
}
COMPARISONS = {
    np.equal: operator.eq,
    np.not_equal: operator.ne,
    np.less: operator.lt,
    np.less_equal: operator.le,
    np.greater: operator.gt,
    np.greater_equal: operator.ge,
}


def every(fmt):
    return PositArray(fmt, np.arange(1 << fmt.n, dtype=fmt.dtype))


def posits(x):
    return [Posit(x.fmt, c) for c in x.codes.reshape(-1).tolist()]


def ufunc_id(x):
    return x.__name__ if isinstance(x, np.ufunc) else format_id(x)


@pytest.mark.parametrize("ufunc", BINARY, ids=ufunc_id)
@pytest.mark.parametrize("fmt", FORMATS[:3], ids=format_id)
def test_binary_ufuncs_on_all_pairs(fmt, ufunc):
    a, b = all_pairs(fmt)
    got = ufunc(PositArray(fmt, a), PositArray(fmt, b))
    assert type(got) is PositArray
    assert got.fmt == fmt
    assert got.codes.dtype == fmt.dtype
    for x, y, z in zip(a.tolist(), b.tolist(), got.codes.tolist(), strict=True):
        assert z == exact(fmt, BINARY[ufunc], x, y), f"{ufunc} {fmt}: {x:#x}, {y:#x}"


@pytest.mark.parametrize("ufunc", BINARY, ids=ufunc_id)
@pytest.mark.parametrize("fmt", [pc.posit16, pc.posit32], ids=format_id)
def test_binary_ufuncs_on_wide_formats(fmt, ufunc):
    a, b = some_pairs(fmt, np.random.default_rng(3), 200)
    got = ufunc(PositArray(fmt, a), PositArray(fmt, b))
    for x, y, z in zip(a.tolist(), b.tolist(), got.codes.tolist(), strict=True):
        assert z == exact(fmt, BINARY[ufunc], x, y), f"{ufunc} {fmt}: {x:#x}, {y:#x}"


@pytest.mark.parametrize("ufunc", UNARY, ids=ufunc_id)
@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_unary_ufuncs_on_all_codes(fmt, ufunc):
    x = every(fmt)
    got = ufunc(x)
    assert got.codes.tolist() == [exact(fmt, UNARY[ufunc], code) for code in x.codes.tolist()]
    assert not np.shares_memory(got, x)


@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_roots_and_predicates(fmt):
    x = every(fmt)
    assert np.sqrt(x).codes.tolist() == [p.sqrt().code for p in posits(x)]
    assert np.isnan(x).tolist() == [p.is_nar for p in posits(x)]
    assert np.isfinite(x).tolist() == [not p.is_nar for p in posits(x)]
    assert not np.isinf(x).any()
    assert np.isinf(x).shape == x.shape
    assert np.signbit(x).tolist() == [p.signed < 0 for p in posits(x)]
    assert np.logical_not(x).tolist() == [p.value == 0 for p in posits(x)]


@pytest.mark.parametrize(
    "name", ["exp", "exp2", "expm1", "log", "log2", "log1p", "tanh", "sin", "cos"]
)  # the functions themselves are tested in test_functions.py
def test_functions_are_those_of_positcore(name):
    x = every(pc.posit8)
    assert getattr(np, name)(x).codes.tolist() == getattr(pc, name)(pc.posit8, x.codes).tolist()
    with pytest.raises(ValueError, match=rf"{name}: tables are built for formats of n ≤ 16, not posit<32,2>"):
        getattr(np, name)(pc.array(pc.posit32, [1]))


@pytest.mark.parametrize("fmt", FORMATS[:3], ids=format_id)
def test_orders_on_all_pairs(fmt):
    a, b = (PositArray(fmt, codes) for codes in all_pairs(fmt))
    pairs = list(zip(posits(a), posits(b), strict=True))
    assert np.array_equal(np.maximum(a, b).codes, [max(x, y).code for x, y in pairs])
    assert np.array_equal(np.minimum(a, b).codes, [min(x, y).code for x, y in pairs])
    assert np.array_equal(np.fmax(a, b).codes, [max(x, y).code for x, y in pairs])
    numbers = [[p for p in pair if not p.is_nar] or list(pair) for pair in pairs]
    assert np.array_equal(np.fmin(a, b).codes, [min(n).code for n in numbers])
    for ufunc, compare in COMPARISONS.items():
        assert ufunc(a, b).tolist() == [compare(x, y) for x, y in pairs]
    after = np.nextafter(a, b)
    for (x, y), z in zip(pairs, posits(after), strict=True):
        if x.is_nar or y.is_nar:
            assert z.is_nar
        else:
            assert z.signed == x.signed + (y > x) - (y < x)


OPERANDS = [
    0.1,
    -3,
    2**70 + 1,
    -(2**63),
    Fraction(1, 3),
    Decimal("0.7"),
    True,
    math.inf,
    math.nan,
    np.float32(0.3),
    np.int64(2**62 + 2**33 + 1),
]


@pytest.mark.parametrize("other", OPERANDS, ids=lambda x: f"{type(x).__name__}({x})")
@pytest.mark.parametrize("fmt", [FORMATS[0], pc.posit32], ids=format_id)
def test_operands_are_rounded_once(fmt, other):
    x = PositArray(fmt, special_codes(fmt))
    operand = Posit.from_value(fmt, other).code
    for ufunc, function in list(BINARY.items())[:4]:
        assert ufunc(x, other).codes.tolist() == [exact(fmt, function, c, operand) for c in x.codes.tolist()]
        assert ufunc(other, x).codes.tolist() == [exact(fmt, function, operand, c) for c in x.codes.tolist()]
    assert (x + other).codes.tolist() == [(p + other).code for p in posits(x)]
    assert (other - x).codes.tolist() == [(other - p).code for p in posits(x)]


@pytest.mark.parametrize("other", OPERANDS, ids=lambda x: f"{type(x).__name__}({x})")
@pytest.mark.parametrize("fmt", [FORMATS[0], FORMATS[1], pc.posit32], ids=format_id)
def test_comparisons_round_nothing(fmt, other):
    x = PositArray(fmt, special_codes(fmt))
    for compare in (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge):
        assert compare(x, other).tolist() == [compare(p, other) for p in posits(x)]
        assert compare(other, x).tolist() == [compare(other, p) for p in posits(x)]


def test_comparisons_of_near_numbers():
    """Numbers between two posits, and integers that float64 does not hold, are where they are."""
    fmt = pc.posit16
    one, huge = pc.array(fmt, [1, 1.5]), pc.array(fmt, [2**56])
    assert (one == 1 + 2.0**-40).tolist() == [False, False]
    assert (one < 1 + 2.0**-40).tolist() == [True, False]
    assert (huge == 2**56).all()
    assert not (huge == 2**56 + 1).any()
    assert (huge < np.array([2**56 - 1, 2**56, 2**56 + 1])).tolist() == [False, False, True]
    assert (huge < np.array([2**64 - 1, 0], np.uint64)).tolist() == [True, False]
    assert (one == pc.array(pc.posit32, [1, 1.5])).all()
    assert (pc.array(fmt, [math.nan]) == pc.array(pc.posit32, [math.nan])).all()
    assert (pc.array(fmt, [math.nan]) < pc.array(pc.posit32, [-(2**120)])).all()
    assert 1.5 in one
    assert 1.25 not in one


@pytest.mark.parametrize("fmt", [*FORMATS, *LARGE_FORMATS], ids=format_id)
def test_arrays_of_numbers_are_rounded_once(fmt):
    rng = np.random.default_rng(5)
    floats = rng.standard_normal(40) * 2.0 ** rng.integers(-60, 60, 40)
    integers = rng.integers(-(2**63), 2**63 - 1, 40, endpoint=True)
    unsigned = rng.integers(0, 2**64 - 1, 40, np.uint64, endpoint=True)
    fractions = np.array([Fraction(int(i), int(u | 1)) for i, u in zip(integers, unsigned, strict=True)], object)
    for numbers in (floats, floats.astype(np.float32), integers, unsigned, integers.astype(np.int8), fractions):
        expected = [rounded(fmt, Fraction(x)) for x in numbers.tolist()]
        assert PositArray.from_values(fmt, numbers).codes.tolist() == expected
        assert operator.iadd(PositArray.zeros(fmt, 40), numbers).codes.tolist() == expected


@pytest.mark.parametrize(
    "numbers",
    [
        [2**60 + 1, 0.5],
        [2**63, -1],
        [[2**64 + 1], [Fraction(1, 3)]],
        [np.int64(-(2**63))],
        np.array([-128, 3], np.int8),
        np.array([0.1], np.longdouble),
        [True, False],
        [Posit(pc.posit32, 12345), Posit(pc.posit8, 3)],
        [],
    ],
    ids=str,
)
def test_constructor_rounds_the_exact_value(numbers):
    """60 bits and a half in one list are one float64 array to NumPy: they must not be rounded twice."""
    fmt = pc.PositFormat(32, 0)
    flat = np.asarray(numbers, object).reshape(-1)
    expected = [Posit.from_value(fmt, x).code for x in flat]
    assert pc.array(fmt, numbers).codes.reshape(-1).tolist() == expected


def test_a_double_rounding_would_show():
    """An integer just above a tie between two posits, which float64 takes for the tie itself."""
    fmt = pc.posit32
    code = round_fraction(fmt, 2**56)
    above_tie = int(value(fmt, code) + value(fmt, code + 1)) // 2 + 1
    assert float(above_tie) == above_tie - 1
    assert code % 2 == 0
    assert round_fraction(fmt, above_tie) == code + 1  # and the tie would go to the even code
    assert pc.array(fmt, [above_tie, 0.5]).codes[0] == code + 1
    assert (pc.array(fmt, [0]) + above_tie).codes[0] == code + 1
    assert (pc.array(fmt, [0]) + np.array([above_tie])).codes[0] == code + 1
    assert fmt.encode(float(above_tie)) == code


def matmul_reference(fmt, a, b):
    """Nested lists of codes: (M, K) by (K, N), each output the exact sum rounded once."""
    out = []
    for row in a:
        out.append([])
        for column in zip(*b, strict=True):
            terms = [(value(fmt, x), value(fmt, y)) for x, y in zip(row, column, strict=True)]
            nar = any(x is None or y is None for x, y in terms)
            out[-1].append(fmt.nar if nar else rounded(fmt, sum((x * y for x, y in terms), Fraction(0))))
    return out


@pytest.mark.parametrize("fmt", [FORMATS[0], FORMATS[1], pc.posit16], ids=format_id)
def test_matrix_products(fmt):
    rng = np.random.default_rng(11)
    a, b = (PositArray(fmt, rng.integers(0, 1 << fmt.n, shape).astype(fmt.dtype)) for shape in ((4, 5), (5, 3)))
    a[0] = 1.5  # a row without NaR
    b[b == math.nan] = 0
    b[np.isnan(b)] = 0.25
    expected = matmul_reference(fmt, a.codes.tolist(), b.codes.tolist())
    for product in (a @ b, np.matmul(a, b), np.dot(a, b), a.dot(b), np.tensordot(a, b, 1), np.inner(a, b.T)):
        assert product.codes.tolist() == expected
    assert (a[0] @ b).codes.tolist() == expected[0]
    assert (a @ b[:, 1]).codes.tolist() == [row[1] for row in expected]
    for scalar in (a[0] @ b[:, 2], np.dot(a[0], b[:, 2]), np.vdot(a[0], b[:, 2]), np.vecdot(a[0], b[:, 2])):
        assert type(scalar) is Posit
        assert scalar.code == expected[0][2]
    assert np.vecdot(a, b[:, 0]).codes.tolist() == [row[0] for row in expected]
    outer = np.multiply.outer(a[0], b[0])
    assert outer.codes.tolist() == [[(x * y).code for y in b[0]] for x in a[0]]
    assert np.array_equal(np.outer(a[0], b[0]), outer)
    assert np.array_equal(np.dot(a, 2), a * 2)
    assert (a @ b.to_numpy()).codes.tolist() == expected
    with pytest.raises(ValueError, match="takes arrays of one dimension or more"):
        np.matmul(a, a[0, 0])
    with pytest.raises(ValueError, match=r"shapes \(4, 5\) and \(4, 5\) do not fit along axes \[1\], \[0\]"):
        np.dot(a, a)


def test_batches_of_matrix_products():
    fmt = pc.posit8
    rng = np.random.default_rng(12)
    a, b = (PositArray(fmt, rng.integers(0, 128, shape).astype(fmt.dtype)) for shape in ((2, 1, 3, 4), (5, 4, 2)))
    product = a @ b
    assert product.shape == (2, 5, 3, 2)
    for i in range(2):
        for j in range(5):
            assert product[i, j].codes.tolist() == matmul_reference(fmt, a.codes[i, 0].tolist(), b.codes[j].tolist())
    # The sum of np.tensordot over two axes, and of np.dot over the last and the last but one.
    x, y = a[:, 0], PositArray(fmt, rng.integers(0, 128, (4, 3, 2)).astype(fmt.dtype))
    both = np.tensordot(x, y, axes=([1, 2], [1, 0]))
    flat_x, flat_y = x.codes.reshape(2, 12), y.codes.transpose(1, 0, 2).reshape(12, 2)
    assert both.codes.tolist() == matmul_reference(fmt, flat_x.tolist(), flat_y.tolist())
    assert np.dot(x, b).shape == (2, 3, 5, 2)
    assert np.array_equal(np.dot(x, b)[1, :, 3], x[1] @ b[3])


@pytest.mark.parametrize("fmt", [FORMATS[0], pc.posit8, pc.posit32], ids=format_id)
def test_sums_and_means_are_rounded_once(fmt):
    rng = np.random.default_rng(13)
    x = PositArray(fmt, rng.integers(0, 1 << fmt.n, (3, 4, 2)).astype(fmt.dtype))
    x[np.isnan(x)] = 1
    x[0, 0, 0] = math.nan

    def total(codes, count=1):
        values = [value(fmt, c) for c in codes.reshape(-1).tolist()]
        return fmt.nar if None in values else rounded(fmt, sum(values, Fraction(0)) / count)

    last = [[total(x.codes[i, j]) for j in range(4)] for i in range(3)]
    for result in (x.sum(axis=2), np.sum(x, 2), np.add.reduce(x, axis=-1), x.sum(-1, keepdims=True)[..., 0]):
        assert result.codes.tolist() == last
    assert np.sum(x, axis=(0, 1), keepdims=True).shape == (1, 1, 2)
    assert x[1:].sum().code == total(x.codes[1:])
    assert type(x.sum()) is Posit
    assert x.sum().is_nar
    assert np.mean(x, axis=0).codes.tolist() == [[total(x.codes[:, j, k], 3) for k in range(2)] for j in range(4)]
    assert x[1:].mean().code == total(x.codes[1:], 16)
    assert np.trace(x[:, :, 1]).code == total(np.diagonal(x.codes[:, :, 1]))


def test_a_rounded_chain_of_additions_would_differ():
    x = pc.array(pc.posit8, [64, *[1] * 64])
    chain = pc.posit8.encode(64)
    for _ in range(64):
        chain = pc.add(pc.posit8, chain, pc.posit8.encode(1))
    assert Posit(pc.posit8, int(chain)) == 64
    assert x.sum() == 128


@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_orders_of_a_whole_array(fmt):
    rng = np.random.default_rng(14)
    x = PositArray(fmt, rng.integers(0, 1 << fmt.n, 50).astype(fmt.dtype))
    x[7] = math.nan
    in_order = sorted(posits(x))
    assert posits(np.sort(x)) == in_order
    assert posits(x[np.argsort(x, stable=True)]) == in_order
    assert posits(x[x.argsort()]) == in_order
    assert (x.max(), x.min(), np.max(x), np.min(x)) == (in_order[-1], in_order[0]) * 2
    assert (x[x.argmax()], x[np.argmin(x)]) == (in_order[-1], in_order[0])
    assert x.argmin() == next(i for i, p in enumerate(posits(x)) if p.is_nar)
    assert np.maximum.reduce(x) == in_order[-1]
    assert np.max(x.reshape(5, 10), axis=1, keepdims=True).shape == (5, 1)
    unique, counts = np.unique(x, return_counts=True)
    assert posits(unique) == sorted(set(in_order))
    assert counts.tolist() == [in_order.count(p) for p in posits(unique)]
    assert np.searchsorted(unique, x).tolist() == [posits(unique).index(p) for p in posits(x)]
    assert np.searchsorted(np.sort(x), 0.3) == sum(p < 0.3 for p in in_order)
    assert np.ptp(x[~np.isnan(x)]) == x.max() - np.sort(x[~np.isnan(x)])[0]
    x.sort()
    assert posits(x) == in_order


def test_membership_and_differences():
    x = pc.array(pc.posit8, [[1, 0.1, math.nan], [3, 40, 2]])
    assert np.isin(x, [1, 0.1, 2, math.nan]).tolist() == [[True, False, False], [False, False, True]]
    assert np.isin(x, pc.array(pc.posit8, [0.1, math.nan])).tolist() == [[False, True, True], [False] * 3]
    assert np.isin([1.0, 1.01, math.nan], x, invert=True).tolist() == [False, True, True]
    assert posits(np.diff(x)) == [q - p for row in x for p, q in pairwise(row)]
    assert posits(np.diff(x, axis=0)) == [q - p for p, q in zip(x[0], x[1], strict=True)]
    assert np.diff(x, axis=0).shape == (1, 3)


@pytest.mark.parametrize("fmt", [FORMATS[0], pc.posit16, pc.posit32], ids=format_id)
def test_layout_of_memory_does_not_matter(fmt):
    codes = np.random.default_rng(16).integers(0, 1 << fmt.n, (6, 8, 10)).astype(fmt.dtype)
    for strange in (codes[::2, ::-1], codes.T, np.asfortranarray(codes), codes.astype(fmt.dtype.newbyteorder(">"))):
        x, plain = PositArray(fmt, strange), PositArray(fmt, np.array(strange, fmt.dtype, order="C"))
        assert (x < 0.3).tolist() == (plain < 0.3).tolist()
        for function in (np.sort, np.sqrt, np.unique, lambda a: a + a[..., :1], lambda a: a.sum(0), lambda a: a.max(1)):
            assert function(x).codes.tolist() == function(plain).codes.tolist()


def test_clip():
    x = pc.array(pc.posit8, [-3, math.nan, 0.5, 9])
    for clipped in (x.clip(-1, 2), np.clip(x, -1, 2), np.clip(x, a_min=-1, a_max=2), np.clip(x, min=-1, max=2)):
        assert clipped.codes.tolist() == pc.array(pc.posit8, [-1, math.nan, 0.5, 2]).codes.tolist()
    assert x.clip(max=[1, 1, 0.25, 1]).codes.tolist() == pc.array(pc.posit8, [-3, math.nan, 0.25, 1]).codes.tolist()
    assert np.isnan(np.clip(x, math.nan, 2)).all()
    assert x.codes.tolist() == pc.array(pc.posit8, [-3, math.nan, 0.5, 9]).codes.tolist()
    out = PositArray.zeros(pc.posit8, 4)
    assert np.clip(x, 0, 1, out=out) is out
    assert out[3] == 1


MOVES = {
    "reshape": lambda x: np.reshape(x, (4, 6)),
    "transpose": lambda x: np.transpose(x, (2, 0, 1)),
    "swapaxes": lambda x: np.swapaxes(x, 0, 2),
    "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "squeeze": lambda x: np.squeeze(x[:1]),
    "expand_dims": lambda x: np.expand_dims(x, 1),
    "ravel": np.ravel,
    "broadcast_to": lambda x: np.broadcast_to(x, (5, 2, 3, 4)),
    "flip": lambda x: np.flip(x, 1),
    "roll": lambda x: np.roll(x, 1, 2),
    "rot90": np.rot90,
    "repeat": lambda x: np.repeat(x, 2, axis=0),
    "tile": lambda x: np.tile(x, 2),
    "take": lambda x: np.take(x, [1, 0], axis=2),
    "take_along_axis": lambda x: np.take_along_axis(x, np.zeros((2, 3, 1), int), 2),
    "delete": lambda x: np.delete(x, 1, 1),
    "tril": np.tril,
    "diagonal": np.diagonal,
    "atleast_3d": lambda x: np.atleast_3d(x[0]),
    "concatenate": lambda x: np.concatenate([x, x], axis=1),
    "concatenate flat": lambda x: np.concatenate([x, x[0]], axis=None),
    "stack": lambda x: np.stack([x, x], axis=2),
    "vstack": lambda x: np.vstack((x, x)),
    "hstack": lambda x: np.hstack([x, x]),
    "dstack": lambda x: np.dstack([x, x]),
    "column_stack": lambda x: np.column_stack([x[0, 0], x[0, 1]]),
    "block": lambda x: np.block([[x[0], x[0]], [x[1], x[1]]]),
    "where": lambda x: np.where(np.arange(4) > 1, x, x[..., ::-1]),
    "append": lambda x: np.append(x, x[:1], axis=0),
    "insert": lambda x: np.insert(x, 1, x[0], axis=0),
    "pad": lambda x: np.pad(x, 1, "edge"),
    "pad with zeros": lambda x: np.pad(x, ((0, 1), (1, 0), (0, 0))),
    "copy": np.copy,
    "T": lambda x: x.T,
    "method reshape": lambda x: x.reshape(6, -1),
    "method transpose": lambda x: x.transpose(1, 0, 2),
    "method squeeze": lambda x: x[:1].squeeze(0),
    "flatten": lambda x: x.flatten(),
    "method take": lambda x: x.take([1, 2]),
    "index": lambda x: x[1, ..., None, ::2],
    "mask": lambda x: x[np.arange(24).reshape(2, 3, 4) % 5 == 0],
    "fancy": lambda x: x[[1, 0], :, [3, 3]],
}


@pytest.mark.parametrize("name", MOVES)
def test_functions_that_move_elements(name):
    fmt = pc.PositFormat(9, 1)
    codes = np.random.default_rng(15).integers(0, 512, (2, 3, 4)).astype(fmt.dtype)
    got, expected = MOVES[name](PositArray(fmt, codes)), MOVES[name](codes)
    assert type(got) is PositArray
    assert got.fmt == fmt
    assert got.shape == expected.shape
    assert got.codes.dtype == fmt.dtype
    assert got.codes.tolist() == expected.tolist()


def test_functions_that_split():
    x = pc.array(pc.posit8, range(6))
    assert [part.tolist() for part in np.split(x, 3)] == [[0, 1], [2, 3], [4, 5]]
    a, b = np.broadcast_arrays(x, x[:1])
    assert a.fmt == b.fmt == pc.posit8
    assert b.shape == (6,)


def test_functions_that_join_round_numbers():
    x = pc.array(pc.posit8, [1, 2])
    tenth = Posit.from_value(pc.posit8, 0.1)
    assert posits(np.concatenate([x, [0.1], np.array([2**70])])) == [1, 2, tenth, 2**24]
    assert posits(np.stack([x, [0.1, 3]])) == [1, 2, tenth, 3]
    assert posits(np.where(x > 1, x, 0.1)) == [tenth, 2]
    assert posits(np.where([True, False], 0.1, x)) == [tenth, 2]
    assert np.where(x)[0].tolist() == [0, 1]
    assert posits(np.append(x, 0.1)) == [1, 2, tenth]
    assert posits(np.insert(x, 0, 0.1)) == [tenth, 1, 2]
    assert posits(np.pad(x, 1, constant_values=0.1)) == [tenth, 1, 2, tenth]
    assert posits(np.full_like(x, 0.1)) == [tenth, tenth]
    assert posits(np.ones_like(x, shape=3)) == [1, 1, 1]
    assert posits(np.zeros_like(x)) == [0, 0]
    assert np.empty_like(x).shape == (2,)
    out = PositArray.zeros(pc.posit8, 4)
    assert np.concatenate([x, x], out=out) is out
    assert out.tolist() == [1, 2, 1, 2]
    np.copyto(out, 0.1, where=[True, False, False, False])
    assert posits(out) == [tenth, 2, 1, 2]


def test_what_codes_tell():
    x = pc.array(pc.posit8, [[0, 1], [math.nan, 0]])
    assert (np.shape(x), np.ndim(x), np.size(x)) == ((2, 2), 2, 4)
    assert (x.shape, x.ndim, x.size, x.nbytes, x.itemsize, len(x)) == ((2, 2), 2, 4, 4, 1, 2)
    assert np.any(x)
    assert not np.all(x)
    assert x.any(axis=0).tolist() == [True, True]
    assert x.all(axis=0, keepdims=True).tolist() == [[False, False]]
    assert np.count_nonzero(x) == 2
    assert np.argwhere(x).tolist() == [[0, 1], [1, 0]]
    assert np.logical_and(x, [True, False]).tolist() == [[False, False], [True, False]]
    assert np.logical_or.reduce(x, axis=1).tolist() == [True, True]
    assert np.array_equal(x, x.copy())
    assert np.array_equal(x[0], [0, 1])
    assert not np.array_equal(x[0], [0, 1.001])
    assert not np.array_equal(x, x[0])


def test_powers():
    x = every(FORMATS[0])
    for k in (-2, -1, 0, 1, 2, 5, np.int8(3)):
        assert (x**k).codes.tolist() == [(p**k).code for p in posits(x)]
    assert np.array_equal(x**2, np.square(x))
    for function in (lambda: x**0.5, lambda: x**x, lambda: 2**x):
        with pytest.raises(
            TypeError, match=r"np\.power on posits takes one integer as exponent; np\.sqrt and np\.recipr"
        ):
            function()


def test_in_place_and_out():
    x = pc.array(pc.posit8, [1, 2, 3])
    same, codes = x, x.codes
    x += 0.5
    x *= x
    x /= [1, 2, 4]
    x -= np.array([1, 1, 1])
    assert x is same
    assert x.codes is codes
    assert posits(x) == [Fraction(5, 4), 2, 2]  # 2.5² = 6.25 was rounded to 6, and 3.5² = 12.25 to 12
    out = PositArray.zeros(pc.posit8, 3)
    assert np.add(x, 1, out=out, where=[True, False, True]) is out
    assert posits(out) == [x[0] + 1, 0, x[2] + 1]
    flags = np.zeros(3, bool)
    assert np.less(x, 1.3, out=flags) is flags
    assert flags.tolist() == [True, False, False]
    x[1:] = x[:-1]
    assert posits(x) == [Fraction(5, 4), Fraction(5, 4), 2]


def test_elements():
    x = pc.array(pc.posit8, [[0.1, 1], [math.nan, 3]])
    assert type(x[0, 0]) is Posit
    assert x[0, 0] == Posit.from_value(pc.posit8, 0.1)
    assert [type(row) for row in x] == [PositArray] * 2
    assert [p.code for p in x[0]] == x.codes[0].tolist()
    x[0] = [Fraction(1, 3), 2**80]
    assert posits(x[0]) == [Posit.from_value(pc.posit8, Fraction(1, 3)), 2**24]
    x[1, 0] = Posit.from_value(pc.posit16, 1.01)
    assert x[1, 0] == 1
    x[:, 1] = pc.array(pc.posit32, [1.01, 2])
    assert x[:, 1].tolist() == [1, 2]
    x[..., 0] = 0
    assert x.tolist() == [[0, 1], [0, 2]]
    assert (x.item(3), x.item(1, 1)) == (2.0, 2.0)
    x.fill(0.5)
    assert x.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    view = x[0]
    view[0] = 7
    assert x[0, 0] == 7
    one = pc.array(pc.posit8, [[2.5]])
    assert (float(one), int(one), complex(one), bool(one), f"{one:.2f}") == (2.5, 2, 2.5, True, "2.50")
    with pytest.raises(TypeError, match=r"only an array of one element is a number, not one of shape \(2, 2\)"):
        float(x)
    with pytest.raises(ValueError, match=r"the truth of shape \(2, 2\) is ambiguous; use any\(\) or all\(\)"):
        bool(x)
    with pytest.raises(TypeError, match="len"):
        len(pc.array(pc.posit8, 1))
    with pytest.raises(TypeError, match="unhashable"):
        hash(x)


def test_conversions():
    x = pc.array(pc.posit16, [0.1, 2.5, -3.5, math.nan, 2**40])
    assert [p.code for p in x.astype(pc.posit8)] == [p.convert(pc.posit8).code for p in x]
    assert x.astype("float32").dtype == np.float32
    assert x.astype(np.float16).tolist()[:3] == pc.to_float(pc.posit16, x.codes, "float16").tolist()[:3]
    assert x.astype(np.int32).tolist() == [0, 2, -4, -(2**31), -(2**31)]
    assert x.astype(np.uint64).tolist() == [0, 2, 2**63, 2**63, 2**40]
    assert x.astype(bool).all()
    assert x.astype(str).tolist() == pc.to_text(pc.posit16, x.codes).tolist()
    assert x.astype(object).tolist() == posits(x)
    exact_values = [float(p.value) for p in posits(x[:3])]
    for floats in (np.asarray(x), x.to_numpy(), np.array(x, np.float64), np.asarray(x, complex)):
        assert floats[:3].tolist() == exact_values
        assert np.isnan(floats[3])
    assert np.asarray(x, object)[1] == x[1]
    with pytest.raises(TypeError, match=r"values are real numbers, not of int64; astype\(int64\) rounds them"):
        np.asarray(x, np.int64)
    with pytest.raises(ValueError, match=r"values are decoded, so NumPy cannot share them; x\.codes holds the bits"):
        np.asarray(x, copy=False)
    with pytest.raises(
        TypeError, match="posits are not converted to complex128; float, integer, bool, str or a PositF"
    ):
        x.astype(complex)


def test_constructors_share_codes_and_copy_values():
    codes = np.arange(6, dtype=np.uint8).reshape(2, 3).T
    x = PositArray(pc.posit8, codes)
    assert x.codes is codes
    assert np.shares_memory(x, codes)
    assert not np.shares_memory(pc.array(pc.posit8, x), x)
    assert PositArray(pc.posit8, [1, 2]).codes.dtype == np.uint8
    assert PositArray.zeros(pc.posit8, (2, 3)).tolist() == [[0] * 3] * 2
    assert PositArray.ones(pc.PositFormat(5, 1), 2).tolist() == [1, 1]
    assert PositArray(pc.posit8, []).shape == (0,)
    for make in (PositArray, pc.array):
        with pytest.raises(TypeError, match="fmt must be a PositFormat, not '8,2'"):
            make("8,2", [1])
    with pytest.raises(TypeError, match=r"codes of posit<8,2> must be unsigned integers, not float64"):
        PositArray(pc.posit8, [0.5])
    with pytest.raises(ValueError, match=r"codes of posit<6,1> must be in 0\.\.63, not 64"):
        PositArray(pc.PositFormat(6, 1), np.array([64], np.uint8))
    with pytest.raises(TypeError, match="codes must be unsigned integers, not posits; `astype` converts"):
        PositArray(pc.posit16, x)


def test_copies_and_pickles():
    x = pc.array(pc.posit8, [[1, 2], [math.nan, 4]])
    for same in (copy.copy(x), copy.deepcopy(x), x.copy(), pickle.loads(pickle.dumps(x)), np.copy(x)):
        assert type(same) is PositArray
        assert same.fmt == x.fmt
        assert np.array_equal(same, x)
        assert not np.shares_memory(same, x)


UNDEFINED = {
    "np.hypot": lambda x: np.hypot(x, x),
    "np.arctan2": lambda x: np.arctan2(x, x),
    "np.float_power": lambda x: np.float_power(x, 2),
    "np.bitwise_and": lambda x: x & x,
    "np.left_shift": lambda x: x << 1,
    "np.invert": lambda x: ~x,
    "np.divmod": lambda x: divmod(x, 2),
    "np.modf": np.modf,
    "np.multiply.reduce": np.multiply.reduce,
    "np.add.accumulate": np.add.accumulate,
    "np.maximum.accumulate": np.maximum.accumulate,
    "np.add.reduceat": lambda x: np.add.reduceat(x, [0]),
    "np.add.at": lambda x: np.add.at(x, 0, 1),
    "np.cumsum": np.cumsum,
    "np.prod": np.prod,
    "np.std": np.std,
    "np.allclose": lambda x: np.allclose(x, x),
    "np.linalg.norm": np.linalg.norm,
    "np.einsum": lambda x: np.einsum("i,i", x, x),
    "np.save": lambda x: np.save("x.npy", x),
    "np.savez": lambda x: np.savez("x.npz", x=x),
    "np.pad with mode='mean'": lambda x: np.pad(x, 1, "mean"),
    "np.diff with n=2": lambda x: np.diff(x, 2),
    "np.round with decimals=1": lambda x: np.round(x, 1),
}


@pytest.mark.parametrize("name", UNDEFINED)
def test_what_is_not_exactly_defined_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = pc.array(pc.posit8, [1, 2])
    with pytest.raises(TypeError) as caught:
        UNDEFINED[name](x)
    assert str(caught.value).startswith(f"{name} is not defined on posits: ")
    assert x.tolist() == [1, 2]
    assert not list(tmp_path.iterdir())


def test_round_to_integers():
    assert np.round(pc.array(pc.posit8, [0.5, 1.5, -2.5])).tolist() == [0, 2, -2]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda x: x + pc.array(pc.posit16, [1, 2]),
            r"np\.add: operands must have one format, not posit<8,2> and posit<16,2>",
        ),
        (lambda x: np.concatenate([x, pc.array(pc.posit16, [1])]), r"np\.concatenate: operands must have one format"),
        (
            lambda x: x + "1",
            r"np\.add: operands must be posits or real numbers, not of <U1; positcore\.from_text reads",
        ),
        (lambda x: x + 1j, r"operands must be posits or real numbers, not of complex128"),
        (lambda x: np.add(x, [1, None]), r"np\.add: operands must be posits or real numbers, not None"),
        (
            lambda x: pc.array(pc.posit8, [object()]),
            r"PositArray: operands must be posits or real numbers, not <object",
        ),
        (lambda x: np.add(x, 1, dtype=float), r"np\.add on posits does not take dtype"),
        (lambda x: np.add(x, 1, where=[True, False]), r"np\.add on posits takes `where` only together with `out`"),
        (lambda x: np.add([1.0], [2.0], out=x), r"np\.add: no operand is a posit; positcore\.array rounds numbers"),
        (lambda x: np.sum(x, initial=1), r"np\.sum on posits does not take initial"),
        (lambda x: np.max(x, where=[True, False]), r"np\.max on posits does not take where"),
        (lambda x: np.zeros_like(x, dtype=float), r"np\.zeros_like on posits does not take dtype"),
        (
            lambda x: np.add(np.ones(2), x, out=np.ones(2)),
            r"np\.add: the result is of posit<8,2> and cannot be stored in an",
        ),
        (
            lambda x: np.less(x, 1, out=x),
            r"np\.less: the result is of bool and cannot be stored in an array of posit<8,2>",
        ),
        (lambda x: np.add(x, 1, out=pc.array(pc.posit16, [1, 2])), r"cannot be stored in an array of posit<16,2>; use"),
        (lambda x: np.copyto(np.ones(2), x), r"np\.copyto: posits cannot be stored in an array of float64; use astype"),
        (lambda x: operator.iadd(np.ones(2), x), r"np\.add: the result is of posit<8,2> and cannot be stored"),
    ],
)
def test_errors(function, message):
    with pytest.raises(TypeError, match=message):
        function(pc.array(pc.posit8, [1, 2]))


def test_formats_do_not_mix_in_lists_and_objects():
    x, other = pc.array(pc.posit8, [1, 2]), Posit(pc.posit16, 3)
    for operand in (other, [other, 1], np.array([1, other], object), [[1, 1], (other, 1)]):
        for function in (np.add, np.divide, np.maximum):
            with pytest.raises(TypeError, match="operands must have one format, not posit<8,2> and posit<16,2>"):
                function(x, operand)
    assert posits(np.add(x, [Posit(pc.posit8, 3), 1])) == [x[0] + Posit(pc.posit8, 3), 3]


def test_scalars_with_arrays():
    x, p = pc.array(pc.posit8, [1, 2, 0.1]), Posit.from_value(pc.posit8, 3)
    for function in (operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod):
        assert posits(function(x, p)) == [function(q, p) for q in posits(x)]
        assert posits(function(p, x)) == [function(p, q) for q in posits(x)]
        assert posits(function(p, np.array([0.1, 2]))) == [function(p, 0.1), function(p, 2)]
    assert (p > x).tolist() == [True, True, True]
    assert sum(x) == x[0] + x[1] + x[2]


def test_errors_of_range():
    x = pc.array(pc.posit8, [1, 2])
    with pytest.raises(ValueError, match=r"add: operands of shapes \(2,\) and \(3,\) do not broadcast"):
        np.add(x, [1, 2, 3])
    with pytest.raises(ValueError, match=r"np\.searchsorted: nan has no place among posits"):
        np.searchsorted(x, math.nan)


def test_other_array_types_may_take_over():
    class Other:
        def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
            return ufunc.__name__

        def __array_function__(self, func, types, args, kwargs):
            return func.__name__

    x = pc.array(pc.posit8, [1])
    assert x + Other() == "add"
    assert np.concatenate([x, Other()]) == "concatenate"


def test_text():
    x = pc.array(pc.posit8, [1, 0.5, math.nan])
    assert repr(x) == "PositArray([1.0, 0.5, NaR], posit<8,2>)"
    assert str(x) == "[1.0 0.5 NaR]"
    assert f"{x}" == "[1.0 0.5 NaR]"
    assert np.array2string(x, separator=";") == "[1.0;0.5;NaR]"
    assert np.array2string(x, 12) == "[1.0 0.5\n NaR]"
    with pytest.raises(TypeError, match=r"np\.array2string on posits does not take formatter"):
        np.array2string(x, formatter={"int": str})
    assert np.array_repr(x) == repr(x)
    assert np.array_str(x) == str(x)
    assert repr(pc.array(pc.posit8, 3)) == "PositArray(3.0, posit<8,2>)"
    assert repr(PositArray(pc.PositFormat(6, 1, underflow=True), [])) == "PositArray([], posit<6,1>u)"
    assert repr(PositArray.zeros(pc.posit8, (0, 3))) == "PositArray([], shape=(0, 3), posit<8,2>)"
    assert repr(x.reshape(3, 1)) == "PositArray([[1.0],\n            [0.5],\n            [NaR]], posit<8,2>)"


def test_text_of_a_large_array_formats_only_what_is_shown(monkeypatch):
    formatted = []
    shortest = pc.to_text
    monkeypatch.setattr(
        "positcore.layout.to_text", lambda fmt, codes: formatted.append(codes.size) or shortest(fmt, codes)
    )
    x = PositArray(pc.posit32, np.arange(1 << 20, dtype=np.uint32).reshape(1 << 10, 1 << 10))
    text = repr(x)
    assert formatted == [36]
    assert text.count("...") == 7
    assert text.endswith("posit<32,2>)")
    with np.printoptions(threshold=4, edgeitems=1):
        assert str(pc.array(pc.posit8, [1, 2, 3, 4, 5])) == "[1.0 ... 5.0]"


def test_the_example_of_the_docs():
    text = (Path(__file__).parents[1] / "docs" / "numbers.md").read_text(encoding="utf-8")
    section = text.split("## PositArray")[1].split("\n## ")[0]
    example = section.split("```python\n")[1].split("```")[0]
    failures, count = doctest.DocTestRunner().run(doctest.DocTestParser().get_doctest(example, {}, "docs", None, None))
    assert (failures, count) == (0, 7)


def _half(x):
    return np.float16(x) if isinstance(x, float) else x


PLANTED = {
    "minimum for maximum": ({np.maximum: pc.minimum}, lambda: test_orders_on_all_pairs(FORMATS[0])),
    "multiply for add": ({np.add: pc.mul}, lambda: test_binary_ufuncs_on_all_pairs(FORMATS[0], np.add)),
    "two roundings": (
        {
            np.reciprocal: lambda fmt, a: pc.convert(
                pc.posit8, fmt, pc.div(pc.posit8, 64, pc.convert(fmt, pc.posit8, a))
            )
        },
        lambda: test_unary_ufuncs_on_all_codes(FORMATS[0], np.reciprocal),
    ),
    "operands through float16": (_half, lambda: test_operands_are_rounded_once(pc.posit32, 0.1)),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_seen(fault, monkeypatch):
    """The comparisons above must fail where a ufunc, or the rounding of operands, is wrong."""
    planted, check = PLANTED[fault]
    check()
    if isinstance(planted, dict):
        monkeypatch.setattr(ufuncs, "_ROUNDED", {**ufuncs._ROUNDED, **planted})
    else:
        right = ufuncs.rounded_codes
        monkeypatch.setattr(ufuncs, "rounded_codes", lambda fmt, x, name: right(fmt, planted(x), name))
    with pytest.raises(AssertionError):
        check()
