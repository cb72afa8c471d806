import numpy as np
import pytest

import positcore as pc
from positcore.hw.parameters import check_dsp, check_lanes
from positcore.hw.units import UNITS, Design, unit
from tests.hw.examples import example

F8 = pc.PositFormat(8, 2)


def test_unknown_unit_lists_the_known_ones():
    with pytest.raises(ValueError, match="unknown unit 'hypot'; the units are: decode, encode, add, sub, mul, fma"):
        unit("hypot")


@pytest.mark.parametrize("name", UNITS)
def test_registry_and_component_agree(unbuilt, name):
    entry = unit(name)
    most = len(example(name, F8).cuts)
    for stages in sorted({0, most // 2, most}):
        design = example(name, F8, stages)
        component = design.component()
        assert component.latency == design.latency
        assert design.stages == stages
        if entry.all_cuts is None:
            assert design.cuts == entry.cuts == getattr(component, "CUTS", ())


def test_names_tell_designs_apart():
    wide = pc.MacSpec(F8, pc.PositFormat(16, 2), pc.Quire(7))
    assert Design.of("add", F8).name == "posit_add_8_2"
    assert Design.of("add", pc.PositFormat(8, 2, True), 3).name == "posit_add_8_2u_s3"
    assert Design.of("mac", wide).name == "posit_mac_8_2_to_16_2_quire7"
    assert Design.of("mac", wide, 2).command == (
        "positcore generate mac --format 8,2 --output-format 16,2 --carry-bits 7 --stages 2"
    )
    mixed = pc.MacSpec((F8, pc.PositFormat(6, 1)))
    assert Design.of("mac", mixed).command == "positcore generate mac --format 8,2 --second-format 6,1"


def test_one_format_units_take_no_mac_spec():
    with pytest.raises(ValueError, match="add: has one format and no accumulator; drop the output format"):
        Design.of("add", pc.MacSpec(F8, pc.PositFormat(16, 2)))
    with pytest.raises(TypeError, match="add: spec must be a MacSpec"):
        Design.of("add", "8,2")
    with pytest.raises(TypeError, match="Design: unit must be a Unit of the registry, not 'add'"):
        Design("add", pc.MacSpec(F8))
    with pytest.raises(ValueError, match=r"mul: stages must be an integer in 0..13"):
        Design.of("mul", F8, 14)


def test_names_and_commands_of_units_with_parameters():
    convert = Design.of("convert", pc.MacSpec(F8, pc.PositFormat(16, 1)), 1)
    assert (convert.name, str(convert)) == ("posit_convert_8_2_to_16_1_s1", "convert[posit<8,2> → posit<16,1>]")
    assert convert.command == "positcore generate convert --format 8,2 --output-format 16,1 --stages 1"
    to_int = Design.of("to-int", F8, bits=32, signed=False)
    assert (to_int.name, str(to_int)) == ("posit_to_int_8_2_uint32", "to-int[posit<8,2>, uint32]")
    assert to_int.command == "positcore generate to-int --format 8,2 --bits 32 --unsigned"
    assert Design.of("from-int", F8, bits=8) == Design.of("from-int", F8, bits=8, signed=True)
    assert Design.of("to-float", F8, float_format="float16").command.endswith(" --float float16")
    assert Design.of("function", F8, function="tanh").name == "posit_function_8_2_tanh"


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("add", {"bits": 8}, ValueError, "add: has no bits; drop it"),
        ("from-int", {"bits": 8, "float_format": "float16"}, ValueError, "from-int: has no float format; drop it"),
        ("from-int", {}, ValueError, "from-int: bits must be 8, 16, 32 or 64, the width of the integers, not None"),
        ("to-int", {"bits": 24}, ValueError, "to-int: bits must be 8, 16, 32 or 64, .*, not 24"),
        ("to-int", {"bits": 8, "signed": 0}, TypeError, "to-int: signed must be True or False, not 0"),
        ("to-float", {}, ValueError, "to-float: the float format must be one of float16, .*, not None"),
        ("function", {}, ValueError, "function: the function must be one of exp, .*, not None"),
    ],
)
def test_parameters_of_units(name, options, error, message):
    with pytest.raises(error, match=message):
        Design.of(name, F8, **options)


def test_a_converter_has_two_formats_and_no_more():
    with pytest.raises(ValueError, match="convert: has an input format and an output format; drop the rest"):
        Design.of("convert", pc.MacSpec(F8, pc.PositFormat(16, 2), pc.Quire(7)))


@pytest.mark.parametrize("name", ["div-iterative", "sqrt-iterative"])
@pytest.mark.parametrize("radix", [2, 4])
def test_what_says_how_is_apart_from_what_says_what(unbuilt, name, radix):
    design = Design.of(name, F8, radix=radix)
    assert (design.options, design.choices) == ({}, {"radix": radix})
    assert str(design) == f"{name}[posit<8,2>]"
    assert design.name == f"posit_{name.replace('-', '_')}_8_2" + ("_radix4" if radix == 4 else "")
    assert design.command == f"positcore generate {name} --format 8,2" + (" --radix 4" if radix == 4 else "")
    assert design.interval == design.latency == design.component().latency
    assert Design.of("add", F8, 2).interval == 1
    assert Design.of(name, F8) == Design.of(name, F8, radix=2)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"radix": 3}, ValueError, r"div-iterative: radix must be 2 or 4 \(one or two binary digits a cycle\), not 3"),
        ({"radix": True}, TypeError, "div-iterative: radix must be 2 or 4, not True"),
        ({"stages": 1}, ValueError, "div-iterative: has no pipeline to cut; drop stages, which must be 0, not 1"),
        ({"lanes": 2}, ValueError, "div-iterative: has no lanes; drop it"),
    ],
)
def test_parameters_of_streams(options, error, message):
    with pytest.raises(error, match=message):
        Design.of("div-iterative", F8, **options)


@pytest.mark.parametrize(
    ("lanes", "error", "message"),
    [
        (None, TypeError, r"dot: lanes must be an integer in 1..64, the products in each cycle, not None"),
        (0, ValueError, r"dot: lanes must be an integer in 1..64, the products in each cycle, not 0"),
        (65, ValueError, r"dot: lanes must be an integer in 1..64, .*, not 65"),
        (4, ValueError, r"dot: 4 lanes are more products than the 3 that 2 carry bits hold; take more carry bits"),
    ],
)
def test_lanes_are_checked(lanes, error, message):
    with pytest.raises(error, match=message):
        check_lanes("dot", lanes, pc.MacSpec(F8, accumulator=pc.Quire(2)))


def test_lanes_of_an_aligned_accumulator():
    spec = pc.MacSpec(F8, accumulator=pc.Aligned(4, 14))
    assert check_lanes("dot", 4, spec) == 4
    with pytest.raises(ValueError, match=r"dot: aligned\(4 lanes, 14 bits\) has 4 lanes, not 2; drop the lanes"):
        check_lanes("dot", 2, spec)


def test_dsp_is_checked():
    assert check_dsp("mul", True) is True
    with pytest.raises(TypeError, match="mul: dsp must be True or False, not 1"):
        check_dsp("mul", 1)


def test_golden_sums_of_a_stream():
    """`last` ends a dot product; terms after the last one that ends are left over."""
    one, two = 0x40, 0x48
    inputs = {"a": [one, two, one, one], "b": [one, one, two, one], "last": [0, 1, 1, 0]}
    codes = Design.of("mac", F8).golden({name: np.array(column, np.uint8) for name, column in inputs.items()})
    assert codes["code"].tolist() == F8.encode([3.0, 2.0]).tolist()
