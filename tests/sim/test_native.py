import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import positcore as pc
from positcore.hw.decode import Decoder
from positcore.hw.emit import FlatUnit
from positcore.hw.units import Design
from positcore.sim import native
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


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """The precompiled header of CXXRTL's runtime, which takes longer than the units of these tests."""
    folder = tmp_path_factory.mktemp("runtime")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSITCORE_CACHE", str(folder))
        small_unit()
    (made,) = (folder / "sim").glob("runtime-*")
    return made


@pytest.fixture
def prepared(cache, runtime):
    """A cache that has the runtime and nothing else."""
    cache.mkdir()
    (cache / runtime.name).symlink_to(runtime)
    return cache


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
    with pytest.raises(pc.BuildError, match=r"g\+\+ failed on a simulation"):
        VectorUnit(FlatUnit(Design.of("decode", F).component()), optimize="-O0 --no-such-flag")
    assert list(cache.iterdir()) == []


def test_a_damaged_library_is_made_anew(prepared):
    small_unit()
    (library,) = prepared.glob("*.so")
    for damage in (b"", b"no library at all"):
        library.unlink()  # it may still be mapped
        library.write_bytes(damage)
        assert small_unit().run({"code": CODES})["nar"].tolist() == [0] * 8 + [1] + [0] * 7
    assert len(list(prepared.iterdir())) == 2


def test_a_changed_generator_gets_a_library_of_its_own(prepared, monkeypatch):
    """And the old one back, when it is as it was."""
    sound = small_unit().run({"code": CODES})
    original = Decoder.elaborate

    def elaborate(self, platform):
        m = original(self, platform)
        m.d.comb += self.raw.nar.eq(0)
        return m

    with monkeypatch.context() as patch:
        patch.setattr(Decoder, "elaborate", elaborate)
        assert small_unit().run({"code": CODES})["nar"].tolist() == [0] * 16
    assert len(list(prepared.glob("*.so"))) == 2
    np.testing.assert_array_equal(small_unit().run({"code": CODES})["nar"], sound["nar"])


@pytest.mark.parametrize("step", ["rtlil_to_cxxrtl", "_compile"])
def test_a_full_disk(prepared, monkeypatch, step):
    """A limit on the size of files from a step on: nothing but the source is written, or not even that."""
    small_unit()
    before = sorted(path.name for path in prepared.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    original = getattr(native, step)

    def limited(*arguments):
        if step == "rtlil_to_cxxrtl":
            text = original(*arguments)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        return text if step == "rtlil_to_cxxrtl" else original(*arguments)

    monkeypatch.setattr(native, step, limited)
    words = {
        "rtlil_to_cxxrtl": r"cannot hold it \(File too large\); make room there, or name another folder by POSITC",
        "_compile": r"g\+\+ (failed on a simulation|was killed)",
    }
    try:
        with pytest.raises(pc.BuildError, match=words[step]):
            VectorUnit(FlatUnit(Design.of("add", F).component()), optimize="-O1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in prepared.iterdir()) == before
    monkeypatch.setattr(native, step, original)
    adder = VectorUnit(FlatUnit(Design.of("add", F).component()), optimize="-O1")
    np.testing.assert_array_equal(adder.run({"a": CODES, "b": CODES})["code"], pc.add(F, CODES, CODES))


def test_a_folder_that_cannot_be(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("POSITCORE_CACHE", str(tmp_path / "file"))
    with pytest.raises(pc.BuildError, match=r"compiled simulation: .*file.sim cannot hold it \(Not a dir"):
        small_unit()


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_a_compiler_that_is_killed(cache, monkeypatch, tmp_path, signal_number):
    compiler = tmp_path / "g++"
    killed = f"echo half > unit.so; kill -{int(signal_number)} $$"
    compiler.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo a; else {killed}; fi\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(pc.BuildError, match=rf"g\+\+ was killed \(signal {int(signal_number)}\) while it compiled a s"):
        small_unit()
    assert not list(cache.iterdir())


def test_an_interrupted_build_leaves_nothing(prepared, monkeypatch):
    def interrupted(command, *args, **kwargs):
        if "-shared" in command:
            (kwargs["cwd"] / "unit.so").write_bytes(b"half")
            raise KeyboardInterrupt
        return _run(command, *args, **kwargs)

    monkeypatch.setattr(subprocess, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        small_unit()
    assert [path.name.partition("-")[0] for path in prepared.iterdir()] == ["runtime"]
    monkeypatch.setattr(subprocess, "run", _run)
    assert small_unit().run({"code": CODES})["nar"].sum() == 1


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
