"""Every input of every unit without a handshake, in all formats up to 8 bits, against the golden model.

The golden model is held against exact integers for the same inputs in `tests/test_exhaustive.py`.
"""

import gc

import pytest

import positcore as pc
from positcore.elementary import FUNCTIONS
from positcore.hw.units import UNITS, Design
from positcore.sim.exhaustive import prove
from tests import yosys
from tests.hw.examples import OPTIONS
from tests.hw.tails import ordinary
from tests.reference import format_id

pytestmark = pytest.mark.rtl

PLAIN = [pc.PositFormat(n, es) for n in range(2, 9) for es in range(5)]
UNDERFLOW = [pc.PositFormat(n, es, underflow=True) for n in range(2, 9) for es in range(5)]
FLUSH = [pc.PositFormat(n, es, flush=k) for n in range(2, 9) for es in range(5) for k in sorted({0, 3, n - 2, 64})]
ALL = [*PLAIN, *UNDERFLOW, *FLUSH]
ROUNDED = [*PLAIN, *UNDERFLOW, *FLUSH[::7]]  # the encoder at the end of these units is proven in all
SOME = [*PLAIN, *UNDERFLOW, *FLUSH[::20]]  # of units that no kind of underflow changes
DESTINATIONS = [*ALL, *(pc.PositFormat.parse(text) for text in ("9,1", "12,3u", "16,1", "32,0", "32,2"))]
SOME_DESTINATIONS = [
    pc.PositFormat.parse(text) for text in ("8,2", "8,0", "7,1u", "6,3", "5,2u", "4,1f2", "3,0", "2,4", "16,1")
]
INTEGERS = [(bits, signed) for bits in (8, 16, 32, 64) for signed in (True, False)]
SOME_INTEGERS = [(8, True), (8, False), (16, True), (32, False), (64, True)]
FLOATS = ["float16", "bfloat16", "float32"]


@pytest.fixture(autouse=True, scope="module")
def prepared():
    """Yosys is compiled, and garbage is collected seldom: Amaranth makes millions of objects, and keeps most."""
    yosys.prepare()
    before = gc.get_threshold()
    gc.set_threshold(100_000, 20, 100)
    yield
    gc.set_threshold(*before)


def integer_id(kind):
    return f"{'int' if kind[1] else 'uint'}{kind[0]}"


def prove_formats(name, formats, **options):
    return prove(Design.of(name, fmt, **options) for fmt in formats)


# Arithmetic --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
def test_pairs(name):
    assert prove_formats(name, ROUNDED) == sum(1 << 2 * fmt.n for fmt in ROUNDED)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
def test_pairs_with_flush(name):
    assert prove_formats(name, FLUSH) == sum(1 << 2 * fmt.n for fmt in FLUSH)


@pytest.mark.parametrize("name", ["fma", "fms"])
def test_triples(name):
    formats = [fmt for fmt in ROUNDED if fmt.n <= 6]
    assert prove_formats(name, formats) == sum(1 << 3 * fmt.n for fmt in formats)


@pytest.mark.parametrize(
    "fmt", ordinary([f for f in ROUNDED if f.n >= 7], lambda f: f.spelling in ("8,2", "7,1u")), ids=format_id
)
@pytest.mark.parametrize("name", ordinary(["fma", "fms"], lambda name: name == "fma"))
def test_triples_of_bytes(name, fmt):
    assert prove_formats(name, [fmt]) == 1 << 3 * fmt.n


def test_square_roots():
    assert prove_formats("sqrt", SOME) == sum(1 << fmt.n for fmt in SOME)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    """The table is the golden model's, of each format, and how it is read is the same for all."""
    formats = ROUNDED if name == "exp" else [*PLAIN, *UNDERFLOW]
    assert prove_formats("function", formats, function=name) == sum(1 << fmt.n for fmt in formats)


# Order and sign, which neither exponent bits nor underflow change ------------------------------------


@pytest.mark.parametrize("name", ["compare", "min", "max"])
def test_order(name):
    assert prove_formats(name, SOME) == sum(1 << 2 * fmt.n for fmt in SOME)


@pytest.mark.parametrize("name", ["neg", "abs", "sign"])
def test_signs(name):
    assert prove_formats(name, SOME) == sum(1 << fmt.n for fmt in SOME)


# Codes and raw forms -----------------------------------------------------------------------------


def test_decode():
    formats = [*SOME, *(pc.PositFormat(n, es) for n in (12, 16) for es in range(5))]
    assert prove_formats("decode", formats) == sum(1 << fmt.n for fmt in formats)


def test_encode():
    """Every raw form, sticky or not, of scales beyond both ends of the range."""
    raw = sum(1 << fmt.fraction_bits + 2 + fmt.scale_bits + 1 + len(("sign", "zero", "nar", "sticky")) for fmt in ALL)
    assert prove_formats("encode", ALL) == raw


# Conversions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("destination", ordinary(DESTINATIONS, SOME_DESTINATIONS.__contains__), ids=format_id)
def test_convert(destination):
    sources = [*PLAIN, pc.PositFormat(8, 2, underflow=True), pc.PositFormat(6, 1, flush=3)]
    designs = [Design.of("convert", pc.MacSpec(source, destination)) for source in sources]
    assert prove(designs) == sum(1 << fmt.n for fmt in sources)


def test_some_destinations_are_destinations():
    assert set(SOME_DESTINATIONS) <= set(DESTINATIONS)


@pytest.mark.parametrize("kind", [kind for kind in INTEGERS if kind[0] <= 16], ids=integer_id)
def test_from_integers(kind):
    bits, signed = kind
    assert prove_formats("from-int", SOME, bits=bits, signed=signed) == len(SOME) << bits


@pytest.mark.parametrize("name", FLOATS[:2])
def test_from_floats(name):
    assert prove_formats("from-float", ROUNDED, float_format=name) == len(ROUNDED) << 16


@pytest.mark.parametrize("kind", ordinary(INTEGERS, SOME_INTEGERS.__contains__), ids=integer_id)
def test_to_integers(kind):
    bits, signed = kind
    assert prove_formats("to-int", SOME, bits=bits, signed=signed) == sum(1 << fmt.n for fmt in SOME)


@pytest.mark.parametrize("name", FLOATS)
def test_to_floats(name):
    assert prove_formats("to-float", SOME, float_format=name) == sum(1 << fmt.n for fmt in SOME)


def test_round_to_integers():
    assert prove_formats("round-to-int", SOME) == sum(1 << fmt.n for fmt in SOME)


# The Verilog text, at every depth of the pipelines --------------------------------------------------


def depths(most, every):
    """Numbers of stages, beyond none: all of them, or one, half of them and all."""
    return range(1, most + 1) if every else sorted({1, (most + 1) // 2, most} if most else set())


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "every"])
@pytest.mark.parametrize("name", [name for name, unit in UNITS.items() if not unit.streaming])
def test_verilog(name, every):
    """At each depth the registers lie evenly, and between them is the same function; in some other formats too."""
    widths = (2, 3, 5, 6) if UNITS[name].operands == 3 else (2, 3, 5, 8)
    formats = [pc.PositFormat(n, es, underflow=es == 1) for n, es in zip(widths, (0, 4, 1, 2), strict=True)]
    specs = [pc.MacSpec(fmt, pc.PositFormat(6, 1)) if UNITS[name].converts else fmt for fmt in formats]
    designs = [Design.of(name, spec, **OPTIONS.get(name, {})) for spec in specs]
    options = OPTIONS.get(name, {})
    designs += [Design.of(name, specs[-1], k, **options) for k in depths(len(designs[-1].cuts), every)]
    assert prove(designs, verilog=True) > len(designs) * 4


@pytest.mark.parametrize("name", [name for name, unit in UNITS.items() if "dsp" in unit.choices and not unit.streaming])
def test_operators_for_dsps(name):
    formats = [fmt for fmt in PLAIN if fmt.n <= 18 // UNITS[name].operands and fmt.es in (0, 2)]
    assert prove_formats(name, formats, dsp=True) == sum(1 << fmt.n * UNITS[name].operands for fmt in formats)


def test_a_wide_decoder_at_every_depth():
    fmt = pc.PositFormat(16, 1)
    designs = [Design.of("decode", fmt, depth) for depth in range(len(Design.of("decode", fmt).cuts) + 1)]
    assert prove(designs) == len(designs) << 16


@pytest.mark.slow
@pytest.mark.parametrize("name", ["add", "mul"])
def test_a_part_of_all_pairs_of_16_bits(name):
    """A sixteenth of the 2^32 pairs: those with a on both sides of 0 and of NaR."""
    design, part = Design.of(name, pc.PositFormat(16, 1)), 1 << 26
    for start in (0, (1 << 31) - part, 1 << 31, (1 << 32) - part):
        assert prove([design], start=start, stop=start + part) == part
