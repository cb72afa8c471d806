import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

import positcore as pc
from positcore.sim.campaign import verify
from positcore.sim.directed import directed_codes, random_dots
from positcore.sim.report import code_text

pytestmark = pytest.mark.rtl

F = pc.PositFormat(6, 1)


def drop_nar(rtlil):
    """The encoder gives the rounded code where NaR was."""
    return re.sub(r"(connect \\S) \\raw \[\d+\](\s+connect \\A .*\s+connect \\B 6'100000)", r"\1 1'0\2", rtlil)


def test_report():
    calls = []
    report = verify(
        "add", F, exhaustive=True, waveforms=None, optimize="-O1", progress=lambda *done: calls.append(done)
    )
    assert (report.vectors, report.mismatches, report.exhaustive, report.seed) == (4096, 0, True, None)
    assert str(report).startswith("add posit<6,1>: 4,096 vectors (all inputs), 0 mismatches, ")
    assert calls == [(4096, 4096)]
    assert report.vectors_per_s > 0
    drawn = verify("add", F, vectors=70_000, seed=9, waveforms=None, optimize="-O1")
    assert (drawn.vectors, drawn.exhaustive, drawn.seed) == (70_000, False, 9)


def test_mismatch_is_told_with_all_that_helps(tmp_path):
    with pytest.raises(pc.MismatchError) as error:
        verify("add", F, exhaustive=True, waveforms=tmp_path, optimize="-O1", alter=drop_nar)
    text = str(error.value)
    assert "add[posit<6,1>]: RTL and golden model differ" in text
    assert re.search(r"^  a        0b\d{6} = ", text, re.MULTILINE)
    assert re.search(r"^  code     RTL 0b\d{6} = .* != golden 0b100000 = NaR$", text, re.MULTILINE)
    assert "  again    positcore verify add --format 6,1 --exhaustive\n" in text
    path = tmp_path / "posit_add_6_1_mismatch.vcd"
    assert f"  waveform {path}" in text
    assert "$var" in path.read_text()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    command = re.search(r"golden   python (.*)$", text, re.MULTILINE)[1]
    done = subprocess.run([sys.executable, *shlex.split(command)], capture_output=True, text=True)
    assert done.stdout == "32\n", done.stderr


@pytest.mark.parametrize("options", [{}, {"radix": 4}])
@pytest.mark.parametrize("unit", ["div-iterative", "sqrt-iterative"])
def test_streams_of_items(unit, options):
    report = verify(unit, F, waveforms=None, optimize="-O1", **options)
    assert (report.vectors, report.exhaustive) == (4096 if unit == "div-iterative" else 64, True)
    assert verify(unit, F, vectors=500, seed=3, waveforms=None, optimize="-O1", **options).vectors == 500


def test_mismatch_of_a_stream(tmp_path):
    with pytest.raises(pc.MismatchError) as error:
        verify("div-iterative", F, exhaustive=True, waveforms=tmp_path, optimize="-O1", alter=drop_nar)
    text = str(error.value)
    assert "  again    positcore verify div-iterative --format 6,1 --exhaustive\n" in text
    assert (tmp_path / "posit_div_iterative_6_1_mismatch.vcd").exists()
    command = re.search(r"golden   python (.*)$", text, re.MULTILINE)[1]
    done = subprocess.run([sys.executable, *shlex.split(command)], capture_output=True, text=True)
    assert done.stdout == "32\n", done.stderr


def test_mismatch_of_a_dot_product(tmp_path):
    with pytest.raises(pc.MismatchError) as error:
        verify("mac", F, vectors=300, seed=1, stages=2, waveforms=tmp_path, optimize="-O1", alter=drop_nar)
    text = str(error.value)
    assert "positcore verify mac --format 6,1 --stages 2 --vectors 300 --seed 1" in text
    assert (tmp_path / "posit_mac_6_1_quire31_s2_mismatch.vcd").exists()
    command = re.search(r"golden   python (.*)$", text, re.MULTILINE)[1]
    done = subprocess.run([sys.executable, *shlex.split(command)], capture_output=True, text=True)
    assert done.stdout == "32\n", done.stderr


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"unit": "hypot"}, ValueError, "unknown unit 'hypot'; the units are: decode"),
        ({"vectors": 0}, ValueError, "vectors must be a positive integer, not 0: nothing would be checked"),
        ({"vectors": 2.5}, TypeError, "vectors must be a positive integer, not 2.5"),
        ({"vectors": 5, "exhaustive": True}, ValueError, "drop vectors, or exhaustive"),
        (
            {"spec": pc.PositFormat(16), "exhaustive": True},
            ValueError,
            r"has 2\^32 inputs, more than 2\^26; use vectors",
        ),
        ({"unit": "mac", "exhaustive": True}, ValueError, "mac takes dot products of any length; use vectors"),
        ({"spec": "8,2"}, TypeError, "add: spec must be a MacSpec"),
        ({"stages": 19}, ValueError, r"add: stages must be an integer in 0..18"),
    ],
)
def test_what_cannot_be_verified(options, error, message):
    with pytest.raises(error, match=message):
        verify(**{"unit": "add", "spec": F} | options)


def test_vectors_depend_on_the_seed_alone():
    draws = [directed_codes(pc.PositFormat(16), 1000, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()


def test_directed_vectors_cover_the_format():
    fmt = pc.PositFormat(16, 2)
    codes = directed_codes(fmt, 50_000, np.random.default_rng(0))
    lengths = {len(re.match("0+|1+", f"{code & fmt.maxpos_code:015b}")[0]) for code in np.unique(codes).tolist()}
    assert lengths == set(range(1, 16))
    assert {0, fmt.nar, 1, fmt.mask, fmt.maxpos_code, fmt.nar + 1} <= set(codes.tolist())


def test_directed_dots_cover_lengths_nar_and_cancellation():
    spec = pc.MacSpec(pc.PositFormat(8, 2))
    a, b, lengths = random_dots(spec, 2000, np.random.default_rng(0))
    assert a.size == b.size == lengths.sum()
    assert lengths.min() == 1
    assert lengths.max() == 64
    assert (a == 0x80).any()
    assert (b == 0x80).any()
    ends = np.cumsum(lengths)
    dots = [pc.dot(spec, a[e - n : e], b[e - n : e]) for e, n in zip(ends, lengths, strict=True)]
    assert 100 < dots.count(0) < 1500


@pytest.mark.parametrize(
    ("code", "text"),
    [(0b01011010, "0b01011010 = 0|10|11|010 = 10.0"), (0x80, "0b10000000 = NaR"), (0, "0b00000000 = 0.0"),
     (0xFF, "0b11111111 = 1|1111111 = -5.960464477539063e-08"), (1, "0b00000001 = 0|0000001 = 5.960464477539063e-08")],
)  # fmt: skip
def test_code_text(code, text):
    assert code_text(pc.PositFormat(8, 2), code) == text
