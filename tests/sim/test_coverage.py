"""The classes of coverage against rational arithmetic, and that no vector lies outside the bins."""

from fractions import Fraction

import numpy as np
import pytest

import positcore as pc
from positcore.hw.units import UNITS, Design
from positcore.rational import split, value_of
from positcore.sim import coverage as coverage_module
from positcore.sim.bins import (
    CANCELLATIONS,
    ROUNDINGS,
    cancellation,
    exponents,
    regime_classes,
    regime_labels,
    rounding,
)
from positcore.sim.coverage import Coverage
from positcore.sim.directed import counted_inputs, domain_bits
from positcore.sim.trials import operand_ports
from tests.hw.examples import OPTIONS
from tests.reference import format_id

FORMATS = [pc.PositFormat.parse(text) for text in ("2,0", "3,1", "4,0", "5,1u", "5,2f1", "5,0f3", "6,1", "6,4")]
WIDE = [pc.PositFormat.parse(text) for text in ("16,2", "17,1", "32,2", "32,4")]


def label_of(fmt, code):
    """The regime's label, from the fields."""
    if code in (0, fmt.nar):
        return "NaR" if code else "0"
    magnitude = code if code < fmt.nar else (1 << fmt.n) - code
    return f"{'+' if code < fmt.nar else '-'} k={split(fmt, magnitude).k}"


def rounding_of(fmt, exact, code):
    """How a code came of an exact number, by rationals and by the encodings of one bit more."""
    if exact is None or code == fmt.nar or value_of(fmt, code) == exact:
        return "exact"
    magnitude, size = min(code, (1 << fmt.n) - code), abs(exact)
    if size > value_of(fmt, fmt.maxpos_code) or (not fmt.flushed and size < value_of(fmt, 1)):
        return "saturated"
    down = size > value_of(fmt, magnitude)
    tie = value_of(pc.PositFormat(fmt.n + 1, fmt.es), 2 * magnitude + (1 if down else -1))
    return f"{'tie ' if size == tie else ''}{'down' if down else 'up'}"


@pytest.mark.parametrize("fmt", [*FORMATS, *WIDE], ids=format_id)
def test_regimes(fmt):
    codes = np.arange(1 << fmt.n) if fmt.n < 12 else np.random.default_rng(0).integers(0, 1 << fmt.n, 500) >> 3
    codes = np.concatenate([codes, [0, fmt.nar, 1, fmt.mask, fmt.maxpos_code, fmt.nar + 1]])
    labels = regime_labels(fmt)
    assert [labels[i] for i in regime_classes(fmt, codes)] == [label_of(fmt, code) for code in codes.tolist()]


@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_roundings_of_products(fmt):
    """All pairs, from exact rationals."""
    coverage = Coverage(Design.of("mul", fmt))
    codes = np.arange(1 << fmt.n, dtype=fmt.dtype)
    a, b = np.repeat(codes, codes.size), np.tile(codes, codes.size)
    want = pc.mul(fmt, a, b)
    counts = coverage.measure({"a": a, "b": b}, {"code": want})["result"]
    met = {}
    for x, y, code in zip(a.tolist(), b.tolist(), want.tolist(), strict=True):
        values = value_of(fmt, x), value_of(fmt, y)
        exact = None if None in values else values[0] * values[1]
        key = f"{label_of(fmt, code)} × {rounding_of(fmt, exact, code)}"
        met[key] = met.get(key, 0) + 1
    group = coverage.groups["result"]
    every = group.labels(np.ones(counts.size, bool))
    assert {name: count for name, count in zip(every, counts.tolist(), strict=True) if count} == met


@pytest.mark.parametrize("fmt", WIDE, ids=format_id)
def test_roundings_next_to_ties(fmt):
    """Numbers at the tie above a code and beside it, of which float64 rounded to odd tells one from the other."""
    finer, rng = pc.PositFormat(fmt.n + 1, fmt.es) if fmt.n < 32 else None, np.random.default_rng(1)
    codes = rng.integers(1, fmt.maxpos_code, 300) >> rng.integers(0, fmt.n - 2, 300) | 1
    for code in codes.tolist():
        low, high = value_of(fmt, code), value_of(fmt, code + 1)
        if finer is None and split(fmt, code).fraction_bits == 0:
            continue
        tie = value_of(finer, 2 * code + 1) if finer else (low + high) / 2
        below, at, above = (float(tie) * (1 + step * 2.0**-52) for step in (-1, 0, 1))
        kinds = rounding(fmt, np.array([below, at, above, float(low)]), np.array([code, code, code + 1, code]))
        assert [ROUNDINGS[i] for i in kinds] == ["down", "tie down", "up", "exact"], code
        assert ROUNDINGS[rounding(fmt, -np.array([at]), np.array([(1 << fmt.n) - code - 1]))[0]] == "tie up"


def test_cancellation():
    a, b = 2.0 ** np.array([0, 3, 5, 5, 5]), np.array([1.0, -7.5, -31.0, 0.0, -32.0])
    exact = a + b
    kinds = cancellation(np.maximum(exponents(a), exponents(b)), exact)
    assert [CANCELLATIONS[i] for i in kinds] == ["carry", "2 to 4 bits", "more bits", "none", "all"]
    assert CANCELLATIONS[cancellation(np.array([4]), np.array([-9.0]))[0]] == "1 bit"
    assert CANCELLATIONS[cancellation(np.array([4]), np.array([np.nan]))[0]] == "none"
    assert float(Fraction(exact[2])) == 1.0


@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
@pytest.mark.parametrize("name", [name for name, unit in UNITS.items() if unit.kind in ("vector", "stream")])
def test_no_input_lies_outside_the_bins(name, fmt):
    """`measure` fails where a vector lies in what is said to be no bin."""
    design = Design.of(name, fmt, **OPTIONS.get(name, {}))
    ports = operand_ports(design)
    inputs = counted_inputs(ports, 0, min(1 << domain_bits(ports), 1 << 16))
    coverage = Coverage(design)
    coverage.add(coverage.measure(inputs, design.golden(inputs)))
    for name, group in coverage.summary().items():
        assert 0 < group["covered"] <= group["bins"]
        assert len(group["holes"]) == group["bins"] - group["covered"]
        assert sum(coverage.counts[name]) == len(next(iter(inputs.values())))


def test_what_is_no_bin_is_seen(monkeypatch):
    zero, up = np.array([0]), np.array([ROUNDINGS.index("up")])
    monkeypatch.setitem(coverage_module.CLASSES, "arithmetic", lambda *_: {"a × b": (zero, zero), "result": (zero, up)})
    coverage = Coverage(Design.of("mul", pc.PositFormat(4, 1)))
    with pytest.raises(AssertionError, match=r"mul\[posit<4,1>\]: result: met what cannot be: \['0 × up'\]"):
        coverage.measure({"a": zero, "b": zero}, {"code": zero})


def test_counts_are_kept_and_taken_again():
    design = Design.of("mul", pc.PositFormat(4, 1))
    coverage, again = Coverage(design), Coverage(design)
    inputs = counted_inputs(operand_ports(design), 0, 256)
    coverage.add(coverage.measure(inputs, design.golden(inputs)))
    again.restore(coverage.state())
    assert again.summary() == coverage.summary()
    assert coverage.summary()["a × b"] == {"bins": 144, "covered": 144, "least": 1, "holes": []}
    with pytest.raises(ValueError, match="its coverage has other groups of bins"):
        again.restore({"a": [1]})
