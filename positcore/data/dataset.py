"""`Dataset`: the images and labels of one split, as bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Dataset"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """One split of a labeled image set, in the official order.

    Parameters
    ----------
    name : str
        The set, such as `fashion-mnist`.
    split : str
        `train` or `test`.
    images : ndarray of uint8, shape (N, C, H, W)
        Pixels, 0..255.
    labels : ndarray of uint8, shape (N,)
        Indices into `classes`.
    classes : tuple of str
        What the labels mean.
    mean, std : tuple of float, one per channel
        The normalization of pixels in 0..1; those of the thesis by Raposo (2021), so that its experiments
        can be repeated (for Fashion-MNIST its std, 0.33, is not the measured one, 0.353).

    Raises
    ------
    TypeError
        If images or labels are not arrays of uint8.
    ValueError
        If shapes do not agree with each other, with `classes`, or with `mean` and `std`.
    """

    name: str
    split: str
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        for field, array in (("images", self.images), ("labels", self.labels)):
            if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
                kind = getattr(array, "dtype", type(array).__name__)
                raise TypeError(f"Dataset: {field} must be an array of uint8, not {kind}")
        if self.images.ndim != 4:
            raise ValueError(f"Dataset: images must have the shape (N, C, H, W), not {self.images.shape}")
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"Dataset: labels must have the shape {self.images.shape[:1]}, one per image, not {self.labels.shape}"
            )
        if self.labels.size and int(self.labels.max()) >= len(self.classes):
            raise ValueError(
                f"Dataset: labels must be below {len(self.classes)}, the number of classes, not {self.labels.max()}"
            )
        channels = self.images.shape[1]
        if len(self.mean) != channels or len(self.std) != channels:
            raise ValueError(
                f"Dataset: mean and std must have {channels} values, one per channel, "
                f"not {len(self.mean)} and {len(self.std)}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {self.split!r}, images={self.images.shape})"

    def first(self, count: int) -> Dataset:
        """The first `count` images (views, not copies).

        Raises
        ------
        ValueError
            If there are not that many.
        """
        if not 0 <= count <= len(self):
            raise ValueError(f"Dataset: count must be in 0..{len(self)} for {self.name}, not {count}")
        return replace(self, images=self.images[:count], labels=self.labels[:count])

    def normalized(self, index: Any = slice(None)) -> NDArray[np.float32]:
        """(images[index]/255 − mean)/std, each step rounded to float32.

        These are the steps, and so the bits, of torchvision's `ToTensor` and `Normalize`.

        Parameters
        ----------
        index : slice or integer array, optional
            Which images; all by default. The result takes four times their bytes, so a large set is
            better normalized batch by batch.

        Returns
        -------
        ndarray of float32, shape (M, C, H, W)
        """
        x: NDArray[np.float32] = self.images[index].astype(np.float32)
        x /= np.float32(255)
        x -= np.array(self.mean, np.float32)[:, None, None]
        x /= np.array(self.std, np.float32)[:, None, None]
        return x
