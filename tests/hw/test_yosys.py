import pytest

from positcore.errors import BuildError
from positcore.hw.yosys import without_processes


def test_a_cache_that_cannot_hold_yosys(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "file" / "home"))
    with pytest.raises(
        BuildError,
        match=r"Yosys is compiled in its first run, and cannot be kept \(failed to create cache directory: "
        r".*/file/home/.*\); make that folder writable, or name another one by XDG_CACHE_HOME",
    ):
        without_processes("module \\top\nend\n")
