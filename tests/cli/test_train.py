import json
import os
import re
import signal
import subprocess
import sys
import time
import types

import pytest
import torch

import positcore as pc
from positcore.cli import main
from positcore.nn import backends
from positcore.nn.codes import CodesBackend
from positcore.nn.training import Trainer

FEW = ["--images", "64", "--test-images", "64"]
SMALL = ["train", "lenet5", "--images", "128", "--test-images", "64", "--batch-size", "64"]


def test_writes_checkpoint_metrics_and_curves(tmp_path, capsys):
    assert main([*SMALL, "--epochs", "1", "-o", str(tmp_path / "run")]) == 0
    names = sorted(p.name for p in (tmp_path / "run").iterdir())
    assert names == ["checkpoint.pt", "curves.png", "metrics.csv", "metrics.json"]
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["recipe"]["model"] == "lenet5"
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
        (["train", "lenet5", "--compare", "gold"], "no backend 'gold'; there are golden, rtl, cocotb"),
        (["train", "lenet5", "--compare", "golden"], "golden would be compared with itself; give another backend"),
        (["train", "lenet5", "--images", "0"], "--images must be at least 1, not 0"),
        (["train", "lenet5", "--test-images", "0"], "--test-images must be at least 1, not 0"),
        (["train", "lenet5", "--threads", "0"], "--threads must be at least 1, not 0"),
        (["train", "lenet5", "--epochs", "0"], "epochs must be at least 1, not 0"),
        (["train", "lenet5", "--device", "tpu"], "--device must be cpu or cuda, not 'tpu'"),
        (["train", "lenet5", "--device", "meta"], "--device must be cpu or cuda, not 'meta'"),
        (["train", "lenet5", "--policy", "float32", "--audit"], "an audit finds float arithmetic"),
        (["train", "cifarnet"], "cifarnet takes images of 3×32×32 .*, not 1×28×28"),
        (["train", "lenet5", "--resume"], "--resume: there is no .*checkpoint.pt; leave --resume out to start"),
    ],
)
def test_errors(arguments, message, tmp_path, capsys):
    assert main([*arguments, "-o", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("positcore: ")
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


@pytest.mark.parametrize("value", ["0", "0s", "5m", "-1", "often"])
def test_checkpoint_intervals(value, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*SMALL, f"--checkpoint-every={value}"])
    assert stop.value.code == 2
    assert f"steps such as 100, or seconds such as 60s, not '{value}'" in capsys.readouterr().err


@pytest.mark.parametrize(("interval", "saves"), [("1", 4), ("2", 2), ("600s", 0)])
def test_checkpoints_within_an_epoch(tmp_path, monkeypatch, interval, saves):
    seen = []
    monkeypatch.setattr(Trainer, "save", lambda self, path: seen.append(self.steps))
    arguments = ["train", "mnistnet", "--policy", "float32", "--images", "256", "--test-images", "64", "--epochs", "1"]
    assert main([*arguments, "--checkpoint-every", interval, "-o", str(tmp_path)]) == 0
    assert len(seen) == saves + 1
    assert seen == [*sorted(seen[:-1]), 0]


def test_a_run_that_broke_within_an_epoch_resumes_with_the_same_bits(tmp_path, monkeypatch):
    arguments = ["train", "mnistnet", "--images", "256", "--test-images", "64", "--batch-size", "32", "--epochs", "2"]
    step, calls = Trainer._step, iter(range(100))

    def breaks(self, batch):
        if next(calls) == 13:
            raise KeyboardInterrupt
        return step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", breaks)
        assert main([*arguments, "--checkpoint-every", "3", "-o", str(tmp_path / "a")]) == 130
    assert torch.load(tmp_path / "a" / "checkpoint.pt", weights_only=True)["steps"] == 3
    assert main([*arguments, "-o", str(tmp_path / "a"), "--resume"]) == 0
    assert main([*arguments, "-o", str(tmp_path / "b")]) == 0
    a, b = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in "ab")
    assert all(torch.equal(a["model"][key], b["model"][key]) for key in a["model"])
    losses = [[epoch["loss"] for epoch in state["history"]] for state in (a, b)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 2


def test_tensorboard_that_is_not_there(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert main([*SMALL, "--tensorboard", "-o", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert "Python package tensorboard not found, needed for positcore train --tensorboard" in err
    assert "pip install tensorboard" in err
    assert not (tmp_path / "run").exists()


def test_tensorboard(tmp_path, monkeypatch):
    seen = []

    class SummaryWriter:
        def __init__(self, folder):
            seen.append(folder)

        def add_scalar(self, name, value, step):
            seen.append((name, step, type(value)))

        def flush(self):
            seen.append("flush")

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=SummaryWriter))
    arguments = ["train", "mnistnet", "--policy", "float32", *FEW, "--epochs", "2"]
    assert main([*arguments, "--tensorboard", "-o", str(tmp_path)]) == 0
    names = ("loss", "test_loss", "accuracy", "top3", "seconds")
    epochs = [[*((name, epoch, float) for name in names), "flush"] for epoch in (1, 2)]
    assert seen == [str(tmp_path / "tensorboard"), *epochs[0], *epochs[1]]


def test_a_range_that_a_policy_cannot_hold_is_one_line(tmp_path, capsys):
    arguments = [
        "train",
        "mnistnet",
        "--policy",
        "O12-L12-FBG3/0q",
        "--images",
        "64",
        "--test-images",
        "64",
        "--epochs",
        "1",
    ]
    assert main([*arguments, "-o", str(tmp_path)]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("positcore: warning: O12-L12-FBG3/0q does not hold all values of the network")


def test_options_reach_the_recipe(tmp_path, capsys):
    arguments = [
        "train",
        "mnistnet",
        "--policy",
        "float32",
        "--images",
        "64",
        "--test-images",
        "64",
        "--epochs",
        "1",
        "--json",
    ]
    options = ["--optimizer", "sgd", "--nesterov", "--weight-decay", "0.01", "--schedule", "cosine", "--clip-norm", "2"]
    assert main([*arguments, *options, "-o", str(tmp_path)]) == 0
    recipe = json.loads(capsys.readouterr().out)["recipe"]
    assert (recipe["nesterov"], recipe["weight_decay"], recipe["schedule"]) == (True, 0.01, "cosine")
    assert recipe["clip_norm"] == 2.0


@pytest.fixture
def _sums(monkeypatch):
    """Loaded backends of this test alone, and `sums`, which gives matrix products of codes by the golden model."""
    monkeypatch.setattr(backends, "_loaded", {})
    monkeypatch.setitem(backends.BACKENDS, "sums", lambda: CodesBackend(pc.matmul))


@pytest.mark.usefixtures("_sums")
def test_two_backends_that_agree(tmp_path, capsys):
    arguments = ["train", "mnistnet", *FEW, "--epochs", "1"]
    assert main([*arguments, "--backend", "sums", "--compare", "golden", "-o", str(tmp_path / "a")]) == 0
    assert backends._loaded["sums==golden"].compared > 10_000
    assert main([*arguments, "-o", str(tmp_path / "b")]) == 0
    a, b = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in "ab")
    assert all(torch.equal(a["model"][key], b["model"][key]) for key in a["model"])


@pytest.mark.usefixtures("_sums")
def test_the_first_code_that_differs_ends_the_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(backends.BACKENDS, "sums", lambda: CodesBackend(lambda *operands: pc.matmul(*operands) ^ 1))
    arguments = ["train", "mnistnet", *FEW, "--epochs", "1", "--backend", "sums", "--compare", "golden"]
    assert main([*arguments, "-o", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert re.search(r"^positcore: .*, forward: matmul of posit<8,2>.*, index \(0, 0\): sums 0b.* != golden 0b", error)
    assert error.count("\n") == 1
    assert not (tmp_path / "checkpoint.pt").exists()


def test_an_audit_that_fails_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("positcore.nn.training.CrossEntropyLoss", lambda policy: torch.nn.CrossEntropyLoss())
    assert main([*SMALL, "--epochs", "1", "--audit", "-o", str(tmp_path / "run")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("positcore: audit: aten._log_softmax")
    assert error.count("\n") == 1
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_without_a_board_no_folder_stays(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("POSITCORE_BOARD", str(tmp_path / "clock"))
    assert main([*SMALL, "--epochs", "1", "--backend", "board", "-o", str(tmp_path / "out" / "run")]) == 2
    assert f"board: there is no port {tmp_path}/clock; plug the board in" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_without_pyserial_the_line_installs_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(backends, "_loaded", {})
    monkeypatch.setitem(sys.modules, "serial", None)
    for name in ("machine", "host", "serial_link"):
        monkeypatch.delitem(sys.modules, f"positcore.fpga.board.{name}", raising=False)
    assert main([*SMALL, "--epochs", "1", "--backend", "board", "-o", str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith(
        'Python package pyserial not found, needed for positcore train; install it: pip install "positcore[fpga]"\n'
    )
