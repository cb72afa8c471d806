from __future__ import annotations

import io
import json
import re
import sys
from fractions import Fraction

import pytest

from positcore.cli import decode, encode, main
from positcore.cli.fields import bit_fields, exact_text, rounded_text, wants_color
from positcore.format import PositFormat
from positcore.rational import value_of

P8 = PositFormat(8, 2)


def rows(capsys, *words):
    assert main(list(words)) == 0
    return [re.split(r"  +", line) for line in capsys.readouterr().out.splitlines()]


def refused(capsys, *words):
    """The one line that a wrong value gives."""
    assert main(list(words)) == 2
    caught = capsys.readouterr()
    assert caught.out == ""
    assert caught.err.count("\n") == 1
    return caught.err


class Terminal(io.StringIO):
    def isatty(self):
        return True


# encode ----------------------------------------------------------------------------------------------


def test_encode(capsys):
    assert rows(capsys, "encode", "--format", "8,2", "3.14", "-0.1", "nan", "1/3", "-1/3", "-1e-3", "-inf", "0") == [
        ["number", "code", "sign|regime|exponent|fraction", "value", "relative error"],
        ["3.14", "0x4D", "0|10|01|101", "3.25", "3.5e-2"],
        ["-0.1", "0xDB", "1|10|11|011", "-0.1015625", "1.56e-2"],
        ["nan", "0x80", "1|0000000", "NaR"],
        ["1/3", "0x33", "0|01|10|011", "0.34375", "3.12e-2"],
        ["-1/3", "0xCD", "1|10|01|101", "-0.34375", "3.12e-2"],
        ["-1e-3", "0xF4", "1|1110|10|0", "-0.0009765625", "-2.34e-2"],
        ["-inf", "0x80", "1|0000000", "NaR"],
        ["0", "0x00", "0|0000000", "0", "0"],
    ]


def test_numbers_are_not_rounded_before_they_are_rounded(capsys):
    # The tie point above 1 of posit<8,2>, and a hair beside it that float64 cannot see.
    fmt = ["encode", "--format", "8,2", "--json"]
    assert main([*fmt, "1.0625", "1.0625000000000000000000000001", "1.0624999999999999999999999999"]) == 0
    codes = [item["hex"] for item in json.loads(capsys.readouterr().out)["codes"]]
    assert codes == ["0x40", "0x41", "0x40"]
    assert main([*fmt, "1.1875", "1.1874999999999999999999999999"]) == 0
    assert [item["hex"] for item in json.loads(capsys.readouterr().out)["codes"]] == ["0x42", "0x41"]


def test_encode_json(capsys):
    assert main(["encode", "--json", "--format", "8,2", "-1/3", "NaR", "1e-999"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "format": "8,2",
        "codes": [
            {
                "number": "-1/3",
                "code": 0xCD,
                "hex": "0xCD",
                "bits": {"sign": "1", "regime": "10", "exponent": "01", "fraction": "101"},
                "value": -0.34375,
                "exact_value": "-11/32",
                "relative_error": 0.03125,
                "exact_relative_error": "1/32",
            },
            {
                "number": "NaR",
                "code": 0x80,
                "hex": "0x80",
                "bits": {"sign": "1", "regime": "0000000", "exponent": "", "fraction": ""},
                "value": None,
                "exact_value": None,
                "relative_error": None,
                "exact_relative_error": None,
            },
            {
                "number": "1e-999",
                "code": 1,
                "hex": "0x01",
                "bits": {"sign": "0", "regime": "0000001", "exponent": "", "fraction": ""},
                "value": 2.0**-24,
                "exact_value": "1/16777216",
                "relative_error": None,  # beyond float64
                "exact_relative_error": str(Fraction(10**999, 2**24) - 1),
            },
        ],
    }


@pytest.mark.parametrize("text", ["nan", "-NaN", "inf", "+Infinity", "NaR", "-nar"])
def test_words_for_nar(capsys, text):
    assert rows(capsys, "encode", "--format", "8,2", text)[1][1] == "0x80"


@pytest.mark.parametrize(
    ("text", "value"),
    [("-1.5e-3", "-3/2000"), (".5", "1/2"), ("-.5", "-1/2"), ("+2", "2"), ("1_000", "1000"), ("-22/7", "-22/7")],
)
def test_read_number(text, value):
    assert encode.read_number(text) == Fraction(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", "encode: a number is written 3.14, -1e-3, 1/3, nan, inf or NaR, not 'abc'"),
        ("0x10", "not '0x10'"),
        ("1/0", "encode: 1/0 divides by zero; write NaR for Not a Real"),
        ("1e999999999", "encode: a number must have at most 1000 characters and an exponent in ±1000, not 1e999999999"),
        ("-1e-1_00_1", "an exponent in ±1000, not -1e-1_00_1"),
        ("9" * 1001, "at most 1000 characters and an exponent in ±1000, not " + "9" * 40 + "…"),
    ],
)
def test_encode_wrong_numbers(capsys, text, message):
    assert message in refused(capsys, "encode", "--format", "8,2", "1", text)


# decode ----------------------------------------------------------------------------------------------


def test_decode(capsys):
    assert rows(capsys, "decode", "--format", "8,2", "0x45", "0b1010", "69", "0xa0", "0o377") == [
        ["code", "sign|regime|exponent|fraction", "magnitude", "k", "exponent", "fraction", "value"],
        ["0x45", "0|10|00|101", "0|10|00|101", "0", "0", "5/8", "1.625"],
        ["0x0A", "0|0001|01|0", "0|0001|01|0", "-3", "1", "0/2", "0.00048828125"],
        ["0x45", "0|10|00|101", "0|10|00|101", "0", "0", "5/8", "1.625"],
        ["0xA0", "1|01|00|000", "0|110|00|00", "1", "0", "0/4", "-16"],
        ["0xFF", "1|1111111", "0|0000001", "-6", "0", "0/1", "-2^-24"],
    ]
    assert rows(capsys, "decode", "--format", "8,2", "0", "0x80")[1:] == [
        ["0x00", "0|0000000", "0|0000000", "0"],
        ["0x80", "1|0000000", "1|0000000", "NaR"],
    ]


def test_decode_json(capsys):
    assert main(["decode", "--json", "--format", "8,2", "0xB3", "128"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["format"] == "8,2"
    assert found["codes"] == [
        {
            "code": 0xB3,
            "hex": "0xB3",
            "bits": {"sign": "1", "regime": "01", "exponent": "10", "fraction": "011"},
            "k": 0,
            "exponent": 1,
            "fraction": "5/8",
            "scale": 1,
            "value": -3.25,
            "exact_value": "-13/4",
        },
        {
            "code": 0x80,
            "hex": "0x80",
            "bits": {"sign": "1", "regime": "0000000", "exponent": "", "fraction": ""},
            "k": None,
            "exponent": None,
            "fraction": None,
            "scale": None,
            "value": None,
            "exact_value": None,
        },
    ]


@pytest.mark.parametrize("text", ["-1", "256", "0x100", "abc", "1.5", "069", "0b2", "-0x45"])
def test_decode_wrong_codes(capsys, text):
    expected = "decode: a code of posit<8,2> must be an integer in 0..255, such as 0x80, not "
    quoted = text if text in ("-1", "256", "0x100", "-0x45") else repr(text)
    assert refused(capsys, "decode", "--format", "8,2", text) == f"positcore: {expected}{quoted}\n"


# both ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "es"), [(2, 0), (2, 4), (3, 1), (5, 4), (8, 0), (8, 2), (9, 3)])
@pytest.mark.parametrize("underflow", [False, True])
def test_every_code_goes_there_and_back(capsys, n, es, underflow):
    fmt = PositFormat(n, es, underflow)
    codes = [str(code) for code in range(fmt.mask + 1)]
    assert main(["decode", "--json", "--format", fmt.spelling, *codes]) == 0
    found = json.loads(capsys.readouterr().out)["codes"]
    for code, item in enumerate(found):
        assert "".join(item["bits"].values()) == f"{code:0{n}b}"
        assert item["exact_value"] == (None if code == fmt.nar else str(value_of(fmt, code)))
        if code not in (0, fmt.nar):
            magnitude = (1 + Fraction(item["fraction"])) * Fraction(2) ** item["scale"]
            assert magnitude == abs(Fraction(item["exact_value"]))
            assert item["scale"] == (item["k"] << es) + item["exponent"]
    assert main(["encode", "--json", "--format", fmt.spelling, *(item["exact_value"] or "NaR" for item in found)]) == 0
    again = json.loads(capsys.readouterr().out)["codes"]
    assert [item["code"] for item in again] == list(range(fmt.mask + 1))


@pytest.mark.parametrize("code", range(1, 256))
def test_bits_are_fields_as_the_standard_reads_them(code):
    """((1 − 3s) + f) · 2^((1 − 2s)(2^es r + e + s)), Posit Standard 2022, §3.3, for negative codes too."""
    if code == P8.nar:
        return
    sign, regime, exponent, fraction = bit_fields(P8, code)
    s = int(sign)
    run = len(regime) - len(regime.lstrip(regime[0]))
    r = run - 1 if regime[0] == "1" else -run
    e = int(exponent.ljust(2, "0"), 2)
    f = Fraction(int(fraction or "0", 2), 1 << len(fraction))
    assert ((1 - 3 * s) + f) * Fraction(2) ** ((1 - 2 * s) * (4 * r + e + s)) == value_of(P8, code)


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_color_on_a_terminal_alone(command, monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    words = [command, "--format", "8,2", "3"]
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert main(words) == 0
    shown = sys.stdout.getvalue()
    assert "\x1b[31m0\x1b[0m|\x1b[33m" in shown
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert main(words) == 0
    assert sys.stdout.getvalue() == re.sub(r"\x1b\[\d+m", "", shown)


def test_wants_color(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "")
    assert wants_color(Terminal())
    assert not wants_color(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_color(Terminal())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(0), "0"),
        (Fraction(-13, 4), "-3.25"),
        (Fraction(1, 1024), "0.0009765625"),
        (Fraction(2) ** 56, "72057594037927936"),
        (Fraction(2) ** 480, "2^480"),
        (-5 * Fraction(2) ** -120, "-5*2^-120"),
        (3 * Fraction(2) ** 100, "3*2^100"),
    ],
)
def test_exact_text(value, text):
    assert exact_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(0), "0"),
        (Fraction(1, 3), "3.33e-1"),
        (Fraction(-10) ** 1001, "-1e+1001"),
        (Fraction(1995, 1000), "2e+0"),
    ],
)
def test_rounded_text(value, text):
    assert rounded_text(value) == text


@pytest.mark.parametrize("command", [encode, decode])
def test_help_has_an_example(capsys, command):
    name = command.__name__.rpartition(".")[2]
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    assert f"example:\n  {command.EXAMPLE}" in capsys.readouterr().out
    assert main(command.EXAMPLE.split()[1:]) == 0  # and it works
