from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from importlib import import_module

import pytest

from positcore import __version__
from positcore.cli import COMMANDS, main
from positcore.errors import GemmError, MismatchError, MissingToolError


def python(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60, check=False)


def test_python_m_positcore():
    done = python("-m", "positcore", "decode", "--format", "8,2", "0x45")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1.625" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["decode", "--format", "8,2", "-1"], "must be an integer in 0..255"),
        (["decode", "--format", "99", "1"], "n must be an integer in 2..32, not 99"),
        (["frobnicate"], "frobnicate"),
        ([], "COMMAND"),
    ],
)
def test_usage_errors_from_the_shell(words, message):
    done = python("-m", "positcore", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"positcore {__version__}\n"


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n    {name} " in shown


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (MismatchError("code 3 is wrong"), 1, "positcore: code 3 is wrong\n"),
        (ValueError("n must be small"), 2, "positcore: n must be small\n"),
        (TypeError("n must be whole"), 2, "positcore: n must be whole\n"),
        (MissingToolError("tool", "this", "apt-get install tool"), 2,
         "positcore: tool not found, needed for this; install it: apt-get install tool\n"),
        (GemmError("the gemm stands still; reset it"), 2, "positcore: the gemm stands still; reset it\n"),
        (FileNotFoundError(2, "No such file or directory", "x"), 2,
         "positcore: [Errno 2] No such file or directory: 'x'\n"),
        (ModuleNotFoundError("no torch", name="torch"), 2,
         "positcore: Python package torch not found, needed for positcore info; install it: pip install "),
        (KeyboardInterrupt(), 130, "positcore: interrupted\n"),
    ],
)  # fmt: skip
def test_exit_codes(monkeypatch, capsys, error, status, message):
    def fail(args):
        raise error

    monkeypatch.setattr(import_module("positcore.cli.info"), "run", fail)
    assert main(["info", "--format", "8,2"]) == status
    shown = capsys.readouterr().err
    assert shown.startswith(message)
    assert shown.count("\n") == 1


def test_our_own_missing_module_is_a_bug_and_shows(monkeypatch):
    def fail(args):
        raise ModuleNotFoundError("no", name="positcore.absent")

    monkeypatch.setattr(import_module("positcore.cli.info"), "run", fail)
    with pytest.raises(ModuleNotFoundError, match="no"):
        main(["info", "--format", "8,2"])


def test_a_killed_command_takes_its_tools_along_and_leaves_nothing(tmp_path):
    """SIGTERM while a tool runs, which here tells its number and sleeps."""
    tool = "import os, time; open('told', 'w').write(str(os.getpid())); os.rename('told', {0!r}); time.sleep(600)"
    program = (
        "import sys\nfrom positcore.cli import main\nfrom positcore.fpga import yowasp\n"
        f"yowasp.PROGRAM = {tool.format(str(tmp_path / 'number'))!r}\n"
        "sys.exit(main(['synth', 'neg', '--format', '4,0', '--place', '-o', 'r.json']))\n"
    )
    command = [sys.executable, "-c", program]
    environment = os.environ | {"POSITCORE_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as running:
        while not (tmp_path / "number").exists() and running.poll() is None:
            time.sleep(0.05)
        number = int((tmp_path / "number").read_text())
        os.kill(number, 0)
        running.send_signal(signal.SIGTERM)
        assert running.stderr.read() == "positcore: interrupted\n"
    assert running.returncode == 130
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["number"]
    assert not list((tmp_path / "cache" / "synth").iterdir())


def test_a_handler_of_signals_is_put_back_and_that_of_a_caller_stays(monkeypatch):
    seen = []
    module = import_module("positcore.cli.info")
    monkeypatch.setattr(module, "run", lambda args: seen.append(signal.getsignal(signal.SIGTERM)) or 0)
    before = signal.getsignal(signal.SIGTERM)
    try:
        for handler in (signal.SIG_DFL, signal.SIG_IGN):
            signal.signal(signal.SIGTERM, handler)
            assert main(["info", "--format", "8,2"]) == 0
            assert signal.getsignal(signal.SIGTERM) == handler
    finally:
        signal.signal(signal.SIGTERM, before)
    assert callable(seen[0])
    assert seen[1] == signal.SIG_IGN
    thread = threading.Thread(target=main, args=(["info", "--format", "8,2"],))
    thread.start()
    thread.join()
    assert len(seen) == 3


HEAVY = ("torch", "numba", "llvmlite", "amaranth", "cocotb", "mpmath", "matplotlib", "tqdm", "urllib.request")


@pytest.mark.parametrize(
    "statement",
    [
        "import positcore",
        "import positcore.data",
        "from positcore.cli import main; main(['info', '--format', '8,2'])",
        "from positcore.cli import main; main(['encode', '--format', '8,2', '1/3'])",
        "from positcore.data import load; load('fashion-mnist-subset', 'test').normalized()",
    ],
)
def test_start_up_is_light(statement):
    done = python("-c", f"{statement}\nimport sys\nprint(*(name for name in {HEAVY} if name in sys.modules))")
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == ""


def test_the_start_up_test_sees_a_heavy_import():
    done = python("-c", f"import mpmath\nimport sys\nprint(*(name for name in {HEAVY} if name in sys.modules))")
    assert done.stdout == "mpmath\n"
