"""`load`: find a data set's official files, read them, and check every byte."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from positcore.data import cifar, idx, subset
from positcore.data.catalog import CATALOG, SPLITS, Entry, content_digest, entry
from positcore.data.dataset import Dataset
from positcore.data.fetch import download as fetch
from positcore.data.fetch import downloadable
from positcore.data.places import missing, remedies, roots
from positcore.errors import DataFileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8]]

__all__ = ["load"]


def load(name: str, split: str, root: str | os.PathLike[str] | None = None, download: bool = False) -> Dataset:
    """One split of a data set, verified by the SHA-256 of its pixels and labels.

    Files are looked for below `root`, $POSITCORE_DATA, the per-user cache (~/.cache/positcore/data) and, for
    Fashion-MNIST, where Debian's package dataset-fashion-mnist puts them; in each in torchvision's folders
    (`MNIST/raw`, `FashionMNIST/raw`, `cifar-10-batches-py`, `cifar-10-batches-bin`), in `mnist` and
    `fashion-mnist`, and lying flat. The first place that holds a file of the split decides.

    Parameters
    ----------
    name : str
        `mnist`, `fashion-mnist`, `cifar10`, or `fashion-mnist-subset`: the first 5,000 training and 2,000
        test images of Fashion-MNIST, which are shipped with this package.
    split : str
        `train` or `test`.
    root : path, optional
        A further folder to look in, before all others.
    download : bool
        Whether to fetch the files, for a set that `positcore.data.download` knows, if there are none.

    Raises
    ------
    ValueError
        If name or split is unknown.
    DataFileError
        If the files are missing, truncated, altered, or cannot be downloaded.
    """
    item = entry(name)
    if split not in SPLITS:
        raise ValueError(f"data set: split must be train or test, not {split!r}")
    if item.files == "package":
        arrays = subset.read(split)
        return _checked(item, split, arrays, content_digest(*arrays), str(subset.path()))
    try:
        return _search(item, split, root)
    except _NothingFound as nothing:
        if not (download and name in downloadable()):
            raise missing(item, split, nothing.looked) from None
    return _search(item, split, fetch(name, root))


class _NothingFound(Exception):  # noqa: N818 - not an error yet: a download may follow
    def __init__(self, looked: list[str]) -> None:
        super().__init__(looked)
        self.looked = looked


def _search(item: Entry, split: str, root: str | os.PathLike[str] | None) -> Dataset:
    looked = []
    for place in roots(item, root):
        for folder in (*(place / name for name in item.folders), place):
            try:
                arrays = (_read_idx if item.files == "idx" else _read_cifar)(folder, item, split)
            except DataFileError as error:
                raise DataFileError(f"{error}. Delete it and get it anew: {remedies(item)}") from None
            if arrays is None:
                continue
            digest = content_digest(*arrays)
            if other := _set_of(digest, split, item):
                # MNIST and Fashion-MNIST have the same file names; lying flat, only the content tells.
                looked.append(f"{folder} (holds {other})")
                continue
            return _checked(item, split, arrays, digest, str(folder))
        looked.append(str(place))
    raise _NothingFound(looked)


def _read_idx(folder: Path, item: Entry, split: str) -> Arrays | None:
    paths = {kind: idx.find_idx(folder, kind, split) for kind in ("images", "labels")}
    if not any(paths.values()):
        return None
    images, labels = paths["images"], paths["labels"]
    if images is None or labels is None:
        there, absent = ("labels", "images") if images is None else ("images", "labels")
        raise DataFileError(f"{folder}: has the {split} {there} of {item.name}, but no {split} {absent}")
    shape = item.shape(split)
    return (
        idx.read_idx(images, (shape[0], *shape[2:])).reshape(shape),
        idx.read_idx(labels, shape[:1]),
    )


def _read_cifar(folder: Path, item: Entry, split: str) -> Arrays | None:
    names = cifar.batch_names(split)
    paths = {name: cifar.find_batch(folder, name) for name in names}
    if not any(paths.values()):
        return None
    batches = []
    for name, path in paths.items():
        if path is None:
            raise DataFileError(f"{folder / name}: missing, of the {len(names)} {split} batches of {item.name}")
        batches.append(cifar.read_batch(path, item.counts[split] // len(names)))
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])


def _set_of(digest: str, split: str, item: Entry) -> str | None:
    """The name of another set that has this digest."""
    return next(
        (other.name for other in CATALOG.values() if other.sha256[split] == digest != item.sha256[split]),
        None,
    )


def _checked(item: Entry, split: str, arrays: Arrays, digest: str, where: str) -> Dataset:
    if digest != item.sha256[split]:
        raise DataFileError(
            f"{where}: the {split} files of {item.name} are altered, the SHA-256 of pixels and labels is "
            f"{digest[:16]}…, not {item.sha256[split][:16]}…. Delete them and get them anew: {remedies(item)}"
        )
    return Dataset(item.name, split, *arrays, item.classes, item.mean, item.std)
