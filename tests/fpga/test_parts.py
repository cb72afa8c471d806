"""What is said of a design that is too large for its part."""

import pytest

import positcore as pc
from positcore.fpga.boards.description import BOARDS
from positcore.fpga.parts import PARTS, TooLargeError, smaller_design
from positcore.fpga.place import Place
from positcore.fpga.synthesis import synthesize
from positcore.fpga.targets import TARGETS, target
from positcore.fpga.yowasp import SynthesisError
from positcore.hw.units import Design

HX8K, UP5K = (target("ice40").placement(dsp) for dsp in (False, True))


def test_every_part_that_is_built_for_is_known():
    devices = [entry.device for entry in BOARDS.values()]
    devices += [device for entry in TARGETS.values() for device in (entry.device, entry.device_with_dsps) if device]
    for device in devices:
        name = device.part.partition(",")[0].replace("12F", "25F")
        assert [part.name for part in PARTS[device.tool]].count(name) == 1
    for parts in PARTS.values():
        sizes = [next(iter(part.holds.values())) for part in parts]
        assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    ("device", "use", "larger", "room"),
    [
        (UP5K, {"ICESTORM_LC": (6000, 5280), "ICESTORM_RAM": (4, 30), "SB_IO": (2, 39)}, "iCE40HX8K", 0.748),
        (UP5K, {"ICESTORM_LC": (6600, 5280)}, None, 0.68),  # over 85 % of an HX8K
        (UP5K, {"ICESTORM_LC": (6000, 5280), "ICESTORM_DSP": (1, 8)}, None, 0.748),  # of which an HX8K has none
        (HX8K, {"ICESTORM_LC": (100, 7680), "ICESTORM_RAM": (40, 32)}, None, 0.68),
    ],
)
def test_larger_parts(device, use, larger, room):
    error = TooLargeError(device, use)
    assert (error.larger.name if error.larger else None) == larger
    assert error.room == pytest.approx(room)
    assert str(error).startswith(f"too large for {device.part}: ")


def test_a_cell_of_which_the_part_has_none():
    assert str(TooLargeError(HX8K, {"ICESTORM_DSP": (2, 0)})).endswith(": 2 ICESTORM_DSP where there are 0")
    assert TooLargeError(HX8K, {"ICESTORM_DSP": (2, 0)}).larger.name == "iCE40UP5K"


@pytest.mark.parametrize(
    ("unit", "fmt", "options", "room", "said"),
    [
        ("gemm", (8, 2), {"rows": 4, "columns": 4}, 0.8, "4 × 3 should fit (--rows 4 --columns 3)"),
        ("gemm", (8, 2), {"rows": 1, "columns": 1}, 0.8, ""),
        ("dot", (8, 2), {"lanes": 8}, 0.4, "3 lanes should fit"),
        ("dot", (8, 2), {"lanes": 3}, 0.4, "1 lane should fit"),
        ("mul", (32, 2), {}, 0.5, "a format of 16 bits should fit"),
        ("dot", (16, 2), {"lanes": 1}, 0.3, "a format of 4 bits should fit"),
        ("mul", (4, 0), {}, 0.3, ""),
    ],
)
def test_what_of_a_design_fits(unit, fmt, options, room, said):
    assert smaller_design(Design.of(unit, pc.PositFormat(*fmt), **options), room) == said


def test_synthesis_of_what_is_too_large(yosys, nextpnr):
    nextpnr.errors[1] = TooLargeError(target("ecp5").placement(dsp=False), {"TRELLIS_COMB": (100000, 83640)})
    with pytest.raises(SynthesisError) as caught:
        synthesize(Design.of("mul", pc.posit8), place=Place(1))
    assert str(caught.value) == (
        "mul[posit<8,2>] is too large for LFE5U-85F, CABGA381, speed grade 6: 100000 TRELLIS_COMB where there are "
        "83640 (20 % too many); no part of the family is larger, but a format of 5 bits should fit"
    )


@pytest.mark.parametrize(
    ("dsp", "use", "said"),
    [
        (
            True,
            {"ICESTORM_LC": (6000, 5280)},
            "; iCE40HX8K, which is taken without --dsp, would hold it, and a format of ",
        ),
        (
            True,
            {"ICESTORM_LC": (6000, 5280), "ICESTORM_DSP": (1, 8)},
            "; --target ecp5 has larger parts, and a format of ",
        ),
        (False, {"ICESTORM_LC": (9000, 7680)}, "; --target ecp5 has larger parts, and a format of "),
    ],
)
def test_where_a_design_too_large_for_an_ice40_goes(yosys, nextpnr, dsp, use, said):
    nextpnr.errors[1] = TooLargeError(target("ice40").placement(dsp), use)
    with pytest.raises(SynthesisError) as caught:
        synthesize(Design.of("mul", pc.posit8), "ice40", dsp=dsp, place=Place(1))
    assert said in str(caught.value)
