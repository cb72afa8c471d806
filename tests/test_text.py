import re
from fractions import Fraction

import numpy as np
import pytest

import positcore as pc
from tests.reference import (
    BYTE_FORMATS,
    LARGE_FORMATS,
    SMALL_FORMATS,
    format_id,
    rounded,
    some_pairs,
    special_codes,
    value,
)


def significant_digits(text):
    return len(re.sub(r"e.*|[-.]", "", text).strip("0"))


@pytest.mark.parametrize("fmt", SMALL_FORMATS + BYTE_FORMATS + LARGE_FORMATS, ids=format_id)
def test_printed_numbers_read_back(fmt):
    codes = np.arange(1 << fmt.n, dtype=fmt.dtype) if fmt.n <= 8 else special_codes(fmt)
    texts = pc.to_text(fmt, codes)
    assert np.array_equal(pc.from_text(fmt, texts), codes)
    for code, text in zip(codes.tolist(), texts.tolist(), strict=True):
        if code == fmt.nar:
            assert text == "NaR"
        else:
            assert rounded(fmt, Fraction(text)) == code
            assert repr(float(text)) == text  # written as Python writes floats


@pytest.mark.parametrize(
    "fmt", [pc.PositFormat(5, 1), pc.PositFormat(6, 3, True), pc.PositFormat(8, 0), pc.posit8], ids=format_id
)
def test_no_shorter_decimal_reads_back(fmt):
    """Every decimal of up to three digits is tried."""
    fewest = {}
    for power in range(-26, 27):
        for digits in range(1, 1000):
            code = rounded(fmt, digits * Fraction(10) ** power)
            count = len(str(digits).strip("0"))
            fewest[code] = min(fewest.get(code, 9), count)
    codes = np.arange(1, fmt.nar, dtype=fmt.dtype)
    for code, text in zip(codes.tolist(), pc.to_text(fmt, codes).tolist(), strict=True):
        assert significant_digits(text) == fewest.get(code, significant_digits(text))
        assert code in fewest or significant_digits(text) > 3


def test_random_wide_codes_read_back():
    for fmt in (pc.posit16, pc.posit32, pc.PositFormat(32, 0)):
        codes, _ = some_pairs(fmt, np.random.default_rng(40), 1000)
        assert np.array_equal(pc.from_text(fmt, pc.to_text(fmt, codes)), codes)


def test_a_decimal_is_rounded_once():
    """It lies above a tie by less than float64 can tell."""
    f = pc.posit8
    tie = value(pc.PositFormat(9), 2 * 0x41 + 1)
    text = f"{float(tie)!r}"
    assert Fraction(text) == tie
    assert pc.from_text(f, text) == 0x42
    assert pc.from_text(f, text + "0" * 30 + "1") == 0x42
    below = f"{float(tie) - 0.001}"[:4]
    assert pc.from_text(f, below) == rounded(f, Fraction(below))
    even_tie = value(pc.PositFormat(9), 2 * 0x40 + 1)
    assert pc.from_text(f, f"{float(even_tie)!r}") == 0x40
    assert pc.from_text(f, f"{float(even_tie)!r}" + "0" * 30 + "1") == 0x41
    assert f.encode(float(f"{float(even_tie)!r}" + "0" * 30 + "1")) == 0x40  # what float64 makes of it


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("+1.5", 1.5),
        (" -.25 ", -0.25),
        ("2.", 2),
        ("1e2", 100),
        ("1.E-1", 0.1),
        ("000", 0),
        ("-0.0", 0),
        ("0e99", 0),
    ],
)
def test_spellings(text, number):
    assert pc.from_text(pc.posit16, text) == pc.posit16.encode(number)


def test_texts():
    f = pc.posit16
    numbers = [0.0, 1.0, -1.5, 100.0, 2.0**-20, 3.140625]
    assert pc.to_text(f, f.encode(numbers)).tolist() == ["0.0", "1.0", "-1.5", "100.0", "9.5e-07", "3.141"]
    assert pc.to_text(f, [[f.nar]]).tolist() == [["NaR"]]
    for text in ("NaR", "nan", "-inf", "Infinity"):
        assert pc.from_text(f, text) == f.nar


def test_huge_exponents_saturate_at_once():
    plain, underflow = pc.posit16, pc.PositFormat(16, 2, underflow=True)
    assert pc.from_text(plain, ["1e999999999999", "-1e-999999999999"]).tolist() == [0x7FFF, 0xFFFF]
    assert pc.from_text(underflow, ["1e999999999999", "-1e-999999999999"]).tolist() == [0x7FFF, 0]
    assert pc.from_text(plain, "0." + "0" * 500 + "1e501") == plain.encode(1)


@pytest.mark.parametrize("text", ["", "one", "1e", "--1", ".", "0x10", "1 2", "1,5", "١"])
def test_what_is_no_number(text):
    with pytest.raises(ValueError, match=r"from_text: a number is written as -1\.25, 6\.02e23 or NaR, not"):
        pc.from_text(pc.posit8, text)


def test_errors():
    with pytest.raises(TypeError, match="from_text: numbers must be given as text, not as an array of float64"):
        pc.from_text(pc.posit8, [1.0])
    with pytest.raises(ValueError, match="to_text: codes of posit<8,2> must be in"):
        pc.to_text(pc.posit8, [256])
