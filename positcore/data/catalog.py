"""What is known about each data set: shapes, classes, normalization, checksums, and where to get it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CATALOG", "NAMES", "SPLITS", "Entry", "content_digest", "entry"]

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Entry:
    """One data set.

    Parameters
    ----------
    name : str
    files : str
        How it is stored: `idx`, `cifar` or `package` (shipped with positcore).
    folders : tuple of str
        Where its files may lie below a root; the root itself always counts too.
    image_shape : tuple of int
        (C, H, W).
    counts : mapping of str to int
        Images in each split.
    sha256 : mapping of str to str
        `content_digest` of each split.
    classes : tuple of str
    mean, std : tuple of float
        Per channel, for pixels in 0..1 (Raposo 2021).
    source : str
        Where its official files are to be had, as the end of a sentence.
    """

    name: str
    files: str
    folders: tuple[str, ...]
    image_shape: tuple[int, int, int]
    counts: Mapping[str, int]
    sha256: Mapping[str, str]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str

    def shape(self, split: str) -> tuple[int, int, int, int]:
        """(N, C, H, W) of a split."""
        return (self.counts[split], *self.image_shape)


def content_digest(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> str:
    """SHA-256 of the pixels in (N, C, H, W) order, then the labels: the same for every file layout."""
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()


_FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer",
    "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip

_ENTRIES = (
    Entry(
        name="mnist",
        files="idx",
        folders=("MNIST/raw", "mnist"),
        image_shape=(1, 28, 28),
        counts={"train": 60000, "test": 10000},
        sha256={
            "train": "edc0d1098aa497be14ace79ddd5171e5a3dcf9c4d196c015389203eb3ba1f59b",
            "test": "c3f9adf9c66efb572b1f9326c3a511b45910c7173b97be66ceceeeeaef6b802b",
        },
        classes=tuple("0123456789"),
        mean=(0.1307,),
        std=(0.3081,),
        source="the four idx files from https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    Entry(
        name="fashion-mnist",
        files="idx",
        folders=("FashionMNIST/raw", "fashion-mnist"),
        image_shape=(1, 28, 28),
        counts={"train": 60000, "test": 10000},
        sha256={
            "train": "16d82e2b505296aa2b78bd5ea0992634f30419a4c97def7c907d154a35ac6157",
            "test": "9f1ec356a747bfe4ebab3cfb722d3694c9ca737e2570f6f90cf31d7b6fd689d4",
        },
        classes=_FASHION_CLASSES,
        mean=(0.2860,),
        std=(0.3300,),
        source="the four idx files from https://github.com/zalandoresearch/fashion-mnist",
    ),
    Entry(
        name="cifar10",
        files="cifar",
        folders=("cifar-10-batches-py", "cifar-10-batches-bin"),
        image_shape=(3, 32, 32),
        counts={"train": 50000, "test": 10000},
        sha256={
            "train": "1e91790dbaf241617ca1f29a9aba08eb9a62df84cc90676b47edd05ad2ab3c94",
            "test": "9a4c74f5c8b6f2c4e13d3a1dfb43a5a8cda8a9da515e99fd620d2013a1a6287a",
        },
        classes=_CIFAR10_CLASSES,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.247, 0.243, 0.261),
        source="the python or binary version from https://www.cs.toronto.edu/~kriz/cifar.html, unpacked",
    ),
    Entry(
        name="fashion-mnist-subset",
        files="package",
        folders=(),
        image_shape=(1, 28, 28),
        counts={"train": 5000, "test": 2000},
        sha256={
            "train": "71f2c3d35f0ffad274d8b5e013ccd03ca043193a80f405068f3ff0bea531521f",
            "test": "5e916b2e91811fe46845f5b34d536fd2cb7788e5c5bc5531b5e3b9ee89e9bad9",
        },
        classes=_FASHION_CLASSES,
        mean=(0.2860,),
        std=(0.3300,),
        source="this package, reinstalled",
    ),
)

CATALOG: Mapping[str, Entry] = MappingProxyType({item.name: item for item in _ENTRIES})
NAMES = tuple(CATALOG)


def entry(name: str) -> Entry:
    """The entry of a data set.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if name not in CATALOG:
        raise ValueError(f"data set: name must be one of {', '.join(NAMES)}, not {name!r}")
    return CATALOG[name]
