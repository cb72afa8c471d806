import stat

import pytest

from positcore.files import write_aside


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
