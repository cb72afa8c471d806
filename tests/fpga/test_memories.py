import pytest

from positcore.fpga.memories import DISTRIBUTED, read_models
from positcore.fpga.synthesis import report_script
from positcore.fpga.targets import TARGETS, target
from positcore.fpga.yosys import parse_depth, parse_netlist, run_yosys


def test_a_read_depends_on_its_address_alone():
    head, *rest = read_models("ecp5").splitlines()
    inputs = "input [3:0] RAD, input [3:0] DI, input [3:0] WAD, input [0:0] WRE, input [0:0] WCK"
    assert head == f"module TRELLIS_DPR16X4({inputs}, output [3:0] DO);"
    assert rest == [
        "  parameter WCKMUX = 0;",
        "  parameter WREMUX = 0;",
        "  parameter INITVAL = 0;",
        *(f"  assign DO[{bit}] = ^{{RAD}};" for bit in range(4)),
        "endmodule",
    ]
    assert "assign O[0] = ^{A0, A1, A2, A3, A4, A5};" in read_models("xc7")


@pytest.mark.parametrize("name", TARGETS)
def test_the_memories_that_are_counted_have_models(name):
    models = {memory.cell for memory in DISTRIBUTED.get(name, ())}
    counted = {cell for cell, _ in target(name).luts if cell.startswith(("RAM", "TRELLIS_DPR"))}
    assert models == counted


# Sums in a memory of 16 words, read and written in one cycle, and a table of 4096 words behind a register.
SOURCE = """\
module sums(input clk, input [3:0] a, input [7:0] d, output reg [7:0] q);
  reg [7:0] m [0:15];
  wire [7:0] s = m[a] + d;
  always @(posedge clk) begin m[a] <= s; q <= s; end
endmodule
module words(input clk, input write, input [11:0] a, input [7:0] d, output reg [7:0] q);
  reg [7:0] m [0:4095];
  always @(posedge clk) begin if (write) m[a] <= d; q <= m[a]; end
endmodule
"""


@pytest.mark.slow
@pytest.mark.synth
@pytest.mark.parametrize(
    ("name", "memory_luts", "block_rams"), [("ecp5", 12, 2), ("ice40", None, 8), ("xc7", 4, 2), ("gowin", 12, 2)]
)
def test_real_memories(tmp_path, name, memory_luts, block_rams):
    entry = target(name)

    def resources(top):
        (tmp_path / "unit.v").write_text(SOURCE)
        (tmp_path / "memories.v").write_text(read_models(name))
        run_yosys(report_script(entry, entry.synthesis(False, top)), tmp_path)
        netlist = parse_netlist((tmp_path / "statistics.json").read_text())
        return entry.count(netlist.cells), parse_depth((tmp_path / "path.txt").read_text())

    if memory_luts is not None:
        found, depth = resources("sums")
        assert found.memory_luts == memory_luts
        assert 3 <= depth <= 12
    found, depth = resources("words")
    assert (found.block_rams, found.memory_luts) == (block_rams, 0)
    assert depth <= 3
