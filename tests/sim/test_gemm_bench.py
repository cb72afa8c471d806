"""The gemm's Verilog text in Icarus, between the bus models of cocotbext-axi; and planted faults that they find."""

import pytest

import positcore as pc
from positcore.sim.gemm_bench import gemm_verilog, run_gemm_bench
from positcore.sim.verilog import check_verilog, lint_verilog
from tests.reference import format_id

pytestmark = pytest.mark.rtl

SPEC = pc.MacSpec(pc.PositFormat(4, 0), accumulator=pc.Quire(7))


SMALL = {"rows": 2, "columns": 3, "depth": 4}


@pytest.fixture(scope="module")
def text():
    return gemm_verilog(SPEC, **SMALL)


def test_products_with_pauses_and_resets(text):
    report = run_gemm_bench(SPEC, **SMALL, jobs=12, seed=1, verilog=text)
    assert report.codes > 100
    assert report.resets == 3


def test_text_is_plain_verilog(text):
    assert check_verilog(text) == ""
    assert lint_verilog(f"/* verilator lint_off DECLFILENAME */\n{text}", "gemm") == ""


FAULTS = {
    "rows are not kept": ("assign o_keep_a = ", "assign o_keep_a = 1'b0 & ", r"job \d+: stuck"),
    "a ring overruns": ("assign i_ready = ~full", "assign i_ready = 1'b1", r"job \d+: (stuck|C\[)"),
    "tiles do not end": ("assign o_last = product_last", "assign o_last = 1'b0", r"job 0: stuck"),
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
        run_gemm_bench(SPEC, **SMALL, jobs=6, verilog=text.replace(fault, replacement))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "spec",
    [pc.MacSpec(pc.PositFormat(8, 2), pc.PositFormat(16, 2)), pc.MacSpec((pc.PositFormat(9, 1), pc.PositFormat(5, 0)))],
    ids=format_id,
)
def test_other_designs(spec, seed):
    sizes = {"rows": 1 + seed, "columns": 4 - seed, "depth": 2 << seed, "stages": seed % 3}
    assert run_gemm_bench(spec, **sizes, jobs=60, seed=seed).resets == 15


def test_nothing_to_check():
    with pytest.raises(ValueError, match="jobs must be a positive integer, not 0: nothing would be checked"):
        run_gemm_bench(SPEC, **SMALL, jobs=0)
    with pytest.raises(pc.MismatchError, match="no outcome"):
        run_gemm_bench(SPEC, **SMALL, jobs=1, verilog="module")


def test_missing_tools(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        with pytest.raises(pc.MissingToolError, match=r"Icarus \(iverilog\) not found, .*: apt-get install iverilog"):
            run_gemm_bench(SPEC, **SMALL)
    monkeypatch.setattr("positcore.sim.gemm_bench.find_spec", lambda name: None if name == "cocotbext" else name)
    with pytest.raises(pc.MissingToolError, match=r'cocotbext-axi not found, .*: pip install "positcore\[sim\]"'):
        run_gemm_bench(SPEC, **SMALL)
