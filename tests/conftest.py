import gc
import os
import tty

import pytest
from amaranth.hdl import Elaboratable


@pytest.fixture
def unbuilt(monkeypatch):
    """For tests whose components are never elaborated, of which Amaranth would warn."""
    monkeypatch.setattr(Elaboratable, "_MustUse__silence", True)
    yield
    gc.collect()


@pytest.fixture
def silent_port():
    """A serial port on which nothing answers."""
    master, slave = os.openpty()
    tty.setraw(slave)
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)
