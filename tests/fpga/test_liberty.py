"""Reading Liberty files, in the ways in which they are written."""

import pytest

from positcore.fpga.liberty import Liberty, Table

TEXT = r"""
/* a library, with
   a comment */
library ("lib") {
  time_unit : "10ps" ;
  capacitive_load_unit (1, ff);
  default_input_pin_cap : 3;
  date : "2026; not } a brace";
  lu_table_template (both) {
    variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1 ("1, 2"); index_2 ("10, 20, 30");
  }
  lu_table_template (turned) {
    variable_1 : total_output_net_capacitance; variable_2 : input_transition_time;
    index_1 ("10, 20, 30"); index_2 ("1, 2");
  }
  lu_table_template (loads) { variable_1 : total_output_net_capacitance; index_1 ("10, 20"); }
  lu_table_template (limits) {
    variable_1 : constrained_pin_transition; variable_2 : related_pin_transition; index_1 ("1, 2"); index_2 ("1, 3");
  }
  cell (OTHER) { pin (A) { direction : input } }
  cell ("GATE") {
    area : 1 + 1;
    pin (A) { direction : input; capacitance : 2; rise_capacitance : 2.5; fall_capacitance : 1.5; }
    pin (B) { direction : "input"; }
    pin (Y) {
      direction : output;
      timing () {
        related_pin : "A B"; timing_sense : negative_unate;
        cell_rise (both) { values ("1, 2, 3", \
                                   "4, 5, 6"); }
        cell_fall (turned) { values ("1, 4", "2, 5", "3, 6"); }
        rise_transition (loads) { values ("7, 8"); }
        fall_transition (scalar) { values ("9"); }
      }
      timing () { related_pin : "A"; timing_type : three_state_enable; cell_rise (scalar) { values ("5"); } }
    }
  }
  cell (DFF) {
    ff (IQ, IQN) { clocked_on : "C"; next_state : "D"; }
    pin (C) { clock : true; direction : input; }
    pin (D) {
      direction : input;
      timing () { related_pin : C; timing_type : setup_rising; rise_constraint (limits) { values ("1, 2", "3, 4"); } }
      timing () { related_pin : C; timing_type : hold_rising; rise_constraint (limits) { values ("1, 1", "1, 1"); } }
    }
    pin (Q) {
      direction : output;
      timing () { related_pin : C; timing_type : rising_edge; cell_rise (scalar) { values ("6"); } }
    }
  }
}
"""


def library(text, tmp_path):
    return Liberty("lib", tmp_path / "lib.lib", text)


def test_cells(tmp_path):
    cells = library(TEXT, tmp_path).cells({"GATE", "DFF", "ABSENT"})
    assert set(cells) == {"GATE", "DFF"}
    gate, register = cells["GATE"], cells["DFF"]
    assert gate.inputs == {"A": {"rise": 2.5, "fall": 1.5}, "B": {"rise": 3, "fall": 3}}
    assert [(arc.source, arc.sink, arc.sense) for arc in gate.arcs] == [("A", "Y", "negative"), ("B", "Y", "negative")]
    assert (gate.outputs, register.outputs) == (("Y",), ("Q",))
    assert [(arc.source, arc.sink, arc.sense) for arc in register.arcs] == [("C", "Q", "clock")]
    assert [(arc.source, arc.sink) for arc in register.setups] == [("C", "D")]


def test_tables_in_nanoseconds_whatever_their_order(tmp_path):
    arc = library(TEXT, tmp_path).cells({"GATE"})["GATE"].arcs[0]
    rise, fall = arc.delays["rise"], arc.delays["fall"]
    assert rise.slews == pytest.approx((0.01, 0.02))
    assert rise.loads == (10, 20, 30)
    assert rise.values == (pytest.approx((0.01, 0.02, 0.03)), pytest.approx((0.04, 0.05, 0.06)))
    assert (fall.slews, fall.loads, fall.values) == (rise.slews, rise.loads, rise.values)
    assert arc.slews["rise"].at(5, 15) == pytest.approx(0.075)
    assert arc.slews["fall"].at(5, 15) == pytest.approx(0.09)


def test_constraints(tmp_path):
    (setup,) = library(TEXT, tmp_path).cells({"DFF"})["DFF"].setups
    assert setup.delays["rise"].at(0.02, 0.02) == pytest.approx(0.035)


@pytest.mark.parametrize(
    ("slew", "load", "value"),
    [(1, 10, 1), (2, 20, 5), (1.5, 10, 2.5), (1, 14, 1.4), (1.5, 15, 3), (0, 10, -2), (3, 10, 7), (1, 0, 0)],
)
def test_between_the_points_of_a_table_and_beyond_them(slew, load, value):
    assert Table((1, 2), (10, 20, 30), ((1, 2, 3), (4, 5, 6))).at(slew, load) == pytest.approx(value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  }\n}\n", "", "ValueError: . groups are not closed"),
        ('"4, 5, 6"', '"4, 5"', "a table both has 5 values"),
        ('"1, 2, 3"', '"1, two, 3"', "could not convert string to float: 'two'"),
        ('"10ps"', '"10 fortnights"', "KeyError: 'fortnights'"),
        ("negative_unate", "upside_down", "KeyError: 'upside_down'"),
    ],
)
def test_files_that_are_not_whole(tmp_path, old, new, message):
    assert old in TEXT
    with pytest.raises(ValueError, match=rf"synth: .*lib.lib is no whole Liberty file: .*{message}"):
        library(TEXT.replace(old, new), tmp_path).cells({"GATE"})
