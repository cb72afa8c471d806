import csv
import dataclasses

import pytest
import torch

from positcore.data import load
from positcore.nn.curves import plot_curves, write_metrics
from positcore.nn.training import Epoch, Recipe, Trainer

TRAIN, TEST = load("fashion-mnist-subset", "train").first(192), load("fashion-mnist-subset", "test").first(64)


def trained(recipe, epochs=None):
    trainer = Trainer(recipe, TRAIN, TEST)
    for _ in range(epochs or recipe.epochs):
        trainer.run_epoch()
    return trainer


def weights(trainer):
    return [p.detach().clone() for p in trainer.model.parameters()]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


@pytest.mark.parametrize("policy", ["O12-L12-FBG8q", "float32"])
def test_resuming_gives_the_same_bits(policy, tmp_path):
    recipe = Recipe(policy=policy, epochs=3, halve_every=2)
    whole = trained(recipe)
    first = trained(recipe, epochs=1)
    first.save(tmp_path / "checkpoint.pt")
    second = Trainer(dataclasses.replace(recipe), TRAIN, TEST)
    second.resume(tmp_path / "checkpoint.pt")
    assert [e.loss for e in second.history] == [e.loss for e in first.history]
    while not second.done:
        second.run_epoch()
    assert same(whole, second)
    assert [e.loss for e in whole.history] == [e.loss for e in second.history]
    assert [e.accuracy for e in whole.history] == [e.accuracy for e in second.history]


def test_weights_do_not_depend_on_threads():
    recipe = Recipe(epochs=1)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = trained(recipe)
        torch.set_num_threads(2)
        two = trained(recipe)
    finally:
        torch.set_num_threads(before)
    assert same(one, two)
    assert one.history[0].loss == two.history[0].loss


def test_seeds_differ_and_repeat():
    a, b, c = (trained(Recipe(epochs=1, seed=seed)) for seed in (0, 0, 1))
    assert same(a, b)
    assert not same(a, c)


def test_progress_counts_every_sample():
    seen = []
    Trainer(Recipe(policy="float32"), TRAIN, TEST).run_epoch(seen.append)
    assert seen == [64, 64, 64]


def test_the_schedule_halves_the_learning_rate():
    trainer = trained(Recipe(policy="float32", epochs=4, halve_every=2))
    assert trainer.optimizer.param_groups[0]["lr"] == 1 / 64


@pytest.mark.parametrize("text", [b"", b"not a checkpoint", b"PK\x03\x04"])
def test_a_damaged_checkpoint_is_named(tmp_path, text):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=r"checkpoint\.pt is not a checkpoint of positcore, or a damaged one"):
        Trainer(Recipe(), TRAIN, TEST).resume(path)


def test_a_truncated_checkpoint_is_named(tmp_path):
    path = tmp_path / "checkpoint.pt"
    trained(Recipe(policy="float32", epochs=1)).save(path)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ValueError, match="not a checkpoint of positcore, or a damaged one"):
        Trainer(Recipe(policy="float32"), TRAIN, TEST).resume(path)


def test_a_checkpoint_of_another_recipe_or_of_other_data_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    trained(Recipe(policy="float32", epochs=1)).save(path)
    with pytest.raises(ValueError, match=r"is a checkpoint with seed 0, not 5; give the same options"):
        Trainer(Recipe(policy="float32", seed=5), TRAIN, TEST).resume(path)
    with pytest.raises(ValueError, match=r"with data fashion-mnist-subset 192\+64, not fashion-mnist-subset 64\+64"):
        Trainer(Recipe(policy="float32"), TRAIN.first(64), TEST).resume(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "vgg"}, "no model 'vgg'; there are lenet5"),
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"batch_size": -1}, "batch_size must be at least 1, not -1"),
        ({"lr": 0.0}, "lr must be positive"),
        ({"policy": "O12"}, "stage L, F, B, G is missing"),
    ],
)
def test_recipe_errors(change, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**change)


def test_metrics_and_curves(tmp_path):
    history = [Epoch(1, 2.0, 50.0, 0.1), Epoch(2, 1.5, 60.0, 0.1)]
    write_metrics(tmp_path / "metrics.csv", history)
    with (tmp_path / "metrics.csv").open() as file:
        assert list(csv.DictReader(file)) == [
            {"epoch": "1", "loss": "2.0", "accuracy": "50.0", "seconds": "0.1"},
            {"epoch": "2", "loss": "1.5", "accuracy": "60.0", "seconds": "0.1"},
        ]
    plot_curves(tmp_path / "curves.png", {"float32": history, "O12-L12-FBG8q": history[:1]}, "title")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
