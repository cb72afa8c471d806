import pytest

from tests.fpga.recorded import install, install_nextpnr


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "synth"


@pytest.fixture
def yosys(monkeypatch, cache):
    return install(monkeypatch, cache.parent)


@pytest.fixture
def nextpnr(monkeypatch):
    return install_nextpnr(monkeypatch)
