"""`prove`: what it compares, what it says of a difference, and that faults do not escape it."""

import gc
import re
import shlex
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Elaboratable

import positcore as pc
from positcore.hw.adder import Adder
from positcore.hw.units import UNITS, Design
from positcore.mac import MacSpec
from positcore.sim import exhaustive
from positcore.sim.exhaustive import prove
from tests import yosys

pytestmark = pytest.mark.rtl

F = pc.PositFormat(6, 1)
F8 = pc.PositFormat(8, 2)


@pytest.fixture(autouse=True, scope="module")
def prepared():
    yosys.prepare()


def test_each_design_once():
    designs = [Design.of("add", pc.PositFormat(3, 1)), Design.of("sqrt", F), Design.of("mul", F), Design.of("mul", F)]
    assert prove(designs) == (1 << 6) + (1 << 6) + (1 << 12)


def test_part_of_the_inputs(monkeypatch):
    """From start up to stop, in pieces, the first port uppermost."""
    seen = []
    monkeypatch.setattr(exhaustive, "_RESULTS", 1)
    golden = UNITS["add"].golden
    unit = replace(UNITS["add"], golden=lambda spec, x: seen.append((x["a"], x["b"])) or golden(spec, x))
    start, stop = 3 * 65536 + 5, 5 * 65536 + 7
    assert prove([Design(unit, MacSpec(pc.posit16))], start=start, stop=stop) == stop - start
    a, b = (np.concatenate(columns) for columns in zip(*seen, strict=True))
    assert [columns.size for columns, _ in seen] == [65536, 65536, 2]
    np.testing.assert_array_equal(a * 65536 + b, np.arange(start, stop))


def test_a_difference_is_told_with_all_that_helps():
    wrong = replace(UNITS["add"], build=lambda spec, stages: Adder(spec.out, subtract=True, stages=stages))
    with pytest.raises(pc.MismatchError) as error:
        prove([Design.of("mul", F), Design(wrong, MacSpec(F)), Design.of("add", pc.PositFormat(5, 1))])
    text = str(error.value)
    assert text.startswith("add[posit<6,1>]: RTL and golden model differ\n")
    assert "\n  a        0b000000 = 0.0\n  b        0b000001 = 0|00001 = " in text
    assert re.search(r"^  code     RTL 0b111111 = 1\|11111 = -\S+ != golden 0b000001 = 0\|00001 = ", text, re.MULTILINE)
    assert "  again    positcore verify add --format 6,1 --inputs a=0 b=1\n" in text
    command = re.search(r"golden   python (.*)$", text, re.MULTILINE)[1]
    done = subprocess.run([sys.executable, *shlex.split(command)], capture_output=True, text=True)
    assert done.stdout == "1\n", done.stderr


@pytest.mark.parametrize("name", ["add", "to-int"])
def test_an_inverted_operand_of_a_gate_is_caught(monkeypatch, name):
    """Each literal of the graph in turn; the few that escape are redundant."""
    design = Design.of(name, pc.PositFormat(3, 1), **({"bits": 8} if name == "to-int" else {}))
    graph = exhaustive.and_graph(exhaustive.Bundle({design.name: exhaustive.FlatUnit(design.component())}))
    monkeypatch.setattr(exhaustive, "and_graph", lambda flat, **options: graph)
    with monkeypatch.context() as patch:
        patch.setattr(Elaboratable, "_MustUse__silence", True)  # components that are never elaborated
        assert prove([design]) > 0
        caught = 0
        for place in np.ndindex(graph.gates, 2):
            graph._program[place] ^= 1
            try:
                prove([design])
            except pc.MismatchError:
                caught += 1
            graph._program[place] ^= 1
        gc.collect()
    assert caught > 1.7 * graph.gates > 50


@pytest.mark.parametrize(("verilog", "pattern", "fault"), [(False, "cell $add ", "cell $sub "), (True, " + ", " - ")])
def test_altered_logic_is_caught(verilog, pattern, fault):
    """One sum becomes a difference, in either text."""

    def alter(text):
        assert pattern in text, "the fault found no place"
        return text.replace(pattern, fault, 1)

    designs = [Design.of("round-to-int", F), Design.of("round-to-int", F8, 1)]
    assert prove(designs, verilog=verilog) == (1 << 6) + (1 << 8)
    with pytest.raises(pc.MismatchError, match=r"round-to-int\[posit<(6,1|8,2)>\]"):
        prove(designs, verilog=verilog, alter=alter)


def test_a_register_too_few_is_seen():
    unit = replace(UNITS["add"], build=lambda spec, stages: Adder(spec.out, stages=stages - 1))
    with pytest.raises(ValueError, match=r"prove: add\[posit<6,1>\] has 1 registers before an output, not 2"):
        prove([Design(unit, MacSpec(F), 2)])


def test_what_cannot_be_proven():
    with pytest.raises(ValueError, match=r"prove: no designs, or no inputs from start to stop: nothing was compared"):
        prove([])
    with pytest.raises(ValueError, match="nothing was compared"):
        prove([Design.of("neg", F)], start=64)
    with pytest.raises(ValueError, match=r"prove: mac\[.*\] speaks a handshake; use positcore\.sim\.campaign\.verify"):
        prove([Design.of("mac", F)])
    with pytest.raises(ValueError, match=r"prove: fma\[posit<16,2>\] has 2\^48 inputs, more than 2\^32; use positcore"):
        prove([Design.of("fma", pc.posit16)])
