"""Boards as Yosys makes them for their parts, cell by cell, behind a pseudo-terminal."""

import pytest

from positcore.fpga.board.host import Board
from positcore.fpga.board.selftest import selftest
from positcore.fpga.board.virtual import VirtualBoard
from positcore.fpga.build import plan
from positcore.fpga.cell_models import synthesised
from tests.hw.board_bench import SPEC

pytestmark = [pytest.mark.slow, pytest.mark.synth]


@pytest.mark.parametrize("name", ["ulx3s", "icebreaker"])
def test_products_on_the_netlist(name):
    """Carries, block RAM, distributed RAM and multipliers: all that the bitstream has but its PLL."""
    design = plan(name, spec=SPEC, rows=2, columns=2, depth=8).design
    with VirtualBoard(design, netlist=True) as virtual, Board(virtual.port, design.baud) as board:
        report = selftest(board, 40)
    assert (report.products, report.differing) == (40, 0)
    assert report.link.retries == 0


def test_a_fault_in_what_is_synthesised():
    """The products' sign: the netlist of another text is another board."""
    design = plan("icebreaker", spec=SPEC, rows=1, columns=1, depth=4).design

    def alter(rtlil):
        assert "cell $mul" in rtlil
        return rtlil.replace("cell $mul", "cell $add")

    with VirtualBoard(design, netlist=True, alter=alter) as virtual, Board(virtual.port, design.baud) as board:
        assert selftest(board, 10).differing


def test_cells_without_a_model():
    with pytest.raises(
        ValueError, match="models of the cells of the targets ecp5, ice40, gowin, xc7, not of 'generic'"
    ):
        synthesised("", "generic", dsp=False)
    with pytest.raises(ValueError, match=r"these cells of the netlist for ice40 have no model: SB_HFOSC"):
        synthesised(
            "module \\unit\n  wire input 1 \\a\n  wire output 2 \\b\n  attribute \\keep 1\n"
            "  cell \\SB_HFOSC \\x\n    connect \\CLKHFPU \\a\n    connect \\CLKHF \\b\n  end\nend\n",
            "ice40",
        )
