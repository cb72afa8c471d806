"""The module around a gemm for block designs: its text, and its reset in Icarus; its products are in tests/sim."""

import re
import subprocess
import tempfile
from pathlib import Path

import pytest

import positcore as pc
from positcore.hw.block_design import block_design_name, block_design_ports, block_design_wrapper
from positcore.hw.emit import emit_verilog
from positcore.hw.units import Design
from positcore.sim.verilog import check_verilog, find_icarus, lint_verilog

DESIGN = Design.of("gemm", pc.MacSpec(pc.PositFormat(4, 0), accumulator=pc.Quire(7)), rows=2, columns=3, depth=4)
INTERFACE = re.compile(
    r'\(\* X_INTERFACE_INFO = "xilinx\.com:(\S+):1\.0 (\w+) (\w+)" \*\)\n'
    r'(?:  \(\* X_INTERFACE_PARAMETER = "XIL_INTERFACENAME (\w+), (.*)" \*\)\n)?'
    r"  (input  wire|output wire) +(?:\[(\d+):0\] )? *(\w+)"
)
KINDS = {
    "aclk": "signal:clock", "aresetn": "signal:reset", "s_axi": "interface:aximm", "s_axis_a": "interface:axis",
    "s_axis_b": "interface:axis", "m_axis_c": "interface:axis",
}  # fmt: skip
# What AXI4-Lite has (ARM IHI 0022E, B1.1), less what only more general AXI has.
LITE = """awaddr awprot awvalid awready wdata wstrb wvalid wready bresp bvalid bready araddr arprot arvalid arready
rdata rresp rvalid rready"""

BENCH = """
module bench;
  reg aclk = 0, aresetn = 0, valid = 0;
  wire awready, wready, arready, bvalid, rvalid;
  always #5 aclk = ~aclk;
  posit_gemm_4_0_quire7_2x3x4_axi dut (
    .aclk(aclk), .aresetn(aresetn), .s_axi_awaddr(12'h2c), .s_axi_awprot(3'd0), .s_axi_wdata(32'd5),
    .s_axi_wstrb(4'hf), .s_axi_awvalid(valid), .s_axi_wvalid(valid), .s_axi_bready(1'b0), .s_axi_araddr(12'h00),
    .s_axi_arprot(3'd0), .s_axi_arvalid(valid), .s_axi_rready(1'b0), .s_axis_a_tvalid(1'b0), .s_axis_b_tvalid(1'b0),
    .s_axis_a_tdata(16'd0), .s_axis_b_tdata(24'd0), .m_axis_c_tready(1'b0), .s_axi_awready(awready),
    .s_axi_wready(wready), .s_axi_arready(arready), .s_axi_bvalid(bvalid), .s_axi_rvalid(rvalid)
  );
  initial begin
    #22 aresetn = 1;
    valid = 1;
    repeat (6) @(negedge aclk);
    $display("answered %b%b", bvalid, rvalid);
    valid = 0;
    #1 aresetn = 0;
    #1 $display("in reset %b%b%b%b%b", awready, wready, arready, bvalid, rvalid);
    #1 aresetn = 1;  // no clock edge saw it
    #1 $display("behind it %b%b%b%b%b", awready, wready, arready, bvalid, rvalid);
    @(negedge aclk) $display("an edge on %b%b%b%b%b", awready, wready, arready, bvalid, rvalid);
    @(negedge aclk) $display("two edges on %b%b%b%b%b", awready, wready, arready, bvalid, rvalid);
    $finish;
  end
endmodule
"""


def test_ports_are_those_of_the_interfaces():
    text = block_design_wrapper(DESIGN)
    found = INTERFACE.findall(text)
    assert [name for *_, name in found] == [port.name for port in block_design_ports(DESIGN)]
    assert [int(high or 0) + 1 for *_, high, _ in found] == [port.width for port in block_design_ports(DESIGN)]
    signals = {}
    for kind, interface, signal, _, _, _, _, name in found:
        assert KINDS[interface] == kind
        assert name == (interface if kind.startswith("signal") else f"{interface}_{signal.lower()}")
        signals.setdefault(interface, []).append(signal.lower())
    assert sorted(signals["s_axi"]) == sorted(LITE.split())
    assert [signals["aclk"], signals["aresetn"]] == [["clk"], ["rst"]]
    assert {interface: parameter for _, interface, _, of, parameter, *_ in found if of == interface} == {
        "aclk": "ASSOCIATED_BUSIF s_axi:s_axis_a:s_axis_b:m_axis_c, ASSOCIATED_RESET aresetn",
        "aresetn": "POLARITY ACTIVE_LOW",
        "s_axi": "PROTOCOL AXI4LITE, DATA_WIDTH 32, ADDR_WIDTH 12",
    }


def test_a_unit_without_axi_has_none():
    with pytest.raises(ValueError, match="block design: mac has no AXI ports; gemm has them"):
        block_design_wrapper(Design.of("mac", pc.PositFormat(8)))


@pytest.mark.rtl
def test_text_is_plain_verilog():
    text = emit_verilog(DESIGN) + block_design_wrapper(DESIGN)
    assert check_verilog(text) == ""
    assert lint_verilog(text, block_design_name(DESIGN)) == ""


@pytest.mark.rtl
def test_a_reset_between_clock_edges_takes_answers_back_at_once_and_lasts_for_two_edges():
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "bench.v").write_text(emit_verilog(DESIGN) + block_design_wrapper(DESIGN) + BENCH)
        for command in ([find_icarus(), "-g2005", "-o", "bench.vvp", "bench.v"], ["vvp", "-n", "bench.vvp"]):
            done = subprocess.run(command, cwd=name, capture_output=True, text=True, check=True)
    assert [line for line in done.stdout.splitlines() if "finish" not in line] == [
        "answered 11", "in reset 00000", "behind it 00000", "an edge on 00000", "two edges on 11100",
    ]  # fmt: skip
