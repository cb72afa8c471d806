import subprocess
import sys
from fractions import Fraction

import mpmath
import numpy as np
import pytest

import positcore as pc
from positcore import elementary, tables
from positcore.elementary import FUNCTIONS
from tests.reference import format_id, rounded, value

FORMATS = [pc.PositFormat(n, es) for n in (2, 3, 4, 5, 6, 8) for es in range(5)] + [
    pc.PositFormat(6, 2, True), pc.PositFormat(8, 2, True), pc.PositFormat(12, 2), pc.PositFormat(16, 4, True),
]  # fmt: skip

# The functions in formulas of their own, for arguments between the limits; beyond them they are constant to 400 bits.
REFERENCES = {
    "exp": (lambda x: mpmath.power(mpmath.e, x), -700, 700),
    "exp2": (lambda x: mpmath.power(2, x), -700, 700),
    "expm1": (lambda x: 2 * mpmath.exp(x / 2) * mpmath.sinh(x / 2), -1200, 1200),
    "log": (lambda x: mpmath.ln(x) if x > 0 else None, None, None),
    "log2": (lambda x: mpmath.log(x, 2) if x > 0 else None, None, None),
    "log1p": (lambda x: 2 * mpmath.atanh(x / (2 + x)) if x > -1 else None, None, None),
    "tanh": (lambda x: mpmath.sinh(x) / mpmath.cosh(x), -700, 700),
    "sigmoid": (lambda x: (1 + mpmath.tanh(x / 2)) / 2, -400, 700),
    "softplus": (lambda x: mpmath.ln(1 + mpmath.exp(x)), -400, None),
    "sin": (mpmath.sin, None, None),
    "cos": (mpmath.cos, None, None),
    "erf": (lambda x: 1 - mpmath.erfc(x), -30, 30),
    "gelu": (lambda x: x * mpmath.ncdf(x), -24, None),
    "rsqrt": (lambda x: mpmath.power(x, -0.5) if x > 0 else None, None, None),
}


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory):
    """Tables are kept in a folder of this module's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSITCORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        tables.table.cache_clear()
        yield
    tables.table.cache_clear()


def exact_code(fmt, name, x):
    """The code of f(x) from 900 bits, of which the last 100 are rounded off."""
    function, low, high = REFERENCES[name]
    if high is None and name in ("softplus", "gelu") and x > 1000:
        return rounded(fmt, x)
    x = x if low is None else max(x, Fraction(low))
    x = x if high is None else min(x, Fraction(high))
    with mpmath.workprec(900):
        y = function(mpmath.mpf(x.numerator) / x.denominator)
    if y is None:
        return fmt.nar
    with mpmath.workprec(800):
        sign, significand, exponent, _ = (+y)._mpf_
    return rounded(fmt, (-1) ** sign * Fraction(int(significand)) * Fraction(2) ** exponent)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("fmt", [f for f in FORMATS if f.n <= 12], ids=format_id)
def test_function(fmt, name):
    codes = np.arange(0, 1 << fmt.n, 1 if fmt.n <= 8 else 37, dtype=fmt.dtype)
    got = getattr(pc, name)(fmt, codes)
    assert got.dtype == fmt.dtype
    for code, result in zip(codes.tolist(), got.tolist(), strict=True):
        x = value(fmt, code)
        assert result == (fmt.nar if x is None else exact_code(fmt, name, x)), f"{name} {fmt}: {code:#x}"


@pytest.mark.parametrize("name", ["log1p", "gelu"])
def test_function_of_16_bits(name):
    """The widest range: gelu of the smallest is next to a tie, x/2, and needs 320 bits."""
    fmt = pc.PositFormat(16, 4, underflow=True)
    codes = np.unique(np.concatenate([np.arange(0, 1 << 16, 331), np.arange(9), (1 << 15) + np.arange(-9, 9)]))
    got = getattr(pc, name)(fmt, codes)
    for code, result in zip(codes.tolist(), got.tolist(), strict=True):
        x = value(fmt, code)
        assert result == (fmt.nar if x is None else exact_code(fmt, name, x)), f"{name} {fmt}: {code:#x}"


@pytest.mark.parametrize("fmt", [*FORMATS, pc.posit16, pc.posit32], ids=format_id)
def test_reciprocal(fmt):
    codes = np.arange(1 << fmt.n, dtype=fmt.dtype) if fmt.n <= 8 else np.arange(0, 1 << fmt.n, (1 << fmt.n) // 499)
    for code, got in zip(codes.tolist(), pc.reciprocal(fmt, codes).tolist(), strict=True):
        x = value(fmt, code)
        assert got == (rounded(fmt, 1 / x) if x else fmt.nar)


def test_precision_is_raised_until_a_code_is_proven(monkeypatch):
    """From 12 bits, most entries need another round (Ziv); the table is the same."""
    f = pc.PositFormat(12, 2)
    for name in ("exp", "softplus", "sin"):
        expected = elementary.proven_codes(f, name)
        with monkeypatch.context() as patch:
            patch.setattr(elementary, "_FIRST_PRECISION", 12)
            patch.setattr(elementary, "_LAST_PRECISION", 12 * 16)
            assert np.array_equal(elementary.proven_codes(f, name), expected)


def test_what_cannot_be_proven_is_an_error(monkeypatch):
    """A planted fault: exact results not decided beforehand; log2 of some powers of two is a tie."""
    f = pc.PositFormat(5, 2)
    elementary.proven_codes(f, "log2")
    blind = elementary.Elementary(elementary._log2, elementary._nowhere, elementary._positive)
    monkeypatch.setitem(FUNCTIONS, "log2", blind)
    with pytest.raises(ArithmeticError, match=r"log2: \d+ results of posit<5,2> lie too near a tie to be rounded"):
        elementary.proven_codes(f, "log2")


def test_a_lost_bound_is_caught(monkeypatch):
    """A planted fault: the first evaluation is believed, at 8 bits."""
    f = pc.PositFormat(12, 2)
    expected = elementary.proven_codes(f, "exp")
    monkeypatch.setattr(elementary, "_FIRST_PRECISION", 8)
    monkeypatch.setattr(elementary, "_GUARD", 0)
    bounds = elementary._odd_bounds
    monkeypatch.setattr(elementary, "_odd_bounds", lambda y, precision: bounds(y, 60))
    assert not np.array_equal(elementary.proven_codes(f, "exp"), expected)


def damaged(content):
    yield b""
    yield content[:-1]
    yield content + b"\0"
    yield content[:100] + bytes([content[100] ^ 1]) + content[101:]
    yield bytes([content[0] ^ 1]) + content[1:]


def test_a_damaged_file_is_made_anew(monkeypatch, tmp_path):
    monkeypatch.setenv("POSITCORE_CACHE", str(tmp_path))
    f = pc.PositFormat(9, 1)
    tables.table.cache_clear()
    expected = tables.table(f, "exp").copy()
    path = tables.table_path(f, "exp")
    content = path.read_bytes()
    assert path.parent == tmp_path / "tables"
    for bad in damaged(content):
        path.write_bytes(bad)
        tables.table.cache_clear()
        assert np.array_equal(tables.table(f, "exp"), expected)
        assert path.read_bytes() == content
    tables.table.cache_clear()
    tables.table(f, "exp2")
    tables.table_path(f, "exp2").replace(path)  # a sound table, but of another function
    tables.table.cache_clear()
    assert np.array_equal(tables.table(f, "exp"), expected)


def test_a_file_spares_the_computation(monkeypatch):
    f = pc.PositFormat(10, 0)
    expected = tables.table(f, "sin").copy()
    tables.table.cache_clear()
    monkeypatch.setattr(tables, "proven_codes", None)
    assert np.array_equal(tables.table(f, "sin"), expected)
    assert not tables.table(f, "sin").flags.writeable


def test_a_folder_that_cannot_be_written(monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.write_text("not a folder")
    monkeypatch.setenv("POSITCORE_CACHE", str(file))
    tables.table.cache_clear()
    assert tables.table(pc.PositFormat(9, 0), "exp")[0] == 128
    assert file.read_text() == "not a folder"


def test_where_tables_are_kept(monkeypatch, tmp_path):
    monkeypatch.delenv("POSITCORE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert tables.cache_folder() == tmp_path / "positcore" / "tables"
    assert tables.table_path(pc.PositFormat(12, 2, True), "exp").name == "exp-12_2u.v1.table"


def test_without_mpmath():
    code = "import sys; sys.modules['mpmath'] = None; import positcore as pc; pc.exp(pc.posit8, [0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (
        "MissingToolError: mpmath not found, needed for tables of functions; install it: pip install mpmath"
        in done.stderr
    )


def test_errors():
    with pytest.raises(ValueError, match="exp: tables are built for formats of n ≤ 16, not posit<32,2>"):
        pc.exp(pc.posit32, [0])
    with pytest.raises(ValueError, match="no function 'sine'; there are exp, exp2, "):
        tables.table(pc.posit8, "sine")
    with pytest.raises(TypeError, match="log: codes of posit<8,2> must be unsigned integers"):
        pc.log(pc.posit8, [1.0])
    with pytest.raises(TypeError, match="reciprocal: codes of posit<8,2> must be unsigned integers"):
        pc.reciprocal(pc.posit8, [1.0])
