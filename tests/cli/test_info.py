from __future__ import annotations

import json

import pytest

from positcore.cli import main


def info(capsys, *words):
    assert main(["info", *words]) == 0
    return capsys.readouterr().out


def test_standard_8_bit_format(capsys):
    lines = dict(line.split("  ", 1) for line in info(capsys, "--format", "8,2").splitlines())
    assert {name: text.strip() for name, text in lines.items()} == {
        "format": "posit<8,2>",
        "n": "8 bits",
        "es": "2 exponent bits",
        "codes": "256, in uint8",
        "NaR": "0x80",
        "useed": "2^4 = 16",
        "minpos": "2^-24, about 5.96e-8",
        "maxpos": "2^24, about 1.68e+7",
        "dynamic range": "14.4 decades",
        "significand bits": "4 at most, the hidden bit included",
        "underflow": "none, a nonzero value never rounds to 0",
        "quire": "128 bits: sign, 31 carry, 4*24; LSB weighs 2^-48",
        "tensor dtype": "float32",
    }


def test_underflow_and_wide_format(capsys):
    shown = info(capsys, "--format", "32,4u")
    assert "magnitudes up to 2^-496 round to 0" in shown
    assert "float64" in shown
    assert "289.0 decades" in shown
    assert "magnitudes below 2^-27 become 0" in info(capsys, "--format", "8,2f3")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8,2", {"n": 8, "es": 2, "nar": 128, "useed": 16, "quire_bits": 128, "significand_bits": 4}),
        ("16", {"format": "16,2", "maxpos": 2.0**56, "minpos": 2.0**-56, "quire_bits": 256, "code_dtype": "uint16"}),
        ("2,0u", {"codes": 4, "underflow": True, "max_scale": 0, "dynamic_range_decades": 0.0}),
        ("32,2", {"codes": 2**32, "tensor_dtype": "float64", "quire_bits": 512, "quire_fraction_bits": 240}),
    ],
)
def test_json(capsys, text, expected):
    found = json.loads(info(capsys, "--json", "--format", text))
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "33,2"], "PositFormat: n must be an integer in 2..32, not 33"),
        (["--format", "8,5"], "PositFormat: es must be an integer in 0..4, not 5"),
        (
            ["--format", "eight"],
            "a format is written n,es such as 8,2 (or 8,2u with underflow, 8,2f3 with flush), not 'eight'",
        ),
        ([], "the following arguments are required: --format"),
    ],
)
def test_wrong_input(capsys, words, message):
    with pytest.raises(SystemExit, match="2"):
        main(["info", *words])
    assert message in capsys.readouterr().err


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["info", "--help"])
    assert "example:\n  positcore info --format 8,2" in capsys.readouterr().out
