import numpy as np
import pytest

import positcore as pc
from positcore.gemm import doubt, quire
from tests.reference import exact_matmul, format_id, special_codes

SPECS = [
    pc.MacSpec(pc.PositFormat(8, 0)),
    pc.MacSpec(pc.posit8),
    pc.MacSpec(pc.posit8, pc.posit16),
    pc.MacSpec(pc.PositFormat(8, 2, underflow=True)),
    pc.MacSpec((pc.posit8, pc.PositFormat(6, 1)), pc.PositFormat(12, 2)),
    pc.MacSpec(pc.posit16),
    pc.MacSpec(pc.PositFormat(16, 4)),
    pc.MacSpec(pc.PositFormat(5, 4)),
    pc.MacSpec(pc.PositFormat(2, 0)),
    pc.MacSpec(pc.posit32),
    pc.MacSpec(pc.PositFormat(32, 4)),
    pc.MacSpec(pc.PositFormat(32, 0), pc.PositFormat(9, 1)),
]


def normal(fmt, rng, shape):
    return fmt.encode(rng.normal(size=shape))


def uniform(fmt, rng, shape):
    codes = rng.integers(0, 1 << fmt.n, shape)
    return np.where(codes == fmt.nar, 0, codes).astype(fmt.dtype)


def extreme(fmt, rng, shape):
    special = special_codes(fmt)
    return rng.choice(special[special != fmt.nar], shape)


def with_nar(fmt, rng, shape):
    return np.where(rng.random(shape) < 0.02, fmt.nar, uniform(fmt, rng, shape)).astype(fmt.dtype)


@pytest.mark.parametrize("draw", [normal, uniform, extreme, with_nar], ids=lambda f: f.__name__)
@pytest.mark.parametrize("spec", SPECS, ids=format_id)
def test_against_rationals(spec, draw):
    rng = np.random.default_rng(1)
    for k in (1, 2, 9, 33):
        a, b = draw(spec.a, rng, (5, k)), draw(spec.b, rng, (k, 4))
        for bias in (None, draw(spec.a, rng, 4), draw(spec.a, rng, (5, 1))):
            assert np.array_equal(pc.matmul(spec, a, b, bias), exact_matmul(spec, a, b, bias))


@pytest.mark.parametrize("draw", [normal, uniform, extreme], ids=lambda f: f.__name__)
@pytest.mark.parametrize("spec", SPECS, ids=format_id)
def test_cancellation(spec, draw):
    """Sums that cancel to nothing, but for one product that float64 may have lost."""
    rng = np.random.default_rng(2)
    a, b = draw(spec.a, rng, (5, 8)), draw(spec.b, rng, (8, 4))
    last_a, last_b = draw(spec.a, rng, (5, 1)), np.full((1, 4), 1, spec.b.dtype)
    a = np.concatenate([a, pc.neg(spec.a, a[:, ::-1]), last_a], axis=1)
    b = np.concatenate([b, b[::-1], last_b], axis=0)
    assert np.array_equal(pc.matmul(spec, a[:, :-1], b[:-1]), np.zeros((5, 4)))
    assert np.array_equal(pc.matmul(spec, a, b), exact_matmul(spec, a, b))


def ties(fmt, count):
    """Rows and columns whose dot products are exact ties, alone and broken by ±minpos² products."""
    rng = np.random.default_rng(3)
    longer = pc.PositFormat(fmt.n + 1, fmt.es)
    middle = longer.decode(2 * rng.integers(1, fmt.maxpos_code, count).astype(longer.dtype) + longer.dtype.type(1))
    low = fmt.decode(fmt.encode(middle * (1 - 2.0**-20)))
    parts = np.stack([low, middle - low], axis=1)  # the tie as a sum of two posits, where the second is one
    parts = parts[np.isin(parts[:, 1], fmt.decode(fmt.encode(parts[:, 1])))]
    return parts


TIE_FORMATS = [pc.PositFormat(8, 0), pc.posit8, pc.PositFormat(12, 1), pc.posit16, pc.PositFormat(16, 4)]


@pytest.mark.parametrize("fmt", TIE_FORMATS, ids=format_id)
def test_ties_alone_and_broken(fmt):
    spec = pc.MacSpec(fmt)
    parts = ties(fmt, 60)
    assert len(parts) > 10
    a = np.concatenate([fmt.encode(parts), np.tile([1, 1], (len(parts), 1))], axis=1).astype(fmt.dtype)
    one, minpos = int(fmt.encode(1.0)), 1
    b = np.array([[one, one, 0, 0], [one, one, minpos, 0], [one, one, fmt.mask, 0]], fmt.dtype).T  # tie, above, below
    got = pc.matmul(spec, a, b)
    assert np.array_equal(got, exact_matmul(spec, a, b))
    assert (got[:, 0] % 2 == 0).all()
    assert (got[:, 1] > got[:, 2]).all()


def prove_nothing(monkeypatch, *steps):
    """Leave every output in doubt after these steps, and let no step be skipped."""
    filter_codes, filter_into, compensated = quire.filter_codes, quire.filter_into, doubt.compensated_codes

    def unsure(*arguments):
        codes, _ = filter_codes(*arguments)
        return np.zeros_like(codes), np.arange(codes.size)

    def unsure_into(*arguments):
        filter_into(*arguments)
        arguments[-2][:], arguments[-1][:] = 0, True

    monkeypatch.setattr(doubt, "_FEW", -1)
    monkeypatch.setattr(doubt, "_WORTH_CERTIFYING", 0)
    if "filter" in steps:
        for module in (quire, doubt):
            monkeypatch.setattr(module, "filter_codes", unsure)
        monkeypatch.setattr(quire, "filter_into", unsure_into)
    if "certificate" in steps:
        monkeypatch.setattr(doubt, "certified", lambda lsb, *rest: np.zeros(lsb.shape, bool))
    if "compensated" in steps:
        monkeypatch.setattr(
            doubt, "compensated_codes", lambda *x: (np.zeros_like(compensated(*x)[0]), np.ones(x[3].size, bool))
        )


STEPS = ["filter", "certificate", "compensated"]


@pytest.mark.parametrize("own_threads", [False, True], ids=["at once", "blocks"])
@pytest.mark.parametrize("path", range(4), ids=[*STEPS, "integers"])
@pytest.mark.parametrize("spec", SPECS, ids=format_id)
def test_each_path_gives_the_same_codes(spec, path, own_threads, monkeypatch):
    """With the steps before it proving nothing, each step must still be right."""
    rng = np.random.default_rng(4)
    a, b, bias = (normal(spec.a, rng, (6, 20)), normal(spec.b, rng, (20, 7)), normal(spec.a, rng, (6, 1)))
    expected = exact_matmul(spec, a, b, bias)
    prove_nothing(monkeypatch, *STEPS[:path])
    monkeypatch.setattr(doubt, "_GATHERED", 100)  # several rounds
    if own_threads:
        monkeypatch.setattr(quire, "_OWN_THREADS", 0)
        monkeypatch.setattr(quire, "_PART", 6)  # several parts
        monkeypatch.setattr(quire, "_BLOCK", 14)  # several blocks
    assert np.array_equal(pc.matmul(spec, a, b, bias), expected)


def test_a_false_certificate_is_caught(monkeypatch):
    """A planted fault: certifying everything lets float64's lost bits through."""
    spec = pc.MacSpec(pc.posit32)
    f = spec.a
    a, b = f.encode([[2.0**90, 1.0, -(2.0**90)]]), f.encode([[1.0], [1.0], [1.0]])
    prove_nothing(monkeypatch)
    assert pc.matmul(spec, a, b) == f.encode(1.0)
    monkeypatch.setattr(doubt, "certified", lambda lsb, *rest: np.ones(lsb.shape, bool))
    assert pc.matmul(spec, a, b) != f.encode(1.0)


@pytest.mark.parametrize("fmt", [pc.posit8, pc.posit16, pc.posit32], ids=format_id)
def test_1000_terms_against_integers(fmt):
    """Long sums against Python integers in units of the quire's last bit."""
    rng = np.random.default_rng(5)
    spec = pc.MacSpec(fmt)
    a, b = normal(fmt, rng, (3, 1000)), normal(fmt, rng, (1000, 3))
    assert np.array_equal(pc.matmul(spec, a, b), exact_matmul(spec, a, b))


def test_order_threads_and_product_do_not_matter():
    rng = np.random.default_rng(6)
    spec = pc.MacSpec(pc.posit8)
    a, b = normal(spec.a, rng, (200, 300)), normal(spec.b, rng, (300, 250))
    expected = pc.matmul(spec, a, b)
    order = rng.permutation(300)
    assert np.array_equal(pc.matmul(spec, a[:, order], b[order]), expected)
    x, y = pc.posit8.decode(a), pc.posit8.decode(b)

    def slow_product(p, q):  # term by term, from the last
        return sum(np.multiply.outer(p[:, k], q[k]) for k in reversed(range(p.shape[1])))

    assert np.array_equal(quire.quire_codes(spec, x, y, product=slow_product), expected)
    before = pc.get_num_threads()
    for count in (1, 3):
        pc.set_num_threads(count)
        assert np.array_equal(pc.matmul(spec, a, b), expected)
    pc.set_num_threads(before)


def test_dot():
    spec = pc.MacSpec(pc.posit8, pc.posit16)
    a, b = pc.posit8.encode([1, 2, 3]), pc.posit8.encode([4, 5, 6])
    assert pc.dot(spec, a, b) == pc.posit16.encode(32)


def test_empty():
    spec = pc.MacSpec(pc.posit8)
    assert pc.matmul(spec, np.zeros((2, 0), np.uint8), np.zeros((0, 3), np.uint8)).tolist() == [[0] * 3] * 2
    assert pc.matmul(spec, np.zeros((0, 4), np.uint8), np.zeros((4, 3), np.uint8)).shape == (0, 3)


CODES = np.ones((2, 3), np.uint8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: pc.matmul(s, CODES, CODES), ValueError, r"shapes \(M, K\) and \(K, N\), not \(2, 3\) and \(2, 3\)"),
        (lambda s: pc.matmul(s, CODES[0], CODES), ValueError, r"not \(3,\) and \(2, 3\)"),
        (lambda s: pc.matmul(s, CODES * 0.5, CODES.T), TypeError, "matmul: a: codes of posit<8,2> must be unsigned"),
        (lambda s: pc.matmul(s, CODES, CODES.T.astype(int) + 255), ValueError, r"matmul: b: .* in 0\.\.255, not 256"),
        (lambda s: pc.matmul(s, CODES, CODES.T, np.ones(3, np.uint8)), ValueError, r"bias of shape \(3,\)"),
        (lambda s: pc.matmul(pc.posit8, CODES, CODES.T), TypeError, "spec must be a MacSpec, not PositFormat"),
        (lambda s: pc.dot(s, CODES[0], CODES[0, :2]), ValueError, r"vectors of one length, not .* \(2,\)"),
        (
            lambda s: pc.matmul(pc.MacSpec(pc.posit8, accumulator=pc.Quire(1)), CODES, CODES.T),
            ValueError,
            "a dot product of 3 terms exceeds the 1 that a quire with 1 carry bits holds; take more carry bits",
        ),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(pc.MacSpec(pc.posit8))


@pytest.mark.parametrize("draw", [normal, uniform, extreme], ids=lambda f: f.__name__)
@pytest.mark.parametrize("spec", [s for s in SPECS if quire.working_dtype(s, 1) == np.float32], ids=format_id)
def test_summing_in_float32_first_gives_the_same_codes(spec, draw, monkeypatch):
    """Where float32 holds the operands it may be forced; long sums, ties and broken ties then fall back to float64."""
    rng = np.random.default_rng(7)
    monkeypatch.setattr(quire, "working_dtype", lambda *_: np.dtype(np.float32))
    for k in (5, 60):
        a, b, bias = draw(spec.a, rng, (8, k)), draw(spec.b, rng, (k, 9)), draw(spec.a, rng, 9)
        a[:2], b[:, :2] = pc.neg(spec.a, a[2:4]), b[:, 2:4]
        assert np.array_equal(pc.matmul(spec, a, b, bias), exact_matmul(spec, a, b, bias))


@pytest.mark.parametrize("length", [1, 256, 257, 4096, 4097, 100_000, 10_000_000])
def test_a_dot_product_has_few_parts(length):
    """The filter's bound allows for adding so many, and so many are in memory."""
    part = quire.part_of(length, 1 << 30)
    assert part >= 256
    assert -(-length // part) <= 16
    assert quire.part_of(length, 0) == length


def test_a_bias_alone(monkeypatch):
    spec = pc.MacSpec(pc.posit8)
    monkeypatch.setattr(quire, "_OWN_THREADS", 1)
    bias = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert np.array_equal(pc.matmul(spec, np.zeros((2, 0), np.uint8), np.zeros((0, 3), np.uint8), bias), bias)


def test_which_dtype_works():
    assert quire.working_dtype(pc.MacSpec(pc.posit8), 26) == np.float32
    assert quire.working_dtype(pc.MacSpec(pc.posit8), 50_000) == np.float64
    assert quire.working_dtype(pc.MacSpec(pc.posit16), 4) == np.float64  # products of minpos underflow in float32
    assert quire.working_dtype(pc.MacSpec(pc.posit32), 4) == np.float64


def test_the_error_bound_is_that_of_the_returned_dtype():
    """A product that computes in less precision than its result's dtype would break the bound; one in more does not."""
    spec = pc.MacSpec(pc.posit8)
    rng = np.random.default_rng(8)
    a, b = normal(spec.a, rng, (40, 100)), normal(spec.b, rng, (100, 40))
    x, y = pc.posit8.decode(a), pc.posit8.decode(b)
    expected = quire.quire_codes(spec, x, y)
    assert np.array_equal(expected, quire.quire_codes(spec, x, y, product=lambda p, q: p.astype(np.float64) @ q))

    def reduced(p, q):  # as if float32 were bfloat16 inside: a fault that the bound cannot see
        cut = (np.ascontiguousarray(p, np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
        return (cut @ q.astype(np.float32)) * np.float32(1.01)

    assert not np.array_equal(expected, quire.quire_codes(spec, x, y, product=reduced))
