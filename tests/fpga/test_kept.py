import os
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from positcore.cli import main
from positcore.folder_lock import lock_folder
from positcore.fpga import kept as keeping
from positcore.fpga.kept import build_folder, keep, kept, packed, report_folder, unpacked

KEY = ("a", "b")


@pytest.fixture
def place(monkeypatch, tmp_path):
    monkeypatch.setenv("POSITCORE_CACHE", str(tmp_path))
    return tmp_path / "synth"


def aged(folder, seconds):
    """A folder of a run, last written to so long ago."""
    folder.mkdir(parents=True)
    (folder / "top.json").write_text("{}")
    os.utime(folder, (time.time() - seconds,) * 2)
    return folder


def test_what_is_kept_is_found(place):
    keep(KEY, {"one": "1", "two": packed(b"2")})
    assert kept(KEY, ("two", "one"), lambda two, one: (unpacked(two), int(one))) == (b"2", 1)
    assert kept(KEY, ("three",), str) is None
    assert kept(("a",), ("one",), str) is None


@pytest.mark.parametrize("text", ["", "eJw", packed(b"2" * 50)[:-8], packed(b"2" * 50)[:8] + "AAAA", "{}", "né"])
def test_what_cannot_be_read_is_not_there(place, text):
    keep(KEY, {"one": text})
    assert kept(KEY, ("one",), unpacked) is None


def test_folders_of_runs_that_were_killed_go(place):
    killed, held, other = (aged(place / name, 999) for name in ("build-killed", "build-held", "mine"))
    young = aged(place / "build-young", 0)
    with lock_folder(held), build_folder() as name:
        assert not killed.exists()
        assert all(folder.exists() for folder in (young, held, other, Path(name)))
        with pytest.raises(BlockingIOError), lock_folder(Path(name)):
            pass
    assert not Path(name).exists()


def test_without_locks_a_folder_goes_after_a_day(place, monkeypatch):
    @contextmanager
    def unheld(folder, wait=False):
        yield False

    monkeypatch.setattr(keeping, "lock_folder", unheld)
    hour, days = aged(place / "build-hour", 3600), aged(place / "build-days", 2 * 86400)
    with build_folder():
        assert (hour.exists(), days.exists()) == (True, False)


def test_a_cache_that_cannot_be_used(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("POSITCORE_CACHE", str(tmp_path / "file"))
    message = rf"^synthesis: {report_folder()} cannot hold what the tools write \(Not a directory\); make room there, "
    for use in (lambda: build_folder().__enter__(), lambda: keep(KEY, {})):
        with pytest.raises(OSError, match=message + "or name another folder by POSITCORE_CACHE$"):
            use()


def test_a_cut_entry_is_made_anew(yosys, cache, capsys):
    words = ["synth", "mul", "--format", "8,2"]
    assert main(words) == 0
    shown = capsys.readouterr()
    (entry,) = cache.glob("*.json")
    whole = entry.read_text()
    for cut in (whole.replace("num_cells_by_type", "num"), whole.replace("Longest", "Long"), whole[:-9]):
        entry.write_text(cut)
        assert main(words) == 0
        assert capsys.readouterr() == shown
        assert entry.read_text() == whole
    assert len(yosys.scripts) == 4
