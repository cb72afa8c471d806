from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from positcore.data import NAMES, SPLITS, fetch, load, places
from positcore.errors import DataFileError

FOLDERS = [
    ("mnist", "MNIST/raw", {}),
    ("mnist", "mnist", {"compress": True}),
    ("mnist", ".", {}),
    ("fashion-mnist", "FashionMNIST/raw", {"compress": True}),
    ("fashion-mnist", "fashion-mnist", {}),
    ("fashion-mnist", ".", {"compress": True}),
    ("cifar10", "cifar-10-batches-py", {}),
    ("cifar10", "cifar-10-batches-bin", {"binary": True}),
    ("cifar10", ".", {}),
    ("cifar10", ".", {"binary": True}),
]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(("name", "folder", "how"), FOLDERS)
def test_layouts(tiny, tmp_path, name, folder, how, split):
    tiny.write(name, tmp_path / "root" / folder, split, **how)
    found = load(name, split, tmp_path / "root")
    tiny.assert_loaded(found, name, split)
    assert found.images.flags.writeable
    assert found.labels.flags.writeable
    assert len(found.classes) == 10


def test_places_in_order(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("POSITCORE_DATA", str(tmp_path / "variable"))
    places_in_order = [tmp_path / "root", tmp_path / "variable", tmp_path / "cache/positcore/data", tmp_path / "debian"]
    for place in reversed(places_in_order):
        tiny.write("fashion-mnist", place)
        tiny.assert_loaded(load("fashion-mnist", "train", tmp_path / "root"), "fashion-mnist")
        # The place before it must win over this one, which is damaged from now on.
        (place / "train-labels-idx1-ubyte").write_bytes(b"")
        with pytest.raises(DataFileError, match=re.escape(str(place))):
            load("fashion-mnist", "train", tmp_path / "root")


def test_user_cache(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    for ignored in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert places.user_root() == Path("/home/someone/.cache/positcore/data")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/tmp/c")
    assert places.user_root() == Path("/var/tmp/c/positcore/data")


def test_debian_directory_is_that_of_the_package():
    assert Path("/usr/share/datasets/fashion-mnist") == places.DEBIAN_FASHION_MNIST


def test_a_home_folder_may_be_written_with_a_tilde(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("POSITCORE_DATA", "~/sets")
    tiny.write("mnist", tmp_path / "sets")
    tiny.assert_loaded(load("mnist", "train"), "mnist")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mnist", ["https://ossci-datasets.s3.amazonaws.com/mnist/", "cache/positcore/data/MNIST/raw"]),
        (
            "fashion-mnist",
            [
                "debian",
                "apt-get install dataset-fashion-mnist",
                "--download",
                'positcore.data.download("fashion-mnist")',
                "https://github.com/zalandoresearch/fashion-mnist",
                "cache/positcore/data/FashionMNIST/raw",
            ],
        ),
        ("cifar10", ["https://www.cs.toronto.edu/~kriz/cifar.html", "cache/positcore/data/cifar-10-batches-py"]),
    ],
)
def test_missing_says_where_it_looked_and_all_remedies(elsewhere, monkeypatch, name, words):
    monkeypatch.setenv("POSITCORE_DATA", "/nowhere/variable")
    with pytest.raises(DataFileError, match=f"^{name}: no test files found; looked in /nowhere/root, ") as raised:
        load(name, "test", "/nowhere/root", download=name != "fashion-mnist")  # the others have none
    message = str(raised.value)
    for word in ("/nowhere/variable", str(elsewhere / "cache/positcore/data"), "set $POSITCORE_DATA", *words):
        assert word in message
    assert "\n" not in message


def test_a_split_alone_is_enough_and_the_other_is_missing(tiny, tmp_path):
    tiny.write("mnist", tmp_path, "train")
    tiny.assert_loaded(load("mnist", "train", tmp_path), "mnist")
    with pytest.raises(DataFileError, match="no test files found"):
        load("mnist", "test", tmp_path)


@pytest.mark.parametrize(("absent", "there"), [("labels-idx1", "images"), ("images-idx3", "labels")])
def test_one_of_two_idx_files_is_missing(tiny, tmp_path, absent, there):
    tiny.write("mnist", tmp_path)
    (tmp_path / f"train-{absent}-ubyte").unlink()
    with pytest.raises(DataFileError, match=f"has the train {there} of mnist, but no train {absent[:6]}.*get it anew"):
        load("mnist", "train", tmp_path)


def test_one_of_five_batches_is_missing(tiny, tmp_path):
    tiny.write("cifar10", tmp_path)
    (tmp_path / "data_batch_3").unlink()
    with pytest.raises(DataFileError, match=r"data_batch_3: missing, of the 5 train batches of cifar10.*get it anew"):
        load("cifar10", "train", tmp_path)


def test_truncated_files_are_named_with_the_remedy(tiny, tmp_path):
    tiny.write("fashion-mnist", tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    expected = re.escape(f"{path}: expected 7856 bytes of content, found only 7855. Delete it and get it anew: ")
    with pytest.raises(DataFileError, match=expected + ".*apt-get install dataset-fashion-mnist"):
        load("fashion-mnist", "train", tmp_path)


@pytest.mark.parametrize(("name", "file"), [("mnist", "train-images-idx3-ubyte"), ("cifar10", "data_batch_2.bin")])
def test_one_altered_pixel(tiny, tmp_path, name, file):
    tiny.write(name, tmp_path, binary=True)
    content = bytearray((tmp_path / file).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / file).write_bytes(content)
    expected = f"{tmp_path}: the train files of {name} are altered, the SHA-256 of pixels and labels is "
    with pytest.raises(DataFileError, match=expected + ".*get them anew: set "):
        load(name, "train", tmp_path)


def test_flat_files_of_the_sister_set_are_passed_over(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("POSITCORE_DATA", str(tmp_path / "flat"))
    tiny.write("mnist", tmp_path / "flat")
    with pytest.raises(DataFileError, match=r"looked in \S*flat \(holds mnist\), "):
        load("fashion-mnist", "train")
    tiny.write("fashion-mnist", tmp_path / "debian", compress=True)
    tiny.assert_loaded(load("fashion-mnist", "train"), "fashion-mnist")


def test_unknown_name_and_split(elsewhere):
    with pytest.raises(
        ValueError, match="name must be one of mnist, fashion-mnist, cifar10, fashion-mnist-subset, not"
    ):
        load("imagenet", "train")
    with pytest.raises(ValueError, match="split must be train or test, not 'validation'"):
        load("mnist", "validation")
    assert NAMES == ("mnist", "fashion-mnist", "cifar10", "fashion-mnist-subset")


def test_download_only_if_nothing_is_there(tiny, tmp_path, monkeypatch):
    fetched = []

    def pretend(name, root):
        fetched.append(root)
        tiny.write(name, tmp_path / "new" / "FashionMNIST/raw", compress=True)
        return tmp_path / "new"

    monkeypatch.setattr("positcore.data.loading.fetch", pretend)
    for _ in range(2):
        found = load("fashion-mnist", "train", tmp_path / "new", download=True)
        tiny.assert_loaded(found, "fashion-mnist")
    assert fetched == [tmp_path / "new"]


def test_download_and_load(tiny, tmp_path, monkeypatch):
    for split in SPLITS:
        tiny.write("fashion-mnist", tmp_path / "mirror", split, compress=True)
    sums = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in (tmp_path / "mirror").iterdir()}
    assert set(sums) == set(fetch.FASHION_MNIST_MD5)
    monkeypatch.setattr(fetch, "FASHION_MNIST_MD5", sums)
    monkeypatch.setattr(fetch, "FASHION_MNIST_URL", (tmp_path / "mirror").as_uri())
    tiny.assert_loaded(load("fashion-mnist", "train", download=True), "fashion-mnist")
    tiny.assert_loaded(load("fashion-mnist", "test"), "fashion-mnist", "test")


def test_download_without_a_network(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "FASHION_MNIST_URL", (tmp_path / "nowhere").as_uri())
    with pytest.raises(DataFileError, match=r"nowhere/train-images-idx3-ubyte.gz: cannot be downloaded to"):
        load("fashion-mnist", "train", download=True)


# The real sets, where this machine has them ---------------------------------------------------------


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_full_sets(name, split):
    try:
        found = load(name, split)
    except DataFileError as error:
        if "files found; looked in" not in str(error):
            raise
        pytest.skip(f"{name} is not on this machine (set $POSITCORE_DATA to try it)")
    count = {"mnist": 60000, "fashion-mnist": 60000, "cifar10": 50000}[name] if split == "train" else 10000
    assert found.images.shape == (count, *((3, 32, 32) if name == "cifar10" else (1, 28, 28)))
    assert set(np.unique(found.labels)) == set(range(10))
    measured = found.images.mean((0, 2, 3)) / 255
    assert np.allclose(measured, found.mean, atol=0.005)
    if name == "fashion-mnist":
        assert found.classes[found.labels[0]] == "Ankle boot"
