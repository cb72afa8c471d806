from __future__ import annotations

import io
import os
import pickle
import pickletools

import numpy as np
import pytest

from positcore.data.cifar import read_batch
from positcore.errors import DataFileError

IMAGES = np.random.default_rng(7).integers(0, 256, (2, 3072), dtype=np.uint8)
LABELS = np.array([3, 9], np.uint8)


def read(tmp_path, content, count=2):
    path = tmp_path / "data_batch_1"
    path.write_bytes(content)
    return read_batch(path, count)


def assert_is_the_batch(found):
    images, labels = found
    assert images.shape == (2, 3, 32, 32)
    assert np.array_equal(images.reshape(2, 3072), IMAGES)
    assert labels.dtype == np.uint8
    assert labels.tolist() == [3, 9]


def official(core: bytes = b"numpy.core") -> bytes:
    """A batch as Python 2 and NumPy 1 wrote the official ones: byte strings, protocol 2, memo left out."""

    def string(text: bytes) -> bytes:
        return b"T" + len(text).to_bytes(4, "little") + text

    dtype = b"cnumpy\ndtype\n" + string(b"u1") + b"K\x00K\x01\x87R"
    dtype += b"(K\x03" + string(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"c" + core + b".multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + string(b"b") + b"\x87R"
    array += b"(K\x01K\x02M\x00\x0c\x86" + dtype + b"\x89" + string(IMAGES.tobytes()) + b"tb"
    items = string(b"data") + array + string(b"labels") + b"](K\x03K\x09e"
    return b"\x80\x02}(" + items + b"u."


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_reads_what_python_2_wrote(tmp_path, core):
    pickletools.dis(official(core), out=io.StringIO())  # a well-formed pickle, or the test is void
    assert_is_the_batch(read(tmp_path, official(core)))


@pytest.mark.parametrize("keys", [str, str.encode])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_reads_what_python_3_writes(tmp_path, protocol, keys):
    content = {keys("labels"): LABELS.tolist(), keys("data"): IMAGES}
    assert_is_the_batch(read(tmp_path, pickle.dumps(content, protocol)))


def test_reads_fortran_order_and_labels_in_an_array(tmp_path):
    content = {"labels": LABELS, "data": np.asfortranarray(IMAGES)}
    assert_is_the_batch(read(tmp_path, pickle.dumps(content, 2)))


def test_reads_binary(tmp_path):
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(np.hstack([LABELS[:, None], IMAGES]).tobytes())
    assert_is_the_batch(read_batch(path, 2))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataFileError, match=r"data_batch_1\.bin: expected 6146 bytes .*, found 6145"):
        read_batch(path, 2)


class Evil:
    ran = False

    def __reduce__(self):
        return (os.system, ("touch pwned",))


def test_no_code_of_a_file_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataFileError, match=r"it refers to \w+\.system, which no CIFAR-10 batch does"):
        read(tmp_path, pickle.dumps({"data": Evil(), "labels": []}, 2))
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("cut", [1, 7, 100, 3000])
def test_truncated(tmp_path, cut):
    with pytest.raises(DataFileError, match="truncated or altered, not a CIFAR-10 python batch"):
        read(tmp_path, official()[:-cut])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "holds a dict, not list"),
        ({"labels": [3, 9]}, "holds 'data'; this one does not"),
        ({"data": IMAGES}, "holds 'labels'; this one does not"),
        ({"data": IMAGES[:1], "labels": [3, 9]}, r"'data' must be bytes of shape \(2, 3072\), found \(1, 3072\)"),
        ({"data": [1, 2], "labels": [3, 9]}, r"'data' must be bytes of shape \(2, 3072\), found something else"),
        ({"data": IMAGES, "labels": [3]}, r"'labels' must be 2 integers in 0\.\.255, found 1"),
        ({"data": IMAGES, "labels": [3, 256]}, r"'labels' must be 2 integers in 0\.\.255, found something else"),
        ({"data": IMAGES.astype(float), "labels": [3, 9]}, "arrays of .*f8.*, not of bytes"),
        ({"data": np.array([[{}]]), "labels": [3, 9]}, "arrays of .*O8.*, not of bytes"),
    ],
)
def test_other_content(tmp_path, content, message):
    with pytest.raises(DataFileError, match=message):
        read(tmp_path, pickle.dumps(content, 2))


def test_another_text_encoding(tmp_path):
    content = pickle.dumps({"data": IMAGES, "labels": LABELS.tolist()}, 2)
    with pytest.raises(DataFileError, match="text encoded as 'base64'"):
        read(tmp_path, content.replace(b"latin1", b"base64"))


def test_an_array_whose_content_is_not_bytes(tmp_path):
    content = official().replace(b"T" + (6144).to_bytes(4, "little") + IMAGES.tobytes(), b"]")
    with pytest.raises(DataFileError, match="an array that is not of bytes"):
        read(tmp_path, content)


def test_a_file_that_cannot_be_opened(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_batch(tmp_path / "absent", 2)
