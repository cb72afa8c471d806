"""Decoder and encoder: every code and every raw form of small and byte formats."""

from fractions import Fraction

import numpy as np
import pytest

import positcore as pc
from positcore.hw.decode import Decoder
from positcore.hw.emit import unit_ports
from positcore.hw.encode import Encoder
from positcore.hw.units import Design
from positcore.rational import round_fraction, value_of
from positcore.sim.campaign import verify
from positcore.sim.directed import all_inputs
from positcore.sim.verilog import run_verilog
from tests.hw.bundle import run_bundle
from tests.reference import BYTE_FORMATS, SMALL_FORMATS, format_id

pytestmark = pytest.mark.rtl

WIDE_FORMATS = [pc.PositFormat(16, 2), pc.PositFormat(32, 4, underflow=True), pc.PositFormat(16, 1, flush=6)]
DECODED = [*SMALL_FORMATS, *BYTE_FORMATS, pc.PositFormat(12, 1)]


@pytest.fixture(scope="module")
def decoded():
    codes = np.arange(1 << 12)
    return run_bundle({f"d_{fmt.tag}": Design.of("decode", fmt) for fmt in DECODED}, {"code": codes})


@pytest.mark.parametrize("fmt", DECODED, ids=format_id)
def test_decode_every_code(decoded, fmt):
    raw = {name: column[: 1 << fmt.n].tolist() for name, column in decoded[f"d_{fmt.tag}"].items()}
    for code in range(1 << fmt.n):
        value = value_of(fmt, code)
        assert raw["nar"][code] == (value is None)
        assert raw["zero"][code] == (value == 0)
        if value is None:
            continue
        fraction = Fraction(raw.get("fraction", [0] * (1 << fmt.n))[code], 1 << fmt.fraction_bits)
        if value == 0:
            assert (raw["sign"][code], fraction) == (0, 0)
            continue
        assert raw["sign"][code] == (value < 0)
        significand = (-2 if value < 0 else 1) + fraction
        assert significand * Fraction(2) ** raw["scale"][code] == value, f"code {code}"


@pytest.mark.slow
@pytest.mark.parametrize("fmt", [f for f in SMALL_FORMATS if f.n in (2, 5)], ids=format_id)
def test_encode_against_rationals(fmt):
    """Every raw form of a small format, with the scales of both ends of the range and beyond."""
    design = Design.of("encode", fmt)
    rng = np.random.default_rng(5)
    every = all_inputs(tuple(port for port in unit_ports(design) if port.direction == "input"))
    chosen = rng.permutation(len(every["sign"]))[:3000]
    inputs = {name: column[chosen] for name, column in every.items()}
    got = run_verilog(design, inputs)["code"].tolist()
    width = fmt.fraction_bits + 2
    for i, code in enumerate(got):
        field = {name: int(column[i]) for name, column in inputs.items()}
        significand = (-2 if field["sign"] else 1) + Fraction(2 * field["fraction"] + field["sticky"], 2 << width)
        value = 0 if field["zero"] else significand * Fraction(2) ** field["scale"]
        assert code == (fmt.nar if field["nar"] else round_fraction(fmt, value)), field


@pytest.mark.slow
@pytest.mark.parametrize("fmt", BYTE_FORMATS, ids=format_id)
def test_encode_every_raw_form_of_byte_formats(fmt):
    assert verify("encode", fmt, exhaustive=True, waveforms=None, optimize="-O1").vectors == 1 << 16


@pytest.mark.parametrize("fmt", WIDE_FORMATS, ids=format_id)
def test_encode_wide_formats(fmt):
    verify("encode", fmt, vectors=200_000, seed=3, waveforms=None, optimize="-O1")


@pytest.mark.parametrize(
    ("name", "stages"), [("decode", 0), ("decode", 1), ("decode", 3), ("encode", 0), ("encode", 2), ("encode", 6)]
)
def test_verilog_at_depths(name, stages):
    fmt = pc.PositFormat(8, 2)
    design = Design.of(name, fmt, stages)
    inputs = all_inputs(tuple(port for port in unit_ports(design) if port.direction == "input"))
    got = run_verilog(design, inputs)
    for port, want in design.unit.golden(design.spec, inputs).items():
        assert np.ma.filled(got[port] == want, True).all(), port


def test_encoder_parameters_are_checked(unbuilt):
    fmt = pc.PositFormat(8, 2)
    with pytest.raises(ValueError, match="RawLayout: scale_bits must be at least 1 bits, not 0"):
        Encoder(fmt, scale_bits=0, fraction_bits=3)
    with pytest.raises(TypeError, match="RawLayout: fraction_bits must be an integer of at least 0, not None"):
        Encoder(fmt, scale_bits=6, fraction_bits=None)
    with pytest.raises(TypeError, match="Encoder: fmt must be a PositFormat"):
        Encoder("8,2", scale_bits=6, fraction_bits=3)
    with pytest.raises(
        ValueError,
        match=r"Decoder: stages must be an integer in 0..3 \(it can be cut after: decoded, regime_2, regime_4\), not 4",
    ):
        Decoder(fmt, stages=4)
