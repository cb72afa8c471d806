from __future__ import annotations

import gzip
import re

import numpy as np
import pytest

from positcore.data.idx import find_idx, read_idx
from positcore.errors import DataFileError

HEADER = bytes([0, 0, 8, 2, 0, 0, 0, 3, 0, 0, 0, 2])
BODY = bytes(range(250, 256))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_reads_header_and_content(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(gzip.compress(HEADER + BODY) if suffix else HEADER + BODY)
    array = read_idx(path, (3, 2))
    assert array.dtype == np.uint8
    assert array.tolist() == [[250, 251], [252, 253], [254, 255]]
    array[0, 0] = 1  # torch.from_numpy wants arrays that can be written


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with the bytes 00 00 08 02 00 00 00 03 00 00 00 02, not nothing"),
        (HEADER[:6], "not 00 00 08 02 00 00"),
        (b"\0\0\x0d\x02" + HEADER[4:] + BODY, "an idx file of shape (3, 2) starts with"),
        (HEADER[:-1] + b"\x03" + BODY, "not 00 00 08 02 00 00 00 03 00 00 00 03"),
        (HEADER + BODY[:-1], "expected 18 bytes of content, found only 17"),
        (HEADER + BODY + b"\0", "expected 18 bytes of content, found more"),
    ],
)
def test_a_wrong_header_or_length_is_named(tmp_path, suffix, content, message):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    with pytest.raises(DataFileError, match=re.escape(str(path))) as raised:
        read_idx(path, (3, 2))
    assert message in str(raised.value)


@pytest.mark.parametrize("damage", ["truncated", "no gzip", "altered", "altered checksum"])
def test_damaged_gzip(tmp_path, damage):
    path = tmp_path / "x.gz"
    whole = gzip.compress(HEADER + BODY)
    path.write_bytes(
        {
            "truncated": whole[:-9],
            "no gzip": HEADER + BODY,
            "altered": whole[:10] + b"\xff\xff" + whole[12:],
            "altered checksum": whole[:-8] + bytes(4) + whole[-4:],
        }[damage]
    )
    with pytest.raises(DataFileError, match="truncated or altered, gzip cannot read it"):
        read_idx(path, (3, 2))


def test_names(tmp_path):
    assert find_idx(tmp_path, "images", "train") is None
    for name in ("t10k-labels.idx1-ubyte", "t10k-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte"):
        (tmp_path / name).touch()
        assert find_idx(tmp_path, "labels", "test") == tmp_path / name
    assert find_idx(tmp_path, "images", "test") is None
