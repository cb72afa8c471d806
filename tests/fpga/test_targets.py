import pytest

from positcore.fpga.targets import TARGETS, Resources, target
from positcore.fpga.yowasp import SynthesisError

# Cells of mul[posit<8,2>] as Yosys 0.70 makes them, for ecp5, xc7 and gowin with DSPs.
NETLISTS = {
    "ecp5": (
        {"CCU2C": 8, "L6MUX21": 36, "LUT4": 183, "MULT18X18D": 1, "PFUMX": 71, "TRELLIS_FF": 24},
        Resources(luts=199, flip_flops=24, dsps=1, block_rams=0, carry_cells=8, memory_luts=0),
    ),
    "ice40": (
        {"SB_CARRY": 17, "SB_DFF": 16, "SB_DFFSR": 7, "SB_DFFSS": 1, "SB_LUT4": 176},
        Resources(luts=176, flip_flops=24, dsps=0, block_rams=0, carry_cells=17, memory_luts=0),
    ),
    "xc7": (
        {
            "CARRY4": 4, "DSP48E1": 1, "FDRE": 23, "FDSE": 1, "INV": 1, "LUT1": 4, "LUT2": 19, "LUT3": 20, "LUT4": 15,
            "LUT5": 29, "LUT6": 16, "MUXF7": 12, "MUXF8": 2, "SRL16E": 3,
        },
        Resources(luts=106, flip_flops=24, dsps=1, block_rams=0, carry_cells=4, memory_luts=3),
    ),
    "gowin": (
        {
            "ALU": 10, "DFF": 16, "DFFR": 7, "DFFS": 1, "GND": 1, "LUT1": 87, "LUT2": 50, "LUT3": 14, "LUT4": 78,
            "MULT9X9": 1, "MUX2_LUT5": 87, "MUX2_LUT6": 36, "MUX2_LUT7": 15, "MUX2_LUT8": 3, "VCC": 1,
        },
        Resources(luts=239, flip_flops=24, dsps=1, block_rams=0, carry_cells=10, memory_luts=0),
    ),
    "generic": (
        {"$_DFF_P_": 16, "$_SDFF_PP0_": 7, "$_SDFF_PP1_": 1, "$lut": 178},
        Resources(luts=178, flip_flops=24, dsps=0, block_rams=0, carry_cells=0, memory_luts=0),
    ),
}  # fmt: skip

# What memories add to a netlist: LUTs, those of them in memories, and the family's smallest blocks.
MEMORIES = [
    ("ecp5", {"TRELLIS_DPR16X4": 3}, (18, 18, 0)),
    ("ecp5", {"DP16KD": 2}, (0, 0, 2)),
    ("ice40", {"SB_RAM40_4K": 2}, (0, 0, 2)),
    ("ice40", {"SB_RAM40_4KNR": 1}, (0, 0, 1)),
    ("xc7", {"RAM32M": 1, "RAM64X1S": 1, "RAM64X1D": 1, "RAM128X1S": 1, "RAM128X1D": 1, "RAM256X1S": 1}, (17, 17, 0)),
    ("xc7", {"RAM64M": 2, "SRL16E": 1}, (9, 9, 0)),
    ("xc7", {"RAMB18E1": 1, "RAMB36E1": 2}, (0, 0, 5)),
    ("gowin", {"RAM16SDP4": 5, "DPX9B": 2, "pROM": 1}, (30, 30, 3)),
]


@pytest.mark.parametrize("name", TARGETS)
def test_count(name):
    cells, resources = NETLISTS[name]
    assert target(name).count(cells) == resources


@pytest.mark.parametrize(("name", "memories", "added"), MEMORIES)
def test_memories(name, memories, added):
    found = target(name).count(memories)
    assert (found.luts, found.memory_luts, found.block_rams) == added


@pytest.mark.parametrize("name", TARGETS)
def test_a_cell_that_no_rule_counts_is_an_error(name):
    cells, _ = NETLISTS[name]
    with pytest.raises(
        SynthesisError, match=f"target {name}: no rule counts these cells of the netlist: EHXPLLL, \\$mul"
    ):
        target(name).count(cells | {"EHXPLLL": 1, "$mul": 2})


@pytest.mark.parametrize("name", ["ecp5", "ice40", "xc7", "gowin"])
def test_dsps_are_a_choice(name):
    assert target(name).synthesis(True, "m") != target(name).synthesis(False, "m")


def test_no_dsps_to_choose():
    with pytest.raises(ValueError, match="generic has no DSPs; drop --dsp, or take one of: ecp5, ice40, xc7, gowin"):
        target("generic").synthesis(True, "m")


def test_unknown_target():
    with pytest.raises(ValueError, match="unknown target 'ecp6'; the targets are: ecp5, ice40, xc7, gowin, generic"):
        target("ecp6")
