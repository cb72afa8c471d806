"""Tests of the tests: each fault of `tests/faults.py`, planted in a copy of the package, is caught by ordinary tests.

The copy brings the compiled kernels along, those of modules that depend on the file with the fault excepted, as numba
looks at no other file than the kernel's own to tell whether a compiled one is still valid.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pytest

import positcore as pc
from tests.faults import FAULTS, Fault, table

ROOT = Path(__file__).parents[1]
LEFT_OUT = ["__pycache__", "data", "nn", "cli", "hw", "sim", "fpga"]  # what no selected test needs
PLAIN = {"format", "mac", "threads", "errors", "version"}  # modules of which nothing gets into another's kernels
CONFTEST = """
from pathlib import Path

import positcore

assert Path(positcore.__file__).parent == Path(__file__).parent / "positcore"
"""


class Tree:
    """A copy of the sources, the tests and the compiled kernels, in which tests can be run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of_project(cls, folder: Path) -> "Tree":
        """Sources as they are, and the kernels that were compiled after the last change of anything they depend on."""
        tree = cls(folder)
        for name in ("positcore", "tests"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns(*LEFT_OUT))
        shutil.copy(ROOT / "pyproject.toml", folder)
        (folder / "conftest.py").write_text(CONFTEST)
        sources, needs = tree.sources(), tree.needs
        for module, path in sources.items():
            newest = max(sources[name].stat().st_mtime for name in needs[module])
            compiled = ROOT / path.relative_to(folder).parent / "__pycache__"
            for index in compiled.glob(f"{path.stem}.*.nbi"):
                if index.stat().st_mtime > newest:
                    (path.parent / "__pycache__").mkdir(exist_ok=True)
                    for file in [index, *compiled.glob(f"{index.stem}.*.nbc")]:
                        shutil.copy2(file, path.parent / "__pycache__")
        return tree

    def sources(self) -> dict[str, Path]:
        """Modules by their names below `positcore`."""
        package = self.folder / "positcore"
        return {
            ".".join(path.relative_to(package).with_suffix("").parts): path for path in sorted(package.rglob("*.py"))
        }

    @cached_property
    def needs(self) -> dict[str, set[str]]:
        """For each module, itself and those whose functions and constants may be part of its kernels."""
        imported, found = {}, {}
        for module, path in self.sources().items():
            names = set()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom):
                    names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            imported[module] = {name.removeprefix("positcore.") for name in names} - PLAIN
        for module in imported:
            found[module], todo = set(), [module]
            while todo:
                name = todo.pop()
                if name in imported and name not in found[module]:
                    found[module].add(name)
                    todo += imported[name]
        return found

    def with_fault(self, fault: Fault, folder: Path) -> "Tree":
        """A tree that shares all files but the one with the fault, and lacks the kernels that it may be part of."""
        shutil.copytree(self.folder, folder, copy_function=os.link)
        tree = Tree(folder)
        path = folder / "positcore" / fault.path
        text, time = path.read_text(encoding="utf-8"), path.stat().st_mtime_ns
        path.unlink()
        path.write_text(fault.planted(text), encoding="utf-8")
        os.utime(path, ns=(time, time))  # so that kernels it is no part of are kept; the others go below
        changed = fault.path.removesuffix(".py").replace("/", ".")
        sources = tree.sources()
        for module, needed in self.needs.items():
            if changed in needed:
                for compiled in (sources[module].parent / "__pycache__").glob(f"{sources[module].stem}.*"):
                    compiled.unlink()
        return tree

    def run(self, *tests: str) -> subprocess.CompletedProcess[str]:
        """Run tests in a process of their own, which imports this tree."""
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
        settings = {
            "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "1000",
            "POSITCORE_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
        }  # fmt: skip
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "--tb=short", "-p", "no:cacheprovider"]
        with tempfile.TemporaryDirectory() as scratch:
            return subprocess.run(
                [*command, "--basetemp", f"{scratch}/tmp", *(f"tests/{test}" for test in tests)],
                cwd=self.folder, env=kept | settings | {"POSITCORE_CACHE": f"{scratch}/cache"},
                capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A tree without a fault in which all selected tests pass."""
    tree = Tree.of_project(tmp_path_factory.mktemp("sound"))
    tests = list(dict.fromkeys(test for fault in FAULTS for test in fault.tests))
    threads = pc.get_num_threads()
    with ThreadPoolExecutor(threads) as executor:
        for run in executor.map(lambda part: tree.run(*part), [tests[i::threads] for i in range(threads)]):
            assert run.returncode == 0, run.stdout + run.stderr
            assert re.search(r"^\d+ passed in [^,]*$", run.stdout, re.MULTILINE), run.stdout
    return tree


@pytest.fixture(scope="module")
def runs(sound, request, tmp_path_factory):
    """The runs of the faults that are tested in this session, several at a time."""
    wanted = [item.callspec.params["fault"] for item in request.session.items if "runs" in item.fixturenames]

    def run(fault, folder):
        done = sound.with_fault(fault, folder).run(*fault.tests)
        shutil.rmtree(folder)
        return done

    executor = ThreadPoolExecutor(pc.get_num_threads())
    yield {fault.name: executor.submit(run, fault, tmp_path_factory.mktemp("fault") / "tree") for fault in wanted}
    executor.shutdown(cancel_futures=True)


def some_of_all():
    """The faults; but for the first of every second file they are marked slow."""
    first = {fault.path: fault for fault in reversed(FAULTS)}
    kept = [fault for fault in FAULTS if first[fault.path] is fault][::2]
    return [pytest.param(fault, id=fault.name, marks=() if fault in kept else pytest.mark.slow) for fault in FAULTS]


@pytest.mark.parametrize("fault", some_of_all())
def test_fault_is_caught(fault, runs):
    run = runs[fault.name].result()
    text = f"{fault.name}\n{run.stdout[-3000:]}{run.stderr[-3000:]}"
    assert run.returncode == 1, text
    assert re.search(r"^1 failed(, \d+ passed)? in [^,]*$", run.stdout, re.MULTILINE), text
    # A wrong result, or the model's own complaint about one: not a program that does not run.
    (reason,) = re.findall(r"^FAILED \S.*? - (.*)$", run.stdout, re.MULTILINE)
    assert re.match(r"assert |AssertionError|Failed: DID NOT RAISE|ArithmeticError: \w+: \d+ results", reason), text


def test_a_fault_that_changes_nothing_survives(sound, tmp_path):
    """The runs fail for the fault, not for the way they are run."""
    harmless = Fault(
        "harmless", "codec.py", "_GRAIN = 1 << 16", "_GRAIN = 1 << 15", ("test_codec.py::test_shapes_and_dtypes",)
    )
    run = sound.with_fault(harmless, tmp_path / "tree").run(*harmless.tests)
    assert run.returncode == 0, run.stdout


def test_a_fault_must_find_its_place(sound, tmp_path):
    lost = replace(FAULTS[0], old="no such fragment")
    with pytest.raises(AssertionError, match=f"{lost.name}: codec.py has the fragment 0 times, not 1"):
        sound.with_fault(lost, tmp_path / "tree")


def test_the_list():
    assert len(FAULTS) >= 30
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert all(fault.old != fault.new and fault.tests for fault in FAULTS)


def test_the_table_of_the_docs():
    """`python tests/faults.py` prints it."""
    assert table() in (ROOT / "docs" / "verification.md").read_text(encoding="utf-8")
