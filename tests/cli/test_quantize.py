import json
import re

import pytest
import torch

from positcore.cli import main
from positcore.nn.models import cifarnet, mnistnet


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("float")
    options = ["--policy", "float32", "--images", "512", "--epochs", "2"]
    assert main(["train", "mnistnet", *options, "-o", str(folder)]) == 0
    return folder / "checkpoint.pt"


def test_table(checkpoint, capsys):
    assert main(["quantize", str(checkpoint), "--format", "5,0", "--images", "200", "--sample", "32"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "mnistnet, 200 test images of fashion-mnist-subset"
    accuracy = {line[:22].strip(): float(line[22:].split()[0]) for line in lines[2:5]}
    assert list(accuracy) == ["float32", "posit<5,0>", "posit<5,0>, scaled"]
    assert accuracy["float32"] >= accuracy["posit<5,0>, scaled"] > 50
    assert lines[6] == "layers, scaled, on 32 training images"
    assert [line.split()[0] for line in lines[7:]] == ["layer", "1", "3"]


def test_json(checkpoint, tmp_path, capsys):
    assert main(["quantize", str(checkpoint), "--format", "8,2", "--images", "50", "--sample", "8", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    torch.save(torch.load(checkpoint, weights_only=True)["model"], tmp_path / "weights.pt")
    options = ["--model", "mnistnet", "--data", "fashion-mnist-subset", "--images", "50", "--sample", "8", "--json"]
    assert main(["quantize", str(tmp_path / "weights.pt"), "--format", "8,2", *options]) == 0
    assert json.loads(capsys.readouterr().out) == record
    assert [layer["kind"] for layer in record["layers"]] == ["Linear", "Linear"]
    assert abs(record["scores"]["posit<8,2>"]["accuracy"] - record["scores"]["float32"]["accuracy"]) < 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sample", "0"], "quantize: --sample must be at least 1, not 0"),
        (["--model", "lenet5"], "does not hold the weights of lenet5"),
        (["--model", "cifarnet"], "cifarnet takes images of 3×32×32"),
    ],
)
def test_errors(checkpoint, capsys, options, message):
    assert main(["quantize", str(checkpoint), "--format", "8,2", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line)


def test_scales_that_there_are_not(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["quantize", "checkpoint.pt", "--format", "8,2", "--scale", "row"])
    assert "invalid choice: 'row'" in capsys.readouterr().err


def test_files_that_hold_no_weights(tmp_path, capsys):
    path = tmp_path / "weights.pt"
    path.write_bytes(b"nothing")
    assert main(["quantize", str(path), "--format", "8,2"]) == 2
    assert "is no checkpoint of positcore, or a damaged one; for a state_dict of" in capsys.readouterr().err
    options = ["--model", "mnistnet", "--data", "fashion-mnist-subset"]
    assert main(["quantize", str(path), "--format", "8,2", *options]) == 2
    assert "holds no state_dict: " in capsys.readouterr().err
    torch.save(cifarnet().state_dict(), path)
    assert main(["quantize", str(path), "--format", "8,2", *options]) == 2
    assert "does not hold the weights of mnistnet" in capsys.readouterr().err
    assert main(["quantize", str(tmp_path / "none.pt"), "--format", "8,2"]) == 2
    assert "No such file" in capsys.readouterr().err


def test_a_network_of_posits_is_refused(checkpoint, tmp_path, capsys):
    state = torch.load(checkpoint, weights_only=True)
    state["recipe"]["policy"] = "O12-L12-FBG8q"
    state["model"] = mnistnet().state_dict()
    torch.save(state, tmp_path / "posits.pt")
    assert main(["quantize", str(tmp_path / "posits.pt"), "--format", "8,2"]) == 2
    assert "was trained with O12-L12-FBG8q; quantize takes a network of float32" in capsys.readouterr().err
