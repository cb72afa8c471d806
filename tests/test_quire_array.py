import copy
import pickle
from fractions import Fraction

import numpy as np
import pytest

import positcore as pc
from positcore.threads import get_num_threads
from tests.reference import (
    BYTE_FORMATS,
    LARGE_FORMATS,
    SMALL_FORMATS,
    exact_matmul,
    format_id,
    rounded,
    some_pairs,
    special_codes,
    value,
)

FORMATS = SMALL_FORMATS + BYTE_FORMATS + LARGE_FORMATS
MIXED = [
    pc.MacSpec((pc.PositFormat(8, 0), pc.PositFormat(16, 2)), pc.PositFormat(12, 1), pc.Quire(5)),
    pc.MacSpec((pc.PositFormat(16, 1), pc.PositFormat(6, 3)), pc.PositFormat(32, 2), pc.Quire(40)),
    pc.MacSpec((pc.PositFormat(32, 4), pc.PositFormat(2, 0)), pc.PositFormat(8, 2, underflow=True)),
    pc.MacSpec(pc.posit8, pc.posit16, pc.Quire(1)),
]


@pytest.fixture
def threads():
    before = get_num_threads()
    yield
    pc.set_num_threads(before)


class Reference:
    """One quire as a Python integer, its bits."""

    def __init__(self, spec, image=0):
        self.spec, self.width, self.image = spec, spec.accumulator_bits, image

    @property
    def nar(self):
        return self.image == 1 << (self.width - 1)

    @property
    def signed(self):
        return self.image - (self.image >> (self.width - 1) << self.width)

    @property
    def value(self):
        return None if self.nar else Fraction(self.signed, 1 << self.spec.accumulator_fraction_bits)

    def add(self, x):
        if x is None or self.nar:
            self.image = 1 << (self.width - 1)
            return
        units = x * (1 << self.spec.accumulator_fraction_bits)
        assert units.denominator == 1
        self.image = (self.image + int(units)) % (1 << self.width)

    def code(self, fmt):
        return fmt.nar if self.nar else rounded(fmt, self.value)


def product(spec, a, b):
    x, y = value(spec.a, int(a)), value(spec.b, int(b))
    return None if x is None or y is None else x * y


def negated(x):
    return None if x is None else -x


def specs_of(formats, carry_bits):
    return [pc.MacSpec(f, accumulator=pc.Quire(carry_bits[i % len(carry_bits)])) for i, f in enumerate(formats)]


@pytest.mark.parametrize("spec", specs_of(FORMATS, [31, 1, 2, 7, 63, 30, 33, 15]) + MIXED, ids=format_id)
def test_every_operation(spec):
    """A random program on an array of quires, against integers: what they hold and what they round to, step by step."""
    rng = np.random.default_rng(1)
    size = 24
    quires, expected = pc.QuireArray(spec, size), [Reference(spec) for _ in range(size)]
    wrapped = False
    for step in range(30):
        a, b = (rng.choice(special_codes(f), size) if step % 2 else rng.integers(0, 1 << f.n, size)
                for f in (spec.a, spec.b))  # fmt: skip
        if step % 10:  # NaR now and then only, for it stays
            a, b = (np.where(c == f.nar, 0, c) for c, f in ((a, spec.a), (b, spec.b)))
        operation = rng.choice(
            ["add", "subtract", "add_product", "subtract_product", "quire", "minus", "sign", "clear"]
        )
        if step in (1, 2, 3):  # with one carry bit, these wrap
            a, b, operation = np.where(a, spec.a.maxpos_code, 0), np.full(size, spec.b.maxpos_code), "add_product"
        before = [r.signed for r in expected]
        if operation in ("add", "subtract"):
            assert getattr(quires, operation)(a) is quires
            for r, code in zip(expected, a, strict=True):
                r.add(value(spec.a, int(code)) if operation == "add" else negated(value(spec.a, int(code))))
        elif operation in ("add_product", "subtract_product"):
            assert getattr(quires, operation)(a, b) is quires
            for r, x, y in zip(expected, a, b, strict=True):
                r.add(product(spec, x, y) if operation == "add_product" else negated(product(spec, x, y)))
        elif operation in ("quire", "minus"):
            shift = int(rng.integers(0, size))
            others = pc.QuireArray.from_image(spec, np.roll(quires.image, shift))
            assert (quires.add_quire if operation == "quire" else quires.subtract_quire)(others) is quires
            values = [expected[(i - shift) % size].value for i in range(size)]
            for r, x in zip(expected, values, strict=True):
                r.add(x if operation == "quire" else negated(x))
        elif operation == "sign":
            if step % 3:
                assert quires.negate() is quires
            else:
                assert quires.abs() is quires
            for r in expected:
                if not r.nar and (step % 3 or r.signed < 0):
                    r.image = -r.image % (1 << r.width)
        else:
            some = rng.random(size) < 0.5
            part = quires[some].clear()
            quires[some] = part
            for i in np.flatnonzero(some):
                expected[i].image = 0
        wrapped |= any(abs(r.signed - s) >= 1 << (r.width - 1) for r, s in zip(expected, before, strict=True))
        assert quires.image.tolist() == [r.image for r in expected]
        assert quires.value.tolist() == [r.value for r in expected]
        assert quires.is_nar.tolist() == [r.nar for r in expected]
        assert quires.round().tolist() == [r.code(spec.out) for r in expected]
    assert wrapped or spec.quire.carry_bits > 1


@pytest.mark.parametrize("carry_bits", range(1, 64))
def test_carry_widths(carry_bits):
    """Doubling maxpos² reaches the sign bit after carry_bits steps: −2^(width − 1) is NaR; one less product is not."""
    f = pc.PositFormat(5, 1)
    quire = pc.QuireArray(f, carry_bits=carry_bits).add_product(f.maxpos_code, f.maxpos_code)
    assert quire.width == f.quire_bits(carry_bits) == 1 + carry_bits + 4 * f.max_scale
    for _ in range(carry_bits - 1):
        quire.add_quire(quire)
    assert quire.value == Fraction(2) ** (2 * f.max_scale + carry_bits - 1)
    below = quire.copy().subtract_product(1, 1)
    wrapped = below.copy().add_quire(quire)
    assert wrapped.value == 2 * quire.value - Fraction(1, 1 << quire.fraction_bits)
    wrapped.add_product(1, 1)
    assert wrapped.is_nar
    assert quire.copy().add_quire(quire).add_product(1, 1).image == 1 << (quire.width - 1)
    over = below.add_quire(quire).add_product(2, 2)  # past the top without meeting NaR
    assert value(f, 2) > value(f, 1)
    assert over.value == 2 * quire.value - Fraction(1, 1 << quire.fraction_bits) + value(f, 2) ** 2 - 2 ** (
        over.width - over.fraction_bits
    )
    assert over.round() == f.nar + 1


def rounding_images(width, rng):
    """Bits of every length, dense and sparse, and powers of two with and without a unit more or less; both signs."""
    images = {0, 1, (1 << width) - 1, 1 << (width - 1), (1 << (width - 1)) - 1, (1 << (width - 1)) + 1}
    for length in range(1, width, 1 + width // 250):
        top = 1 << (length - 1)
        dense = top | int.from_bytes(rng.bytes(-(-width // 8)), "little") % top
        few = top | top >> int(rng.integers(1, 40)) | top >> int(rng.integers(1, 40))
        images |= {top, top - 1, top + 1, dense, few, few + 1, few - 1}
    images = {i for i in images if i < 1 << width}
    return sorted(images | {-i % (1 << width) for i in images})


@pytest.mark.parametrize("fmt", BYTE_FORMATS + LARGE_FORMATS, ids=format_id)
def test_rounding(fmt):
    images = rounding_images(fmt.quire_bits(31), np.random.default_rng(2))
    quires = pc.QuireArray.from_image(fmt, images)
    assert quires.image.tolist() == images
    for out in [fmt, pc.posit8, pc.PositFormat(16, 2, underflow=True), pc.PositFormat(32, 0), pc.PositFormat(2, 4)]:
        codes = quires.round(out)
        assert codes.dtype == out.dtype
        assert codes.tolist() == [out.nar if x is None else rounded(out, x) for x in quires.value]


@pytest.mark.parametrize("fmt", [f for f in FORMATS if f.n >= 4], ids=format_id)
def test_every_tie(fmt):
    """Between neighbors c and c + 1 lies the (n+1)-bit code 2c + 1: a tie, and a unit more or less is none."""
    finer = pc.PositFormat(fmt.n + 1, fmt.es) if fmt.n < 32 else None
    codes = range(1, fmt.maxpos_code) if fmt.n <= 8 else np.random.default_rng(3).integers(1, fmt.maxpos_code, 300)
    wide = pc.MacSpec(finer, fmt) if finer else None
    if wide is None:  # no format of 33 bits: the tie next to 1, from its two parts
        one = fmt.nar >> 1
        quire = pc.QuireArray(fmt).add(one).add(fmt.encode(2.0 ** -(fmt.fraction_bits + 1)))
        assert [quire.round(), quire.add_product(1, 1).round()] == [one, one + 1]
        return
    ties = pc.QuireArray.from_codes(wide, [2 * int(c) + 1 for c in codes])
    even = [int(c) + int(c) % 2 for c in codes]
    assert ties.round().tolist() == [rounded(fmt, x) for x in ties.value]
    assert all(code == want for code, want in zip(ties.round().tolist(), even, strict=True) if want > 1)
    assert ties.add_product(1, 1).round().tolist() == [int(c) + 1 for c in codes]
    assert ties.subtract_product(2, 1).round().tolist() == [rounded(fmt, x) for x in ties.value]
    ties = pc.QuireArray.from_codes(wide, [2 * int(c) + 1 for c in codes]).subtract_product(1, 1)
    assert ties.round().tolist() == [int(c) for c in codes]
    assert ties.negate().round().tolist() == [-int(c) & fmt.mask for c in codes]


@pytest.mark.parametrize("fmt", [f for f in FORMATS if f.n > 3], ids=format_id)
def test_cancellation(fmt):
    top, low = fmt.maxpos_code, fmt.mask
    quire = pc.QuireArray(fmt).add_product(top, top).add_product(1, low).subtract_product(top, top)
    assert quire.value == -(Fraction(fmt.minpos) ** 2)
    assert quire.image == (1 << quire.width) - 1
    assert quire.add_product(1, 1).image == quire.round() == 0
    assert quire.subtract_quire(quire).value == 0


def test_nar_stays():
    f = pc.posit8
    quires = pc.QuireArray(f, 4).add(f.nar)
    nar = [1 << 127] * 4
    assert quires.width == 128
    for _ in range(2):
        quires.add(64).subtract(1).add_product(3, 5).subtract_product(7, 9).negate().abs()
        quires.add_quire(pc.QuireArray(f)).subtract_quire(quires)
        assert quires.image.tolist() == nar
        assert quires.value.tolist() == [None] * 4
        assert quires.round().tolist() == [f.nar] * 4
    assert quires.clear().image.tolist() == [0] * 4
    assert quires.copy().subtract_product(f.nar, 0).image.tolist() == nar
    assert quires.add_product([0, f.nar, 0, 1], [f.nar, 0, 0, 1]).is_nar.tolist() == [True, True, False, False]
    assert pc.QuireArray(f, 4).add_quire(quires).is_nar.tolist() == [True, True, False, False]
    assert quires.sum().is_nar
    assert not quires[2:].sum().is_nar


def test_the_older_quires():
    assert pc.QuireArray(pc.PositFormat(8, 0), carry_bits=7).width == 32
    assert pc.QuireArray(pc.PositFormat(16, 1), carry_bits=15).width == 128
    assert [pc.QuireArray(f).width for f in (pc.posit8, pc.posit16, pc.posit32)] == [128, 256, 512]


@pytest.mark.parametrize(
    "spec", [pc.MacSpec(pc.PositFormat(8, 0), accumulator=pc.Quire(7)), pc.MacSpec(pc.posit8),
             pc.MacSpec(pc.PositFormat(16, 1), accumulator=pc.Quire(15)), pc.MacSpec(pc.posit32), *MIXED[:3]],
    ids=format_id,
)  # fmt: skip
def test_equals_matmul(spec):
    rng = np.random.default_rng(4)
    length = min(31, spec.quire.capacity)
    a = rng.integers(0, 1 << spec.a.n, (7, length)).astype(spec.a.dtype)
    b = rng.integers(0, 1 << spec.b.n, (length, 9)).astype(spec.b.dtype)
    a[a == spec.a.nar] = 0
    b[:, 1:][b[:, 1:] == spec.b.nar] = 1
    quires = pc.QuireArray(spec, (7, 9))
    for k in range(length):
        quires.add_product(a[:, k, None], b[None, k])
    assert np.array_equal(quires.round(), pc.matmul(spec, a, b))
    assert np.array_equal(quires.round(), exact_matmul(spec, a, b))
    products = pc.QuireArray(spec, (7, length, 9)).add_product(a[:, :, None], b)
    assert products.sum(axis=1).image.tolist() == quires.image.tolist()
    assert pc.QuireArray(spec, (7, 9)).add_matmul(a, b).image.tolist() == quires.image.tolist()
    twice = pc.QuireArray(spec, (7, 9)).add_matmul(a[:, :9], b[:9]).add_matmul(a[:, 9:], b[9:])
    assert twice.image.tolist() == quires.image.tolist()
    biased = quires.copy().add(a[:, :1])
    if length < spec.quire.capacity:
        assert np.array_equal(biased.round(), pc.matmul(spec, a, b, a[:, :1]))


def test_the_image_is_that_of_a_spec():
    spec = MIXED[0]
    quire = pc.QuireArray(spec)
    assert (quire.width, quire.fraction_bits) == (spec.accumulator_bits, spec.accumulator_fraction_bits)
    assert (quire.carry_bits, quire.spec) == (5, spec)
    assert quire.add_product(1, 1).image == 1
    assert quire.clear().add_product(1, spec.b.mask).image == (1 << quire.width) - 1
    assert quire.clear().add(spec.a.nar >> 1).image == 1 << quire.fraction_bits


@pytest.mark.parametrize("fmt", [pc.PositFormat(8, 0), pc.posit16, pc.PositFormat(32, 3)], ids=format_id)
def test_images(fmt):
    rng = np.random.default_rng(5)
    for carry_bits in (1, 8, 31, 63):
        width = fmt.quire_bits(carry_bits)
        images = [int.from_bytes(rng.bytes(-(-width // 8)), "little") % (1 << width) for _ in range(6)]
        quires = pc.QuireArray.from_image(fmt, np.array(images, object).reshape(2, 3), carry_bits)
        assert quires.shape == quires.image.shape == (2, 3)
        assert quires.image.ravel().tolist() == images
        signed = [i - (i >> (width - 1) << width) for i in images]
        assert quires.value.ravel().tolist() == [Fraction(i, 1 << fmt.quire_fraction_bits) for i in signed]
        one = pc.QuireArray.from_image(fmt, images[0], carry_bits)
        assert one.shape == ()
        assert (type(one.image), one.image) == (int, images[0])
        assert one.value == quires.value[0, 0]
    assert pc.QuireArray.from_image(fmt, np.arange(4)).image.tolist() == [0, 1, 2, 3]
    assert pc.QuireArray.from_image(fmt, []).image.shape == (0,)


@pytest.mark.parametrize("fmt", [pc.posit8, pc.posit16, pc.posit32], ids=format_id)
def test_broadcasting(fmt):
    rng = np.random.default_rng(6)
    row, column, cube = (rng.choice(special_codes(fmt), s) for s in ((4,), (3, 1), (2, 3, 4)))
    shape = (2, 3, 4)
    for a, b in ((row, column), (column, cube), (fmt.nar >> 1, row), (cube, cube), (cube[:1], 3)):
        quires = pc.QuireArray(fmt, shape).add_product(a, b).subtract(a)
        full = [np.broadcast_to(x, shape).ravel() for x in (a, b)]
        one_by_one = [pc.QuireArray(fmt).add_product(x, y).subtract(x).image for x, y in zip(*full, strict=True)]
        assert quires.image.ravel().tolist() == one_by_one
    lone, line = pc.QuireArray(fmt).add(1), pc.QuireArray(fmt, 4).add(np.where(row == fmt.nar, 0, row))
    total = pc.QuireArray(fmt, shape).add_quire(line).subtract_quire(lone)
    assert total.value.tolist() == np.broadcast_to(line.value - lone.value, shape).tolist()


def test_sum_of_quires():
    f = pc.PositFormat(8, 1)
    rng = np.random.default_rng(7)
    width = f.quire_bits(3)
    images = np.array([int.from_bytes(rng.bytes(8), "little") % (1 << width) for _ in range(60)], object).reshape(
        3, 4, 5
    )
    images[0, 0, 0] = 1 << (width - 1)
    quires = pc.QuireArray.from_image(f, images, carry_bits=3)
    for axis in (None, 0, 1, -1, (0, 2), (), (0, 1, 2)):
        for keepdims in (False, True):
            sums = quires.sum(axis, keepdims)
            expected = np.asarray(np.sum(images, axis=axis, keepdims=keepdims), object)
            nar = np.asarray(np.any(images == 1 << (width - 1), axis=axis, keepdims=keepdims))
            assert sums.shape == expected.shape
            assert sums.carry_bits == 3
            assert np.array_equal(sums.image, np.where(nar, 1 << (width - 1), expected % (1 << width)))
    assert pc.QuireArray(f, (2, 0)).sum(axis=1).image.tolist() == [0, 0]


def test_parts_and_shapes():
    f = pc.posit16
    codes = f.encode(np.arange(12.0)).reshape(3, 4)
    quires = pc.QuireArray.from_codes(f, codes)
    assert (quires.shape, quires.ndim, quires.size, len(quires)) == ((3, 4), 2, 12, 3)
    for index in (1, -1, slice(1), (slice(None), 2), (2, 3), (..., 1), ([0, 2], 1), codes > 20000, None, ...):
        assert np.array_equal(quires[index].value, quires.value[index])
    quires[1].negate()
    quires[:, 2].add(f.nar >> 1)
    quires[::2, ::3].clear()
    expected = [[0, 1, 3, 0], [-4, -5, -5, -7], [0, 9, 11, 0]]
    assert quires.value.tolist() == expected
    assert quires.round().tolist() == f.encode(expected).tolist()
    assert [row.value.tolist() for row in quires] == expected
    quires.reshape(12)[0:2].add_quire(pc.QuireArray.from_codes(f, codes[0, 2:]))
    assert quires.value[0].tolist() == [2, 4, 3, 0]
    assert quires.reshape((2, -1)).shape == (2, 6)
    quires[0] = quires[1]
    quires[2, 1:] = pc.QuireArray(f)
    assert quires.value.tolist() == [expected[1], expected[1], [0, 0, 0, 0]]
    assert pc.QuireArray(f, ()).reshape((1, 1)).shape == (1, 1)


def test_copies_are_independent():
    f = pc.posit8
    quires = pc.QuireArray.from_codes(MIXED[0], [1, 2, 3])
    image = quires.image.tolist()
    copies = [quires.copy(), copy.copy(quires), copy.deepcopy(quires), pickle.loads(pickle.dumps(quires))]
    for other in copies:
        assert other.image.tolist() == image
        assert other.spec == quires.spec
        other.negate().add(1)
    assert quires.image.tolist() == image
    assert pc.QuireArray(f, 2)[0].copy().add(1).value == Fraction(f.minpos)


def test_threads_and_layout_do_not_matter(threads):
    f = pc.posit16
    a, b = (x[:28000].reshape(-1, 40) for x in some_pairs(f, np.random.default_rng(8), 12000))
    assert a.size > 4 * (1 << 12)
    results = []
    layouts = [lambda x: x, np.asfortranarray, lambda x: np.repeat(x, 2, axis=1)[:, ::2], lambda x: x.astype(np.int64)]
    for count in (1, 2, 5):
        pc.set_num_threads(count)
        for layout in layouts:
            quires = pc.QuireArray(f, a.shape).add_product(layout(a), layout(b)).subtract(layout(b))
            strided = pc.QuireArray(f, (*a.shape, 2))
            strided[..., 1].add_product(layout(a), layout(b)).subtract(layout(b))
            assert np.array_equal(strided[..., 1].image, quires.image)
            assert not strided[..., 0].image.any()
            quires.add_quire(quires[::-1].copy().negate().reshape(a.shape))
            results.append((quires.image, quires.round(), quires.is_nar, quires.sum(axis=0).image))
    for result in results[1:]:
        assert all(np.array_equal(x, y) for x, y in zip(result, results[0], strict=True))
    sample = range(0, len(a), 37)
    for i in sample:
        one = [product(pc.MacSpec(f), x, y) for x, y in zip(a[i], b[i], strict=True)]
        held = pc.QuireArray(f, 40).add_product(a[i], b[i]).value.tolist()
        assert held == one


def test_repr():
    f = pc.posit8
    assert repr(pc.QuireArray(f)) == "QuireArray(posit<8,2>, carry_bits=31, shape=()) ≈ 0.0"
    quires = pc.QuireArray.from_codes(f, [f.nar, 64, f.encode(-2.5)], carry_bits=7)
    assert repr(quires) == "QuireArray(posit<8,2>, carry_bits=7, shape=(3,)) ≈ [NaR, 1.0, -2.5]"
    spec = pc.MacSpec(f, pc.posit16)
    assert repr(pc.QuireArray(spec, (2, 4))) == (
        "QuireArray(posit<8,2> → posit<16,2>, quire, shape=(2, 4)) ≈ [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, …]"
    )
    assert repr(pc.QuireArray(f, 0)) == "QuireArray(posit<8,2>, carry_bits=31, shape=(0,)) ≈ []"


def test_errors_of_construction():
    f = pc.posit8
    for args, kind, message in [
        (("8,2",), TypeError, r"QuireArray: layout must be a PositFormat or a MacSpec, not '8,2'"),
        ((pc.MacSpec(f, accumulator=pc.Fused()),), TypeError, r"a MacSpec must have a Quire accumulator, not fused"),
        ((pc.MacSpec(f), (), 7), TypeError, r"QuireArray: carry_bits are those of the MacSpec, 31; give none"),
        ((f, (), 0), ValueError, r"Quire: carry_bits must be an integer in 1..63, not 0"),
        ((f, (), 64), ValueError, r"Quire: carry_bits must be an integer in 1..63, not 64"),
        ((f, (), 7.0), TypeError, r"Quire: carry_bits must be an integer in 1..63, not 7.0"),
        ((f, 2.5), TypeError, r"QuireArray: shape must be an integer or a tuple of integers, not 2.5"),
        ((f, (2, "a")), TypeError, r"QuireArray: shape must be an integer or a tuple of integers, not \(2, 'a'\)"),
        ((f, (2, -1)), ValueError, r"QuireArray: shape must have no negative length, not \(2, -1\)"),
    ]:
        with pytest.raises(kind, match=message):
            pc.QuireArray(*args)
    for image in (-1, 1 << 128, [0, 1 << 128]):
        with pytest.raises(ValueError, match=r"from_image: an image must be an integer in 0..2\^128 − 1, not"):
            pc.QuireArray.from_image(f, image)
    for image in (1.0, "1", True):
        with pytest.raises(TypeError, match=r"from_image: an image must be an integer below 2\^128, not"):
            pc.QuireArray.from_image(f, image)


@pytest.mark.parametrize("spec", [pc.MacSpec(pc.posit8), pc.MacSpec(pc.posit32), *MIXED], ids=format_id)
def test_digits_add_up(spec):
    """What workers exchange: digits are summed in any order, then joined; NaR is sticky, and sums wrap."""
    rng = np.random.default_rng(5)
    parts, total = [], pc.QuireArray(spec, (3, 4))
    for _ in range(5):
        a, b = (rng.integers(0, 1 << fmt.n, (3, 4)).astype(fmt.dtype) for fmt in (spec.a, spec.b))
        parts.append(pc.QuireArray(spec, (3, 4)).add_product(a, b))
        total.add_quire(parts[-1])
    nar = np.logical_or.reduce([part.is_nar for part in parts])
    joined = pc.QuireArray.from_digits(spec, sum(part.digits for part in parts))
    assert np.array_equal(joined.is_nar[~nar], total.is_nar[~nar])
    assert joined.is_nar[nar].all()
    assert joined.image[~nar].tolist() == total.image[~nar].tolist()
    marked = parts[0].copy()
    marked[1, 2] = pc.QuireArray.from_codes(spec, spec.a.nar)
    assert pc.QuireArray.from_digits(spec, marked.digits + parts[1].digits).is_nar[1, 2]


def test_errors_of_operations():
    f = pc.posit8
    quires = pc.QuireArray(f, (2, 3))
    with pytest.raises(TypeError, match=r"QuireArray.add: codes of posit<8,2> must be unsigned integers, not float64"):
        quires.add(1.0)
    with pytest.raises(
        ValueError, match=r"QuireArray.subtract_product: codes of posit<8,2> must be in 0..255, not 256"
    ):
        quires.subtract_product(1, 256)
    with pytest.raises(
        ValueError, match=r"add_product: codes of shape \(2,\) do not broadcast to quires of shape \(2, 3\)"
    ):
        quires.add_product(1, [1, 2])
    with pytest.raises(
        ValueError, match=r"subtract: codes of shape \(1, 2, 3\) do not broadcast to quires of shape \(2, 3\)"
    ):
        quires.subtract(np.zeros((1, 2, 3), f.dtype))
    with pytest.raises(
        ValueError, match=r"add_quire: quires of shape \(2,\) do not broadcast to quires of shape \(2, 3\)"
    ):
        quires.add_quire(pc.QuireArray(f, 2))
    with pytest.raises(TypeError, match=r"QuireArray.subtract_quire: a QuireArray is expected, not int"):
        quires.subtract_quire(1)
    with pytest.raises(ValueError, match=r"one layout, not 128 bits with 48 right of the point and 104 with 48"):
        quires.add_quire(pc.QuireArray(f, carry_bits=7))
    with pytest.raises(ValueError, match=r"\[…\] = …: quires must have one layout"):
        quires[0] = pc.QuireArray(pc.posit16)
    with pytest.raises(TypeError, match=r"\[…\] = …: a QuireArray is expected, not list"):
        quires[0] = [1, 2, 3]
    with pytest.raises(TypeError, match=r"QuireArray.round: fmt must be a PositFormat, not '8,2'"):
        quires.round("8,2")
    with pytest.raises(ValueError, match=r"add_matmul: operands of shapes \(2, 4\) and \(3, 3\) do not make a product"):
        quires.add_matmul(np.zeros((2, 4), f.dtype), np.zeros((3, 3), f.dtype))
    with pytest.raises(ValueError, match=r"from_digits: digits must be int64 with a last dimension of 5, not int64"):
        pc.QuireArray.from_digits(f, np.zeros((2, 3), np.int64))
    with pytest.raises(ValueError, match=r"QuireArray.reshape: quires of shape \(2, 3\) do not fit \(4, 2\)"):
        quires.reshape((4, 2))
    with pytest.raises(IndexError, match=r"QuireArray: index 2 is out of bounds for axis 0 with size 2"):
        quires[2]
    with pytest.raises(IndexError, match=r"QuireArray: too many indices"):
        quires[0, 0, 0]
    with pytest.raises(ValueError, match=r"QuireArray.sum: axis: axis 2 is out of bounds"):
        quires.sum(2)
    with pytest.raises(TypeError, match=r"QuireArray: a single quire has no len\(\)"):
        len(quires[0, 0])
    assert not quires.image.any()
