"""Tests of the tests: each fault of `tests/rtl_faults.py`, planted in the RTL, is caught by ordinary tests."""

import json
import re
import signal
import subprocess
import sys
import time
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
ORDINARY = ("codes compared as unsigned integers", "a full ring is written")  # planted in the ordinary run
# A wrong result, a broken protocol, a latency that is not what it should be, or a checker's complaint about one.
VERDICTS = (
    r"assert |AssertionError|Failed: DID NOT RAISE|Failed: Timeout|TimeoutError"
    r"|positcore\.errors\.MismatchError|positcore\.sim\.(stream\.StreamError|gemm\.BusError|report\.Campaign)"
    r"|ValueError: (AndGraph: .* paths of different latency|prove: .* registers before an output)"
    r"|RuntimeError: GemmDriver: the gemm |ValueError: GemmDriver: no gemm answers: "
)


HARMLESS = Fault(
    "harmless",
    "hw/order.py",
    '"le": less | equal',
    '"le": equal | less',
    ("hw/test_order.py::test_all_pairs[posit<3,0>]",),
)
SOUND = "no fault"


class Runs:
    """The server that runs tests with faults and without, and what came of them."""

    def __init__(self, folder: Path, faults: list[Fault]):
        self.folder = folder
        sound = Tree.with_hardware(folder / "sound")
        jobs = {
            fault.name: (sound.with_fault(fault, folder / f"tree-{i}"), fault.tests) for i, fault in enumerate(faults)
        }
        jobs[SOUND] = sound, tuple(dict.fromkeys(test for fault in faults for test in fault.tests))
        self._outputs = {name: folder / f"output-{i}" for i, name in enumerate(jobs)}
        listed = [
            {
                "tree": str(tree.folder), "tests": tests, "output": str(self._outputs[name]),
                "cache": str(folder / "simulations"),
            }
            for name, (tree, tests) in jobs.items()
        ]  # fmt: skip
        (folder / "jobs.json").write_text(json.dumps(listed))
        command = [
            sys.executable,
            str(ROOT / "tests" / "fault_server.py"),
            str(sound.folder),
            str(folder / "jobs.json"),
        ]
        with (folder / "server").open("w") as told:
            self.server = subprocess.Popen(
                [*command, str(pc.get_num_threads())], cwd=sound.folder, env=sound.environment(), stdout=told,
                stderr=told, start_new_session=True,
            )  # fmt: skip

    def result(self, name: str) -> tuple[int, str]:
        """Pytest's exit status and what it said."""
        output = self._outputs[name]
        status = output.with_name(output.name + ".status")
        while not status.exists() and self.server.poll() is None:
            time.sleep(0.05)
        assert status.exists(), (self.folder / "server").read_text()[-3000:]
        return int(status.read_text()), output.read_text()[-4000:]

    def stop(self) -> None:
        """End the server, and what it runs."""
        if self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
        self.server.wait()


@pytest.fixture(scope="module")
def runs(request, tmp_path_factory):
    """The runs of the faults that are tested in this session, several at a time, and of their tests without a fault."""
    yosys.prepare()
    items = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    wanted = [item.callspec.params["fault"] for item in items if "runs" in item.fixturenames]
    found = Runs(tmp_path_factory.mktemp("faults"), [HARMLESS, *wanted])
    yield found
    found.stop()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=fault.name, marks=() if fault.name in ORDINARY else pytest.mark.slow)
        for fault in RTL_FAULTS
    ],
)
def test_fault_is_caught(fault, runs):
    status, text = runs.result(fault.name)
    assert status == 1, text
    assert re.search(r"^1 (failed|error)(, \d+ (passed|deselected))* in [^,]*$", text, re.MULTILINE), text
    (reason,) = re.findall(r"^(?:FAILED|ERROR) \S.*? - (.*)$", text, re.MULTILINE)
    assert re.match(VERDICTS, reason), text


def test_without_a_fault_they_pass(runs):
    status, text = runs.result(SOUND)
    assert status == 0, text
    assert re.search(r"^\d+ passed(, \d+ deselected)? in [^,]*$", text, re.MULTILINE), text


def test_a_fault_that_changes_nothing_survives(runs):
    status, text = runs.result(HARMLESS.name)
    assert status == 0, text


def test_a_fault_must_find_its_place():
    lost = replace(RTL_FAULTS[0], old="no such fragment")
    with pytest.raises(AssertionError, match=f"{lost.name}: hw/decode.py has the fragment 0 times, not 1"):
        lost.planted((ROOT / lost.path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("fault", RTL_FAULTS, ids=lambda fault: fault.name)
def test_every_fault_finds_its_place(fault):
    text = (ROOT / fault.path).read_text(encoding="utf-8")
    assert fault.planted(text) != text


@pytest.mark.parametrize("test", sorted({test.partition("[")[0] for fault in RTL_FAULTS for test in fault.tests}))
def test_every_test_that_is_named_exists(test):
    path, _, name = test.partition("::")
    text = (ROOT / "tests" / path).read_text(encoding="utf-8")
    assert re.search(rf"^def {name or 'test_.*'}\(", text, re.MULTILINE), test


def test_the_list():
    assert len(RTL_FAULTS) >= 60
    assert len({fault.name for fault in RTL_FAULTS}) == len(RTL_FAULTS)
    assert all(fault.old != fault.new and fault.tests for fault in RTL_FAULTS)
    assert {fault.name for fault in RTL_FAULTS} >= set(ORDINARY)
    # Every generator has some, but for those that only declare or name things, or emit text.
    files = {path.name for path in (ROOT / "hw").glob("*.py")} - {Path(fault.path).name for fault in RTL_FAULTS}
    assert files == {
        "__init__.py", "block_design.py", "board.py", "driver.py", "emit.py", "expressions.py", "gemm_job.py",
        "golden.py", "link_protocol.py", "liveness.py", "mac.py", "netlist.py", "parameters.py", "raw.py",
        "register_header.py", "registry.py", "rows.py", "units.py", "verilog.py", "yosys.py",
    }  # fmt: skip
    assert len(UNITS) == 28


def test_the_table_of_the_docs():
    """`python -m tests.rtl_faults` prints it."""
    assert table(RTL_FAULTS) in (ROOT / "docs" / "verification.md").read_text(encoding="utf-8")
