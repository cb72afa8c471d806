"""Square roots: every code of small formats against exact integers, of wider ones against the golden model."""

from types import SimpleNamespace

import numpy as np
import pytest

import positcore as pc
from positcore.hw import root
from positcore.hw.emit import FlatUnit
from positcore.hw.root import IterativeSquareRoot, SquareRoot
from positcore.hw.units import Design
from positcore.sim.campaign import verify
from positcore.sim.directed import directed_codes
from positcore.sim.vectors import VectorUnit
from positcore.sim.verilog import run_verilog
from tests.hw.bundle import Bundle
from tests.hw.iterative import NativeStream
from tests.hw.tails import ends, ordinary
from tests.reference import format_id, special_codes, value

pytestmark = pytest.mark.rtl

F8 = pc.PositFormat(8, 2)
F16 = pc.PositFormat(16, 2)
# Shares of 256 cycles in which the producer offers, the consumer takes, and (half as often) reset is given.
PACES = [(256, 256, 0), (128, 256, 0), (256, 20, 0), (90, 40, 3), (256, 256, 9)]


def every_format(n):
    flush = [pc.PositFormat(n, es, flush=n - 2) for es in range(5)]
    return [pc.PositFormat(n, es, underflow) for es in range(5) for underflow in (False, True)] + flush


def is_root(fmt, code, result):
    """Whether `result` is the code nearest to the root: the halfway points around it, squared, enclose the operand."""
    x, y = value(fmt, code), value(fmt, result)
    if x is None or x < 0:
        return y is None
    if x == 0:
        return result == 0
    # Halfway between codes is what the code with one bit more says.
    wide = pc.PositFormat(fmt.n + 1, fmt.es)
    below, above = value(wide, 2 * result - 1), value(wide, 2 * result + 1)
    inside = (result == 1 or below**2 <= x) and (result == fmt.maxpos_code or x <= above**2)
    tie = x == below**2 or x == above**2
    return y is not None and y > 0 and inside and (not tie or result % 2 == 0 or result == 1)


@pytest.mark.slow
@pytest.mark.parametrize("n", ordinary(range(2, 9), lambda n: n not in (6, 7)))
def test_every_code_of_small_formats(n):
    formats = every_format(n)
    designs = {f"sqrt_{fmt.tag}": SimpleNamespace(component=lambda fmt=fmt: SquareRoot(fmt)) for fmt in formats}
    a = np.arange(1 << n)
    results = VectorUnit(Bundle(designs), optimize="-O0").run({"a": a})
    for fmt in formats:
        codes = results[f"sqrt_{fmt.tag}_code"]
        np.testing.assert_array_equal(codes, pc.sqrt(fmt, a), err_msg=str(fmt))
        for code, result in enumerate(codes.tolist()):
            assert is_root(fmt, code, result), f"sqrt({fmt}, {code}) = {result}"


@pytest.mark.slow
@pytest.mark.parametrize("n", range(9, 17))
def test_every_code_of_wider_formats(n):
    formats = [pc.PositFormat(n, es) for es in range(5)] + [pc.PositFormat(n, 2, underflow=True)]
    designs = {f"sqrt_{fmt.tag}": SimpleNamespace(component=lambda fmt=fmt: SquareRoot(fmt)) for fmt in formats}
    a = np.arange(1 << n)
    results = VectorUnit(Bundle(designs), optimize="-O0").run({"a": a})
    for fmt in formats:
        np.testing.assert_array_equal(results[f"sqrt_{fmt.tag}_code"], pc.sqrt(fmt, a), err_msg=str(fmt))


def strata(fmt, count, seed=1):
    """Every regime length, special codes, and squares, their neighbors and halfway points squared."""
    rng = np.random.default_rng(seed)
    codes = np.concatenate([directed_codes(fmt, count, rng), special_codes(fmt)])
    squares = pc.mul(fmt, codes, codes).astype(np.int64)
    return np.concatenate([codes, squares, squares + 1 & fmt.mask, squares - 1 & fmt.mask]).astype(fmt.dtype)


WIDE_FORMATS = [pc.PositFormat(32, 0), pc.posit32, pc.PositFormat(32, 4), pc.PositFormat(27, 1)]


@pytest.mark.parametrize("fmt", ordinary(WIDE_FORMATS, {pc.PositFormat(27, 1)}.__contains__), ids=format_id)
def test_strata_of_wide_formats(unbuilt, fmt):
    a = strata(fmt, 50_000)
    got = VectorUnit(FlatUnit(SquareRoot(fmt)), optimize="-O1").run({"a": a})["code"]
    np.testing.assert_array_equal(got, pc.sqrt(fmt, a))


@pytest.mark.slow
@pytest.mark.parametrize("stages", ends(range(1, len(SquareRoot.cuts(F8)) + 1)))
def test_depth_changes_no_bit(unbuilt, stages):
    a = np.arange(256)
    component = SquareRoot(F8, stages=stages)
    assert component.latency == stages
    got = VectorUnit(FlatUnit(component), latency=stages, optimize="-O0").run({"a": a})["code"]
    np.testing.assert_array_equal(got, pc.sqrt(F8, a))


@pytest.mark.slow
@pytest.mark.parametrize("stages", [6, len(SquareRoot.cuts(F16))])
def test_depth_changes_no_bit_of_wider_formats(unbuilt, stages):
    a = np.arange(1 << 16)
    got = VectorUnit(FlatUnit(SquareRoot(F16, stages=stages)), latency=stages, optimize="-O0").run({"a": a})["code"]
    np.testing.assert_array_equal(got, pc.sqrt(F16, a))


def test_the_registry_knows_it(unbuilt):
    assert verify("sqrt", F16, exhaustive=True, waveforms=None, optimize="-O0").vectors == 1 << 16
    design = Design.of("sqrt", F16, 14)
    assert design.component().latency == design.latency == 14
    with pytest.raises(ValueError, match=r"sqrt: stages must be an integer in 0..14 .*row_11\), not 15"):
        Design.of("sqrt", F16, 15)


def test_verilog_of_a_deep_pipeline():
    a = np.arange(256)
    got = run_verilog(Design.of("sqrt", F8, 6), {"a": a})["code"]
    np.testing.assert_array_equal(got, pc.sqrt(F8, a))


# One row or two in each cycle ------------------------------------------------------------------------


@pytest.mark.parametrize("radix", [2, 4])
@pytest.mark.parametrize("fmt", [pc.PositFormat(2, 0), pc.PositFormat(5, 3), F8, pc.PositFormat(13, 1)], ids=format_id)
def test_iterative_root_of_every_code(fmt, radix):
    a = np.arange(1 << fmt.n)
    unit = IterativeSquareRoot(fmt, radix=radix)
    codes, kept, cycles = NativeStream(unit).run({"a": a})
    assert kept.all()
    np.testing.assert_array_equal(codes, pc.sqrt(fmt, a))
    assert unit.latency == 1 + -(-(fmt.fraction_bits + 1) // (radix // 2))
    assert a.size * unit.latency <= cycles <= a.size * unit.latency + 32  # and the while in which it listens


@pytest.mark.parametrize(
    ("fmt", "radix"),
    [(F16, 4), (pc.PositFormat(32, 2), 2), *(pytest.param(fmt, radix, marks=pytest.mark.slow)
                                             for fmt, radix in ((F16, 2), (pc.PositFormat(32, 2), 4)))],
    ids=format_id,
)  # fmt: skip
def test_iterative_root_under_stalls_and_resets(unbuilt, fmt, radix):
    a = strata(fmt, 2000)
    native = NativeStream(IterativeSquareRoot(fmt, radix=radix))
    want = pc.sqrt(fmt, a)
    for seed, (valid, ready, reset) in enumerate(PACES):
        codes, kept, _ = native.run({"a": a}, seed=seed, valid_share=valid, ready_share=ready, reset_share=reset)
        np.testing.assert_array_equal(codes[kept], want[kept])
        assert kept.all() == (reset == 0)
        assert kept.mean() > 0.25


# Tests of the tests ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["array", "iterative"])
@pytest.mark.parametrize("fault", ["sticky", "sign"])
def test_planted_faults_are_caught(monkeypatch, unbuilt, kind, fault):
    """Sticky lost; a digit that does not follow the remainder's sign."""
    fmt = pc.PositFormat(10, 1)
    if fault == "sticky":
        original = root._unrounded
        monkeypatch.setattr(root, "_unrounded", lambda raw, *rest: [*original(raw, *rest), raw.sticky.eq(0)])
    else:
        original = root._row

        def row(*args, name):
            following, digit = original(*args, name=name)
            return following, ~digit

        monkeypatch.setattr(root, "_row", row)
    a = np.arange(1 << fmt.n)
    if kind == "array":
        got = VectorUnit(FlatUnit(SquareRoot(fmt)), optimize="-O1").run({"a": a})["code"]
    else:
        got = NativeStream(IterativeSquareRoot(fmt)).run({"a": a})[0]
    assert (got != pc.sqrt(fmt, a)).any()


def test_the_reference_knows_a_root_from_its_neighbors():
    sixteen, four = int(pc.encode(F16, 16.0)), int(pc.encode(F16, 4.0))
    assert is_root(F16, sixteen, four)
    assert not is_root(F16, sixteen, four + 1)
    assert not is_root(F16, sixteen, four - 1)


def test_parameters_are_checked(unbuilt):
    for unit in (SquareRoot, IterativeSquareRoot):
        with pytest.raises(TypeError, match=rf"{unit.__name__}: fmt must be a PositFormat such as .* not 8"):
            unit(8)
    with pytest.raises(ValueError, match=r"SquareRoot: stages must be an integer in 0..6 \(.*row_3\), not 7"):
        SquareRoot(F8, stages=7)
    with pytest.raises(ValueError, match=r"IterativeSquareRoot: radix must be 2 or 4 \(one or two .*\), not 3"):
        IterativeSquareRoot(F8, radix=3)
