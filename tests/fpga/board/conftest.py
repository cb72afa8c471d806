import pytest

from positcore.fpga.board.machine import PORT_VARIABLE
from positcore.fpga.board.virtual import VirtualBoard
from positcore.nn import backends
from tests.hw.board_bench import SMALL


@pytest.fixture(scope="session")
def virtual():
    """A board that tests share; each finds it in some session, or none."""
    with VirtualBoard(SMALL) as found:
        yield found


@pytest.fixture
def named_port(virtual, monkeypatch):
    """That board as the one of the backend, which is loaded anew."""
    monkeypatch.setenv(PORT_VARIABLE, f"{virtual.port}@{SMALL.baud:.0f}")
    monkeypatch.setattr(backends, "_loaded", {})
    monkeypatch.setattr(backends, "_current", "golden")
    yield virtual.port
    for backend in backends._loaded.values():
        close = getattr(getattr(getattr(backend, "_matmul", None), "__self__", None), "close", None)
        if close is not None:
            close()
