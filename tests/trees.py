"""Copies of the package in which faults are planted, and tests run in a process of their own."""

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cached_property
from pathlib import Path

from tests.faults import Fault

ROOT = Path(__file__).parents[1]
LEFT_OUT = ["__pycache__", "data", "nn", "cli", "hw", "sim", "fpga"]  # what no test of the golden model needs
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

    @classmethod
    def with_hardware(cls, folder: Path) -> "Tree":
        """Sources and compiled kernels as they are, the generators and simulators in their places in the package."""
        tree = cls(folder)
        left_out = shutil.ignore_patterns("nn", "cli", "data", "*.pyc")
        for name in ("positcore", "tests"):
            shutil.copytree(ROOT / name, folder / name, ignore=left_out)
        for name in ("hw", "sim", "fpga"):
            shutil.copytree(ROOT / name, folder / "positcore" / name, ignore=left_out)
        shutil.copy(ROOT / "pyproject.toml", folder)
        shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("images"))
        (folder / "conftest.py").write_text(CONFTEST)
        return tree

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

    def environment(self) -> dict[str, str]:
        """Variables with which a process imports this tree, and computes in one thread."""
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
        return kept | {
            "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "1000",
            "POSITCORE_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
        }  # fmt: skip

    def run(self, *tests: str) -> subprocess.CompletedProcess[str]:
        """Run tests in a process of their own, which imports this tree."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "--tb=short", "-p", "no:cacheprovider"]
        with tempfile.TemporaryDirectory() as scratch:
            return subprocess.run(
                [*command, "--basetemp", f"{scratch}/tmp", *(f"tests/{test}" for test in tests)],
                cwd=self.folder, env=self.environment() | {"POSITCORE_CACHE": f"{scratch}/cache"},
                capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
