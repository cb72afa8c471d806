"""Netlists against the Verilog that they are made from, and edits of it that must be found."""

import pytest

import positcore as pc
from positcore.fpga.netlist_proof import prove_netlist
from positcore.hw.units import Design

pytestmark = pytest.mark.synth

F4 = pc.PositFormat(4, 0)


def test_a_netlist_and_one_of_another_text():
    design = Design.of("neg", F4)
    report = prove_netlist(design)
    assert report.proven == ("the netlist for ecp5 has the outputs of the Verilog",)
    with pytest.raises(pc.MismatchError, match=r"netlist --target ecp5: an output of code differs at .*; again: "):
        prove_netlist(design, alter=lambda text: text.replace("code = ", "code = 1 + "))


def test_targets_without_models():
    with pytest.raises(ValueError, match="netlists are proven of the targets ecp5, ice40, not 'xc7'"):
        prove_netlist(Design.of("neg", F4), "xc7")


@pytest.mark.slow
@pytest.mark.parametrize("target", ["ecp5", "ice40"])
@pytest.mark.parametrize(
    ("unit", "stages"), [("add", 0), ("mul", 1), ("compare", 1), ("sqrt", 0), ("div-iterative", 0)]
)
def test_netlists(unit, stages, target):
    prove_netlist(Design.of(unit, F4, stages), target)
