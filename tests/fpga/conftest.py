import pytest

from tests.fpga.recorded import install


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "synth"


@pytest.fixture
def yosys(monkeypatch, cache):
    return install(monkeypatch, cache.parent)
