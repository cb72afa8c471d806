from __future__ import annotations

import gzip
import hashlib
import http.server
import sys
import threading
import urllib.request

import pytest

from positcore.data import download, fetch
from positcore.errors import DataFileError, MissingToolError

FILES = {name: gzip.compress(name.encode() * 20000, mtime=0) for name in fetch.FASHION_MNIST_MD5}


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder of made-up files whose MD5 sums are the expected ones."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    monkeypatch.setattr(
        fetch, "FASHION_MNIST_MD5", {name: hashlib.md5(content).hexdigest() for name, content in FILES.items()}
    )
    return folder


def raw(root):
    return root / "FashionMNIST" / "raw"


def written(root):
    return {path.name: path.read_bytes() for path in raw(root).iterdir()}


def test_the_official_place_and_sums():
    assert fetch.FASHION_MNIST_URL == "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
    assert dict(fetch.FASHION_MNIST_MD5) == {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }


def test_over_http_with_progress(mirror, tmp_path, capsys):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(mirror))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            assert download("fashion-mnist", tmp_path / "root", url) == tmp_path / "root"
            assert written(tmp_path / "root") == FILES
            (mirror / "train-images-idx3-ubyte.gz").unlink()
            with pytest.raises(DataFileError, match=r"train-images\S+: cannot be downloaded to \S+ \(HTTP Error 404"):
                download("fashion-mnist", tmp_path / "other", url + "/")
        finally:
            server.shutdown()
            thread.join()
    assert written(tmp_path / "other") == {}
    shown = capsys.readouterr().err
    assert "train-images-idx3-ubyte.gz: 100%" in shown


def test_what_is_there_is_left_alone(mirror, tmp_path):
    url = mirror.as_uri()
    download("fashion-mnist", tmp_path / "root", url)
    (raw(tmp_path / "root") / "t10k-labels-idx1-ubyte.gz").write_bytes(b"damaged")
    for name in FILES:
        if not name.startswith("t10k-labels"):
            (mirror / name).unlink()
    download("fashion-mnist", tmp_path / "root", url)
    assert written(tmp_path / "root") == FILES


def test_roots(mirror, elsewhere, monkeypatch):
    assert download("fashion-mnist", base_url=mirror.as_uri()) == elsewhere / "cache/positcore/data"
    monkeypatch.setenv("POSITCORE_DATA", str(elsewhere / "variable"))
    assert download("fashion-mnist", base_url=mirror.as_uri()) == elsewhere / "variable"


def test_no_network(mirror, tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        port = server.server_port  # nothing listens there once it is closed
    with pytest.raises(DataFileError, match=r"cannot be downloaded .*refused.*check the network and the disk, or put"):
        download("fashion-mnist", tmp_path / "root", f"http://127.0.0.1:{port}")
    assert written(tmp_path / "root") == {}


def test_a_bad_file_leaves_nothing(mirror, tmp_path):
    (mirror / "train-labels-idx1-ubyte.gz").write_bytes(FILES["train-labels-idx1-ubyte.gz"][:-1])
    with pytest.raises(DataFileError, match=r"train-labels.* truncated or altered, expected the MD5 .*; try again"):
        download("fashion-mnist", tmp_path / "root", mirror.as_uri())
    assert set(written(tmp_path / "root")) == {"train-images-idx3-ubyte.gz"}


def test_an_interruption_leaves_nothing_half_written(mirror, tmp_path, monkeypatch):
    real = urllib.request.urlopen

    def interrupted(url, timeout):
        response = real(url, timeout=timeout)
        if "t10k-images" in url:
            read = response.read
            response.read = lambda size: read(10) if response.fp.tell() == 0 else raise_interrupt()
        return response

    def raise_interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(urllib.request, "urlopen", interrupted)
    with pytest.raises(KeyboardInterrupt):
        download("fashion-mnist", tmp_path / "root", mirror.as_uri())
    assert written(tmp_path / "root") == {name: FILES[name] for name in FILES if name.startswith("train")}
    monkeypatch.undo()


@pytest.mark.parametrize("name", ["mnist", "cifar10", "fashion-mnist-subset"])
def test_sets_without_a_download(name, tmp_path):
    with pytest.raises(ValueError, match=f"download: name must be one of fashion-mnist, not '{name}'"):
        download(name, tmp_path)


def test_without_tqdm(mirror, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(MissingToolError, match=r'tqdm not found, needed for a download; install it: pip install "pos'):
        download("fashion-mnist", tmp_path, mirror.as_uri())
    assert written(tmp_path) == {}
