"""Runs tests in many copies of the package, each in a child forked from one process that has imported what they share.

    python tests/fault_server.py SOUND JOBS WORKERS

SOUND is a tree without a fault (`tests.trees`), JOBS a JSON list of {"tree", "tests", "output", "cache"}. A child
imports generators, simulators and tests anew, from its own tree. It writes what pytest says to "output", and its exit
status to "output" with `.status` after it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

PATIENCE = 1800  # seconds


def prepare(sound: str) -> None:
    """Import what all children share, and load the compiled kernels of the golden model.

    No generator and no simulator: a kernel that is loaded a second time, from another tree, finds numba's symbols of
    the first in its way.
    """
    os.chdir(sound)
    sys.path.insert(0, sound)
    import pytest  # noqa: F401

    import positcore as pc
    from tests import yosys

    assert Path(pc.__file__).parent == Path(sound) / "positcore"
    yosys.prepare()
    fmt = pc.PositFormat(8, 2)
    one = fmt.encode([1.0])
    for function in (pc.add, pc.sub, pc.mul, pc.div):
        function(fmt, one, one)
    pc.fma(fmt, one, one, one)
    pc.sqrt(fmt, one)
    pc.matmul(pc.MacSpec(fmt), one[None], one[:, None])
    assert not {"positcore.hw", "positcore.sim"} & sys.modules.keys()


def child(job: dict[str, object]) -> int:
    """Run the tests of a job in its tree; gives pytest's exit status."""
    os.setsid()
    tree = str(job["tree"])
    handle = os.open(str(job["output"]), os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.environ |= {"POSITCORE_CACHE": str(job["cache"]), "PYTHONPATH": tree, "COLUMNS": "1000"}
    for name in [*sys.modules]:
        if name.partition(".")[0] == "tests" and name != "tests.yosys":
            del sys.modules[name]
    import pytest

    import positcore as pc

    pc.__path__[:], pc.__file__ = [f"{tree}/positcore"], f"{tree}/positcore/__init__.py"
    os.chdir(tree)
    sys.path[0] = tree
    words = ["-x", "-q", "-rfE", "--tb=short", "-p", "no:cacheprovider", "--basetemp", f"{job['output']}.tmp"]
    tests = [os.path.normpath(f"tests/{test}") for test in job["tests"]]  # type: ignore[union-attr]
    return int(pytest.main([*words, *tests]))


def serve(jobs: list[dict[str, object]], workers: int) -> None:
    """Run all jobs, so many at a time."""
    running: dict[int, tuple[dict[str, object], float]] = {}
    waiting = list(jobs)

    def stop(*_: object) -> None:
        for process in running:
            os.killpg(process, signal.SIGKILL)
        os._exit(1)

    signal.signal(signal.SIGTERM, stop)
    while waiting or running:
        while waiting and len(running) < workers:
            job = waiting.pop(0)
            process = os.fork()
            if not process:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                status = 70
                try:
                    status = child(job)
                finally:
                    sys.stdout.flush()
                    os._exit(status)
            running[process] = (job, time.monotonic())
        process, status = os.waitpid(-1, os.WNOHANG)
        if process:
            job, _ = running.pop(process)
            Path(f"{job['output']}.status").write_text(str(os.waitstatus_to_exitcode(status)))
            continue
        for process, (_, begin) in running.items():
            if time.monotonic() - begin > PATIENCE:
                os.killpg(process, signal.SIGKILL)
        time.sleep(0.1)


if __name__ == "__main__":
    prepare(sys.argv[1])
    serve(json.loads(Path(sys.argv[2]).read_text()), int(sys.argv[3]))
