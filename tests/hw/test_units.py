import pytest

import positcore as pc
from positcore.hw.units import UNITS, Design, unit

F8 = pc.PositFormat(8, 2)


def test_unknown_unit_lists_the_known_ones():
    with pytest.raises(ValueError, match="unknown unit 'div'; the units are: decode, encode, add, sub, mul, mac"):
        unit("div")


@pytest.mark.parametrize("name", UNITS)
def test_registry_and_component_agree(unbuilt, name):
    entry = unit(name)
    for stages in range(len(entry.cuts) + 1):
        design = Design.of(name, F8, stages)
        component = design.component()
        assert component.latency == design.latency
        assert entry.cuts == component.CUTS


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
    with pytest.raises(ValueError, match=r"mul: stages must be an integer in 0..4"):
        Design.of("mul", F8, 5)
