"""The wheel that users install: everything that it must hold, nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Where each shipped package lies in the repository.
SOURCES = {"positcore": "positcore", "positcore/hw": "hw", "positcore/sim": "sim", "positcore/fpga": "fpga"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy, so that no build/ or egg-info here is read or written; without a network."""
    copy = tmp_path_factory.mktemp("copy")
    for name in {*SOURCES.values(), "tests"}:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
         "--wheel-dir", "wheels", "."],
        cwd=copy, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (copy / "wheels").iterdir()
    with zipfile.ZipFile(path) as archive:
        yield archive


def modules():
    """Every module in the repository, by its place in the wheel."""
    for package, source in SOURCES.items():
        for path in (ROOT / source).rglob("*.py"):
            yield f"{package}/{path.relative_to(ROOT / source).as_posix()}"


def test_every_module_is_shipped_and_nothing_else_is_python(wheel):
    shipped = {name for name in wheel.namelist() if name.endswith(".py")}
    assert {"positcore/__init__.py", "positcore/hw/__init__.py", "positcore/sim/__init__.py"} <= shipped
    assert shipped == set(modules())


def test_data_files_are_shipped(wheel):
    names = set(wheel.namelist())
    assert "positcore/py.typed" in names
    assert "positcore/data/fashion_mnist_subset.npz" in names
    assert "positcore/data/LICENSE.fashion-mnist.txt" in names
    for package, source in SOURCES.items():
        for path in (ROOT / source).rglob("*"):
            if path.suffix in (".cpp", ".h", ".npz"):
                assert f"{package}/{path.relative_to(ROOT / source).as_posix()}" in names


def test_top_level_is_ours_alone(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    info = {name for name in tops if name.endswith(".dist-info")}
    assert len(info) == 1
    assert tops - info == {"positcore"}  # no hw, no sim, no tests: site-packages belongs to everyone


def test_licenses_and_command(wheel):
    read = {name.split("/", 1)[1]: name for name in wheel.namelist() if ".dist-info/" in name}
    assert {"licenses/LICENSE", "licenses/positcore/data/LICENSE.fashion-mnist.txt"} <= set(read)
    assert "positcore = positcore.cli:main" in wheel.read(read["entry_points.txt"]).decode()
    metadata = wheel.read(read["METADATA"]).decode()
    assert "License-Expression: MIT" in metadata
    assert "Requires-Python: >=3.11" in metadata


def test_the_bare_install_needs_numpy_and_numba_alone(wheel):
    name = next(name for name in wheel.namelist() if name.endswith("/METADATA"))
    needed = [line for line in wheel.read(name).decode().splitlines() if line.startswith("Requires-Dist:")]
    bare = [line.split()[1].split(">")[0] for line in needed if "extra ==" not in line]
    assert bare == ["numpy", "numba"]


def test_constraints_pin_what_the_project_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert pins["torch"] == "2.13.0"  # without +cpu: every index has that version
    named = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    for requirement in named:
        name = requirement.split(">")[0].split("[")[0]
        assert name in {"positcore", "setuptools"} | set(pins), f"{name} is not pinned in constraints.txt"


def test_the_checks_of_a_change_are_the_commands_of_the_readme():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=10)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in ("make lint", "make test"):
        assert command in script.read_text(encoding="utf-8")
        assert command in readme
