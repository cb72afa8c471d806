from __future__ import annotations

import numpy as np
import pytest

from positcore.data import load, subset
from positcore.errors import DataFileError

COUNTS = {"train": 5000, "test": 2000}


@pytest.mark.parametrize("split", COUNTS)
def test_subset_is_there_without_any_file(elsewhere, split):
    found = load("fashion-mnist-subset", split)
    assert found.images.shape == (COUNTS[split], 1, 28, 28)
    assert np.all(np.bincount(found.labels) > 0.09 * COUNTS[split])
    assert found.classes[0] == "T-shirt/top"
    assert (found.mean, found.std) == ((0.2860,), (0.3300,))


def test_first_training_labels_are_the_official_ones():
    # The first ten labels of train-labels-idx1-ubyte, as every tutorial prints them.
    assert load("fashion-mnist-subset", "train").labels[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert load("fashion-mnist-subset", "test").labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]


@pytest.mark.parametrize("split", COUNTS)
def test_subset_is_the_prefix_of_the_full_set(split):
    try:
        full = load("fashion-mnist", split)
    except DataFileError as error:
        if "files found; looked in" not in str(error):
            raise
        pytest.skip("fashion-mnist is not on this machine (set $POSITCORE_DATA to try it)")
    found = load("fashion-mnist-subset", split)
    assert np.array_equal(found.images, full.images[: COUNTS[split]])
    assert np.array_equal(found.labels, full.labels[: COUNTS[split]])


def test_small_enough_to_ship_with_its_license():
    assert subset.path().stat().st_size < 3.5e6
    license_text = subset.path().with_name("LICENSE.fashion-mnist.txt").read_text()
    assert "Zalando" in license_text
    assert "Permission is hereby granted" in license_text


@pytest.fixture
def copy(tmp_path, monkeypatch):
    path = tmp_path / "fashion_mnist_subset.npz"
    path.write_bytes(subset.path().read_bytes())
    monkeypatch.setattr(subset, "path", lambda: path)
    return path


def test_missing(copy):
    copy.unlink()
    with pytest.raises(DataFileError, match=r"subset\.npz: missing, it is a part of positcore; reinstall positcore"):
        load("fashion-mnist-subset", "train")


@pytest.mark.parametrize("place", [0, 100, 1_000_000, -10])
def test_damaged_or_truncated(copy, place):
    content = copy.read_bytes()
    for damaged in (content[:place], content[:place] + bytes(8) + content[place:][8:]):
        copy.write_bytes(damaged)
        with pytest.raises(DataFileError, match=r"subset\.npz: truncated or altered .*reinstall positcore"):
            [load("fashion-mnist-subset", split) for split in COUNTS]


def test_other_arrays(copy):
    arrays = dict(np.load(copy))
    np.savez(copy, **(arrays | {"test_labels": arrays["test_labels"][:-1]}))
    with pytest.raises(
        DataFileError, match=r"altered, expected bytes of shape .* and uint8 of shape \(1999,\); reinst"
    ):
        load("fashion-mnist-subset", "test")
    arrays["test_images"][0, 0, 0, 0] += 1
    np.savez(copy, **arrays)
    with pytest.raises(DataFileError, match=r"the test files of fashion-mnist-subset are altered.*reinstall positcore"):
        load("fashion-mnist-subset", "test")
