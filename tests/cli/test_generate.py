from __future__ import annotations

import json
import re

import pytest

from positcore.cli import main


def run(capsys, *words):
    status = main(["generate", *words])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_to_standard_output(capsys):
    status, out, err = run(capsys, "add", "--format", "8,2")
    assert (status, err) == (0, "")
    assert out.startswith("// posit_add_8_2: a + b, rounded once\n// spec:     posit<8,2>\n")
    assert "\nmodule posit_add_8_2 (\n  input  wire [7:0] a,\n" in out


def test_to_a_file_that_names_the_command_that_made_it(capsys, tmp_path):
    path = tmp_path / "mac.v"
    words = ["mac", "--format", "8,2", "--output-format", "16,2", "--carry-bits", "15", "--stages", "2"]
    status, out, err = run(capsys, *words, "-o", str(path))
    assert (status, out, err) == (0, f"{path}: module posit_mac_8_2_to_16_2_quire15_s2, latency 3\n", "")
    text = path.read_text()
    (again,) = [line for line in text.splitlines() if line.startswith("// again by: ")]
    again = again.removeprefix("// again by: positcore generate ").split()
    assert main(["generate", *again[:-2]]) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize(
    ("words", "module"),
    [
        ("convert --format 8,2 --output-format 16,1", "posit_convert_8_2_to_16_1"),
        ("from-int --format 8,2 --bits 16 --unsigned", "posit_from_int_8_2_uint16"),
        ("to-float --format 8,2 --float bfloat16 --stages 1", "posit_to_float_8_2_bfloat16_s1"),
        ("function --format 8,2 --function tanh", "posit_function_8_2_tanh"),
        ("div-iterative --format 8,2 --radix 4", "posit_div_iterative_8_2_radix4"),
        ("mul --format 8,2 --dsp --stages 1", "posit_mul_8_2_dsp_s1"),
        ("mac --format 8,2 --output-format 16,2 --accumulator fused", "posit_mac_8_2_to_16_2_fused"),
        ("mac --format 6,1 --accumulator rounded --dsp", "posit_mac_6_1_rounded_dsp"),
        ("mac --format 6,1 --accumulator aligned:2,7", "posit_mac_6_1_aligned2x7"),
        ("dot --format 6,1 --accumulator aligned:3,7 --stages 2", "posit_dot_6_1_aligned3x7_s2"),
    ],
)
def test_units_with_parameters_of_their_own(capsys, words, module):
    status, out, err = run(capsys, *words.split())
    assert (status, err) == (0, "")
    assert f"// again by: positcore generate {words} -o {module}.v\n" in out
    assert f"\nmodule {module} (" in out


def test_json(capsys, tmp_path):
    path = tmp_path / "mul.v"
    status, out, _ = run(capsys, "mul", "--format", "8,2", "--stages", "1", "-o", str(path), "--json")
    assert status == 0
    shown = json.loads(out)
    assert [(port["name"], port["direction"], port["width"]) for port in shown.pop("ports")] == [
        ("clk", "input", 1), ("rst", "input", 1), ("a", "input", 8), ("b", "input", 8), ("code", "output", 8)
    ]  # fmt: skip
    assert shown == {
        "unit": "mul", "spec": "posit<8,2>", "module": "posit_mul_8_2_s1", "stages": 1, "latency": 1,
        "path": str(path),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("hypot --format 8,2", "unknown unit 'hypot'; the units are: decode, encode, add, sub, mul, fma"),
        ("add --format 8,2 --output-format 16,2", "add has one format and no accumulator; drop --output-format"),
        (
            "convert --format 8,2 --carry-bits 7",
            "convert has an input and an output format and no accumulator; drop",
        ),
        ("add --format 8,2 --bits 8 --unsigned", "add does not have --bits and --unsigned; drop it"),
        ("from-int --format 8,2", "from-int: bits must be 8, 16, 32 or 64, the width of the integers, not None"),
        ("function --format 8,2 --function tan", "function: the function must be one of exp, "),
        ("add --format 8,2 --accumulator fused --lanes 4", "add has one format and no accumulator; drop --accumulator"),
        ("add --format 8,2 --lanes 4 --radix 2", "add does not have --lanes and --radix; drop it"),
        ("add --format 8,2 --dsp", "add does not have --dsp; drop it"),
        ("div-iterative --format 8,2 --radix 8", "div-iterative: radix must be 2 or 4 (one or two binary digits a"),
        ("div-iterative --format 8,2 --stages 1", "div-iterative: has no pipeline to cut; drop stages"),
        (
            "mac --format 8,2 --accumulator fused --carry-bits 7",
            "mac: only a quire has --carry-bits, not fused; drop it",
        ),
        ("mac --format 8,2 --lanes 4", "mac does not have --lanes; drop it"),
        ("dot --format 8,2 --accumulator rounded", "dot: the accumulator must be "),
        ("dot --format 8,2 --accumulator aligned:4,14 --lanes 2", "aligned(4 lanes, 14 bits) has 4 lanes, not 2; drop"),
        ("add --format 8,2 --stages 19", "add: stages must be an integer in 0..18 (it can be cut after: regime_4, "),
        ("mac --format 8,2 --carry-bits 64", "Quire: carry_bits must be an integer in 1..63, not 64"),
        ("add --format 8,2 -o missing/add.v", "no folder missing to write add.v in; create it"),
        ("add --format 8,2 --json", "--json describes the file that -o names; add -o FILE"),
    ],
)
def test_usage(capsys, monkeypatch, tmp_path, words, message):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *words.split())
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sum", "an accumulator is quire, fused, rounded or aligned:L,W with L lanes and a grid of W bits, not 'sum'"),
        ("aligned:4", "an accumulator is quire, fused, rounded or aligned:L,W .*, not 'aligned:4'"),
        ("aligned:0,14", "Aligned: lanes must be an integer in 1..64, not 0"),
        ("aligned:4,0", "Aligned: width must be an integer in 1..256, not 0"),
    ],
)
def test_impossible_accumulator(capsys, text, message):
    with pytest.raises(SystemExit, match="2"):
        main(["generate", "mac", "--format", "8,2", "--accumulator", text])
    assert re.search(f"argument --accumulator: {message}", capsys.readouterr().err.replace("(", "").replace(")", ""))


def test_impossible_format(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["generate", "add", "--format", "65,2"])
    assert "n must be an integer in 2..32, not 65" in capsys.readouterr().err
