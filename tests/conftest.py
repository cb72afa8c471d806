import gc

import pytest
from amaranth.hdl import Elaboratable


@pytest.fixture
def unbuilt(monkeypatch):
    """For tests whose components are never elaborated, of which Amaranth would warn."""
    monkeypatch.setattr(Elaboratable, "_MustUse__silence", True)
    yield
    gc.collect()
