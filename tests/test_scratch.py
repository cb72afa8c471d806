"""Folders of runs: gone after them, and after those of processes that were killed."""

import os
import time
from contextlib import contextmanager

import pytest

from positcore import scratch
from positcore.folder_lock import lock_folder
from positcore.scratch import scratch_folder


def aged(folder, seconds):
    """A folder of a run, last written to so long ago."""
    folder.mkdir(parents=True)
    (folder / "top.json").write_text("{}")
    os.utime(folder, (time.time() - seconds,) * 2)
    return folder


def test_folders_of_runs_that_were_killed_go(tmp_path):
    killed, held, other = (aged(tmp_path / name, 999) for name in ("build-killed", "build-held", "mine"))
    young = aged(tmp_path / "build-young", 0)
    with lock_folder(held), scratch_folder(tmp_path) as made:
        assert not killed.exists()
        assert all(folder.exists() for folder in (young, held, other, made))
        with pytest.raises(BlockingIOError), lock_folder(made):
            pass
    assert not made.exists()


def test_without_locks_a_folder_goes_after_a_day(tmp_path, monkeypatch):
    @contextmanager
    def unheld(folder, wait=False):
        yield False

    monkeypatch.setattr(scratch, "lock_folder", unheld)
    hour, days = aged(tmp_path / "build-hour", 3600), aged(tmp_path / "build-days", 2 * 86400)
    with scratch_folder(tmp_path):
        assert (hour.exists(), days.exists()) == (True, False)
