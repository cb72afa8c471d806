"""The rounder of raw forms: that of a format gives what decoding the encoder's code gives."""

import pytest
from amaranth.hdl import Elaboratable, Module, Signal

import positcore as pc
from positcore.hw.decode import Decoder
from positcore.hw.emit import Port
from positcore.hw.encode import Encoder
from positcore.hw.rounder import RawRounder
from positcore.sim.directed import all_inputs
from positcore.sim.vectors import VectorUnit
from tests.hw.tails import ordinary
from tests.reference import format_id

pytestmark = pytest.mark.rtl

FORMATS = [
    pc.PositFormat(n, es, **variant)
    for n, es in ((2, 0), (3, 0), (3, 2), (4, 1), (5, 2), (6, 0), (6, 1), (8, 2), (5, 4))
    for variant in ({}, {"underflow": True}, {"flush": 0}, {"flush": 3})
]


class Both(Elaboratable):
    """One unrounded number to the rounder, and to the encoder with a decoder behind; what differs must not."""

    def __init__(self, fmt, scale_bits, fraction_bits):
        self.parts = (
            RawRounder(fmt, scale_bits=scale_bits, fraction_bits=fraction_bits),
            Encoder(fmt, scale_bits=scale_bits, fraction_bits=fraction_bits),
            Decoder(fmt),
        )
        self.ports = (
            Port("fraction", "input", fraction_bits), Port("scale", "input", scale_bits, True),
            Port("flags", "input", 4), Port("differs", "output", 1),
        )  # fmt: skip
        self.signals = {port.name: Signal(port.width, name=port.name) for port in self.ports}

    def elaborate(self, platform):
        m = Module()
        rounder, encode, decode = m.submodules.rounder, m.submodules.encode, m.submodules.decode = self.parts
        for raw in (rounder.unrounded, encode.raw):
            sign, zero, nar, sticky = self.signals["flags"]
            m.d.comb += [
                raw.fraction.eq(self.signals["fraction"]), raw.scale.eq(self.signals["scale"]), raw.sign.eq(sign),
                raw.zero.eq(zero), raw.nar.eq(nar), raw.sticky.eq(sticky),
            ]  # fmt: skip
        got, want = rounder.raw, decode.raw
        special = want.zero | want.nar
        number = (got.sign == want.sign) & (got.scale == want.scale) & (got.fraction == want.fraction)
        same = (got.nar == want.nar) & (want.nar | (got.zero == want.zero)) & (special | number)
        m.d.comb += [decode.code.eq(encode.code), self.signals["differs"].eq(~same)]
        return m


@pytest.mark.parametrize("fmt", ordinary(FORMATS, lambda fmt: (fmt.n, fmt.es) in ((2, 0), (6, 1))), ids=format_id)
def test_same_as_through_the_code(fmt):
    scale_bits = (4 * fmt.max_scale + (2 << fmt.es)).bit_length() + 1
    unit = Both(fmt, max(scale_bits, fmt.scale_bits), fmt.fraction_bits + 2)
    inputs = all_inputs(tuple(port for port in unit.ports if port.direction == "input"))
    assert not VectorUnit(unit, optimize="-O1").run(inputs)["differs"].any()


def test_parameters_are_checked(unbuilt):
    with pytest.raises(ValueError, match=r"RawRounder: fraction_bits must be at least 4 for posit<8,2>, not 3"):
        RawRounder(pc.PositFormat(8, 2), scale_bits=8, fraction_bits=3)
    with pytest.raises(TypeError, match="RawRounder: fmt must be a PositFormat"):
        RawRounder("8,2", scale_bits=8, fraction_bits=3)
