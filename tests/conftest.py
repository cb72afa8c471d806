import gc
import os
import signal
import tty

import pytest
from amaranth.hdl import Elaboratable

# In the background of a shell SIGINT is ignored, by children too; tests interrupt some.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
