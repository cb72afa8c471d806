import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from positcore.files import check_writable, fill_folder, write_aside


def test_writes_and_makes_folders(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_aside(path, lambda aside: aside.write_text("new"))
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]
    assert stat.S_IMODE(path.stat().st_mode) & 0o400


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "b.txt"
    path.write_text("old")

    def fail(aside):
        aside.write_text("half")
        raise error

    with pytest.raises(error):
        write_aside(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["b.txt"]


def test_an_error_names_the_file_and_not_the_one_beside_it(tmp_path):
    path = tmp_path / ("x" * 250)  # whose name with more before it is too long
    with pytest.raises(OSError, match="too long") as caught:
        write_aside(path, lambda aside: aside.write_text("new"))
    assert caught.value.filename == str(path)


def test_a_link_leads_to_the_file_that_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    file, link = tmp_path / "there" / "report.json", tmp_path / "link.json"
    link.symlink_to(file)
    for text in ("made", "made anew"):
        write_aside(link, lambda aside, text=text: aside.write_text(text))
        assert link.is_symlink()
        assert file.read_text() == text
    assert [path.name for path in file.parent.iterdir()] == ["report.json"]


def test_a_fifo_stays_one_and_is_written_into(tmp_path):
    fifo, read = tmp_path / "fifo", []
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: read.append(fifo.read_text()))
    reader.start()
    write_aside(fifo, lambda aside: aside.write_text("through it"))
    reader.join()
    assert read == ["through it"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["fifo"]


def test_a_terminal_stays_one_and_is_written_into():
    master, slave = os.openpty()
    write_aside(Path(os.ttyname(slave)), lambda aside: aside.write_text("on it"))
    assert os.read(master, 100) == b"on it"
    assert stat.S_ISCHR(os.stat(os.ttyname(slave)).st_mode)
    os.close(master)
    os.close(slave)


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="no /dev/stdout")
def test_standard_output_is_written_into_wherever_it_leads(tmp_path):
    program = (
        "from pathlib import Path\nfrom positcore.files import write_aside\nprint('before')\n"
        "write_aside(Path('/dev/stdout'), lambda aside: aside.write_text('it\\n'))\nprint('after')\n"
    )
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout == "before\nit\nafter\n"
    with open(tmp_path / "out", "w") as out:
        subprocess.run(command, stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "before\nit\nafter\n"


def test_a_folder_is_made_with_its_files_or_not_at_all(tmp_path):
    fill_folder(tmp_path / "a" / "b", {"c/d": b"1", "e": b"2"})
    assert (tmp_path / "a" / "b" / "c" / "d").read_bytes() == b"1"
    with pytest.raises(OSError, match="too long"):
        fill_folder(tmp_path / "new", {"c": b"1", "x" * 300: b"2"})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_else_is_in_a_folder_stays_and_so_does_the_folder(tmp_path, monkeypatch):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "mine").write_text("mine")
    (tmp_path / "old").write_text("old")
    monkeypatch.chdir(tmp_path)
    fill_folder(".", {"src/made": b"1", "new": b"2"}, ["old", "new"])
    assert sorted(os.listdir()) == ["new", "src"]  # a folder in the place of this one would not be seen here
    assert sorted(os.listdir("src")) == ["made", "mine"]
    with pytest.raises(IsADirectoryError, match="src is a folder, where a file is to be"):
        fill_folder(".", {"new": b"3", "src": b"4"})
    with pytest.raises(OSError, match="too long"):
        fill_folder(".", {"new": b"3", "x" * 300: b"4"})
    assert (tmp_path / "new").read_bytes() == b"2"
    assert sorted(os.listdir()) == ["new", "src"]


def test_a_link_to_a_folder_stays_one(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    fill_folder(tmp_path / "link", {"made": b"1"})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "made").read_bytes() == b"1"


def test_what_may_not_be_written(tmp_path, monkeypatch):
    check_writable(tmp_path / "new" / "report.json", "synth")
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=r"build: .*/file/a/b cannot be written: .*/file is a file; name"):
        check_writable(tmp_path / "file" / "a" / "b", "build")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path and Path(path).name != "fifo")
    with pytest.raises(PermissionError, match=rf"synth: .*/new/r.json cannot be written: {tmp_path} is not writable"):
        check_writable(tmp_path / "new" / "r.json", "synth")
    with pytest.raises(PermissionError, match=f"build: {tmp_path} cannot be written: {tmp_path} is not writable"):
        check_writable(tmp_path, "build")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(PermissionError, match=r"synth: .*/fifo may not be written to; name another file"):
        check_writable(tmp_path / "fifo", "synth")
