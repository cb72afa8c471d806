import json
import zipfile

import numpy as np
import pytest

import positcore as pc
from positcore import archive
from tests.reference import format_id


@pytest.fixture
def path(tmp_path):
    return tmp_path / "arrays.npz"


@pytest.mark.parametrize("fmt", [pc.posit8, pc.PositFormat(12, 1, underflow=True), pc.posit32], ids=format_id)
def test_arrays_come_back(fmt, path):
    x = pc.PositArray(fmt, np.random.default_rng(1).integers(0, 1 << fmt.n, (3, 4)).astype(fmt.dtype))
    pc.save(path, weights=x, file=x[:0], path=x[0, :1].reshape(()), steps=np.arange(3))
    loaded = pc.load(str(path))
    assert sorted(loaded) == ["file", "path", "steps", "weights"]
    for name, expected in (("weights", x), ("file", x[:0]), ("path", x[0, :1].reshape(()))):
        assert type(loaded[name]) is pc.PositArray
        assert loaded[name].fmt == fmt
        assert loaded[name].shape == expected.shape
        assert loaded[name].codes.tolist() == expected.codes.tolist()
    assert loaded["steps"].tolist() == [0, 1, 2]
    with np.load(path) as codes:  # NumPy reads the same file
        assert codes["weights"].tolist() == x.codes.tolist()


def test_the_same_arrays_make_the_same_file(tmp_path):
    x = pc.array(pc.posit8, range(5))
    for name in "ab":
        pc.save(tmp_path / name, x=x)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_what_fails_leaves_the_old_file(path, monkeypatch):
    pc.save(path, x=pc.array(pc.posit8, [1, 2]))
    before = path.read_bytes()
    with pytest.raises(TypeError, match="save: y must be a PositArray or an ndarray of numbers, not object"):
        pc.save(path, y=np.array([None]))
    with pytest.raises(TypeError, match="save: y must be a PositArray or an ndarray of numbers, not list"):
        pc.save(path, y=[1.0])
    with pytest.raises(ValueError, match=r"save: the name 'positcore\.formats' is taken, for the formats"):
        pc.save(path, **{"positcore.formats": np.zeros(1)})

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(archive, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pc.save(path, x=pc.array(pc.posit8, [3]))
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_every_truncation_is_an_error(path):
    pc.save(path, x=pc.array(pc.posit16, range(40)))
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(pc.DataFileError, match=r"load: .*arrays\.npz is not a whole file of positcore\.save: "):
            pc.load(path)


def test_altered_codes_are_an_error(path):
    x = pc.PositArray(pc.posit16, np.random.default_rng(2).integers(0, 1 << 16, 2000).astype(np.uint16))
    pc.save(path, x=x)
    content = bytearray(path.read_bytes())
    content[2000] ^= 4
    path.write_bytes(content)
    with pytest.raises(pc.DataFileError, match=r"is not a whole file of positcore\.save"):
        pc.load(path)


def write_npz(path, formats, **entries):
    np.savez(path, **{archive._FORMATS: np.array(json.dumps(formats)), **entries})


def test_files_from_elsewhere(path, tmp_path):
    with pytest.raises(pc.DataFileError, match=r"load: there is no file .*arrays\.npz"):
        pc.load(path)
    np.savez(path, x=np.arange(3))
    with pytest.raises(pc.DataFileError, match=r"it says no formats; numpy\.load reads archives of NumPy"):
        pc.load(path)
    np.save(tmp_path / "one.npy", np.arange(3))
    with pytest.raises(pc.DataFileError, match="it holds one array, without a format"):
        pc.load(tmp_path / "one.npy")
    write_npz(path, {"x": "8,2"}, x=np.arange(3, dtype=np.uint16))
    with pytest.raises(pc.DataFileError, match="x must hold codes of posit<8,2> as uint8, not uint16"):
        pc.load(path)
    write_npz(path, {"x": "6,2"}, x=np.array([64], np.uint8))
    with pytest.raises(pc.DataFileError, match=r"codes of posit<6,2> must be in 0\.\.63, not 64"):
        pc.load(path)
    write_npz(path, {"x": "80,2"}, x=np.zeros(1, np.uint8))
    with pytest.raises(pc.DataFileError, match=r"n must be an integer in 2\.\.32, not 80"):
        pc.load(path)
    write_npz(path, {"y": "8,2"}, x=np.zeros(1, np.uint8))
    with pytest.raises(pc.DataFileError, match=r"is not a whole file of positcore\.save: it lacks y"):
        pc.load(path)
    write_npz(path, ["x"], x=np.zeros(1, np.uint8))
    with pytest.raises(pc.DataFileError, match="the formats are not a list of names and formats"):
        pc.load(path)
    np.savez(path, **{archive._FORMATS: np.array("{}"), "x": np.array([None])})
    with pytest.raises(pc.DataFileError, match="Object arrays cannot be loaded"):
        pc.load(path)
    with zipfile.ZipFile(path, "w") as empty:
        empty.writestr("readme.txt", "hello")
    with pytest.raises(pc.DataFileError, match="it says no formats"):
        pc.load(path)
