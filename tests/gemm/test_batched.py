"""Stacks of matrices and vectors, with NumPy's shapes: each matrix as if it stood alone."""

import numpy as np
import pytest

import positcore as pc
from positcore.gemm import doubt, products, quire
from tests.gemm.test_accumulators import dot
from tests.reference import exact_matmul, format_id, rounded, special_codes, value

ACCUMULATORS = [pc.Quire(), pc.Fused(), pc.Rounded(), pc.Aligned(4, 14), pc.Aligned(3, 5)]
SPECS = [
    pc.MacSpec(pc.posit8),
    pc.MacSpec((pc.posit8, pc.PositFormat(6, 1)), pc.posit16),
    pc.MacSpec(pc.PositFormat(16, 1)),
    pc.MacSpec(pc.posit32),
    pc.MacSpec(pc.PositFormat(32, 4)),
]
SHAPES = [  # a, b, bias
    ((3, 4, 5), (3, 5, 2), (2,)),
    ((3, 4, 5), (5, 2), (4, 1)),
    ((4, 5), (3, 5, 2), (3, 1, 2)),
    ((2, 1, 4, 5), (3, 5, 2), (2, 3, 4, 2)),
    ((2, 3, 4, 5), (1, 1, 5, 2), (2, 1, 1, 1)),
    ((1, 4, 5), (2, 3, 5, 2), (3, 1, 1)),
    ((5,), (5,), ()),
    ((5,), (5, 2), (2,)),
    ((4, 5), (5,), (4,)),
    ((5,), (3, 5, 2), (3, 2)),
    ((2, 3, 4, 5), (5,), (3, 1)),
]


def draw(fmt, rng, shape):
    """Small multiples of 1/4, for ties and cancellation, among normal values and codes of all kinds."""
    x = fmt.encode(np.where(rng.random(shape) < 0.6, rng.integers(-6, 7, shape) / 4, rng.normal(size=shape)))
    special = special_codes(fmt)
    return np.where(rng.random(shape) < 0.05, rng.choice(special, shape), x).astype(fmt.dtype)


def one_by_one(spec, a, b, bias):
    """The definition, one matrix after the other; shapes by NumPy."""
    shape = np.matmul(np.zeros(a.shape), np.zeros(b.shape)).shape
    start = np.broadcast_to(np.zeros((), spec.a.dtype) if bias is None else bias, shape)
    rows, columns = a.reshape(1, -1) if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b
    batch = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
    whole = (*batch, rows.shape[-2], columns.shape[-1])
    rows, columns = (np.broadcast_to(x, batch + x.shape[-2:]) for x in (rows, columns))
    start, out = start.reshape(whole), np.empty(whole, spec.out.dtype)
    for at in np.ndindex(batch):
        out[at] = reference(spec, rows[at], columns[at], start[at])
    return out.reshape(shape)


def reference(spec, a, b, start):
    if isinstance(spec.accumulator, pc.Quire):
        return exact_matmul(spec, a, b, start)
    out = np.empty((len(a), b.shape[1]), spec.out.dtype)
    for i, j in np.ndindex(out.shape):
        x, y = ([value(f, int(c)) for c in v] for f, v in ((spec.a, a[i]), (spec.b, b[:, j])))
        exact = dot(spec, x, y, value(spec.a, int(start[i, j])))
        out[i, j] = spec.out.nar if exact is None else rounded(spec.out, exact)
    return out


@pytest.mark.parametrize("shapes", SHAPES, ids=lambda s: str(s).replace(" ", ""))
@pytest.mark.parametrize("accumulator", ACCUMULATORS, ids=str)
@pytest.mark.parametrize("inputs", SPECS, ids=format_id)
def test_against_the_definition(inputs, accumulator, shapes):
    spec, rng = pc.MacSpec(inputs.inputs, inputs.output, accumulator), np.random.default_rng(1)
    a, b, bias = (draw(f, rng, s) for f, s in zip((spec.a, spec.b, spec.a), shapes, strict=True))
    for start in (None, bias):
        got, expected = pc.matmul(spec, a, b, start), one_by_one(spec, a, b, start)
        assert got.shape == expected.shape
        assert got.dtype == spec.out.dtype
        assert np.array_equal(got, expected)


@pytest.mark.parametrize("how", ["together", "one by one", "in small stacks", "every step", "integers", "float32"])
@pytest.mark.parametrize("spec", SPECS, ids=format_id)
def test_each_path_gives_the_same_codes(spec, how, monkeypatch):
    """However a stack is cut, and where the filter or the certificate proves nothing."""
    rng = np.random.default_rng(2)
    a, b, bias = draw(spec.a, rng, (4, 3, 9)), draw(spec.b, rng, (4, 9, 5)), draw(spec.a, rng, (4, 3, 5))
    a[1], b[1] = pc.neg(spec.a, a[1]), b[0]  # sums that take back those of a[0], were they added
    expected = {None: one_by_one(spec, a, b, None), "bias": one_by_one(spec, a, b, bias)}
    if how == "one by one":
        monkeypatch.setattr(products, "_ALONE", 1)
    if how == "in small stacks":
        monkeypatch.setattr(products, "_STACK", 150)
    if how in ("every step", "integers"):
        original = quire.filter_codes

        def prove_nothing(*arguments):
            codes = original(*arguments)[0]
            return np.zeros_like(codes), np.arange(codes.size)

        for module in (quire, doubt):
            monkeypatch.setattr(module, "filter_codes", prove_nothing)
        monkeypatch.setattr(products, "_GATHERED", 60)
    if how == "every step":
        monkeypatch.setattr(doubt, "_FEW", -1)
        monkeypatch.setattr(doubt, "_WORTH_CERTIFYING", 0)
    if how == "integers":
        monkeypatch.setattr(doubt, "_FEW", 1 << 60)
    if how == "float32" and spec.a.tensor_dtype == spec.b.tensor_dtype == np.float32:
        monkeypatch.setattr(quire, "working_dtype", lambda *_: np.dtype(np.float32))
    assert np.array_equal(pc.matmul(spec, a, b), expected[None])
    assert np.array_equal(pc.matmul(spec, a, b, bias), expected["bias"])


def test_without_a_bound_wrong_codes_would_pass(monkeypatch):
    """A planted fault: norms of zero claim exact sums, and ties that only a tiny product breaks come out wrong."""
    f = pc.posit16
    spec = pc.MacSpec(f)
    a = np.tile(f.encode([[1 + 2.0**-6, 2.0**-28]]), (3, 1, 1))
    b = np.tile(f.encode([[1 + 2.0**-6], [2.0**-28]]), (3, 1, 1))
    expected = one_by_one(spec, a, b, None)
    assert np.array_equal(pc.matmul(spec, a, b), expected)
    monkeypatch.setattr(products, "row_norms", lambda x: np.zeros(len(x)))
    assert not np.array_equal(pc.matmul(spec, a, b), expected)


def test_attention():
    """(heads, tokens, width): scores, and sums weighted by them, as one call each."""
    spec, rng = pc.MacSpec(pc.posit8), np.random.default_rng(3)
    q, k = (pc.posit8.encode(rng.normal(size=(6, 7, 4))) for _ in range(2))
    scores = pc.matmul(spec, q, k.transpose(0, 2, 1))
    assert np.array_equal(scores, [pc.matmul(spec, x, y.T) for x, y in zip(q, k, strict=True)])


@pytest.mark.parametrize("spec", [pc.MacSpec(pc.posit8, accumulator=a) for a in ACCUMULATORS], ids=format_id)
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((0, 3, 4), (0, 4, 2)), ((3, 0, 4), (3, 4, 2)), ((3, 3, 0), (3, 0, 2)), ((3, 3, 4), (3, 4, 0)),
        ((0, 3, 4), (4, 2)), ((2, 3, 0), (0, 2)), ((3, 0), (2, 0, 2)), ((2, 0, 3), (3, 2)),
        ((3, 4), (0, 4, 2)), ((0,), (0,)), ((0,), (0, 2)), ((0, 1, 3, 4), (5, 4, 2)), ((2, 0, 4), (4,)),
    ],
)  # fmt: skip
def test_empty(spec, a, b):
    got = pc.matmul(spec, np.ones(a, np.uint8), np.ones(b, np.uint8))
    assert got.shape == np.matmul(np.ones(a), np.ones(b)).shape
    assert not got.any()


def test_two_vectors_give_one_code():
    spec = pc.MacSpec(pc.posit8)
    x = pc.posit8.encode([1.0, 2.0])
    assert isinstance(pc.matmul(spec, x, x), np.uint8)
    assert pc.matmul(spec, x, x) == pc.dot(spec, x, x) == pc.posit8.encode(5.0)


def ones(*shape):
    return np.ones(shape, np.uint8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: pc.matmul(s, ones(2, 3, 4), ones(3, 4, 5)), r"leading dimensions \(2,\) and \(3,\) do not"),
        (lambda s: pc.matmul(s, ones(2, 3, 4), ones(2, 3, 4)), r"and \(K, N\), not \(2, 3, 4\) and \(2, 3, 4\)"),
        (lambda s: pc.matmul(s, ones(), ones(3)), r"must be vectors, or matrices of shapes .* not \(\) and \(3,\)"),
        (lambda s: pc.matmul(s, ones(3), ones(2)), r"not \(3,\) and \(2,\)"),
        (lambda s: pc.matmul(s, ones(3), ones(3, 2), ones(3)), r"bias of shape \(3,\) does not broadcast to .* \(2,\)"),
        (lambda s: pc.matmul(s, ones(3), ones(3), ones(1)), r"bias of shape \(1,\) does not broadcast to .* \(\)"),
        (lambda s: pc.matmul(s, ones(2, 3, 4), ones(4, 5), ones(3, 3, 5)), r"to the result's \(2, 3, 5\)"),
        (lambda s: pc.matmul(s, ones(2, 3), ones(3, 2), ones(1, 2, 2)), r"does not broadcast to the result's \(2, 2\)"),
        (
            lambda s: pc.matmul(pc.MacSpec(pc.posit8, accumulator=pc.Quire(1)), ones(2, 3, 4), ones(2, 4, 5)),
            "a dot product of 4 terms exceeds the 1 that a quire with 1 carry bits holds",
        ),
    ],
)  # fmt: skip
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(pc.MacSpec(pc.posit8))


def test_a_shared_operand_is_decoded_once(monkeypatch):
    """A weight matrix under a batch: as many codes are decoded as there are."""
    decoded = []
    original = pc.gemm.decode
    monkeypatch.setattr(
        pc.gemm, "decode", lambda f, codes, *rest: decoded.append(codes.size) or original(f, codes, *rest)
    )
    spec = pc.MacSpec(pc.posit8)
    pc.matmul(spec, ones(50, 3, 4), ones(4, 5))
    pc.matmul(spec, ones(50, 1, 3, 4), ones(2, 4, 5))
    assert decoded == [600, 20, 600, 40]


def test_small_stacks_are_proven_in_one_go(monkeypatch):
    calls = []
    original = quire.filter_codes
    monkeypatch.setattr(quire, "filter_codes", lambda *x: calls.append(x[1].size) or original(*x))
    spec, rng = pc.MacSpec(pc.posit8), np.random.default_rng(4)
    pc.matmul(spec, pc.posit8.encode(rng.normal(size=(64, 8, 8))), pc.posit8.encode(rng.normal(size=(64, 8, 8))))
    assert calls[0] == 64 * 64
    assert len(calls) <= 2
    assert quire.working_dtype(spec, 8) == np.float32  # so that the second call is for what float32 left
