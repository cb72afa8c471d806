"""The Fashion-MNIST images that are shipped with this package, so that a first run needs no download.

`fashion_mnist_subset.npz` holds `train_images` (5000, 1, 28, 28), `train_labels` (5000,), `test_images`
(2000, 1, 28, 28) and `test_labels` (2000,), all uint8: the first images of the official files, in order. Its
recipe, with the full set at hand:

    train, test = load("fashion-mnist", "train").first(5000), load("fashion-mnist", "test").first(2000)
    np.savez_compressed("positcore/data/fashion_mnist_subset.npz", train_images=train.images,
                        train_labels=train.labels, test_images=test.images, test_labels=test.labels)

Fashion-MNIST is by Zalando SE, under the MIT license that stands in `LICENSE.fashion-mnist.txt`.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from positcore.data.catalog import entry
from positcore.errors import DataFileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["path", "read"]


def path() -> Path:
    """The shipped file."""
    return Path(__file__).with_name("fashion_mnist_subset.npz")


def read(split: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (N, 1, 28, 28) and labels (N,) of a split.

    Raises
    ------
    DataFileError
        If the file is missing, or is no archive of such arrays.
    """
    shape = entry("fashion-mnist-subset").shape(split)
    try:
        with path().open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            images, labels = archive[f"{split}_images"], archive[f"{split}_labels"]
    except FileNotFoundError:
        raise DataFileError(f"{path()}: missing, it is a part of positcore; reinstall positcore") from None
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataFileError(f"{path()}: truncated or altered ({error}); reinstall positcore") from None
    if images.dtype != np.uint8 or images.shape != shape or labels.dtype != np.uint8 or labels.shape != shape[:1]:
        raise DataFileError(
            f"{path()}: altered, expected bytes of shape {shape} and {shape[:1]}, found {images.dtype} of "
            f"shape {images.shape} and {labels.dtype} of shape {labels.shape}; reinstall positcore"
        )
    return images, labels
