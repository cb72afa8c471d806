import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from positcore.cli import main

SMALL = ["train", "lenet5", "--images", "128", "--batch-size", "64"]


def test_writes_checkpoint_metrics_and_curves(tmp_path, capsys):
    assert main([*SMALL, "--epochs", "1", "-o", str(tmp_path / "run")]) == 0
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["checkpoint.pt", "curves.png", "metrics.csv"]
    out = capsys.readouterr().out
    assert "epoch 1/1: loss 2." in out
    assert "test accuracy" in out


def test_json(tmp_path, capsys):
    assert main([*SMALL, "--policy", "float32", "--epochs", "2", "--json", "-o", str(tmp_path)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["recipe"]["policy"] == "float32"
    assert len(result["history"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "vgg"], "no model 'vgg'; there are lenet5"),
        (["train", "lenet5", "--policy", "O12-FBG8q"], "stage L is missing in 'O12-FBG8q'"),
        (["train", "lenet5", "--policy", "O12-L12-FBG8+fuse"], "'.fuse' in .* is no accumulator; write q"),
        (["train", "lenet5", "--backend", "fpga"], "no backend 'fpga'; there are golden, rtl"),
        (["train", "lenet5", "--images", "0"], "--images must be at least 1, not 0"),
        (["train", "lenet5", "--threads", "0"], "--threads must be at least 1, not 0"),
        (["train", "lenet5", "--epochs", "0"], "epochs must be at least 1, not 0"),
        (["train", "lenet5", "--resume"], "--resume: there is no .*checkpoint.pt; leave --resume out to start"),
    ],
)
def test_errors(arguments, message, tmp_path, capsys):
    assert main([*arguments, "-o", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("positcore: ")
    import re

    assert re.search(message, lines[0])
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_is_not_overwritten(tmp_path, capsys):
    (tmp_path / "checkpoint.pt").write_text("mine")
    assert main([*SMALL, "-o", str(tmp_path)]) == 2
    assert "is there already; go on from it with --resume, or choose another -o" in capsys.readouterr().err
    assert (tmp_path / "checkpoint.pt").read_text() == "mine"


def test_an_interrupted_run_keeps_its_checkpoint_and_resumes_with_the_same_bits(tmp_path):
    command = [sys.executable, "-m", "positcore", *SMALL, "--threads", "1"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*command, "--epochs", "1000", "-o", str(tmp_path / "a")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().startswith("epoch 1/1000")
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; " in err
    assert "holds epoch" in err
    assert "Traceback" not in err
    done = len(torch.load(tmp_path / "a" / "checkpoint.pt", weights_only=True)["history"])
    epochs = ["--epochs", str(done + 1)]
    assert main([*SMALL, "--threads", "1", *epochs, "-o", str(tmp_path / "a"), "--resume"]) == 0
    assert main([*SMALL, "--threads", "1", *epochs, "-o", str(tmp_path / "b")]) == 0
    a, b = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in "ab")
    assert len(a["history"]) == len(b["history"]) == done + 1
    assert all(torch.equal(a["model"][key], b["model"][key]) for key in a["model"])
