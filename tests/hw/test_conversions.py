"""Converter, integers, floats: every input of every format up to 8 bits against rationals, wider ones by campaign."""

from fractions import Fraction
from functools import lru_cache

import numpy as np
import pytest
from amaranth.hdl import Const

import positcore as pc
from positcore.hw import floats, integers
from positcore.hw.convert import Converter
from positcore.hw.floats import FromFloat, ToFloat
from positcore.hw.integers import FromInteger, IntegralRounder, ToInteger
from positcore.hw.units import UNITS, Design
from positcore.rational import round_fraction, value_of
from positcore.sim.campaign import verify
from positcore.sim.vectors import VectorUnit
from positcore.sim.verilog import run_verilog
from tests.hw.bundle import Bundle, run_bundle
from tests.hw.tails import ordinary
from tests.reference import format_id

pytestmark = pytest.mark.rtl

PLAIN = [pc.PositFormat(n, es) for n in range(2, 9) for es in range(5)]
VARIANTS = [pc.PositFormat.parse(text) for text in ("8,2u", "8,2f3", "8,0f0", "5,1u", "4,4f20", "2,0u")]
FORMATS = [*PLAIN, *VARIANTS]
SOME_FORMATS = [*PLAIN[::3], pc.PositFormat(8, 2), *VARIANTS]
DESTINATIONS = [
    *VARIANTS,
    *(pc.PositFormat.parse(text) for text in ("8,2", "6,1", "3,3", "2,3", "3,2u", "16,1", "32,0")),
]
F8, F16, F32 = (pc.PositFormat(n, 2) for n in (8, 16, 32))
INTEGERS = [(bits, signed) for bits in (8, 16, 32, 64) for signed in (True, False)]
FLOATS = ("float16", "bfloat16", "float32")


def native(designs, inputs):
    """The outputs of many small designs, compiled as one: {name: {port: array}}."""
    bundle = Bundle(designs)
    results = VectorUnit(bundle, optimize="-O0").run(inputs)
    return {
        name: {port.name: results[f"{name}_{port.name}"] for port in flat.ports if port.direction == "output"}
        for name, flat in bundle.flats.items()
    }


# Posit to posit ----------------------------------------------------------------------------------


@lru_cache
def results_of_converters(destination):
    designs = {f"from_{src.tag}": Design.of("convert", pc.MacSpec(src, destination)) for src in PLAIN}
    return run_bundle(designs, {"a": np.arange(1 << 8)})


@pytest.mark.slow
@pytest.mark.parametrize("destination", ordinary(DESTINATIONS, DESTINATIONS[::2].__contains__), ids=format_id)
def test_convert_every_code(destination):
    results = results_of_converters(destination)
    for src in PLAIN:
        got = results[f"from_{src.tag}"]["code"].tolist()
        for code in range(1 << src.n):
            x = value_of(src, code)
            want = destination.nar if x is None else round_fraction(destination, x)
            assert got[code] == want, f"convert({src}, {destination}, {code})"


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        (F16, F8),
        (F16, pc.PositFormat(9, 2, True)),
        (F16, pc.PositFormat(2, 2)),
        (F16, pc.PositFormat(8, 2, flush=3)),
        (pc.PositFormat(16, 1), pc.PositFormat(8, 2, True)),
        (F16, F32),
    ],
    ids=format_id,
)
def test_convert_every_code_of_16_bits(source, destination):
    spec = pc.MacSpec(source, destination)
    assert verify("convert", spec, exhaustive=True, waveforms=None, optimize="-O1").vectors == 1 << 16


@pytest.mark.parametrize(
    ("source", "destination"), [(F32, F16), (F32, pc.PositFormat(16, 1, True)), (pc.PositFormat(32, 4), F32)]
)
def test_convert_wide_formats(source, destination):
    verify("convert", pc.MacSpec(source, destination), vectors=200_000, seed=1, waveforms=None, optimize="-O1")


# Integers ----------------------------------------------------------------------------------------


@lru_cache
def results_of_codes():
    """Every code of every format through each unit that takes one code and gives something else."""
    designs = {}
    for fmt in FORMATS:
        designs[f"round_{fmt.tag}"] = Design.of("round-to-int", fmt)
        for signed in (True, False):
            designs[f"to_int8_{signed:d}_{fmt.tag}"] = Design.of("to-int", fmt, bits=8, signed=signed)
            designs[f"to_int32_{signed:d}_{fmt.tag}"] = Design.of("to-int", fmt, bits=32, signed=signed)
        for name in FLOATS:
            designs[f"to_{name}_{fmt.tag}"] = Design.of("to-float", fmt, float_format=name)
    codes = np.arange(1 << 8)
    return run_bundle(designs, {"a": codes, "code": codes})


@pytest.mark.slow
@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_round_every_code_to_an_integral_one(fmt):
    got = results_of_codes()[f"round_{fmt.tag}"]["code"].tolist()
    for code in range(1 << fmt.n):
        x = value_of(fmt, code)
        assert value_of(fmt, got[code]) == (None if x is None else round(x)), code


@pytest.mark.slow
@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [8, 32])
def test_every_code_to_an_integer(bits, signed, fmt):
    got = results_of_codes()[f"to_int{bits}_{signed:d}_{fmt.tag}"]["value"].tolist()
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    for code in range(1 << fmt.n):
        x = value_of(fmt, code)
        nearest = None if x is None else round(x)
        fits = nearest is not None and low <= nearest <= high
        assert got[code] == (nearest if fits else low if signed else 1 << (bits - 1)), code


@lru_cache
def results_of_bytes():
    return {
        signed: run_bundle(
            {f"f_{fmt.tag}": Design.of("from-int", fmt, bits=8, signed=signed) for fmt in FORMATS},
            {"value": np.arange(256)},
        )
        for signed in (True, False)
    }


@pytest.mark.slow
@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
@pytest.mark.parametrize("signed", [True, False])
def test_every_byte_to_a_code(signed, fmt):
    got = results_of_bytes()[signed][f"f_{fmt.tag}"]["code"].tolist()
    for byte in range(256):
        integer = byte - (byte >> 7 << 8) if signed else byte
        want = fmt.nar if integer == -128 else round_fraction(fmt, Fraction(integer))
        assert got[byte] == want, integer


@pytest.mark.parametrize(("bits", "signed"), INTEGERS)
@pytest.mark.parametrize("fmt", ordinary([F8, pc.PositFormat(16, 1), F32], lambda fmt: fmt == F8), ids=format_id)
@pytest.mark.parametrize("name", ["from-int", "to-int"])
def test_integers_of_every_width(name, fmt, bits, signed):
    options = {"bits": bits, "signed": signed}
    assert verify(name, fmt, vectors=50_000, seed=2, waveforms=None, optimize="-O1", **options).vectors == 50_000


@pytest.mark.parametrize("fmt", [pc.PositFormat(12, 0), F16, F32, pc.PositFormat(32, 0)], ids=format_id)
def test_round_wide_formats_to_integral_codes(fmt):
    verify("round-to-int", fmt, vectors=200_000, seed=3, waveforms=None, optimize="-O1")


# Floats ------------------------------------------------------------------------------------------


def float_value(name, bits):
    """The exact value of an IEEE encoding; None for infinities and nan."""
    exponent_bits, width = {"float16": (5, 10), "bfloat16": (8, 7), "float32": (8, 23)}[name]
    top, bias = (1 << exponent_bits) - 1, (1 << (exponent_bits - 1)) - 1
    fraction, exponent = bits & ((1 << width) - 1), bits >> width & top
    if exponent == top:
        return None
    significand = fraction | (exponent > 0) << width
    magnitude = Fraction(significand) * Fraction(2) ** (max(exponent, 1) - bias - width)
    return -magnitude if bits >> (exponent_bits + width) else magnitude


@pytest.mark.slow
@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
@pytest.mark.parametrize("name", FLOATS)
def test_every_code_to_a_float(name, fmt):
    got = results_of_codes()[f"to_{name}_{fmt.tag}"]["bits"]
    codes = np.arange(1 << fmt.n)
    want = pc.to_float(fmt, codes, name).view(np.uint32 if name == "float32" else np.uint16)
    np.testing.assert_array_equal(got[: 1 << fmt.n], want)
    for code, bits in enumerate(got[: 1 << fmt.n].tolist()):  # where a float is finite, no neighbor is nearer
        x, y = value_of(fmt, code), float_value(name, bits)
        if x is not None and y is not None:
            near = [float_value(name, other) for other in (bits - 1, bits + 1) if other & 0x7FFF]
            assert all(abs(x - y) <= abs(x - z) for z in near if z is not None), code


@lru_cache
def results_of_floats(name):
    designs = {f"f_{fmt.tag}": Design.of("from-float", fmt, float_format=name) for fmt in SOME_FORMATS}
    return native(designs, {"bits": np.arange(1 << 16)})


@pytest.mark.slow
@pytest.mark.parametrize("fmt", SOME_FORMATS, ids=format_id)
@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_every_float_of_16_bits_to_a_code(name, fmt):
    got = results_of_floats(name)[f"f_{fmt.tag}"]["code"]
    np.testing.assert_array_equal(got, pc.from_float(fmt, _as_floats(name, np.arange(1 << 16)), name))
    for bits in range(fmt.n, 1 << 16, 509):
        x = float_value(name, bits)
        assert got[bits] == (fmt.nar if x is None else round_fraction(fmt, x)), bits


def _as_floats(name, bits):
    words = bits.astype(np.uint16)
    return words.view(np.float16) if name == "float16" else words


@pytest.mark.parametrize(
    "fmt",
    ordinary([F8, F16, F32, pc.PositFormat(32, 4, flush=9), pc.PositFormat(32, 3, True)], lambda fmt: fmt == F16),
    ids=format_id,
)
@pytest.mark.parametrize("float_format", FLOATS)
@pytest.mark.parametrize("name", ["from-float", "to-float"])
def test_floats_of_wide_formats(name, float_format, fmt):
    options = {"float_format": float_format}
    assert verify(name, fmt, vectors=50_000, seed=4, waveforms=None, optimize="-O1", **options).vectors == 50_000


# The Verilog text, at every depth of its pipeline ------------------------------------------------

DEPTHS = [
    ("convert", pc.MacSpec(F8, pc.PositFormat(6, 1)), {}, "a"),
    ("convert", pc.MacSpec(F8, pc.PositFormat(12, 2)), {}, "a"),
    ("convert", pc.MacSpec(F8, pc.PositFormat(5, 2)), {}, "a"),
    ("round-to-int", F8, {}, "a"),
    ("from-int", F8, {"bits": 8}, "value"),
    ("to-int", F8, {"bits": 16, "signed": False}, "code"),
    ("from-float", F8, {"float_format": "float16"}, "bits"),
    ("to-float", F8, {"float_format": "float16"}, "code"),
]


@pytest.mark.parametrize(
    ("name", "spec", "options", "port", "stages"),
    [
        pytest.param(*entry, stages, marks=[] if stages == len(UNITS[entry[0]].cuts) else pytest.mark.slow)
        for entry in DEPTHS
        for stages in range(len(UNITS[entry[0]].cuts) + 1)
    ],
    ids=lambda x: "_".join(map(str, x.values())) if isinstance(x, dict) else format_id(x),
)
def test_verilog_at_each_depth(name, spec, options, port, stages):
    design = Design.of(name, spec, stages, **options)
    assert design.latency == stages
    column = np.arange(1 << 8) * (251 if name == "from-float" else 1)
    inputs = {port: column - (column >> 7 << 8) if name == "from-int" else column}
    got, want = run_verilog(design, inputs), design.golden(inputs)
    for output, expected in want.items():
        np.testing.assert_array_equal(got[output], expected)


# Parameters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: Converter(F8, 8), TypeError, "Converter: fmt must be a PositFormat such as .*, not 8"),
        (lambda: Converter(F8, F8, stages=4), ValueError, r"Converter: stages must be an integer in 0..3 .*, not 4"),
        (lambda: IntegralRounder("8,2"), TypeError, "IntegralRounder: fmt must be a PositFormat"),
        (lambda: FromInteger(F8, bits=12), ValueError, "FromInteger: bits must be 8, 16, 32 or 64, .* not 12"),
        (lambda: FromInteger(F8, bits=8, signed=1), TypeError, "FromInteger: signed must be True or False, not 1"),
        (lambda: ToInteger(F8, bits=True), ValueError, "ToInteger: bits must be 8, 16, 32 or 64, .* not True"),
        (lambda: ToFloat(F8, float_format="float64"), ValueError, "must be one of float16, .*, not 'float64'"),
        (lambda: FromFloat(F8, float_format=16), ValueError, "FromFloat: the float format must be one of .*, not 16"),
    ],
)
def test_parameters_are_checked(unbuilt, build, error, message):
    with pytest.raises(error, match=message):
        build()


# Planted faults ----------------------------------------------------------------------------------


def without_sticky(function):
    def faulty(*args, **options):
        *values, sticky = function(*args, **options)
        return (*values, Const(0, len(sticky)))

    return faulty


@pytest.mark.parametrize(
    ("name", "spec", "options", "owner", "attribute", "fault"),
    [
        ("to-int", F16, {"bits": 8}, integers, "shift_right_sticky", without_sticky),
        ("from-int", F8, {"bits": 64}, integers, "normalize_sticky", without_sticky),
        ("round-to-int", F8, {}, integers, "_floor_of_half", lambda right: lambda fmt: right(fmt) + 1),
        ("round-to-int", F32, {}, integers, "_floor_of_half", lambda right: lambda fmt: right(fmt) + 1),
        ("to-float", F16, {"float_format": "float16"}, floats, "shift_right_sticky", without_sticky),
        ("to-float", F32, {"float_format": "float16"}, floats, "shift_right_sticky", without_sticky),
        ("from-float", F8, {"float_format": "float16"}, FromFloat, "normalizes", lambda right: False),
        ("convert", pc.MacSpec(F16, F8), {}, Converter, "_cut_short", lambda right: lambda self, m, a: a[8:]),
    ],
    ids=lambda x: x if isinstance(x, str) else format_id(x) or "",
)
def test_planted_faults_are_caught(monkeypatch, name, spec, options, owner, attribute, fault):
    monkeypatch.setattr(owner, attribute, fault(getattr(owner, attribute)))
    with pytest.raises(pc.MismatchError, match=rf"{name}\[.*: RTL and golden model differ"):
        verify(name, spec, vectors=20_000, seed=5, waveforms=None, optimize="-O0", **options)
