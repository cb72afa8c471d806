"""Small made-up data sets in the official layouts, and no trace of those of this machine."""

from __future__ import annotations

import dataclasses
import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from positcore.data import catalog, loading, places

COUNTS = {"train": 10, "test": 4}


class Tiny:
    """Random sets of the official shapes and layouts, but of 10 and 4 images; the catalog expects them."""

    def __init__(self):
        self.arrays = {}
        self.catalog = dict(catalog.CATALOG)
        for number, name in enumerate(("mnist", "fashion-mnist", "cifar10")):
            item = catalog.CATALOG[name]
            rng = np.random.default_rng(number)
            for split, count in COUNTS.items():
                self.arrays[name, split] = (
                    rng.integers(0, 256, (count, *item.image_shape), dtype=np.uint8),
                    rng.integers(0, 10, count, dtype=np.uint8),
                )
            digests = {split: catalog.content_digest(*self.arrays[name, split]) for split in COUNTS}
            self.catalog[name] = dataclasses.replace(item, counts=COUNTS, sha256=digests)

    def write(self, name, folder, split="train", compress=False, binary=False):
        """The official files of a split."""
        folder.mkdir(parents=True, exist_ok=True)
        images, labels = self.arrays[name, split]
        if name != "cifar10":
            prefix = {"train": "train", "test": "t10k"}[split]
            for kind, array in (("images-idx3", images[:, 0]), ("labels-idx1", labels)):
                content = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
                path = folder / f"{prefix}-{kind}-ubyte{'.gz' if compress else ''}"
                path.write_bytes(gzip.compress(content) if compress else content)
            return
        names = [f"data_batch_{i}" for i in range(1, 6)] if split == "train" else ["test_batch"]
        data, parts = np.split(images.reshape(-1, 3072), len(names)), np.split(labels, len(names))
        for batch, pixels, part in zip(names, data, parts, strict=True):
            if binary:
                (folder / f"{batch}.bin").write_bytes(np.hstack([part[:, None], pixels]).tobytes())
            else:
                content = {"batch_label": batch, "labels": part.tolist(), "data": pixels}
                (folder / batch).write_bytes(pickle.dumps(content, 2))

    def assert_loaded(self, found, name, split="train"):
        images, labels = self.arrays[name, split]
        assert (found.name, found.split) == (name, split)
        assert np.array_equal(found.images, images)
        assert np.array_equal(found.labels, labels)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty user cache, no $POSITCORE_DATA, no Debian package: whatever this machine has, it is not found."""
    monkeypatch.delenv("POSITCORE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(places, "DEBIAN_FASHION_MNIST", tmp_path / "debian")
    return tmp_path


@pytest.fixture
def tiny(elsewhere, monkeypatch) -> Tiny:
    made = Tiny()
    for module in (catalog, loading):
        monkeypatch.setattr(module, "CATALOG", made.catalog)
    return made
