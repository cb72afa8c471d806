"""Image data sets from their official files, checked to the last byte; NumPy only.

`load("fashion-mnist", "train")` reads MNIST, Fashion-MNIST or CIFAR-10 from the files as their authors
publish them; `load("fashion-mnist-subset", "train")` needs no file but this package.
"""

from positcore.data.catalog import NAMES, SPLITS
from positcore.data.dataset import Dataset
from positcore.data.fetch import download
from positcore.data.loading import load

__all__ = ["NAMES", "SPLITS", "Dataset", "download", "load"]
