import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint_sequential
from torch.utils.data import DataLoader, TensorDataset

from positcore import nn as pnn
from positcore.data import Dataset, load
from positcore.nn.evaluation import batch_of, evaluate, first_nar
from positcore.nn.models import lenet5, mnistnet
from positcore.nn.training import Epoch, Recipe, Trainer

POLICY = "O12-L12-FBG8q"
TRAIN, TEST = load("fashion-mnist-subset", "train").first(192), load("fashion-mnist-subset", "test").first(64)
FEW = TRAIN.first(64)
RANDOM = np.random.default_rng(1)
PICTURES = Dataset(
    "pictures", "train", RANDOM.integers(0, 256, (8, 3, 32, 32), np.uint8), RANDOM.integers(0, 2, 8, np.uint8),
    ("a", "b"), (0.5, 0.5, 0.5), (0.3, 0.3, 0.3),
)  # fmt: skip
SMALL = dataclasses.replace(PICTURES, images=PICTURES.images[:, :, ::4, ::4])


def recipe_of(**changes):
    return Recipe(**{"model": "mnistnet", **changes})


def trained(recipe, epochs=None, train=TRAIN, test=TEST):
    trainer = Trainer(recipe, train, test)
    for _ in range(epochs or recipe.epochs):
        trainer.run_epoch()
    return trainer


def finished(trainer):
    while not trainer.done:
        trainer.run_epoch()
    return trainer


def same(a, b):
    ours, theirs = a.model.state_dict(), b.model.state_dict()
    return list(ours) == list(theirs) and all(torch.equal(x, theirs[key]) for key, x in ours.items())


def what_counts(trainer):
    return [dataclasses.replace(epoch, seconds=0.0) for epoch in trainer.history]


@pytest.mark.parametrize(
    ("recipe", "train"),
    [
        (recipe_of(epochs=2, batch_size=32, halve_every=1), FEW),
        (recipe_of(epochs=2, batch_size=32, policy="float32", nesterov=True, schedule="cosine"), FEW),
        (recipe_of(epochs=2, optimizer="adamw", lr=1 / 256, batch_size=32, weight_decay=0.01, clip_norm=0.5), FEW),
        (recipe_of(epochs=1, model="cifarnet", batch_size=4, schedule="constant"), PICTURES),
        (recipe_of(epochs=2, model="resnet20", policy="float32", batch_size=8), SMALL),
    ],
    ids=lambda x: f"{x.model},{x.policy},{x.optimizer},{x.schedule}" if isinstance(x, Recipe) else "",
)
def test_resuming_at_any_step_gives_the_same_bits(recipe, train, tmp_path):
    test = TEST.first(16) if train is FEW else train
    count = iter(range(100))
    whole = Trainer(recipe, train, test)
    while not whole.done:
        whole.run_epoch(after_step=lambda: whole.save(tmp_path / f"{next(count)}.pt"))
    files = sorted(tmp_path.iterdir())
    assert len(files) == recipe.epochs * -(-len(train) // recipe.batch_size) >= 2
    for path in files:
        torch.rand(3)
        second = Trainer(recipe, train, test)
        second.resume(path)
        assert same(whole, finished(second))
        assert what_counts(second) == what_counts(whole)
        assert second.optimizer.param_groups[0]["lr"] == whole.optimizer.param_groups[0]["lr"]


def test_resuming_after_an_epoch_gives_the_same_bits(tmp_path):
    recipe, train, test = Recipe(policy=POLICY, epochs=2, halve_every=1), TRAIN.first(64), TEST.first(16)
    whole = trained(recipe, train=train, test=test)
    trained(recipe, 1, train, test).save(tmp_path / "checkpoint.pt")
    second = Trainer(dataclasses.replace(recipe, policy="O12-L12-F8q-B8q-G8q"), train, test)
    second.resume(tmp_path / "checkpoint.pt")
    assert same(whole, finished(second))


def test_what_is_left_of_an_epoch_is_counted_on(tmp_path):
    first = Trainer(recipe_of(), TRAIN, TEST)
    with pytest.raises(ZeroDivisionError):
        first.run_epoch(after_step=lambda: (first.save(tmp_path / "c.pt"), 1 // (2 - first.steps)))
    second = Trainer(recipe_of(), TRAIN, TEST)
    second.resume(tmp_path / "c.pt")
    assert second.samples_done == 128
    seen = []
    second.run_epoch(seen.append)
    assert seen == [64]
    assert second.samples_done == 0
    assert second.history[0].seconds > first._seconds > 0


def test_dropout_is_the_same_whatever_else_draws_random_numbers():
    recipe = recipe_of(model="cifarnet", policy="float32", epochs=1, batch_size=4)
    one, two = (Trainer(recipe, PICTURES, PICTURES) for _ in range(2))
    one.run_epoch()
    state = torch.get_rng_state()
    two.run_epoch(after_step=lambda: torch.rand(7))
    assert same(one, two)
    assert torch.equal(torch.get_rng_state(), state)


def test_weights_do_not_depend_on_threads():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = trained(Recipe(epochs=1), train=FEW)
        torch.set_num_threads(2)
        two = trained(Recipe(epochs=1), train=FEW)
    finally:
        torch.set_num_threads(before)
    assert same(one, two)
    assert what_counts(one) == what_counts(two)


def test_seeds_differ_and_repeat():
    a, b, c = (trained(recipe_of(epochs=1, seed=seed), train=FEW) for seed in (0, 0, 1))
    assert same(a, b)
    assert not same(a, c)


def test_the_recipe_of_the_thesis_keeps_its_bits():
    """Order, initial weights and optimizer are those of a plain PyTorch loop."""
    trainer = trained(recipe_of(policy="float32", epochs=2, halve_every=1))
    torch.manual_seed(0)
    model = mnistnet()
    optimizer = torch.optim.SGD(model.parameters(), lr=1 / 16, momentum=0.5)
    images, labels = batch_of(TRAIN, slice(None), torch.device("cpu"))
    for epoch in range(2):
        for batch in torch.randperm(192, generator=torch.Generator().manual_seed(epoch)).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        optimizer.param_groups[0]["lr"] /= 2
    ours = trainer.model.state_dict()
    assert all(torch.equal(x, ours[key]) for key, x in model.state_dict().items())


@pytest.mark.gpu
def test_a_gpu_gives_the_same_bits(tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    recipe = Recipe(epochs=2, batch_size=32)
    here, there = (Trainer(recipe, FEW, TEST.first(16), device) for device in ("cpu", "cuda"))
    finished(here)
    there.run_epoch()
    there.save(tmp_path / "checkpoint.pt")
    again = Trainer(recipe, FEW, TEST.first(16), "cuda")
    again.resume(tmp_path / "checkpoint.pt")
    theirs = finished(again).model.state_dict()
    assert all(torch.equal(x, theirs[key].cpu()) for key, x in here.model.state_dict().items())
    assert [epoch.loss for epoch in here.history] == [epoch.loss for epoch in again.history]


def test_progress_counts_every_sample():
    seen = []
    Trainer(recipe_of(policy="float32"), TRAIN, TEST).run_epoch(seen.append)
    assert seen == [64, 64, 64]


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [("halve", [1 / 16, 1 / 32, 1 / 32]), ("constant", [1 / 16] * 3), ("cosine", [3 / 64, 1 / 64, 0.0])],
)
def test_schedules(schedule, rates):
    trainer = Trainer(
        recipe_of(policy="float32", epochs=3, halve_every=2, schedule=schedule), TRAIN.first(4), TEST.first(4)
    )
    seen = []
    while not trainer.done:
        trainer.run_epoch()
        seen.append(trainer.optimizer.param_groups[0]["lr"])
    assert seen == pytest.approx(rates, abs=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "vgg"}, "no model 'vgg'; there are lenet5"),
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"batch_size": -1}, "batch_size must be at least 1, not -1"),
        ({"lr": 0.0}, "lr must be positive"),
        ({"policy": "O12"}, "stage L, F, B, G is missing"),
        ({"seed": -1}, "seed must not be negative, not -1"),
        ({"weight_decay": -0.1}, r"weight_decay must not be negative, not -0\.1"),
        ({"optimizer": "lion"}, "no optimizer 'lion'; there are sgd, adam, adamw, rmsprop"),
        ({"optimizer": "adam", "nesterov": True}, "nesterov goes with the optimizer sgd and a momentum"),
        ({"clip_norm": -1.0}, r"clip_norm must not be negative, not -1\.0"),
        ({"schedule": "step"}, "no schedule 'step'; there are halve, constant, cosine"),
    ],
)
def test_recipe_errors(change, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**change)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_every_optimizer_learns_under_the_audit(optimizer):
    recipe = recipe_of(optimizer=optimizer, lr=1 / 16 if optimizer == "sgd" else 1 / 512, clip_norm=1.0, epochs=2)
    trainer = Trainer(recipe, TRAIN.first(128), TEST.first(8), audited=True)
    assert trainer.run_epoch().loss > trainer.run_epoch().loss


def test_the_audit_changes_no_bit_and_finds_float_arithmetic():
    data = TRAIN.first(64), TEST.first(8)
    plain, audited = (Trainer(recipe_of(epochs=1), *data, audited=flag) for flag in (False, True))
    plain.run_epoch()
    audited.run_epoch()
    assert same(plain, audited)
    audited.loss = torch.nn.CrossEntropyLoss()
    with pytest.raises(pnn.AuditError, match="is float arithmetic"):
        audited.run_epoch()
    with pytest.raises(ValueError, match="an audit finds float arithmetic, which is all that float32 does; audit a"):
        Trainer(recipe_of(policy="float32"), TRAIN, TEST, audited=True)


def test_clipping_bounds_the_step():
    plain, clipped = (
        Trainer(recipe_of(policy=policy, lr=1.0, momentum=0.0, clip_norm=norm), TRAIN.first(64), TEST.first(8))
        for policy, norm in (("float32", 0.0), ("float32", 1 / 64))
    )
    steps = []
    for trainer in (plain, clipped):
        before = torch.cat([p.detach().reshape(-1).clone() for p in trainer.model.parameters()])
        trainer.run_epoch()
        after = torch.cat([p.detach().reshape(-1) for p in trainer.model.parameters()])
        steps.append(float((after - before).norm()))
    assert steps[0] > 1 / 32
    assert steps[1] == pytest.approx(1 / 64, rel=1e-3)


def test_recipes_of_one_run():
    assert Recipe(policy="OL12-FBG8q", epochs=3).identity == Recipe(policy="O12-L12-FBG8/2q").identity
    assert Recipe(schedule="cosine", epochs=3).identity != Recipe(schedule="cosine").identity
    old = {key: x for key, x in dataclasses.asdict(Recipe()).items() if key not in ("optimizer", "schedule")}
    assert Recipe.from_items(old) == Recipe()
    with pytest.raises(ValueError, match="Recipe: unknown warmup; made by a newer positcore"):
        Recipe.from_items({"warmup": 3})


# Scores, and NaR ----------------------------------------------------------------------------------------


class Table(torch.nn.Module):
    """Gives the next rows of a table of logits, whatever the images."""

    def __init__(self, rows):
        super().__init__()
        self.rows = torch.tensor(rows)

    def forward(self, x):
        rows, self.rows = self.rows[: len(x)], self.rows[len(x) :]
        return rows


@pytest.mark.parametrize("batch_size", [1, 2, 1024])
def test_scores(batch_size):
    nan = float("nan")
    rows = [[0, 1, 2, 3, 9], [0, 5, 5, 5, 5], [0, 5, 5, 5, 5], [9, 9, 9, 9, 9], [nan, 1, 1, 1, 1], [8, 0, 0, 0, 0.0]]
    labels = np.array([4, 1, 3, 3, 1, 1], np.uint8)
    data = dataclasses.replace(PICTURES.first(6), labels=labels, classes=tuple("abcde"))
    scores = evaluate(Table(rows), data, batch_size)
    assert (scores.accuracy, scores.top3) == (100 * 2 / 6, 100 * 4 / 6)
    assert np.isnan(scores.loss)
    scores = evaluate(Table(rows[-1:]), dataclasses.replace(data.first(1), labels=labels[-1:]))
    assert scores.loss == pytest.approx(np.log(4 + np.exp(8.0)))
    with pytest.raises(ValueError, match="evaluate: pictures has no images"):
        evaluate(Table(rows), PICTURES.first(0))


def test_evaluation_leaves_the_mode():
    trainer = Trainer(recipe_of(policy="float32"), TRAIN, TEST)
    for mode in (True, False):
        trainer.model.train(mode)
        trainer.scores()
        assert trainer.model.training is mode
    assert trainer.test_tensors[0].shape == (64, 1, 28, 28)


def test_a_nar_in_the_loss_is_named_with_its_layer():
    trainer = Trainer(recipe_of(), TRAIN, TEST)
    with torch.no_grad():
        trainer.model[3].bias[2] = float("nan")
    before = copy.deepcopy(trainer.model.state_dict())
    with pytest.raises(ValueError, match=r"the loss of step 1 of epoch 1 is NaR: parameter '3\.bias' holds NaR; try"):
        trainer.run_epoch()
    assert all(torch.equal(x, before[key]) or key == "3.bias" for key, x in trainer.model.state_dict().items())


def test_a_policy_that_cannot_hold_the_values_warns():
    with pytest.warns(pnn.RangeWarning, match=r"O12-L12-FBG3/0q does not hold all values .* % of the sample"):
        Trainer(recipe_of(policy="O12-L12-FBG3/0q"), TRAIN, TEST)


def test_where_a_nar_comes_from():
    class Hole(torch.nn.Module):
        def forward(self, x):
            return x / 0

    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Sequential(torch.nn.ReLU(), Hole()), torch.nn.ReLU())
    torch.nn.init.zeros_(model[0].weight)
    torch.nn.init.zeros_(model[0].bias)
    assert first_nar(model, torch.ones(1, 2)) == r"the first NaR is in the output of '1.1' (Hole)"
    assert first_nar(model, torch.tensor([[1.0, float("inf")]])) == "the network's inputs hold nan or inf"
    assert first_nar(model[0], torch.ones(1, 2)) is None


# It feels like PyTorch ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def batch():
    return batch_of(TRAIN, slice(16), torch.device("cpu"))


def one_step(model, batch, forward=None):
    """The model's state after one step of SGD on a batch."""
    policy = pnn.Policy.parse(POLICY)
    optimizer = pnn.SGD(model.parameters(), policy, lr=1 / 16, momentum=0.5)
    images, labels = batch
    pnn.CrossEntropyLoss(policy)((forward or model)(images), labels).backward()
    optimizer.step()
    return model.state_dict()


def equal(a, b):
    return list(a) == list(b) and all(torch.equal(x, b[key]) for key, x in a.items())


def twin():
    torch.manual_seed(5)
    return pnn.convert(lenet5(), pnn.Policy.parse(POLICY))


def test_an_ordinary_loop_with_a_data_loader():
    images, labels = batch_of(TRAIN, slice(100), torch.device("cpu"))

    def run():
        torch.manual_seed(5)
        policy = pnn.Policy.parse(POLICY)
        model = pnn.convert(mnistnet(), policy)
        loss, optimizer = pnn.CrossEntropyLoss(policy), pnn.SGD(model.parameters(), policy, lr=1 / 16, momentum=0.5)
        loader = DataLoader(TensorDataset(images, labels), 32, shuffle=True, generator=torch.Generator().manual_seed(2))
        losses = []
        for x, y in loader:
            optimizer.zero_grad()
            value = loss(model(x), y)
            value.backward()
            optimizer.step()
            losses.append(value.item())
        assert [len(x) for x, _ in loader] == [32, 32, 32, 4]
        return losses, model.state_dict()

    (losses, first), (again, second) = run(), run()
    assert losses == again
    assert losses[0] > losses[-1]
    assert equal(first, second)


def test_saved_copied_and_pickled_models_train_on_alike(batch, tmp_path):
    model = twin()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    loaded = pnn.convert(lenet5(), pnn.Policy.parse(POLICY))
    loaded.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    torch.save(model, tmp_path / "model.pt")
    whole = torch.load(tmp_path / "model.pt", weights_only=False)
    others = [copy.deepcopy(model), pickle.loads(pickle.dumps(model)), loaded, whole]
    expected = one_step(model, batch)
    for other in others:
        assert equal(one_step(other, batch), expected)


def test_a_checkpointed_forward_gives_the_same_bits(batch):
    expected = one_step(twin(), batch)
    model = twin()
    assert equal(one_step(model, batch, lambda x: checkpoint_sequential(model, 3, x, use_reentrant=False)), expected)


def test_no_grad_and_eval_mode(batch):
    model = twin()
    with torch.no_grad():
        quiet = model(batch[0])
    assert not quiet.requires_grad
    assert torch.equal(model.eval()(batch[0]), quiet)
    assert all(not module.training for module in model.modules())
    assert model.train()(batch[0]).requires_grad


def test_epochs_of_older_checkpoints_have_no_test_loss():
    assert Epoch(1, 2.0, 50.0, 0.1).test_loss is None
