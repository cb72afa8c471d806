"""Every code of small formats and of 16 bits: each operation against tables of exact integers (`rational_tables`)."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import positcore as pc
from positcore.rational import round_fraction, value_of
from tests import rational_tables
from tests.rational_tables import integers, nearest, nearest_float, place, same, table
from tests.reference import all_pairs, format_id, rounded, some_pairs, special_codes, value

FLUSHES = (0, 3, 7, 64)
SMALL = [
    fmt
    for n in range(2, 9)
    for es in range(5)
    for fmt in (
        pc.PositFormat(n, es),
        pc.PositFormat(n, es, underflow=True),
        pc.PositFormat(n, es, flush=FLUSHES[(n + es) % 4]),
    )
]
PLAIN = [fmt for fmt in SMALL if not fmt.underflow and fmt.flush is None]
SIXTEEN = [pc.PositFormat(16, es) for es in range(5)]
TARGETS = [
    pc.PositFormat(2, 0), pc.PositFormat(3, 4), pc.PositFormat(5, 1), *[pc.PositFormat(8, es) for es in range(5)],
    pc.PositFormat(6, 2, underflow=True), pc.PositFormat(8, 1, flush=3), pc.PositFormat(12, 2), pc.posit16,
]  # fmt: skip
DTYPES = [np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)]
FLOATS = {
    "float16": (11, -14, 15), "bfloat16": (8, -126, 127), "float32": (24, -126, 127), "float64": (53, -1022, 1023)
}  # fmt: skip


def all_codes(fmt):
    return np.arange(1 << fmt.n, dtype=fmt.dtype)


def check(name, fmt, *codes):
    expected = table(fmt).apply(getattr(rational_tables, name), *codes)
    same(name, fmt, getattr(pc, name)(fmt, *codes), expected, *codes)


# The tables themselves -------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", [*SMALL, pc.PositFormat(16, 1)], ids=format_id)
def test_tables_round_as_the_scalar_reference(fmt):
    """All values and ties with their neighbors, and numbers that are no multiples of the tables' unit."""
    reference = table(fmt)
    numbers = [int(x) + d for x in (*reference.values[:: fmt.n**2 // 16 + 1], *reference.ties) for d in (-1, 0, 1)]
    numbers = integers(numbers if fmt.n <= 8 else numbers[::37])
    for bits, scaled in ((reference.bits, numbers), (reference.bits + 3, numbers * 8 + 1)):
        got = reference.round(scaled, bits)
        assert got.tolist() == [rounded(fmt, Fraction(x, 1 << bits)) for x in scaled]
    more = reference.round(numbers, reference.bits, 1)
    beside = [Fraction(2 * abs(x) + 1, 2 << reference.bits) * (-1 if x < 0 else 1) for x in numbers]
    assert more.tolist() == [rounded(fmt, x) for x in beside]


@pytest.mark.parametrize("fmt", [pc.PositFormat(4, 1), pc.PositFormat(5, 2, flush=3)], ids=format_id)
def test_tables_compute_as_the_scalar_reference(fmt):
    a, b = all_pairs(fmt)
    for name in ("add", "sub", "mul", "div"):
        scalar = {
            "add": pc.Posit.__add__,
            "sub": pc.Posit.__sub__,
            "mul": pc.Posit.__mul__,
            "div": pc.Posit.__truediv__,
        }
        pairs = zip(a.tolist(), b.tolist(), strict=True)
        expected = [scalar[name](pc.Posit(fmt, x), pc.Posit(fmt, y)).code for x, y in pairs]
        assert table(fmt).apply(getattr(rational_tables, name), a, b).tolist() == expected
    roots = table(fmt).apply(rational_tables.sqrt, all_codes(fmt))
    assert roots.tolist() == [pc.Posit(fmt, c).sqrt().code for c in range(1 << fmt.n)]


def test_a_wrong_code_is_reported():
    fmt, codes = pc.posit8, np.arange(256, dtype=np.uint8)
    wrong = pc.neg(fmt, codes) ^ (codes == 3)
    with pytest.raises(pytest.fail.Exception, match=r"1 of 256: pc.neg\(PositFormat\(n=8, .*\), 0x3\) is .*252.*253"):
        same("neg", fmt, wrong, pc.neg(fmt, codes), codes)


def test_floats_are_rounded_as_python_does():
    rng = np.random.default_rng(60)
    for _ in range(2000):
        number, bits = int(rng.integers(-(2**62), 2**62)) >> int(rng.integers(0, 60)), int(rng.integers(0, 1130))
        assert nearest_float(number, bits, *FLOATS["float64"]) == float(Fraction(number, 1 << bits))
    assert nearest_float(65519, 0, *FLOATS["float16"]) == 65504
    assert nearest_float(-65520, 0, *FLOATS["float16"]) == -float("inf")


def test_place_agrees_with_the_codes():
    for fmt in (pc.PositFormat(7, 1), pc.posit8, pc.PositFormat(16, 1), pc.PositFormat(32, 4)):
        for code in special_codes(fmt).tolist():
            if 0 < code < fmt.nar:
                assert place(fmt, value(fmt, code)) == code
                if fmt.n < 32:
                    longer = pc.PositFormat(fmt.n + 1, fmt.es)
                    assert (
                        place(fmt, value_of(longer, 2 * code + 1)) == code + Fraction(1, 2) or code == fmt.maxpos_code
                    )


# n ≤ 8: every operand --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
@pytest.mark.parametrize("fmt", SMALL, ids=format_id)
def test_pairs(fmt, name):
    check(name, fmt, *all_pairs(fmt))


def triples(fmt):
    """All for n ≤ 5; else random, special and cancelling ones."""
    if fmt.n <= 5:
        codes = all_codes(fmt)
        return [x.ravel() for x in np.meshgrid(codes, codes, codes, indexing="ij")]
    rng = np.random.default_rng(61)
    a, b = some_pairs(fmt, rng, 4000)
    near = (-pc.mul(fmt, a, b).astype(np.int64) + rng.integers(-1, 2, a.size)) & fmt.mask
    third = [rng.integers(0, 1 << fmt.n, a.size), near, rng.choice(special_codes(fmt), a.size)]
    return [a, b, np.choose(rng.integers(0, 3, a.size), third).astype(fmt.dtype)]


@pytest.mark.parametrize("name", ["fma", "fms"])
@pytest.mark.parametrize("fmt", SMALL, ids=format_id)
def test_triples(fmt, name):
    check(name, fmt, *triples(fmt))


@pytest.mark.parametrize("fmt", SMALL, ids=format_id)
def test_order_of_all_pairs(fmt):
    """By the exact values, NaR below all of them."""
    a, b = all_pairs(fmt)
    places = np.argsort(np.argsort(order_of(fmt)))
    x, y = places[a], places[b]
    for name, expected in (("equal", x == y), ("less", x < y), ("less_equal", x <= y)):
        same(name, fmt, getattr(pc, name)(fmt, a, b), expected, a, b)
    same("minimum", fmt, pc.minimum(fmt, a, b), np.where(x <= y, a, b), a, b)
    same("maximum", fmt, pc.maximum(fmt, a, b), np.where(x <= y, b, a), a, b)


def order_of(fmt):
    values = table(fmt).values.copy()
    values[fmt.nar] = -(1 << 2000)
    return values


@pytest.mark.parametrize("fmt", [pc.PositFormat(6, 2), pc.PositFormat(8, 4)], ids=format_id)
def test_the_nearest_value_is_caught(fmt, monkeypatch):
    """A planted fault: the tie where exponent bits are cut off taken for the arithmetic mean of the neighbors."""
    values = fmt.decode(np.arange(fmt.nar, dtype=fmt.dtype))

    def nearest_value(fmt, a, b):
        x = fmt.decode(a) * fmt.decode(b)
        upper = np.searchsorted(values, np.abs(x)).clip(1, fmt.maxpos_code)
        codes = np.where(np.abs(x) - values[upper - 1] < values[upper] - np.abs(x), upper - 1, upper)
        codes = np.maximum(codes, x != 0)
        return np.where(np.isnan(x), fmt.nar, np.where(x < 0, -codes, codes) & fmt.mask).astype(fmt.dtype)

    a, b = all_pairs(fmt)
    agree = nearest_value(fmt, a, b) == pc.mul(fmt, a, b)
    assert 0.5 < agree.mean() < 1
    monkeypatch.setattr(pc, "mul", nearest_value)
    with pytest.raises(pytest.fail.Exception, match=r"pc\.mul\(PositFormat"):
        check("mul", fmt, a, b)


# n ≤ 8 and n = 16: every code ------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", SMALL + SIXTEEN, ids=format_id)
def test_sqrt(fmt):
    check("sqrt", fmt, all_codes(fmt))


@pytest.mark.parametrize("fmt", SMALL + SIXTEEN, ids=format_id)
def test_signs(fmt):
    codes, values = all_codes(fmt), table(fmt).values
    not_real = codes == fmt.nar
    for name, numbers in (("neg", -values), ("abs", np.abs(values)), ("sign", np.sign(values) << table(fmt).bits)):
        got = getattr(pc, name)(fmt, codes)
        assert got.dtype == fmt.dtype
        assert ((got == fmt.nar) == not_real).all(), name
        assert (values[got] == numbers)[~not_real].all(), f"{name} {fmt}"


@pytest.mark.parametrize("fmt", SMALL + SIXTEEN, ids=format_id)
def test_neighbors(fmt):
    """The next value in the order, and round again from maxpos to NaR to −maxpos."""
    codes = all_codes(fmt)
    sorted_codes = np.argsort(order_of(fmt)).astype(fmt.dtype)
    for name, step in (("next_up", -1), ("next_down", 1)):
        expected = np.empty_like(codes)
        expected[sorted_codes] = np.roll(sorted_codes, step)
        same(name, fmt, getattr(pc, name)(fmt, codes), expected, codes)


@pytest.mark.parametrize("fmt", SMALL + SIXTEEN, ids=format_id)
def test_integral_posits(fmt):
    codes, values, bits = all_codes(fmt), table(fmt).values, table(fmt).bits
    floor, ceil = values >> bits, -(-values >> bits)
    integral = {
        "floor": floor, "ceil": ceil, "trunc": np.where(values < 0, ceil, floor), "round_to_int": nearest(values, bits)
    }  # fmt: skip
    for name, numbers in integral.items():
        got = getattr(pc, name)(fmt, codes)
        assert got.dtype == fmt.dtype
        assert ((got == fmt.nar) == (codes == fmt.nar)).all(), name
        assert (values[got] == numbers << bits).all(), f"{name} {fmt}"


@pytest.mark.parametrize("fmt", SMALL + SIXTEEN, ids=format_id)
def test_to_int(fmt):
    codes = all_codes(fmt)
    numbers = nearest(table(fmt).values, table(fmt).bits)
    for dtype in DTYPES:
        limits, bits = np.iinfo(dtype), 8 * dtype.itemsize
        top = -(1 << (bits - 1)) if dtype.kind == "i" else 1 << (bits - 1)
        fits = (numbers >= int(limits.min)) & (numbers <= int(limits.max)) & (codes != fmt.nar)
        got = pc.to_int(fmt, codes, bits, signed=dtype.kind == "i")
        same(f"to_int of {dtype}", fmt, got, np.where(fits, numbers, top).astype(dtype), codes)


@pytest.mark.parametrize("fmt", SMALL + SIXTEEN, ids=format_id)
def test_from_int(fmt):
    """All of 8 bits, and of 16 for the wider formats."""
    for dtype in DTYPES:
        if dtype.itemsize == 1 or (dtype.itemsize == 2 and fmt in [*SIXTEEN, *PLAIN[-5:]]):
            limits = np.iinfo(dtype)
            numbers = np.arange(limits.min, int(limits.max) + 1).astype(dtype)
            expected = table(fmt).round(integers(numbers.tolist()) << table(fmt).bits, table(fmt).bits)
            expected[numbers == (limits.min if dtype.kind == "i" else limits.max + 1)] = fmt.nar
            same("from_int", fmt, pc.from_int(fmt, numbers), expected, numbers)


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("fmt", SMALL + SIXTEEN, ids=format_id)
def test_to_float(fmt, name):
    codes, reference = all_codes(fmt), table(fmt)
    got = pc.to_float(fmt, codes, name)
    assert got.dtype == ("uint16" if name == "bfloat16" else name)
    numbers = (got.astype(np.uint32) << 16).view(np.float32) if name == "bfloat16" else got
    assert (np.isnan(numbers) == (codes == fmt.nar)).all()
    expected = np.array([nearest_float(x, reference.bits, *FLOATS[name]) for x in reference.values])
    real = codes != fmt.nar
    same(f"to_float {name}", fmt, numbers.astype(np.float64)[real], expected[real], codes[real])


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@pytest.mark.parametrize("fmt", SMALL[::4] + SIXTEEN, ids=format_id)
def test_from_float_of_16_bits(fmt, name):
    """All floats, taken apart by their bits."""
    patterns = np.arange(1 << 16, dtype=np.uint16)
    fraction_bits, bias = (10, 15) if name == "float16" else (7, 127)
    field = (patterns.astype(int) >> fraction_bits) & (2 * bias + 1)
    fraction = patterns.astype(int) & ((1 << fraction_bits) - 1)
    bits = max(table(fmt).bits, bias + fraction_bits)
    significand = integers((fraction + np.where(field > 0, 1 << fraction_bits, 0)).tolist())
    shift = integers((np.maximum(field, 1) - bias - fraction_bits + bits).tolist())
    magnitudes = significand << shift
    expected = table(fmt).round(np.where(patterns >> 15, -magnitudes, magnitudes), bits)
    expected[field == 2 * bias + 1] = fmt.nar
    x = patterns.view(np.float16) if name == "float16" else patterns
    same(f"from_float {name}", fmt, pc.from_float(fmt, x, name), expected, patterns)


@pytest.mark.parametrize("fmt", SMALL + SIXTEEN, ids=format_id)
def test_decode_and_encode(fmt):
    """Every value, and every tie with the float64s beside it."""
    codes, reference = all_codes(fmt), table(fmt)
    real = codes != fmt.nar
    values = floats(reference.values, reference.bits)
    decoded = fmt.decode(codes)
    same("decode", fmt, decoded[real], values[real], codes[real])
    assert np.isnan(decoded[~real]).all()
    same("encode", fmt, fmt.encode(values[real]), codes[real], values[real].view(np.uint64))
    start = 0 if fmt.underflow else 1
    ties = floats(reference.ties[start:], reference.bits)
    lower = np.arange(start, fmt.maxpos_code, dtype=fmt.dtype)
    for sign in (1, -1):
        for x, magnitudes in (
            (ties, lower + lower % 2), (np.nextafter(ties, 0), lower), (np.nextafter(ties, np.inf), lower + 1)
        ):  # fmt: skip
            expected = (sign * magnitudes.astype(np.int64) & fmt.mask).astype(fmt.dtype)
            if fmt.n > 2 or start == 0:
                same("encode", fmt, fmt.encode(sign * x), expected, x.view(np.uint64))
    if fmt.flush is not None:
        threshold = 2.0 ** -(fmt.max_scale + fmt.flush)
        assert fmt.encode([threshold, np.nextafter(threshold, 0), -threshold]).tolist() == [1, 0, fmt.mask]


def floats(numbers, bits):
    """numbers · 2^−bits, which float64 holds exactly."""
    result = np.array([float(x) for x in numbers])
    assert all(int(y) == x for x, y in zip(numbers, result.tolist(), strict=True))
    return np.ldexp(result, -bits)


@pytest.mark.parametrize("fmt", SMALL + SIXTEEN, ids=format_id)
def test_convert(fmt):
    codes = all_codes(fmt)
    targets = TARGETS if fmt.n <= 8 else [*TARGETS[3:8], TARGETS[10], *SIXTEEN]
    for target in targets:
        bits = max(table(fmt).bits, table(target).bits)
        expected = table(target).round(table(fmt).values << (bits - table(fmt).bits), bits)
        expected[fmt.nar] = target.nar
        same(f"convert to {target} from", fmt, pc.convert(fmt, target, codes), expected, codes)


@pytest.mark.parametrize("fmt", PLAIN + SIXTEEN, ids=format_id)
def test_convert_to_32_bits(fmt):
    """The magnitudes by the scalar reference, the negatives as their negatives."""
    target, codes = pc.posit32, all_codes(fmt)
    positive = [round_fraction(target, Fraction(x, 1 << table(fmt).bits)) for x in table(fmt).values[: fmt.nar]]
    expected = np.array([*positive, target.nar, *[-c & target.mask for c in positive[:0:-1]]], target.dtype)
    same(f"convert to {target} from", fmt, pc.convert(fmt, target, codes), expected, codes)


@pytest.mark.parametrize("fmt", SMALL, ids=format_id)
def test_text(fmt):
    """The decimal written for a code rounds to it, and one with a digit less does not."""
    codes = all_codes(fmt)
    texts = pc.to_text(fmt, codes)
    same("from_text", fmt, pc.from_text(fmt, texts), codes, codes)
    for code, text in zip(codes.tolist(), texts.tolist(), strict=True):
        if code in (0, fmt.nar):
            assert text == ("NaR" if code else "0.0")
            continue
        assert rounded(fmt, Fraction(text)) == code
        _, digits, exponent = Decimal(text).normalize().as_tuple()
        if len(digits) > 1:  # then no power of ten rounds to the code, and a shorter decimal has this unit
            unit = Fraction(10) ** (exponent + 1)
            below = value(fmt, code) // unit
            assert all(rounded(fmt, (below + d) * unit) != code for d in (0, 1)), text
