"""`download`: fetch the official Fashion-MNIST files, each checked by its published MD5."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from positcore.data.catalog import entry
from positcore.data.places import ENVIRONMENT_VARIABLE, user_root
from positcore.errors import DataFileError, MissingToolError
from positcore.files import write_aside

__all__ = ["FASHION_MNIST_MD5", "FASHION_MNIST_URL", "download", "downloadable"]

FASHION_MNIST_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
FASHION_MNIST_MD5: Mapping[str, str] = MappingProxyType(
    {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }
)
_CHUNK = 1 << 16
_TIMEOUT_S = 60


def downloadable() -> tuple[str, ...]:
    """The sets that `download` knows."""
    return ("fashion-mnist",)


def download(name: str, root: str | os.PathLike[str] | None = None, base_url: str | None = None) -> Path:
    """Fetch a set's official files into `root`/FashionMNIST/raw, and return the root.

    A file that is there already and has the right MD5 is left alone. Each file is written aside and renamed
    when its MD5 is right, so that an interruption or a bad file leaves nothing half-written, and a
    later call goes on after the last complete file. Progress is shown on stderr.

    Parameters
    ----------
    name : str
        `fashion-mnist`; the other sets have no such download.
    root : path, optional
        By default $POSITCORE_DATA, or else the per-user cache.
    base_url : str, optional
        The folder that holds the four .gz files: a mirror's, instead of the official one.

    Raises
    ------
    ValueError
        If this set cannot be downloaded.
    DataFileError
        If a file cannot be fetched or has another MD5.
    MissingToolError
        If tqdm is not installed.
    """
    item = entry(name)
    if name not in downloadable():
        raise ValueError(f"download: name must be one of {', '.join(downloadable())}, not {name!r}")
    if root is None:
        root = os.environ.get(ENVIRONMENT_VARIABLE) or user_root()
    root = Path(root).expanduser()
    folder = root / item.folders[0]
    folder.mkdir(parents=True, exist_ok=True)
    for file, md5 in FASHION_MNIST_MD5.items():
        if not _has_md5(folder / file, md5):
            _fetch(f"{(base_url or FASHION_MNIST_URL).rstrip('/')}/{file}", folder / file, md5)
    return root


def _has_md5(path: Path, md5: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, _new_md5).hexdigest() == md5


def _new_md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


def _fetch(url: str, path: Path, md5: str) -> None:
    from http.client import HTTPException
    from urllib.request import urlopen

    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        raise MissingToolError("Python package tqdm", "a download", 'pip install "positcore[nn]"') from None

    def write(aside: Path) -> None:
        digest = _new_md5()
        with urlopen(url, timeout=_TIMEOUT_S) as response, aside.open("wb") as stream:
            total = int(response.headers.get("Content-Length") or 0) or None
            with tqdm(total=total, desc=path.name, unit="B", unit_scale=True) as progress:
                while chunk := response.read(_CHUNK):
                    stream.write(chunk)
                    digest.update(chunk)
                    progress.update(len(chunk))
        if digest.hexdigest() != md5:
            raise DataFileError(
                f"{url}: truncated or altered, expected the MD5 {md5}, found {digest.hexdigest()}; "
                "try again, or get the file elsewhere"
            )

    try:
        write_aside(path, write)
    except (OSError, HTTPException) as error:
        raise DataFileError(
            f"{url}: cannot be downloaded to {path} ({error}); check the network and the disk, "
            "or put the file there by hand"
        ) from error
