import dataclasses
import errno
import os
import signal
import subprocess
import sys
import tempfile

import pytest
import torch

from positcore.data import load
from positcore.nn.checkpoint import load_checkpoint, only_writer, save_checkpoint
from positcore.nn.training import Recipe, Trainer

TRAIN, TEST = load("fashion-mnist-subset", "train").first(192), load("fashion-mnist-subset", "test").first(8)
RECIPE = Recipe("mnistnet", "float32", epochs=2)

# Trains one epoch and saves; then saves the second epoch, but stops half-way through the bytes.
SAVING = """
import sys, time
from pathlib import Path
import torch
from positcore.data import load
from positcore.nn.training import Recipe, Trainer
train, test = load("fashion-mnist-subset", "train").first(192), load("fashion-mnist-subset", "test").first(8)
trainer = Trainer(Recipe("mnistnet", "O12-L12-FBG8q", epochs=2), train, test)
path = Path(sys.argv[1])
trainer.run_epoch()
trainer.save(path)
trainer.run_epoch()
save = torch.save

def half(state, file):
    save(state, file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    print("half", flush=True)
    time.sleep(600)

torch.save = half
trainer.save(path)
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    trainer, path = Trainer(RECIPE, TRAIN, TEST), tmp_path_factory.mktemp("saved") / "checkpoint.pt"
    trainer.run_epoch()
    trainer.save(path)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path, saved):
    (tmp_path / "checkpoint.pt").write_bytes(saved)
    return tmp_path / "checkpoint.pt"


def test_killed_in_the_middle_of_a_save(tmp_path):
    path = tmp_path / "checkpoint.pt"
    process = subprocess.Popen([sys.executable, "-c", SAVING, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    process.stdout.close()
    assert len(list(tmp_path.iterdir())) == 2  # the checkpoint, and the half-written file beside it
    recipe = Recipe("mnistnet", "O12-L12-FBG8q", epochs=2)  # the bits of float32 depend on the number of threads
    whole, second = Trainer(recipe, TRAIN, TEST), Trainer(recipe, TRAIN, TEST)
    second.resume(path)
    assert list(tmp_path.iterdir()) == [path]
    assert len(second.history) == 1
    for trainer in (whole, second):
        while not trainer.done:
            trainer.run_epoch()
    ours = second.model.state_dict()
    assert all(torch.equal(x, ours[key]) for key, x in whole.model.state_dict().items())


def test_an_error_while_saving_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def fail(state, file):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(path, {})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("text", [b"", b"not a checkpoint", b"PK\x03\x04"], ids=["empty", "text", "signature"])
def test_what_is_no_checkpoint(tmp_path, text):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=r"checkpoint\.pt is not a checkpoint of positcore, or a damaged one; remove"):
        Trainer(RECIPE, TRAIN, TEST).resume(path)
    assert path.read_bytes() == text


def test_a_truncated_checkpoint(path):
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ValueError, match="not a checkpoint of positcore, or a damaged one"):
        load_checkpoint(path)


@pytest.mark.parametrize("where", [0.1, 0.3, 0.5, 0.7])
def test_a_flipped_bit(path, where):
    content = bytearray(path.read_bytes())
    content[int(len(content) * where)] ^= 4
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a checkpoint of positcore, or a damaged one"):
        load_checkpoint(path)


class Foreign:
    pass


@pytest.mark.parametrize("state", [{"weight": torch.zeros(2)}, [1, 2], Foreign()], ids=["state_dict", "list", "object"])
def test_a_foreign_file(tmp_path, state):
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"model\.pt is not a checkpoint of positcore"):
        load_checkpoint(tmp_path / "model.pt")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pt"):
        load_checkpoint(tmp_path / "none.pt")


def changed(path, **changes):
    torch.save({**torch.load(path, weights_only=True), **changes}, path)
    return path


@pytest.mark.parametrize("change", [{"version": 3}, {"kind": "other"}], ids=str)
def test_a_newer_version(path, change):
    with pytest.raises(ValueError, match=r"is a checkpoint of a newer positcore .*upgrade, or choose another output"):
        load_checkpoint(changed(path, **change))


def test_a_checkpoint_from_before_there_were_versions(path):
    state = torch.load(path, weights_only=True)
    for key in ("kind", "version", "steps", "loss_sum", "seconds"):
        del state[key]
    state["recipe"] = {key: state["recipe"][key] for key in ("model", "policy", "epochs", "seed")}
    state["history"] = [{key: e[key] for key in ("epoch", "loss", "accuracy", "seconds")} for e in state["history"]]
    torch.save(state, path)
    trainer = Trainer(RECIPE, TRAIN, TEST)
    trainer.resume(path)
    assert (len(trainer.history), trainer.steps) == (1, 0)


@pytest.mark.parametrize(
    ("recipe", "train", "message"),
    [
        ({"seed": 5}, 192, "is a checkpoint with seed 0, not 5; give the same options to resume it, or another"),
        ({"policy": "O12-L12-FBG8q"}, 192, "with policy float32, not O12-L12-FBG8q"),
        ({"schedule": "cosine"}, 192, "with schedule halve, not cosine"),
        ({"weight_decay": 0.5}, 192, r"with weight_decay 0\.0, not 0\.5"),
        ({}, 64, r"with data fashion-mnist-subset 192\+8, not fashion-mnist-subset 64\+8"),
    ],
    ids=["seed", "policy", "schedule", "decay", "data"],
)
def test_a_checkpoint_of_another_run(path, recipe, train, message):
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        Trainer(dataclasses.replace(RECIPE, **recipe), TRAIN.first(train), TEST).resume(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("key", ["recipe", "data", "model", "optimizer", "schedule", "history", "steps", "loss_sum"])
@pytest.mark.parametrize("value", [None, [None]], ids=str)
def test_a_state_with_nonsense_in_it(path, key, value):
    before = changed(path, **{key: value}).read_bytes()
    with pytest.raises(ValueError, match=r"checkpoint\.pt (is not a checkpoint of|does not hold the state of)"):
        Trainer(RECIPE, TRAIN, TEST).resume(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"warmup": 3}, r"checkpoint\.pt holds a recipe that is none here: Recipe: unknown warmup; made by a newer"),
        ({"model": "resnet50"}, "holds a recipe that is none here: Recipe: no model 'resnet50'; there are lenet5"),
        ({"epochs": "many"}, "holds a recipe that is none here"),
    ],
    ids=["field", "model", "kind"],
)
def test_a_recipe_that_is_not_known(path, change, message):
    recipe = {**dataclasses.asdict(RECIPE), **change}
    with pytest.raises(ValueError, match=message):
        Trainer(RECIPE, TRAIN, TEST).resume(changed(path, recipe=recipe))


@pytest.mark.parametrize(
    "change", [{"model": {"1.weight": torch.zeros(1)}}, {"history": [{"epoch": 1}]}, {"optimizer": {}}], ids=list
)
def test_a_state_that_is_not_the_recipes(path, change):
    with pytest.raises(ValueError, match="does not hold the state of mnistnet that its recipe says; remove it to"):
        Trainer(RECIPE, TRAIN, TEST).resume(changed(path, **change))


def test_one_process_trains_in_a_folder(tmp_path):
    folder = tmp_path / "run"
    with (
        only_writer(folder),
        pytest.raises(ValueError, match=r"another process trains in .*run; wait for it"),
    ):
        only_writer(folder).__enter__()
    with only_writer(folder, wait=True):
        assert not list(folder.iterdir())


def test_a_folder_into_which_nothing_came_goes(tmp_path):
    for folder in (tmp_path / "new" / "run", tmp_path / "new"):
        with pytest.raises(KeyError), only_writer(folder):
            raise KeyError
        assert not list(tmp_path.iterdir())
    (tmp_path / "old").mkdir()
    with only_writer(tmp_path / "old"):
        pass
    with only_writer(tmp_path / "old" / "run"):
        (tmp_path / "old" / "run" / "file").write_text("")
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["run"]


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ValueError, match=r"file(/run)? is no folder that can be written to \(.*\); choose another"):
            only_writer(folder).__enter__()

    def read_only(**_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    with pytest.raises(ValueError, match=r"is no folder that can be written to \(Read-only file system\); choose"):
        only_writer(tmp_path).__enter__()
