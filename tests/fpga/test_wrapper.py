import shutil
import subprocess

import pytest

import positcore as pc
from positcore.fpga.wrapper import registered_wrapper, wrapper_bits
from positcore.hw.emit import emit_verilog
from positcore.hw.units import UNITS, Design
from tests.hw.examples import example

F = pc.PositFormat(8, 2)


def test_registers_on_every_port():
    design = Design.of("mul", F, stages=1)
    text = registered_wrapper(design)
    assert text.startswith("// posit_mul_8_2_s1_registered: posit_mul_8_2_s1 with a register at every port")
    assert (
        text[text.index("\nmodule ") + 1 :]
        == """\
module posit_mul_8_2_s1_registered (
  input  wire       clk,
  input  wire       rst,
  input  wire [7:0] a,
  input  wire [7:0] b,
  output reg  [7:0] code
);
  reg  [7:0] a_held;
  reg  [7:0] b_held;
  wire [7:0] code_made;

  posit_mul_8_2_s1 unit (
    .clk  (clk),
    .rst  (rst),
    .a    (a_held),
    .b    (b_held),
    .code (code_made)
  );

  always @(posedge clk) begin
    a_held <= a;
    b_held <= b;
    code <= code_made;
  end
endmodule
"""
    )
    assert wrapper_bits(design) == 24


@pytest.mark.rtl
@pytest.mark.parametrize("name", UNITS)
def test_it_is_verilog_around_every_unit(name, tmp_path):
    if shutil.which("iverilog") is None:
        pytest.skip("needs iverilog")
    design = example(name, F)
    (tmp_path / "unit.v").write_text(emit_verilog(design) + registered_wrapper(design))
    done = subprocess.run(
        ["iverilog", "-g2005", "-Wall", "-Wno-timescale", "-tnull", "unit.v"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
