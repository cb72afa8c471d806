"""Tests of the tests: each fault of `tests/rtl_faults.py`, planted in the RTL, is caught by ordinary tests."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import positcore as pc
from positcore.hw.units import UNITS
from tests import yosys
from tests.faults import Fault, table
from tests.rtl_faults import RTL_FAULTS
from tests.trees import Tree

pytestmark = pytest.mark.rtl

ROOT = Path(__file__).parents[1]
ORDINARY = (  # planted in the ordinary run: one of each kind of check
    "codes compared as unsigned integers",
    "a pipeline's register is missing for one field",
    "a full ring is written",
    "valid falls while the result waits",
)
# A wrong result, a broken protocol, a latency that is not what it should be, or a checker's complaint about one.
VERDICTS = (
    r"assert |AssertionError|Failed: DID NOT RAISE|Failed: Timeout|TimeoutError"
    r"|positcore\.errors\.MismatchError|positcore\.sim\.(stream\.StreamError|gemm\.BusError|report\.Campaign)"
    r"|ValueError: (AndGraph: .* paths of different latency|prove: .* registers before an output)"
    r"|RuntimeError: GemmDriver: the gemm "
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A tree without a fault."""
    yosys.prepare()
    return Tree.with_hardware(tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def runs(sound, request, tmp_path_factory):
    """The runs of the faults that are tested in this session, and of their tests without a fault, several at a time."""
    wanted = [item.callspec.params["fault"] for item in request.session.items if "runs" in item.fixturenames]
    cache = tmp_path_factory.mktemp("simulations")

    def run(fault, folder):
        done = sound.with_fault(fault, folder).run(*fault.tests, cache=cache)
        shutil.rmtree(folder)
        return done

    threads = pc.get_num_threads()
    executor = ThreadPoolExecutor(threads)
    tests = list(dict.fromkeys(test for fault in wanted for test in fault.tests))
    found = {
        part: executor.submit(sound.run, *part, cache=cache)
        for part in (tuple(tests[i::threads]) for i in range(threads))
        if part
    }
    found |= {fault.name: executor.submit(run, fault, tmp_path_factory.mktemp("fault") / "tree") for fault in wanted}
    yield found
    executor.shutdown(cancel_futures=True)


def test_without_a_fault_they_pass(runs):
    sound_runs = [run.result() for tests, run in runs.items() if isinstance(tests, tuple)]
    assert sound_runs
    for run in sound_runs:
        assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
        assert re.search(r"^\d+ passed in [^,]*$", run.stdout, re.MULTILINE), run.stdout


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=fault.name, marks=() if fault.name in ORDINARY else pytest.mark.slow)
        for fault in RTL_FAULTS
    ],
)
def test_fault_is_caught(fault, runs):
    run = runs[fault.name].result()
    text = f"{fault.name}\n{run.stdout[-3000:]}{run.stderr[-3000:]}"
    assert run.returncode == 1, text
    assert re.search(r"^1 (failed|error)(, \d+ passed)? in [^,]*$", run.stdout, re.MULTILINE), text
    (reason,) = re.findall(r"^(?:FAILED|ERROR) \S.*? - (.*)$", run.stdout, re.MULTILINE)
    assert re.match(VERDICTS, reason), text


def test_a_fault_that_changes_nothing_survives(sound, tmp_path):
    harmless = Fault(
        "harmless", "hw/order.py", '"le": less | equal', '"le": equal | less', ("hw/test_order.py::test_all_pairs",)
    )
    run = sound.with_fault(harmless, tmp_path / "tree").run(*harmless.tests)
    assert run.returncode == 0, run.stdout


def test_a_fault_must_find_its_place():
    lost = replace(RTL_FAULTS[0], old="no such fragment")
    with pytest.raises(AssertionError, match=f"{lost.name}: hw/decode.py has the fragment 0 times, not 1"):
        lost.planted((ROOT / lost.path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("fault", RTL_FAULTS, ids=lambda fault: fault.name)
def test_every_fault_finds_its_place(fault):
    text = (ROOT / fault.path).read_text(encoding="utf-8")
    assert fault.planted(text) != text


def test_the_list():
    assert len(RTL_FAULTS) >= 60
    assert len({fault.name for fault in RTL_FAULTS}) == len(RTL_FAULTS)
    assert all(fault.old != fault.new and fault.tests for fault in RTL_FAULTS)
    assert {fault.name for fault in RTL_FAULTS} >= set(ORDINARY)
    # Every generator has some, but for those that only declare or name things, or emit text.
    files = {path.name for path in (ROOT / "hw").glob("*.py")} - {Path(fault.path).name for fault in RTL_FAULTS}
    assert files == {
        "__init__.py", "driver.py", "emit.py", "expressions.py", "golden.py", "liveness.py", "mac.py", "netlist.py",
        "parameters.py", "raw.py", "registry.py", "rows.py", "units.py", "verilog.py", "yosys.py",
    }  # fmt: skip
    assert len(UNITS) == 28


def test_the_table_of_the_docs():
    """`python -m tests.rtl_faults` prints it."""
    assert table(RTL_FAULTS) in (ROOT / "docs" / "verification.md").read_text(encoding="utf-8")
