import math

import pytest

from positcore.fpga.vendors.tools import TOOLS, check_period


@pytest.mark.parametrize("name", TOOLS)
def test_each_takes_its_own_part_and_no_other_tool_does(name):
    part = TOOLS[name].part
    assert TOOLS[name].check_part(part) == part
    for other in set(TOOLS) - {name}:
        with pytest.raises(
            ValueError, match=f"export: {part} is no part of {TOOLS[other].title}, which takes .*, such as"
        ):
            TOOLS[other].check_part(part)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("vivado", ["xcku5p-ffvb676-2-e", "xczu7ev-ffvc1156-2-e", "xcvc1902-vsva2197-2MP-e-S", "xck26-sfvc784-2LV-c",
                    "xcau25p-ffvb676-1-e", "xcsu35p-vsva361-1-e", "xcu250-figd2104-2L-e", "xa7a35tcsg324-1I"]),
        ("diamond", ["LFE5UM5G-85F-8BG756C", "LCMXO3LF-6900C-5BG256C", "LFE3-35EA-8FN484C", "LIFMD-6000-6UMG64I"]),
        ("radiant", ["LIFCL-40-9BG400C", "LFD2NX-40-9BG196C", "LFCPNX-100-9LFG672C", "LAV-AT-E70-3LFG1156C"]),
    ],
)  # fmt: skip
def test_parts_of_other_families(name, parts):
    for part in parts:
        assert TOOLS[name].options(TOOLS[name].check_part(part)) == {"part": part}


@pytest.mark.parametrize(
    ("part", "family"),
    [
        ("5CSEBA6U23I7", "Cyclone V"), ("10CL025YU256I7G", "Cyclone 10 LP"), ("10CX220YF780E5G", "Cyclone 10 GX"),
        ("10M50DAF484C7G", "MAX 10"), ("10AS066N3F40E2SG", "Arria 10"), ("5AGXFB3H4F35C4", "Arria V"),
        ("5AGZME1H2F35C3", "Arria V GZ"), ("EP4CE115F29C7", "Cyclone IV E"), ("EP4CGX150DF31C7", "Cyclone IV GX"),
        ("1SX280HN2F43E2VG", "Stratix 10"), ("AGFB014R24B2E2V", "Agilex 7"), ("A5ED065BB32AE6SR0", "Agilex 5"),
    ],
)  # fmt: skip
def test_quartus_is_told_the_family_of_the_part(part, family):
    quartus = TOOLS["quartus"]
    assert quartus.options(quartus.check_part(part)) == {"family": family, "device": part}


def test_what_no_part_is_called():
    for wrong in ("xc7 ; exit", "xc7[exit]", "xc7ä", ""):
        with pytest.raises(ValueError, match="export: a part is letters, digits, - and _, not"):
            TOOLS["vivado"].check_part(wrong)


def test_periods():
    assert check_period(0.1) == 0.1
    for wrong in (0, -1, 0.09, 1e7, math.inf, math.nan):
        with pytest.raises(ValueError, match=r"export: the period must be 0\.1 to 1000000 ns, not"):
            check_period(wrong)
