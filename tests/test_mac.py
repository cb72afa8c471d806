import pytest

import positcore as pc

F8, F16 = pc.PositFormat(8, 2), pc.PositFormat(16, 2)


def test_defaults_and_widths():
    spec = pc.MacSpec(F8)
    assert (spec.a, spec.b, spec.out) == (F8, F8, F8)
    assert spec.accumulator == pc.Quire(31)
    assert spec.accumulator_bits == F8.quire_bits() == 128
    assert spec.accumulator_fraction_bits == F8.quire_fraction_bits
    mixed = pc.MacSpec((F8, F16), F16, pc.Quire(10))
    assert mixed.accumulator_bits == 1 + 10 + 2 * (24 + 56)
    assert {spec: 1}[pc.MacSpec((F8, F8), F8)] == 1


def test_text():
    assert str(pc.MacSpec(F8)) == "posit<8,2> → posit<8,2>, quire"
    assert str(pc.MacSpec((F8, F16), F16, pc.Quire(7))) == "posit<8,2>×posit<16,2> → posit<16,2>, quire7"
    assert pc.MacSpec(F8).tag == "8_2_quire31"
    assert pc.MacSpec(F8, F16).tag == "8_2_to_16_2_quire31"
    assert [pc.MacSpec(F8, F8, a).tag for a in (pc.Fused(), pc.Rounded(), pc.Aligned(4, 14))] == [
        "8_2_fused", "8_2_rounded", "8_2_aligned4x14",
    ]  # fmt: skip
    assert str(pc.MacSpec(F8, F16, pc.Aligned(4, 14))) == "posit<8,2> → posit<16,2>, aligned(4 lanes, 14 bits)"


def test_capacity():
    assert pc.Quire().capacity == 2**31 - 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pc.MacSpec(8), TypeError, "inputs must be a PositFormat or a pair of them, not 8"),
        (lambda: pc.MacSpec((F8, F8, F8)), TypeError, "inputs must be a PositFormat or a pair"),
        (lambda: pc.MacSpec(F8, 16), TypeError, "output must be a PositFormat, not 16"),
        (
            lambda: pc.MacSpec(F8, F8, "quire"),
            TypeError,
            "accumulator must be a Quire, Fused, Rounded or Aligned, not 'quire'",
        ),
        (lambda: pc.Quire(0), ValueError, r"carry_bits must be an integer in 1\.\.63, not 0"),
        (lambda: pc.Aligned(0, 14), ValueError, r"Aligned: lanes must be an integer in 1\.\.64, not 0"),
        (lambda: pc.Aligned(4, 300), ValueError, r"Aligned: width must be an integer in 1\.\.256, not 300"),
        (lambda: pc.Aligned(4, "14"), TypeError, r"Aligned: width must be an integer in 1\.\.256, not '14'"),
        (lambda: pc.MacSpec(F8, F8, pc.Fused()).accumulator_bits, TypeError, "only a Quire accumulator has these bits"),
        (lambda: pc.Quire(7.0), TypeError, r"carry_bits must be an integer in 1\.\.63, not 7\.0"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
