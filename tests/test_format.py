import dataclasses
import pickle

import numpy as np
import pytest

import positcore as pc


def test_standard_formats():
    assert pc.PositFormat(8) == pc.posit8 == pc.PositFormat(8, 2)
    assert [f.quire_bits() for f in (pc.posit8, pc.posit16, pc.posit32)] == [128, 256, 512]
    assert pc.PositFormat(8, 0).quire_bits(7) == 32
    assert pc.PositFormat(16, 1).quire_bits(15) == 128


@pytest.mark.parametrize(
    ("n", "dtype"), [(2, np.uint8), (8, np.uint8), (9, np.uint16), (16, np.uint16), (17, np.uint32)]
)
def test_code_dtype(n, dtype):
    assert pc.PositFormat(n).dtype == dtype


def test_constants():
    f = pc.PositFormat(8, 2)
    assert (f.nar, f.maxpos_code, f.mask, f.useed, f.max_scale) == (0x80, 0x7F, 0xFF, 16, 24)
    assert (f.minpos, f.maxpos, f.significand_bits) == (2.0**-24, 2.0**24, 4)
    assert pc.PositFormat(5, 4).fraction_bits == 0


def test_tensor_dtype_holds_every_value():
    for n in range(2, 17):
        for es in range(5):
            f = pc.PositFormat(n, es)
            values = f.decode(np.arange(1 << n, dtype=f.dtype))
            with np.errstate(over="ignore"):
                narrow = values.astype(f.tensor_dtype)
            assert np.array_equal(narrow.astype(np.float64), values, equal_nan=True)


def test_is_hashable_frozen_printable_and_pickles():
    f = pc.PositFormat(8, 2, underflow=True)
    assert str(f) == "posit<8,2>u"
    assert {f: 1}[pc.PositFormat(8, 2, True)] == 1
    assert pickle.loads(pickle.dumps(f)) == f
    with pytest.raises(dataclasses.FrozenInstanceError):
        f.n = 9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8,2", (8, 2, False, None)), ("16", (16, 2, False, None)), ("posit<8,1>", (8, 1, False, None)),
        (" 8 , 0u ", (8, 0, True, None)), ("8,2f3", (8, 2, False, 3)), ("posit<6,0>f12", (6, 0, False, 12)),
    ],
)  # fmt: skip
def test_parse(text, expected):
    f = pc.PositFormat.parse(text)
    assert (f.n, f.es, f.underflow, f.flush) == expected
    assert pc.PositFormat.parse(f.spelling) == f == pc.PositFormat.parse(str(f))


@pytest.mark.parametrize("text", ["", "8;2", "eight", "8,2,1", "-8,2", "8,2f", "8,2uf3"])
def test_parse_error(text):
    with pytest.raises(ValueError, match="a format is written n,es such as 8,2"):
        pc.PositFormat.parse(text)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((65,), ValueError, r"PositFormat: n must be an integer in 2\.\.32, not 65"),
        ((1,), ValueError, r"n must be an integer in 2\.\.32, not 1"),
        ((8.0,), TypeError, r"n must be an integer in 2\.\.32, not 8\.0"),
        ((8, 5), ValueError, r"es must be an integer in 0\.\.4, not 5"),
        ((8, True), TypeError, r"es must be an integer in 0\.\.4, not True"),
        ((8, 2, 1), TypeError, "underflow must be True or False, not 1"),
        ((8, 2, False, 65), ValueError, r"PositFormat: flush must be an integer in 0\.\.64, not 65"),
        ((8, 2, False, True), TypeError, r"flush must be an integer in 0\.\.64, not True"),
        ((8, 2, True, 0), ValueError, "underflow=True and flush are two rules for one thing; give one of them"),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        pc.PositFormat(*arguments)
