"""Netlists against the Verilog that they are made from, and edits of it that must be found."""

import dataclasses
import re

import pytest

import positcore as pc
from positcore.fpga.netlist_proof import prove_netlist
from positcore.fpga.synthesis import synthesize
from positcore.fpga.targets import TARGETS
from positcore.fpga.yowasp import SynthesisError
from positcore.hw.units import Design

pytestmark = pytest.mark.synth

F4 = pc.PositFormat(4, 0)
TARGETS_WITH_MODELS = ("ecp5", "ice40", "gowin", "xc7")


def test_a_netlist_and_one_of_another_text(tmp_path):
    design = Design.of("neg", F4)
    report = prove_netlist(design)
    assert report.proven == ("the netlist for ecp5 has the outputs of the Verilog",)
    with pytest.raises(
        pc.MismatchError, match=r"ecp5: an output of code differs in cycle 0; waveform: .*; again"
    ) as error:
        prove_netlist(design, alter=lambda text: text.replace("code = ", "code = 1 + "), waveforms=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["posit_neg_4_0_netlist_ecp5.vcd"]
    got, want, code = map(
        int, re.search(r"\n  cycle 0: gate_code=(\d+), gold_code=(\d+), in_a=(\d+)$", str(error.value)).groups()
    )
    assert want == -code % 16
    assert got == (want + 1) % 16


def test_targets_without_models():
    with pytest.raises(
        ValueError, match="models of the cells of the targets ecp5, ice40, gowin, xc7, not of 'generic'"
    ):
        prove_netlist(Design.of("neg", F4), "generic")
    with pytest.raises(
        ValueError, match="models of the cells with DSPs of the targets ecp5, ice40, xc7, not of 'gowin'"
    ):
        prove_netlist(Design.of("mul", F4, dsp=True), "gowin")


@pytest.mark.slow
@pytest.mark.parametrize("stages", range(14))
@pytest.mark.parametrize("target", ["ecp5", "ice40", "xc7"])
def test_netlists_with_dsps(target, stages):
    """Products of 6 by 6 bits: the narrowest that go into an SB_MAC16."""
    prove_netlist(Design.of("mul", pc.PositFormat(8, 0), stages, dsp=True), target)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["ecp5", "ice40", "xc7"])
def test_a_netlist_with_dsps_of_another_text(target, tmp_path):
    design = Design.of("mul", pc.PositFormat(8, 0), 4, dsp=True)

    def alter(text):
        assert text.count("product_product <= product_recoded;") == 1
        return text.replace("product_product <= product_recoded;", "product_product <= product_recoded ^ 12'd4;")

    with pytest.raises(pc.MismatchError, match="an output of code differs in cycle 4"):
        prove_netlist(design, target, alter=alter, waveforms=tmp_path)


def test_a_product_that_two_registers_follow_is_kept():
    assert synthesize(Design.of("mul", pc.PositFormat(8, 0), 4, dsp=True), "ice40").dsps == 1


def unprepared(monkeypatch):
    monkeypatch.setitem(TARGETS, "ice40", dataclasses.replace(TARGETS["ice40"], prepared=None))
    return Design.of("mul", pc.PositFormat(8, 0), 4, dsp=True)


def test_a_product_that_yosys_loses_is_no_report(monkeypatch):
    """Both registers behind a product go into the SB_MAC16, and the product is gone: 0 DSPs, and fewer LUTs."""
    with pytest.raises(SynthesisError, match=r"lost a part of the design, .*\(ERROR: Driver-driver.*\); take another"):
        synthesize(unprepared(monkeypatch), "ice40", dsp=True)


@pytest.mark.slow
def test_a_product_that_yosys_loses_is_refuted(monkeypatch, tmp_path):
    with pytest.raises(pc.MismatchError, match="an output of code differs in cycle 4"):
        prove_netlist(unprepared(monkeypatch), "ice40", waveforms=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS_WITH_MODELS)
@pytest.mark.parametrize(
    ("unit", "stages"), [("neg", 0), ("add", 0), ("mul", 1), ("compare", 1), ("sqrt", 0), ("div-iterative", 0)]
)
def test_netlists(unit, stages, target):
    prove_netlist(Design.of(unit, F4, stages), target)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS_WITH_MODELS)
@pytest.mark.parametrize(
    ("unit", "accumulator", "stages", "lanes"),
    [
        ("mac", pc.Quire(1), 2, None),
        ("mac", pc.Rounded(), 0, None),
        ("mac", pc.Fused(), 0, None),
        ("dot", pc.Quire(2), 0, 2),
        ("dot", pc.Aligned(2, 4), 0, None),
        ("quire", pc.Quire(1), 0, None),
    ],
)
def test_netlists_that_sum(unit, accumulator, stages, lanes, target):
    options = {"lanes": lanes} if lanes else {}
    prove_netlist(Design.of(unit, pc.MacSpec(F4, accumulator=accumulator), stages, **options), target)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS_WITH_MODELS)
def test_a_netlist_that_sums_otherwise(target, tmp_path):
    """A quire that is not cleared: it takes two dot products to see that."""
    design = Design.of("mac", pc.MacSpec(F4, accumulator=pc.Quire(1)))

    def alter(text):
        text, count = re.subn(r"(?<=total_0 <= \(rst \| \()enable & valid & ", "1'b0 & ", text)
        assert count == 1
        return text

    with pytest.raises(pc.MismatchError, match=r"(?s)differs in cycle [2-5]; waveform: .*\n  cycle 2: ") as error:
        prove_netlist(design, target, alter=alter, waveforms=tmp_path)
    assert "gate_o_code=" in str(error.value)
    assert (tmp_path / f"posit_mac_4_0_quire1_netlist_{target}.vcd").stat().st_size > 1000
