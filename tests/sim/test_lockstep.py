import os

import numpy as np
import pytest

import positcore as pc
from positcore.hw.array import SystolicArray
from positcore.hw.units import Design
from positcore.sim import lockstep, native
from positcore.sim.backend import LockstepMachine
from positcore.sim.lockstep import LockstepProduct, LockstepUnit
from positcore.sim.verilog import run_verilog
from positcore.threads import get_num_threads, set_num_threads

pytestmark = pytest.mark.rtl

F6, F9 = pc.PositFormat(6, 1), pc.PositFormat(9, 2)
SPEC = pc.MacSpec((F6, pc.PositFormat(5, 0)), F9)
rng = np.random.default_rng(0)


def codes(fmt, *shape):
    return rng.integers(0, 1 << fmt.n, shape).astype(fmt.dtype)


def test_every_pair_of_an_adder():
    """All 4,096 pairs, nine blocks of copies with a part of one at the end, in one thread and in three."""
    a, b = (x.reshape(-1).astype(np.uint8) for x in np.indices((64, 64)))
    unit, want, threads = LockstepUnit(Design.of("add", F6)), pc.add(F6, a, b), get_num_threads()
    try:
        for count, grain in ((1, 1 << 14), (3, 64)):
            set_num_threads(count)
            lockstep._GRAIN = grain
            for size in (4096, 4001, 1):
                np.testing.assert_array_equal(unit.run({"a": a[:size], "b": b[:size]})["code"], want[:size])
    finally:
        set_num_threads(threads)
        lockstep._GRAIN = 1 << 14


def test_the_same_as_the_verilog_text():
    """A format whose codes take two bytes, and a ROM: the compiled copies and Icarus on the emitted text."""
    a, b = codes(F9, 700), codes(F9, 700)
    for design, inputs in (
        (Design.of("fma", F9), {"a": a, "b": b, "c": a[::-1].copy()}),
        (Design.of("function", F9, function="exp"), {"a": a}),
        (Design.of("from-float", F9, float_format="float32"), {"bits": rng.integers(0, 1 << 32, 700, dtype=np.uint64)}),
    ):
        got = LockstepUnit(design).run(inputs)["code"]
        np.testing.assert_array_equal(got, run_verilog(design, inputs)["code"])
        np.testing.assert_array_equal(got, design.golden(inputs)["code"])


@pytest.mark.parametrize("shape", [(1, 40, 3, 5), (3, 4, 9, 7), (600, 1, 6, 1), (1, 3, 1, 1100), (2, 1100, 2, 3)])
def test_products_in_the_array_and_in_macs(shape):
    """Stacks of products, tiles that are not full, sums shorter than the array is high, more tiles than copies."""
    stack, m, k, n = shape
    a, b = codes(SPEC.a, stack, m, k), codes(SPEC.b, stack, k, n)
    a[a == SPEC.a.nar], b[b == SPEC.b.nar] = 0, 0
    a[0, 0, 0] = SPEC.a.nar
    want = np.stack([pc.matmul(SPEC, x, y) for x, y in zip(a, b, strict=True)])
    np.testing.assert_array_equal(_array().matmul(a, b), want)
    np.testing.assert_array_equal(_mac().matmul(a, b), want)
    first = codes(SPEC.a, stack, m, n), np.full((stack, m, n), int(SPEC.b.encode(1.0)), SPEC.b.dtype)
    want = np.stack([pc.matmul(SPEC, x, y, z) for x, y, z in zip(a, b, first[0], strict=True)])
    np.testing.assert_array_equal(_mac().matmul(a, b, first), want)


def _array():
    return LockstepProduct(SPEC, 3, 2)


def _mac():
    return LockstepProduct(SPEC)


def test_lanes_of_an_aligned_accumulator():
    spec = pc.MacSpec(F6, F6, pc.Aligned(lanes=3, width=9))
    a, b, bias = codes(F6, 4, 8), codes(F6, 8, 5), codes(F6, 4, 5)
    np.testing.assert_array_equal(LockstepMachine().matmul(spec, a, b, bias), pc.matmul(spec, a, b, bias))


def test_counts_and_biases_of_a_machine():
    """A bias by rows or by columns is a step of the array; a whole matrix of biases goes to the MAC."""
    machine, spec = LockstepMachine(3, 2), pc.MacSpec(F6, F9)
    a, b = codes(F6, 4, 5), codes(F6, 5, 6)
    for bias in (None, codes(F6, 4, 1), codes(F6, 6), codes(F6, 4, 6)):
        np.testing.assert_array_equal(machine.matmul(spec, a, b, bias), pc.matmul(spec, a, b, bias))
    assert machine.counts == {f"array 3×2[{spec}]": 4 * 6 * (5 + 6 + 6), f"mac[{spec}]": 4 * 6 * 6}
    machine.run("add", pc.MacSpec(F6), {"a": a[0], "b": a[1]})
    assert machine.counts["add[posit<6,1>]"] == 5
    assert machine.run("add", pc.MacSpec(F6), {"a": a[0, :0], "b": a[1, :0]}).size == 0


def test_biases_by_columns_between_formats():
    """The array takes a bias by columns as codes of b where b has them; else the MAC does."""
    a, b = codes(SPEC.a, 3, 4), codes(SPEC.b, 4, 5)
    ones = SPEC.a.encode(np.array([1.0, -2.0, 0.5, 0.0, np.nan]))
    fine = np.full(5, 1, SPEC.a.dtype)  # minpos of a, which b rounds
    machine = LockstepMachine(3, 2)
    for bias in (ones, fine):
        np.testing.assert_array_equal(machine.matmul(SPEC, a, b, bias), pc.matmul(SPEC, a, b, bias))
    assert set(machine.counts) == {f"array 3×2[{SPEC}]", f"mac[{SPEC}]"}


def test_refused(unbuilt):
    with pytest.raises(ValueError, match="must be a unit without a handshake and without stages"):
        LockstepUnit(Design.of("mac", F6))
    with pytest.raises(ValueError, match="must be a unit without a handshake and without stages"):
        LockstepUnit(Design.of("add", F6, 1))
    with pytest.raises(ValueError, match="SystolicArray: rows must be"):
        LockstepMachine(1000, 1).matmul(pc.MacSpec(F6), codes(F6, 2, 2), codes(F6, 2, 2))
    assert SystolicArray(pc.MacSpec(F6), rows=1, columns=1).latency == 1


def test_an_array_that_gets_stuck_is_an_error():
    broken = LockstepProduct(SPEC, 3, 2, alter=_silenced)
    with pytest.raises(RuntimeError, match=r"array 3×2.*: the stream got stuck: items or results were lost"):
        broken.matmul(codes(SPEC.a, 1, 3, 4), codes(SPEC.b, 1, 4, 2))


def _silenced(text):
    """The design whose o_valid is never set: a pin that is left open, and a constant in its place."""
    start = text.index("module \\unit\n")
    pin = "    connect \\o_valid_2 \\o_valid [0]\n"
    top = text[start:].replace(pin, "", 1).replace("\n  end\n", "\n  end\n\n  connect \\o_valid [0] 1'0\n", 1)
    assert pin in text
    return text[:start] + top


# The cache ----------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("POSITCORE_CACHE", str(tmp_path))
    return tmp_path / "sim"


def small(alter=None):
    return LockstepUnit(Design.of("neg", pc.PositFormat(3, 0)), alter)


def test_a_changed_design_or_generator_is_another_library(cache, monkeypatch):
    """The key is of the RTLIL and of what makes C++ of it: neither finds the library of the other."""
    every = np.arange(8, dtype=np.uint8)
    good = small().run({"a": every})["code"]
    (first,) = cache.glob("*.so")
    small()
    assert list(cache.glob("*.so")) == [first]
    small(lambda text: text + "\n# another text\n")
    assert len(list(cache.glob("*.so"))) == 2
    files = native.files
    monkeypatch.setattr(native, "files", lambda package: _Changed(files(package)))
    np.testing.assert_array_equal(small().run({"a": every})["code"], good)
    assert len(list(cache.glob("*.so"))) == 3


class _Changed:
    """A folder whose gate_words.py says something else."""

    def __init__(self, folder):
        self.folder = folder

    def __truediv__(self, name):
        path = self.folder / name
        if name != "gate_words.py":
            return path
        return type("File", (), {"read_text": lambda self: path.read_text() + "\n# changed\n"})()


def test_old_remains_are_removed_and_new_ones_are_not_used(cache):
    for name in ("build-old", "build-new"):
        (cache / name).mkdir(parents=True)
        (cache / name / "unit.so").write_bytes(b"half a libra")
    os.utime(cache / "build-old", (0, 0))
    small()
    assert not (cache / "build-old").exists()
    assert len(list(cache.glob("*.so"))) == 1


def test_a_full_disk_leaves_nothing(cache, monkeypatch):
    def full(command, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(native, "_compile", full)
    with pytest.raises(pc.errors.BuildError, match=r"cannot hold it \(No space left on device\); make room there"):
        small()
    assert list(cache.iterdir()) == []


def test_a_missing_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(pc.errors.MissingToolError, match=r"C\+\+ compiler no-such-compiler not found.*apt-get install"):
        small()
