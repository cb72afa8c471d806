"""The longest path, beside one computed by hand for chains and trees, and beside ABC's."""

import json
from fractions import Fraction

import pytest

import positcore as pc
from positcore.fpga.kept import build_folder
from positcore.fpga.liberty import Liberty
from positcore.fpga.static_timing import longest_path
from positcore.fpga.yosys import run_yosys
from positcore.fpga.yowasp import SynthesisError
from positcore.hw.emit import emit_verilog
from positcore.hw.units import Design

SLEWS, LOADS = ("0.02", "0.1", "0.5"), ("1", "4", "16")  # ns, fF
DELAYS = {  # of cell and edge: rows by slew, columns by load
    ("INV", "rise"): (("0.02", "0.05", "0.21"), ("0.04", "0.08", "0.25"), ("0.09", "0.16", "0.38")),
    ("INV", "fall"): (("0.02", "0.04", "0.17"), ("0.04", "0.07", "0.20"), ("0.08", "0.14", "0.33")),
    ("NAND", "rise"): (("0.03", "0.06", "0.24"), ("0.05", "0.09", "0.29"), ("0.11", "0.18", "0.41")),
    ("NAND", "fall"): (("0.03", "0.07", "0.27"), ("0.06", "0.11", "0.32"), ("0.13", "0.21", "0.47")),
    ("BUF", "rise"): (("0.04", "0.06", "0.18"), ("0.06", "0.08", "0.20"), ("0.10", "0.13", "0.26")),
    ("BUF", "fall"): (("0.05", "0.07", "0.19"), ("0.07", "0.09", "0.21"), ("0.11", "0.14", "0.27")),
    ("DFF", "rise"): (("0.15", "0.19", "0.33"), ("0.17", "0.21", "0.35"), ("0.21", "0.25", "0.39")),
    ("DFF", "fall"): (("0.16", "0.20", "0.35"), ("0.18", "0.22", "0.37"), ("0.22", "0.26", "0.41")),
}
SLEW = ("0.01", "0.06", "0.3")  # by load; by the slew at the input a tenth of that more
CAPACITANCES = {"INV": {"A": 2}, "BUF": {"A": 2}, "NAND": {"A": 3, "B": 4}, "DFF": {"C": 5, "D": 1}}
SETUP = (("0.05", "0.03"), ("0.09", "0.06"))  # by the slew of D and that of C, 0.02 and 0.1


def quoted(rows):
    return ", ".join(f'"{", ".join(map(str, row))}"' for row in rows)


def tables(cell):
    text = ""
    for edge in ("rise", "fall"):
        slews = [[Fraction(entry) + Fraction(slew) / 10 for entry in SLEW] for slew in SLEWS]
        text += f"cell_{edge} (t) {{ values ({quoted(DELAYS[cell, edge])}); }}\n"
        text += f"{edge}_transition (t) {{ values ({quoted([[float(s) for s in row] for row in slews])}); }}\n"
    return text


def pins(cell):
    return "\n".join(
        f"pin ({pin}) {{ direction : input; capacitance : {size}; clock : {str(pin == 'C').lower()}; {setup(pin)} }}"
        for pin, size in CAPACITANCES[cell].items()
    )


def setup(pin):
    both = " ".join(f"{edge}_constraint (s) {{ values ({quoted(SETUP)}); }}" for edge in ("rise", "fall"))
    return f'timing () {{ related_pin : "C"; timing_type : setup_rising; {both} }}' if pin == "D" else ""


def gate(cell, function, area, sense="negative"):
    arcs = "".join(
        f'timing () {{ related_pin : "{pin}"; timing_sense : {sense}_unate; {tables(cell)} }}\n'
        for pin in CAPACITANCES[cell]
    )
    return f"""cell ({cell}) {{ area : {area}; {pins(cell)}
pin (Y) {{ direction : output; max_capacitance : 50; function : "{function}"; {arcs} }} }}
"""


LIBRARY = f"""library (hand) {{
time_unit : "1ns"; capacitive_load_unit (1, ff);
lu_table_template (t) {{ variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
  index_1 ("{", ".join(SLEWS)}"); index_2 ("{", ".join(LOADS)}"); }}
lu_table_template (s) {{ variable_1 : constrained_pin_transition; variable_2 : related_pin_transition;
  index_1 ("0.02, 0.1"); index_2 ("0.02, 0.1"); }}
{gate("INV", "!A", 1)}{gate("BUF", "A", 2, "positive")}{gate("NAND", "!(A & B)", 2)}
cell (DFF) {{ area : 8; ff (IQ, IQN) {{ clocked_on : "C"; next_state : "D"; }} {pins("DFF")}
pin (Q) {{ direction : output; function : "IQ";
timing () {{ related_pin : "C"; timing_type : rising_edge; timing_sense : non_unate; {tables("DFF")} }} }} }}
}}
"""


@pytest.fixture
def liberty(tmp_path):
    return Liberty("hand", tmp_path / "hand.lib", LIBRARY)


def weight(points, value):
    """The left one of the two points around a value, or of the outermost two, and how far along the value is."""
    at = [Fraction(point) for point in points]
    left = max([place for place in range(len(at) - 1) if at[place] <= value], default=0)
    return left, (value - at[left]) / (at[left + 1] - at[left])


def interpolated(rows, slews, loads, slew, load):
    """By the four corners and their weights, in fractions."""
    i, x = weight(slews, slew)
    j, y = weight(loads, load)
    corners = [[Fraction(rows[i + a][j + b]) for b in (0, 1)] for a in (0, 1)]
    return sum(
        corners[a][b] * (x if a else 1 - x) * (y if b else 1 - y) for a in (0, 1) for b in (0, 1)
    )  # fmt: skip


def delay_of(cell, edge, slew, load):
    return interpolated(DELAYS[cell, edge], SLEWS, LOADS, slew, load)


def slew_of(slew, load):
    return interpolated([SLEW, SLEW], ("0", "1"), LOADS, Fraction(0), load) + slew / 10


def setup_of(slew):
    return interpolated(SETUP, ("0.02", "0.1"), ("0.02", "0.1"), slew, Fraction(0))


def netlist(*cells, names=()):
    """What `write_json` gives: of cells (type, {pin: net}), with nets as numbers, and names of nets."""
    made = {f"u{place}": {"type": kind, "connections": {pin: [net] for pin, net in nets.items()}}
            for place, (kind, nets) in enumerate(cells)}  # fmt: skip
    made["scope"] = {"type": "$scopeinfo", "connections": {}}
    named = {name: {"bits": [net]} for name, net in names} | {"$abc$1": {"bits": [999]}}
    return json.dumps({"modules": {"top": {"cells": made, "netnames": named}}})


def dff(data, output):
    return "DFF", {"C": 1, "D": data, "Q": output}


def inv(a, y):
    return "INV", {"A": a, "Y": y}


def nand(a, b, y):
    return "NAND", {"A": a, "B": b, "Y": y}


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_chain_of_inverters(liberty, count):
    """Alternating edges; an independent calculation, cell by cell."""
    chain = [inv(2 + place, 3 + place) for place in range(count)]
    found = longest_path(
        netlist(dff(0, 2), *chain, dff(2 + count, 99), names=[("unit.a[0]", 2), ("code", 99)]), liberty
    )
    expected = []
    for first in ("rise", "fall"):
        edge, slew, time = first, Fraction(0), Fraction(0)
        for place, cell in enumerate(["DFF", *["INV"] * count]):
            load = Fraction(1 if place == count else 2)
            edge = edge if not place else {"rise": "fall", "fall": "rise"}[edge]
            time += delay_of(cell, edge, slew, load)
            slew = slew_of(slew, load)
        expected.append(time + setup_of(slew))
    assert found.delay_ns == pytest.approx(float(max(expected)), abs=1e-4)
    assert sum(step.delay_ns for step in found.steps) == pytest.approx(found.delay_ns, abs=1e-3)
    assert [step.cell for step in found.steps] == ["DFF", *["INV"] * count, "DFF"]
    assert (found.steps[0].through, found.steps[0].signal) == ("C → Q", "a")
    assert (found.steps[-1].through, found.steps[-1].signal) == ("D", "code")


def test_buffer_keeps_the_edge(liberty):
    found = longest_path(netlist(dff(0, 2), ("BUF", {"A": 2, "Y": 3}), dff(3, 99)), liberty)
    times = [
        delay_of("DFF", edge, Fraction(0), Fraction(2))
        + delay_of("BUF", edge, slew_of(Fraction(0), Fraction(2)), Fraction(1))
        for edge in ("rise", "fall")
    ]
    last = setup_of(slew_of(slew_of(Fraction(0), Fraction(2)), Fraction(1)))
    assert found.delay_ns == pytest.approx(float(max(times) + last), abs=1e-4)
    assert found.steps[1].edge == found.steps[0].edge == "fall"


def test_tree_whose_branches_meet(liberty):
    """a drives an inverter and a NAND, which waits for the inverter; the NAND drives three pins."""
    found = longest_path(
        netlist(
            dff(0, 2), inv(2, 3), nand(2, 3, 4), inv(4, 5), nand(4, 4, 6), dff(5, 97), dff(6, 98),
            names=[("last", 98)],
        ),
        liberty,
    )  # fmt: skip

    def through(edge):
        """The path DFF, INV, NAND by B, NAND by A or B, DFF, whose register makes this edge."""
        other = {"rise": "fall", "fall": "rise"}[edge]
        fork, middle = Fraction(2 + 3), Fraction(2 + 3 + 4)  # what the register drives, and what the first NAND does
        times = [delay_of("DFF", edge, Fraction(0), fork), 0, 0, 0]
        slews = [slew_of(Fraction(0), fork)]
        times[1], inverted = delay_of("INV", other, slews[0], Fraction(4)), slew_of(slews[0], Fraction(4))
        times[2] = delay_of("NAND", edge, inverted, middle)
        # the slower slew of the first NAND's two inputs makes the slew that is passed on
        passed = max(slew_of(inverted, middle), slew_of(slews[0], middle))
        times[3] = delay_of("NAND", other, passed, Fraction(1))
        return sum(times) + setup_of(slew_of(passed, Fraction(1)))

    assert found.delay_ns == pytest.approx(float(max(through("rise"), through("fall"))), abs=1e-4)
    assert [step.cell for step in found.steps] == ["DFF", "INV", "NAND", "NAND", "DFF"]
    assert found.steps[2].through == "B → Y"
    assert found.steps[-1].signal == "last"


def test_inputs_and_constants_start_no_path(liberty):
    short = netlist(dff(0, 2), inv(2, 3), dff(3, 99))
    long = netlist(dff(0, 2), inv(2, 3), dff(3, 99), inv(50, 51), inv(51, 52), nand("1", 52, 53), dff(53, 98))
    assert longest_path(long, liberty) == longest_path(short, liberty)


def test_loop(liberty):
    with pytest.raises(SynthesisError, match=r"a combinational loop, through u1 \(NAND\)"):
        longest_path(netlist(dff(0, 2), nand(2, 4, 3), inv(3, 4), dff(3, 99)), liberty)


def test_no_path(liberty):
    with pytest.raises(SynthesisError, match="no path from one register to another"):
        longest_path(netlist(dff(50, 2), inv(2, 3)), liberty)


def test_library_without_tables(tmp_path):
    bare = "library (bare) { cell (DFF) { pin (D) { direction : input; } pin (Q) { direction : output; } } }"
    assert longest_path(netlist(dff(0, 2), dff(2, 3)), Liberty("bare", tmp_path / "bare.lib", bare)) is None


@pytest.mark.parametrize("text", ["", "{}", netlist()[:-9], '{"modules": {}}'])
def test_netlists_that_are_not_whole(liberty, text):
    with pytest.raises(SynthesisError, match="Yosys's netlist is not whole"):
        longest_path(text, liberty)


@pytest.mark.slow
@pytest.mark.synth
def test_beside_abc(liberty):
    """ABC's `stime` of the same netlist, between registers of which it knows neither."""
    design = Design.of("mul", pc.PositFormat(6, 1))
    script = (
        f"read_verilog unit.v\nsynth -flatten -top {design.name}\n"
        "abc -liberty cells.lib -script +strash;dch,-f;map,-B,0.9;topo;stime,-d\nopt_clean\nwrite_json mapped.json\n"
    )
    with build_folder() as folder:
        (folder / "unit.v").write_text(emit_verilog(design))
        (folder / "cells.lib").write_text(LIBRARY)
        run_yosys(script, folder)
        (module,) = json.loads((folder / "mapped.json").read_text())["modules"].values()
        *_, delay_ps = (folder / "stats.txt").read_text().split()[:6]
    cells = dict(module["cells"])
    for name, port in module["ports"].items():
        for place, bit in enumerate(port["bits"]):
            ends = {"Q": [bit], "D": ["0"]} if port["direction"] == "input" else {"D": [bit], "Q": [f"{name}{place}"]}
            cells[f"{name}_{place}"] = {"type": "IDEAL", "connections": {"C": ["1"], **ends}}
    ideal = """cell (IDEAL) { pin (C) { direction : input; capacitance : 0; }
pin (D) { direction : input; capacitance : 0; timing () { related_pin : "C"; timing_type : setup_rising;
rise_constraint (scalar) { values ("0"); } fall_constraint (scalar) { values ("0"); } } }
pin (Q) { direction : output; timing () { related_pin : "C"; timing_type : rising_edge;
cell_rise (scalar) { values ("0"); } cell_fall (scalar) { values ("0"); }
rise_transition (scalar) { values ("0"); } fall_transition (scalar) { values ("0"); } } } }
"""
    ours = longest_path(
        json.dumps({"modules": {"top": {"cells": cells, "netnames": {}}}}),
        Liberty("ideal", liberty.path, LIBRARY.replace("cell (INV)", ideal + "cell (INV)")),
    )
    assert ours.delay_ns * 1000 == pytest.approx(int(delay_ps), rel=0.02)
