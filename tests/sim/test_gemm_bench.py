"""The gemm's Verilog text in Icarus, between the bus models of cocotbext-axi; and planted faults that they find."""

import pytest

import positcore as pc
from positcore.hw.block_design import block_design_wrapper
from positcore.hw.emit import emit_verilog
from positcore.hw.units import Design
from positcore.sim.bench.run import run_bench
from positcore.sim.verilog import check_verilog, lint_verilog
from tests.reference import format_id

pytestmark = pytest.mark.rtl

SPEC = pc.MacSpec(pc.PositFormat(4, 0), accumulator=pc.Quire(7))


SMALL = {"unit": "gemm", "rows": 2, "columns": 3, "depth": 4}
DESIGN = Design.of(SMALL["unit"], SPEC, rows=2, columns=3, depth=4)


TOPS = ("alone", "in the block design")


@pytest.fixture(scope="module")
def text():
    return emit_verilog(DESIGN)


@pytest.mark.parametrize(("block_design", "seed"), [(False, 1), (True, 0)], ids=TOPS)
def test_products_with_pauses_and_resets(block_design, seed):
    """Within the block design resets begin between clock edges, and masters go on in the first cycle after them."""
    report = run_bench(SPEC, **SMALL, packets=18, seed=seed, block_design=block_design)
    assert report.results > 100
    assert report.resets == 6
    assert not [hole for hole in report.holes if not hole.startswith(("pauses", "bias"))]


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
@pytest.mark.parametrize("block_design", [False, True], ids=TOPS)
def test_all_bins(simulator, block_design):
    report = run_bench(SPEC, **SMALL, packets=90, seed=3, simulator=simulator, block_design=block_design)
    assert report.resets == 30
    assert report.holes == []


def test_text_is_plain_verilog(text):
    assert check_verilog(text) == ""
    assert lint_verilog(text, DESIGN.name) == ""


FAULTS = {
    "rows are not kept": ("assign o_keep_a = ", "assign o_keep_a = 1'b0 & ", r"job \d+: stuck"),
    "a ring overruns": ("assign i_ready = ~full", "assign i_ready = 1'b1", r"job \d+: (stuck|C\[)"),
    "tiles do not end": ("assign o_last = product_last", "assign o_last = 1'b0", r"job 0: stuck"),
    "a row changes while it waits": (
        "assign m_axis_c_tdata = ",
        "assign m_axis_c_tdata = {24{s_axis_a_tvalid}} ^ ",
        r"stream c: a beat of .* became|C\[",
    ),
    "tlast with each tile": ("job_whole ? ", "1'b0 ? ", r"job 0: results came, but it is not done"),
    "tiles are not counted": ("assign tile = taken", "assign tile = 1'b0", r"job 0: 0 tiles counted, not \d+"),
    "biases are products": ("<= one_b ? ", "<= 1'b0 ? ", r"job \d+: C\[|undefined|no outcome"),
    "settings are not locked": (".locked       (engine_busy)", ".locked (1'b0)", "should answer SLVERR"),
    "another constant": ("6d6d6567", "6d6d6568", "register 0x00 is 0x6d6d6568, not 0x6d6d6567"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", FAULTS)
def test_planted_faults(text, what):
    fault, replacement, message = FAULTS[what]
    assert fault in text
    with pytest.raises(pc.MismatchError, match=message):
        run_bench(SPEC, **SMALL, packets=6, verilog=text.replace(fault, replacement))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "spec",
    [pc.MacSpec(pc.PositFormat(8, 2), pc.PositFormat(16, 2)), pc.MacSpec((pc.PositFormat(9, 1), pc.PositFormat(5, 0)))],
    ids=format_id,
)
def test_other_designs(spec, seed):
    sizes = {"unit": "gemm", "rows": 1 + seed, "columns": 4 - seed, "depth": 2 << seed, "stages": seed % 3}
    assert run_bench(spec, **sizes, packets=60, seed=seed).resets == 20


RESET_FAULTS = {
    "an address is taken in reset": (
        "assign s_axi_awready = unit_s_axil_awready & run;",
        " & run",
        "s_axi_awready is 1",
    ),
    "a result stands in reset": (
        "assign m_axis_c_tvalid = unit_m_axis_c_tvalid & run;",
        " & run",
        "m_axis_c_tvalid is 1",
    ),
    "reset waits for the clock": ("@(posedge aclk or negedge aresetn)", " or negedge aresetn", "is 1 during a reset"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", RESET_FAULTS)
def test_planted_faults_of_the_block_design(text, what):
    line, dropped, message = RESET_FAULTS[what]
    wrapper = block_design_wrapper(DESIGN)
    assert line in wrapper
    faulty = text + wrapper.replace(line, line.replace(dropped, ""))
    with pytest.raises(pc.MismatchError, match=f"{message}.*--bench icarus --block-design --packets 18"):
        run_bench(SPEC, **SMALL, packets=18, verilog=faulty, block_design=True)


def test_nothing_to_check():
    with pytest.raises(ValueError, match="packets must be a positive integer, not 0: nothing would be checked"):
        run_bench(SPEC, **SMALL, packets=0)
    with pytest.raises(ValueError, match="bench: there is no block design of mac; gemm has one"):
        run_bench(SPEC, unit="mac", block_design=True)
    with pytest.raises(pc.MismatchError, match="no outcome"):
        run_bench(SPEC, **SMALL, packets=1, verilog="module")


def test_missing_tools(monkeypatch):
    monkeypatch.setattr("positcore.sim.bench.simulators.find_spec", lambda name: None if name == "cocotbext" else name)
    with pytest.raises(pc.MissingToolError, match=r'cocotbext-axi not found, .*: pip install "positcore\[sim\]"'):
        run_bench(SPEC, **SMALL)
