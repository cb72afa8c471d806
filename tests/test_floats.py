from fractions import Fraction

import numpy as np
import pytest

import positcore as pc
from positcore import floats
from tests.reference import BYTE_FORMATS, LARGE_FORMATS, SMALL_FORMATS, format_id, rounded, some_pairs, value

FORMATS = SMALL_FORMATS[::3] + BYTE_FORMATS + LARGE_FORMATS
LAYOUTS = {
    "float16": (11, -14, 15),
    "bfloat16": (8, -126, 127),
    "float32": (24, -126, 127),
    "float64": (53, -1022, 1023),
}


def nearest(x, layout):
    """`x` rounded to `precision` significand bits by IEEE 754; None for infinity."""
    precision, low, high = layout
    if x == 0:
        return x
    scale = abs(x).numerator.bit_length() - x.denominator.bit_length()
    scale -= Fraction(2) ** scale > abs(x)
    unit = Fraction(2) ** (max(scale, low) - precision + 1)
    result = round(x / unit) * unit
    return None if abs(result) >= Fraction(2) ** (high + 1) else result


def as_numbers(array, name):
    return ((array.astype(np.uint32) << 16).view(np.float32) if name == "bfloat16" else array).tolist()


def codes_of(fmt, name):
    """All codes, or special and random ones and those around ties of the float format, subnormal and overflow too."""
    if fmt.n <= 10 or fmt == pc.posit16:
        return np.arange(1 << fmt.n, dtype=fmt.dtype)
    rng = np.random.default_rng(30)
    precision, low, high = LAYOUTS[name]
    scales = np.concatenate(
        [rng.integers(-20, 20, 200), np.repeat([low - precision, low - precision + 1, low, high], 9)]
    )
    ties = (1 + rng.integers(0, 1 << 7, scales.size) / 2.0**7 + 2.0**-precision) * 2.0 ** scales.clip(-1000, 1000)
    near = fmt.encode(np.concatenate([ties, -ties])).astype(np.int64)[:, None] + [-1, 0, 1]
    return np.concatenate([some_pairs_of(fmt, rng), near.ravel() & fmt.mask]).astype(fmt.dtype)


def some_pairs_of(fmt, rng):
    codes, _ = some_pairs(fmt, rng, 300)
    return codes


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_to_float(fmt, name):
    codes = codes_of(fmt, name)
    got = pc.to_float(fmt, codes, name)
    assert got.dtype == ("uint16" if name == "bfloat16" else name)
    for code, number in zip(codes.tolist(), as_numbers(got, name), strict=True):
        x = value(fmt, code)
        if x is None:
            assert number != number
            continue
        expected = nearest(x, LAYOUTS[name])
        wanted = (float("inf") if x > 0 else -float("inf")) if expected is None else float(expected)
        assert number == wanted, f"to_float {name} {fmt}: {code:#x}"


def test_wide_posits_are_rounded_once():
    """Through float32 these would become ties of the narrow formats, and round to 1."""
    f = pc.posit32
    assert pc.to_float(f, f.encode(1 + 2.0**-11 + 2.0**-27), "float16") == np.float16(1 + 2.0**-10)
    assert pc.to_float(f, f.encode(1 + 2.0**-8 + 2.0**-27), "bfloat16") == 0x3F81
    assert pc.to_float(f, f.encode(1 + 2.0**-8), "bfloat16") == 0x3F80


@pytest.mark.parametrize("of", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    "fmt", [pc.posit8, pc.PositFormat(5, 4), pc.PositFormat(12, 2, True), pc.posit32], ids=format_id
)
def test_from_float(fmt, of):
    bits = np.append(np.arange(0, 1 << 16, 5), [0x7C00, 0xFC00, 0x7F80, 0xFF80]).astype(np.uint16)  # infinities
    x = bits if of == "bfloat16" else bits.view(np.float16)
    got = pc.from_float(fmt, x, of)
    assert got.dtype == fmt.dtype
    for number, code in zip(as_numbers(x, of), got.tolist(), strict=True):
        finite = abs(number) < float("inf")
        assert code == (rounded(fmt, Fraction(number)) if finite else fmt.nar)


def test_from_wider_floats():
    f = pc.posit16
    x = np.array([1.1, -0.0, np.inf, np.nan, 2.0**-140])
    for dtype in (np.float32, np.float64):
        assert np.array_equal(pc.from_float(f, x.astype(dtype)), f.encode(x.astype(dtype)))


def test_every_float_survives_a_wide_posit():
    f = pc.PositFormat(32, 4)
    bits = np.arange(0, 1 << 15, dtype=np.uint16)
    half = bits.view(np.float16)
    assert np.array_equal(
        pc.to_float(f, pc.from_float(f, half), "float16"), np.where(half < np.inf, half, np.nan), True
    )


def test_truncation_is_caught(monkeypatch):
    """A planted fault: bfloat16 as the upper half of float32."""
    f = pc.posit16
    codes = np.arange(1 << 16, dtype=np.uint16)
    right = pc.to_float(f, codes, "bfloat16")
    monkeypatch.setattr(
        floats, "_to_bfloat16", lambda v: (v.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    )
    assert not np.array_equal(right, pc.to_float(f, codes, "bfloat16"))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: pc.to_float(f, [1], "float8"), ValueError, "to_float: the float format must be one of float16, bf"),
        (lambda f: pc.from_float(f, np.zeros(1), "float8"), ValueError, "from_float: the float format must be one of"),
        (
            lambda f: pc.from_float(f, np.zeros(1), "bfloat16"),
            TypeError,
            "x must be an array of uint16 to hold bfloat16",
        ),
        (lambda f: pc.from_float(f, [1]), TypeError, "from_float: x must be an array of float16, float32 or float64"),
        (lambda f: pc.to_float(f, [256]), ValueError, "codes of posit<8,2> must be in"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(pc.posit8)
