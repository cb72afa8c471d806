"""The backend `board`: products of a network on a board in simulation, and what it refuses."""

import numpy as np
import pytest
import torch

import positcore as pc
from positcore import nn as pnn
from positcore.fpga.board import serial_link
from positcore.fpga.board.errors import BoardError
from positcore.fpga.board.machine import PORT_VARIABLE, BoardMachine, find_port
from positcore.fpga.board.virtual import VirtualBoard
from positcore.nn.backends import current_backend
from tests.hw.board_bench import SMALL, SPEC

POLICY = pnn.Policy.parse("O8/1-L8/1-FBG4/0q7")
F4, F8 = pc.PositFormat(4, 0), pc.PositFormat(8, 2)


def codes(rng, *shape):
    return rng.integers(0, 16, shape).astype(np.uint8)


@pytest.fixture
def machine(named_port):
    found = BoardMachine()
    yield found
    found.close()


@pytest.mark.rtl
@pytest.mark.usefixtures("named_port")
def test_a_network_forward_and_one_step_of_training():
    """Every product is compared with the golden model's as it is done, and the step's outcome with another one's."""

    def step(backend, compare=None):
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Conv2d(1, 2, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(32, 3)
        )
        twin, loss_function = pnn.convert(model, POLICY), pnn.CrossEntropyLoss(POLICY)
        optimizer = pnn.SGD(twin.parameters(), POLICY, lr=1 / 4)
        x, labels = torch.randn(2, 1, 4, 4), torch.tensor([0, 2])
        with pnn.use_backend(backend, compare=compare):
            loss = loss_function(twin(x), labels)
            loss.backward()
            optimizer.step()
            used = current_backend()
        return used, [loss.detach(), *(p.detach() for p in twin.parameters())]

    used, found = step("board", "golden")
    (name,) = used.first.counts
    assert name == f"board 2×3[{SPEC}]"
    forward, weights = 2 * 2 * 16 * (9 + 1) + 2 * 3 * (32 + 1), 2 * 9 * 32 + 2 * 32 + 3 * 32 * 2 + 3 * 2
    assert used.first.counts[name] == forward + weights + 2 * 32 * 3
    assert used.compared > 500
    _, wanted = step("golden")
    assert all(torch.equal(x, y) for x, y in zip(found, wanted, strict=True))


@pytest.mark.rtl
def test_products_of_other_shapes(machine):
    rng = np.random.default_rng(2)
    for m, k, n in ((7, 3, 2), (2, 3, 7), (1, 20, 1)):
        a, b, bias = codes(rng, m, k), codes(rng, k, n), codes(rng, n)
        np.testing.assert_array_equal(machine.matmul(SPEC, a, b, bias), pc.matmul(SPEC, a, b, bias))
    none = np.zeros((0, 3), np.uint8)
    assert machine.matmul(SPEC, none, codes(rng, 3, 2)).shape == (0, 2)
    assert machine.matmul(SPEC, none.T, none[:, :2]).tolist() == [[0, 0]] * 3


@pytest.mark.rtl
def test_a_product_of_another_spec(machine):
    a = np.full((2, 3), 0x40, np.uint8)
    with pytest.raises(
        ValueError,
        match=r"this product is of posit<8,2> → posit<8,2>, quire, and the board computes posit<4,0> → posit<4,0>, "
        r"quire7; build one that fits: positcore build --board ulx3s --format 8,2 --rows 4 --columns 4 .* -o out/ulx3s",
    ):
        machine.matmul(pc.MacSpec(F8), a, a.T)
    for spec in (pc.MacSpec(F8, accumulator=pc.Rounded()), pc.MacSpec((F8, F4))):
        with pytest.raises(ValueError, match="boards are built for one format and a quire: take a policy such as O12"):
            machine.matmul(spec, a, np.full((3, 2), 4, np.uint8))


@pytest.mark.rtl
def test_sums_of_elements_in_other_formats_are_the_golden_models(machine):
    spec, rng = pc.MacSpec(F8), np.random.default_rng(3)
    a = rng.integers(0, 256, (4, 5)).astype(np.uint8)
    ones = np.full((5, 1), 0x40, np.uint8)
    np.testing.assert_array_equal(machine.matmul(spec, a, ones), pc.matmul(spec, a, ones))
    np.testing.assert_array_equal(machine.matmul(spec, a[:1], a[1:2].T), pc.matmul(spec, a[:1], a[1:2].T))
    assert not machine.counts


@pytest.mark.rtl
def test_a_board_that_vanishes_and_comes_back(virtual, monkeypatch):
    monkeypatch.setattr(serial_link, "LONGEST_WAIT", 0.01)
    machine, a = BoardMachine(), np.full((1, 2), 4, np.uint8)
    with VirtualBoard(SMALL) as other:
        monkeypatch.setenv(PORT_VARIABLE, f"{other.port}@125000")
        assert machine.matmul(SPEC, a, a.T).tolist() == pc.matmul(SPEC, a, a.T).tolist()
        other.unplug()
        with pytest.raises(BoardError, match=f"{other.port} is gone or takes no bytes"):
            machine.matmul(SPEC, a, a.T)
    monkeypatch.setenv(PORT_VARIABLE, f"{virtual.port}@125000")
    assert machine.matmul(SPEC, a, a.T).tolist() == pc.matmul(SPEC, a, a.T).tolist()
    machine.close()


def test_the_port(monkeypatch):
    monkeypatch.delenv(PORT_VARIABLE, raising=False)
    with pytest.raises(ValueError, match="no port is named; set POSITCORE_BOARD, such as POSITCORE_BOARD=/dev/ttyUSB0"):
        find_port()
    monkeypatch.setenv(PORT_VARIABLE, "/dev/ttyA@9600")
    assert find_port() == ("/dev/ttyA", 9600)
    assert find_port(baud=300) == ("/dev/ttyA", 300)
    assert find_port("/dev/ttyB") == ("/dev/ttyB", 1_000_000)
    for wrong in ("", "fast", "0", "-3"):
        with pytest.raises(ValueError, match="after @ stands the baud of /dev/ttyA, such as 1000000, not"):
            find_port(f"/dev/ttyA@{wrong}")
    with pytest.raises(ValueError, match="the baud must be positive, not 0"):
        find_port("/dev/ttyA", 0)
