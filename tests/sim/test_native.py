import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import positcore as pc
from positcore.hw.emit import FlatUnit
from positcore.hw.units import Design
from positcore.sim.native import cache_folder
from positcore.sim.vectors import VectorUnit

pytestmark = pytest.mark.rtl

F = pc.PositFormat(4, 1)
CODES = np.arange(16, dtype=np.uint8)


def small_unit(**options):
    return VectorUnit(FlatUnit(Design.of("decode", F).component()), optimize="-O1", **options)


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("POSITCORE_CACHE", str(tmp_path))
    return tmp_path / "sim"


def test_cache_place(monkeypatch, tmp_path):
    monkeypatch.setenv("POSITCORE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path / "sim"
    monkeypatch.delenv("POSITCORE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "positcore" / "sim"


def test_compiled_once_and_found_again(cache, monkeypatch):
    first = small_unit().run({"code": CODES})
    (library,) = cache.glob("*.so")
    monkeypatch.setattr(subprocess, "run", _no_compiler)
    second = small_unit().run({"code": CODES})
    assert list(cache.glob("*.so")) == [library]
    for name, column in first.items():
        np.testing.assert_array_equal(column, second[name])


def test_what_a_killed_build_leaves_is_not_used(cache):
    (cache / "build-killed").mkdir(parents=True)
    (cache / "build-killed" / "unit.so").write_bytes(b"half a libra")
    assert small_unit().run({"code": CODES})["nar"].tolist() == [0] * 8 + [1] + [0] * 7
    assert len(list(cache.glob("*.so"))) == 1


def test_failed_build_leaves_nothing(cache):
    with pytest.raises(RuntimeError, match=r"g\+\+ failed on a simulation"):
        VectorUnit(FlatUnit(Design.of("decode", F).component()), optimize="-O0 --no-such-flag")
    assert list(cache.iterdir()) == []


def test_processes_build_at_once(cache):
    program = (
        "import positcore as pc\n"
        "from positcore.sim.campaign import verify\n"
        "print(verify('decode', pc.PositFormat(4, 1), waveforms=None).vectors)"
    )
    with ThreadPoolExecutor(2) as pool:
        runs = list(
            pool.map(lambda _: subprocess.run([sys.executable, "-c", program], capture_output=True, text=True), "ab")
        )
    assert [run.stdout for run in runs] == ["16\n", "16\n"], [run.stderr for run in runs]
    assert sorted(path.name.partition("-")[0][-3:] for path in cache.iterdir()) == [".so", "ime"]


def test_missing_compiler(cache, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(pc.MissingToolError, match=r"no-such-compiler not found, .* install it: apt-get install g\+\+"):
        small_unit()
    assert not cache.exists() or not list(cache.iterdir())


def test_inputs_are_checked():
    unit = small_unit()
    with pytest.raises(ValueError, match="an array for each input is needed; missing: code"):
        unit.run({"cod": CODES})
    adder = VectorUnit(FlatUnit(Design.of("add", F).component()), optimize="-O1")
    with pytest.raises(ValueError, match="inputs must be vectors of one length"):
        adder.run({"a": CODES, "b": CODES[:3]})


_run = subprocess.run


def _no_compiler(command, *args, **kwargs):
    assert "-shared" not in command, "compiled again"
    return _run(command, *args, **kwargs)
