"""From RTLIL to a native library: C++ of CXXRTL or of `sliced`, g++, ctypes, and a cache that processes share."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path

from positcore.errors import BuildError, MissingToolError
from positcore.files import cache_root
from positcore.hw.yosys import rtlil_to_cxxrtl, yosys_version
from positcore.scratch import scratch_folder
from positcore.sim.cxxrtl import runtime_folder, runtime_header

__all__ = ["cache_folder", "compile_library", "compile_sliced"]

_MAKERS = (  # what turns a design into C++: a change in any of them makes other libraries
    "flat_netlist.py",
    "gate_network.py",
    "gate_packing.py",
    "gate_words.py",
    "gates.py",
    "sliced.py",
)

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

    def build(folder: Path) -> None:
        runtime = _precompiled_runtime(compiler, version, flags)
        options = [f"-I{runtime_folder()}", "-I.", "-include", str(runtime), "-shared", "unit.cpp", "-o", "unit.so"]
        _compile([compiler, *flags, *options], folder)

    return _kept([source, runtime_header(), *headers.values(), *flags, version], lambda: source, headers, build)


def compile_sliced(rtlil: str, driver: str, ties: Mapping[str, int] | None = None) -> ctypes.CDLL:
    """The native library of 512 copies of a design in lockstep (`positcore.sim.sliced`), and of C++ around them.

    Kept and shared as by `compile_library`. It is made for this very processor, and kept for it.

    Parameters
    ----------
    rtlil : str
        A design whose top module is called `unit`; the C++ sees it as the struct `Unit`, out of reset.
    driver : str
        C++ that follows it, with `extern "C"` functions; it may use what `lockstep.h` has.
    ties : mapping of str to int, optional
        Inputs that never change.

    Raises
    ------
    MissingToolError
        If there is no C++ compiler.
    """
    from positcore.sim.sliced import sliced_graph, sliced_source

    compiler = os.environ.get("CXX", "g++")
    version = _compiler_version(compiler) + _target(compiler) + yosys_version()
    headers = {name: (files("positcore.sim") / name).read_text() for name in ("sliced.h", "lockstep.h")}
    makers = [(files("positcore.sim") / name).read_text() for name in _MAKERS]
    makers += [(files("positcore.hw") / "netlist.py").read_text()]
    flags = ["-std=c++20", "-O1", "-march=native", "-fPIC", "-fvisibility=hidden", "-w"]

    def source() -> str:
        return f'#include "lockstep.h"\nusing namespace sliced;\n{sliced_source(sliced_graph(rtlil, ties))}\n{driver}'

    def build(folder: Path) -> None:
        _compile([compiler, *flags, "-I.", "-shared", "unit.cpp", "-o", "unit.so"], folder)

    key = [rtlil, driver, repr(sorted((ties or {}).items())), *makers, *headers.values(), *flags, version]
    return _kept(key, source, headers, build)


def _kept(
    key: list[str], source: Callable[[], str], headers: dict[str, str], build: Callable[[Path], None]
) -> ctypes.CDLL:
    """The library under the hash of all that it is made from; made, if it is not there or damaged."""
    library = cache_folder() / f"{hashlib.sha256(chr(0).join(key).encode()).hexdigest()[:32]}.so"
    if library.exists():
        with suppress(OSError):  # damaged after it was made: a crash of the machine, a full disk under a copied cache
            return ctypes.CDLL(str(library))
        library.unlink(missing_ok=True)
    _make(library, source, headers, build)
    return ctypes.CDLL(str(library))


def _make(library: Path, source: Callable[[], str], headers: dict[str, str], build: Callable[[Path], None]) -> None:
    """Compile a library aside and give it its name."""
    try:
        with scratch_folder(library.parent) as folder:
            for file, text in {"unit.cpp": source(), **headers}.items():
                (folder / file).write_text(text)
            build(folder)
            with (folder / "unit.so").open("rb") as made:
                os.fsync(made.fileno())  # a name is never on disk before what it names
            os.replace(folder / "unit.so", library)
    except OSError as error:
        raise BuildError(
            f"compiled simulation: {library.parent} cannot hold it ({error.strerror}); make room there, or name "
            "another folder by POSITCORE_CACHE"
        ) from None


def _precompiled_runtime(compiler: str, version: str, flags: list[str]) -> Path:
    """A header of CXXRTL's runtime, with its precompiled form beside it, which halves the time of a build."""
    include, header = f"-I{runtime_folder()}", runtime_header()
    key = hashlib.sha256("\0".join([version, include, header, *flags]).encode()).hexdigest()[:32]
    kept = cache_folder() / f"runtime-{key}"
    if not kept.is_dir():
        with scratch_folder(cache_folder()) as made:
            folder = made / "runtime"
            folder.mkdir()
            (folder / "runtime.h").write_text(header)
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
def _target(compiler: str) -> str:
    """What the compiler makes of this machine's processor."""
    command = [compiler, "-march=native", "-Q", "--help=target"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else platform.processor() + platform.machine()


@cache
def _compiler_version(compiler: str) -> str:
    if shutil.which(compiler) is None:
        raise MissingToolError(f"C++ compiler {compiler}", "the compiled simulation", INSTALL_COMPILER)
    return subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
