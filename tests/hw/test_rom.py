"""Function tables: the golden model's codes, from the native simulation and from the Verilog text."""

import numpy as np
import pytest

import positcore as pc
from positcore.elementary import FUNCTIONS
from positcore.hw.emit import emit_verilog
from positcore.hw.rom import FunctionTable
from positcore.hw.units import Design
from positcore.sim.campaign import verify
from positcore.sim.verilog import run_verilog
from tests.hw.bundle import run_bundle

pytestmark = pytest.mark.rtl

F8 = pc.PositFormat(8, 2)
FORMATS = [pc.PositFormat.parse(text) for text in ("8,2", "8,0", "8,2u", "8,2f3", "5,1", "2,4")]


@pytest.fixture(scope="module")
def results():
    designs = {f"{name}_{fmt.tag}": Design.of("function", fmt, function=name) for name in FUNCTIONS for fmt in FORMATS}
    return run_bundle(designs, {"a": np.arange(1 << 8)})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_code(results, name):
    for fmt in FORMATS:
        codes = np.arange(1 << fmt.n, dtype=fmt.dtype)
        got = results[f"{name}_{fmt.tag}"]["code"][: 1 << fmt.n]
        np.testing.assert_array_equal(got, getattr(pc.functions, name)(fmt, codes))


@pytest.mark.parametrize("stages", [0, 1])
def test_verilog_at_each_depth(stages):
    design = Design.of("function", F8, stages, function="exp")
    codes = np.arange(1 << 8)
    np.testing.assert_array_equal(run_verilog(design, {"a": codes})["code"], pc.exp(F8, codes))


def test_a_registered_read_is_what_block_memory_is_inferred_from():
    text = emit_verilog(Design.of("function", F8, 1, function="exp"))
    assert "reg [7:0] rom [0:255];" in text
    assert "always @(posedge clk) begin\n    code <= rom[a];\n  end" in text


def test_native_table_of_12_bits():
    report = verify("function", pc.PositFormat(12, 1), stages=1, waveforms=None, optimize="-O1", function="sigmoid")
    assert (report.vectors, report.exhaustive) == (1 << 12, True)


def test_parameters_are_checked(unbuilt):
    with pytest.raises(ValueError, match=r"FunctionTable: the function must be one of exp, .*, not 'tan'"):
        FunctionTable(F8, function="tan")
    with pytest.raises(ValueError, match=r"a table of exp is built for formats of n ≤ 16, not posit<17,2>; convert"):
        FunctionTable(pc.PositFormat(17), function="exp")
    with pytest.raises(ValueError, match=r"FunctionTable: stages must be an integer in 0\.\.1"):
        FunctionTable(F8, function="exp", stages=2)
