"""Tests of the tests: each fault of `tests/faults.py`, planted in a copy of the package, is caught by ordinary tests.

The copy brings the compiled kernels along, those of modules that depend on the file with the fault excepted, as numba
looks at no other file than the kernel's own to tell whether a compiled one is still valid.
"""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import positcore as pc
from tests.faults import FAULTS, Fault, table
from tests.trees import Tree

ROOT = Path(__file__).parents[1]


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
    wanted = [
        item.callspec.params["fault"]
        for item in request.session.items
        if item.path == request.path and "runs" in item.fixturenames
    ]

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
