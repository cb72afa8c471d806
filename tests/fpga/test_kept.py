import pytest

from positcore.cli import main
from positcore.fpga.kept import build_folder, keep, kept, packed, report_folder, unpacked

KEY = ("a", "b")


@pytest.fixture
def place(monkeypatch, tmp_path):
    monkeypatch.setenv("POSITCORE_CACHE", str(tmp_path))
    return tmp_path / "synth"


def test_what_is_kept_is_found(place):
    keep(KEY, {"one": "1", "two": packed(b"2")})
    assert kept(KEY, ("two", "one"), lambda two, one: (unpacked(two), int(one))) == (b"2", 1)
    assert kept(KEY, ("three",), str) is None
    assert kept(("a",), ("one",), str) is None


@pytest.mark.parametrize("text", ["", "eJw", packed(b"2" * 50)[:-8], packed(b"2" * 50)[:8] + "AAAA", "{}", "né"])
def test_what_cannot_be_read_is_not_there(place, text):
    keep(KEY, {"one": text})
    assert kept(KEY, ("one",), unpacked) is None


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
