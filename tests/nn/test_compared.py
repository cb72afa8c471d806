import pytest
import torch

import positcore as pc
from positcore import nn as pnn
from positcore.errors import MismatchError
from positcore.nn import backends, places
from positcore.nn.golden import GoldenBackend
from positcore.sim.backend import LockstepMachine
from tests.nn.test_codes import CodesBackend, Machine, network, step

POLICY = "O8-L8-FBG5q"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.setattr(backends, "_loaded", {})
    yield
    assert not places._handles


class Wrong(GoldenBackend):
    """The golden model, but for one code of the result of the `at`-th call of one operation."""

    def __init__(self, name, at):
        self.name, self.left = name, at

    def __getattribute__(self, name):
        method = object.__getattribute__(self, name)
        if name.startswith("_") or name in ("name", "left") or name != self.name:
            return method

        def wrong(fmt, *arguments):
            result = method(fmt, *arguments).clone()
            self.left -= 1
            if self.left == 0:
                result.view(-1)[-1] = 0.5 if result.view(-1)[-1] != 0.5 else 0.25
            return result

        return wrong


@pytest.mark.parametrize(
    ("operation", "at", "place"),
    [
        ("conv2d", 1, r"0, forward: conv2d of posit<8,2> → posit<8,2>, quire, index \(3, 1, 3, 3\): wrong 0b"),
        ("sqrt", 1, "1, forward: sqrt of posit<12,2>"),
        ("look_up", 1, "CrossEntropyLoss, forward: look_up"),
        ("matmul", 8, "5, backward: matmul"),
        ("conv2d_weight_gradient", 1, "0.weight, gradient: conv2d_weight_gradient"),
        ("sqrt", 2, "Adam, forward: sqrt of posit<12,2>"),
    ],
)
def test_the_first_difference_is_named(monkeypatch, operation, at, place):
    """Layer and pass, operation, index, and both codes with their fields."""
    monkeypatch.setitem(backends.BACKENDS, "wrong", lambda: Wrong(operation, at))
    with pytest.raises(MismatchError, match=place) as found, pnn.use_backend("wrong", compare="golden"):
        step(*network())
    assert "!= golden 0b" in str(found.value)
    assert "codes differ" in str(found.value)


def test_what_is_equal_passes(monkeypatch):
    machine = Machine()
    monkeypatch.setitem(backends.BACKENDS, "machine", lambda: CodesBackend(machine.matmul, machine.run))
    twin, *more = network()
    with pnn.use_backend("machine", compare="golden"):
        step(twin, *more)
        assert backends.current_backend().compared > 1000
    expected, *more = network()
    step(expected, *more)
    assert all(torch.equal(a, b) for a, b in zip(twin.parameters(), expected.parameters(), strict=True))


def test_results_of_other_shapes_are_named(monkeypatch):
    class Flat(GoldenBackend):
        def add(self, fmt, x, y):
            return super().add(fmt, x, y).reshape(-1)

    monkeypatch.setitem(backends.BACKENDS, "flat", Flat)
    x = torch.ones(2, 2)
    with (
        pytest.raises(MismatchError, match=r"outside of the model: add of posit<8,2>: flat gives torch.float32 \(4,\)"),
        pnn.use_backend("flat", compare="golden"),
    ):
        pnn.tensors.add(pc.posit8, x, x)


def test_a_wrong_choice():
    with pytest.raises(ValueError, match="use_backend: golden would be compared with itself; give another backend"):
        pnn.use_backend("golden", compare="golden")
    with pytest.raises(ValueError, match="no backend 'gold'; there are golden, rtl, cocotb"):
        pnn.use_backend("rtl", compare="gold")


@pytest.mark.rtl
def test_a_fault_in_the_rtl_of_one_unit_is_found(monkeypatch):
    """A subtracter whose carry in is cut: the operation that first differs is named with its layer."""
    policy = pnn.Policy.parse(POLICY)
    logits, target = torch.tensor([[0.5, -1.25, 2.0], [1.0, 0.0, -0.5]], requires_grad=True), torch.tensor([2, 0])

    def run():
        pnn.CrossEntropyLoss(policy)(logits, target).backward()

    for alter, expected in (
        (lambda text: text, None),
        (_swapped, r"CrossEntropyLoss, forward: sub of posit<8,2>, index"),
    ):
        machine = LockstepMachine(alter={"sub": alter})
        monkeypatch.setitem(backends.BACKENDS, "rtl", lambda m=machine: CodesBackend(m.matmul, m.run, m.counts))
        monkeypatch.setattr(backends, "_loaded", {})
        with pnn.use_backend("rtl", compare="golden"):
            if expected is None:
                run()
                assert machine.counts["sub[posit<8,2>]"] > 0
            else:
                with pytest.raises(MismatchError, match=expected):
                    run()


def _swapped(text):
    """The subtracter with its operands exchanged where the top module hands them on."""
    start = text.index("module \\unit\n")
    lines = text[start:].splitlines(keepends=True)
    pins = [i for i, line in enumerate(lines) if "    connect" in line and line.endswith(("a [7:0]\n", "b [7:0]\n"))]
    assert len(pins) == 2
    (i, j), ends = pins, [lines[at].rpartition("\\")[2] for at in pins]
    lines[i], lines[j] = (lines[at].rpartition("\\")[0] + "\\" + end for at, end in ((i, ends[1]), (j, ends[0])))
    return text[:start] + "".join(lines)
