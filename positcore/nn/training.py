"""`Trainer`: a network trained on one data set, in posits or in float32, resumable at any step to the bit."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from positcore.data import Dataset
from positcore.nn.audit import audit
from positcore.nn.checkpoint import load_checkpoint, remove_remains, save_checkpoint
from positcore.nn.convert import convert
from positcore.nn.evaluation import Scores, batch_of, evaluate, first_nar
from positcore.nn.layers import CrossEntropyLoss
from positcore.nn.models import build
from positcore.nn.optim import clip_grad_norm_
from positcore.nn.policy import Policy
from positcore.nn.ranges import range_report
from positcore.nn.recipe import Recipe, make_optimizer, make_schedule

__all__ = ["Epoch", "Recipe", "Trainer"]

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to.

    Parameters
    ----------
    epoch : int
        Counted from 1.
    loss : float
        Mean of the training loss, as training saw it.
    accuracy : float
        Of the test images, in percent.
    seconds : float
        That training took, without the test.
    test_loss, top3 : float, optional
        See `Scores`; None in the history of an older checkpoint.
    """

    epoch: int
    loss: float
    accuracy: float
    seconds: float
    test_loss: float | None = None
    top3: float | None = None


class Trainer:
    """One training run: model, loss, optimizer and schedule, an epoch at a time.

    The order of the samples depends on the recipe's seed and the epoch alone, and the random numbers of a step (of
    dropout) on the seed, the epoch and the step: a run needs no state but what its checkpoint holds.

    Parameters
    ----------
    recipe : Recipe
    train, test : Dataset
        Normalized with their own mean and std, a batch at a time.
    device : torch.device or str
        Where it runs; posits have the same bits everywhere (dropout draws other numbers on a GPU).
    audited : bool
        Whether every step runs under `positcore.nn.audit`; it changes no bit.

    Raises
    ------
    TypeError, ValueError
        If the network has no posit twin, or does not take such images, or float32 is to be audited.

    Warns
    -----
    RangeWarning
        If the policy cannot hold what the network computes on the first images; see `range_report`.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: Dataset,
        test: Dataset,
        device: torch.device | str = "cpu",
        audited: bool = False,
    ) -> None:
        if audited and recipe.policy == "float32":
            raise ValueError("Trainer: an audit finds float arithmetic, which is all that float32 does; audit a policy")
        self.recipe, self.train, self.test, self.device = recipe, train, test, torch.device(device)
        self.audited = audited
        self.history: list[Epoch] = []
        self.steps = 0  # of the epoch that is under way
        self._loss_sum = self._seconds = 0.0
        self._data = f"{train.name} {len(train)}+{len(test)}"
        torch.manual_seed(recipe.seed)
        channels, height, width = train.images.shape[1:]
        self.model = build(recipe.model, len(train.classes), (channels, height, width))
        self.loss: Callable[[Tensor, Tensor], Tensor] = torch.nn.CrossEntropyLoss()
        policy = self._policy = None if recipe.policy == "float32" else Policy.parse(recipe.policy)
        if policy is not None:
            range_report(self.model, policy, batch_of(train, slice(recipe.batch_size), torch.device("cpu"))[0])
            self.model, self.loss = convert(self.model, policy), CrossEntropyLoss(policy)
        self.model.to(self.device)
        self.optimizer = make_optimizer(recipe, policy, list(self.model.parameters()))
        self.schedule = make_schedule(recipe, self.optimizer)

    @property
    def done(self) -> bool:
        """Whether all epochs were run."""
        return len(self.history) >= self.recipe.epochs

    @property
    def test_tensors(self) -> tuple[Tensor, Tensor]:
        """All test images, normalized, and their labels."""
        return batch_of(self.test, slice(None), self.device)

    @property
    def samples_done(self) -> int:
        """Samples of the epoch under way that were trained on."""
        return min(self.steps * self.recipe.batch_size, len(self))

    def __len__(self) -> int:
        """Samples of an epoch."""
        return len(self.train)

    def run_epoch(self, progress: Progress | None = None, after_step: Callable[[], object] | None = None) -> Epoch:
        """Train on every sample once, in this epoch's own order, then test; adds to `history`.

        An epoch that a checkpoint was taken in goes on where it was.

        Parameters
        ----------
        progress : callable, optional
            Told the number of samples after each batch.
        after_step : callable, optional
            Called after each step; `save` may be.

        Raises
        ------
        ValueError
            If the loss is NaR; the message names the layer. The weights are those before the step.
        """
        batches = self._batches()
        self.model.train()
        with _own_random_numbers(self.device):
            while self.steps < len(batches):
                self._advance(batches)
                if progress:
                    progress(len(batches[self.steps - 1]))
                if after_step:
                    after_step()
        self.schedule.step()
        scores = self.scores()
        mean = self._loss_sum / len(self)
        self.history.append(
            Epoch(len(self.history) + 1, mean, scores.accuracy, self._seconds, scores.loss, scores.top3)
        )
        self.steps, self._loss_sum, self._seconds = 0, 0.0, 0.0
        return self.history[-1]

    def step(self) -> float:
        """Train on the next batch of the epoch under way, and give its loss; what the epoch comes to is not computed.

        Raises
        ------
        ValueError
            If the epoch has no further batch, or as `run_epoch`.
        """
        batches = self._batches()
        if self.steps == len(batches):
            raise ValueError(f"Trainer: all {len(batches)} steps of the epoch are done; ask for fewer")
        self.model.train()
        with _own_random_numbers(self.device):
            return self._advance(batches)

    def _batches(self) -> tuple[Tensor, ...]:
        """The samples of each step of the epoch under way."""
        generator = torch.Generator().manual_seed(self.recipe.seed * 10007 + len(self.history))
        return torch.split(torch.randperm(len(self), generator=generator), self.recipe.batch_size)

    def _advance(self, batches: tuple[Tensor, ...]) -> float:
        batch, start = batches[self.steps], time.perf_counter()
        with audit(self.model) if self.audited else nullcontext():
            loss = self._step(batch)
        self.steps += 1
        self._loss_sum += loss * len(batch)
        self._seconds += time.perf_counter() - start
        return loss

    def _step(self, batch: Tensor) -> float:
        images, labels = batch_of(self.train, batch.numpy(), self.device)
        self._seed_step()
        self.optimizer.zero_grad()
        loss = self.loss(self.model(images), labels)
        value = loss.item()
        if value != value:
            self._seed_step()
            where = first_nar(self.model, images) or "all layers' outputs are numbers, so it is in the loss itself"
            raise ValueError(
                f"the loss of step {self.steps + 1} of epoch {len(self.history) + 1} is NaR: {where}; try a smaller "
                "learning rate, or wider formats there"
            )
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.clip_norm:
            parameters, most = self.model.parameters(), self.recipe.clip_norm
            if self._policy is None:
                torch.nn.utils.clip_grad_norm_(parameters, most)
            else:
                clip_grad_norm_(parameters, most, self._policy)
        self.optimizer.step()
        return value

    def _seed_step(self) -> None:
        parts = (self.recipe.seed, len(self.history), self.steps)
        seed = int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def scores(self) -> Scores:
        """Loss, accuracy and top-3 accuracy on the test images."""
        return evaluate(self.model, self.test, device=self.device)

    # Checkpoints ------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write a checkpoint, after an epoch or within one; an earlier one is replaced in one step."""
        state = {
            "recipe": asdict(self.recipe),
            "data": self._data,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "history": [asdict(epoch) for epoch in self.history],
            "steps": self.steps,
            "loss_sum": self._loss_sum,
            "seconds": self._seconds,
        }
        save_checkpoint(path, state)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of the same recipe (but for `epochs`) on the same data, with the same final bits.

        Raises
        ------
        ValueError
            If the file is no checkpoint, or one of another recipe or other data.
        """
        state = load_checkpoint(path)
        try:
            recipe = Recipe.from_items(state["recipe"])
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} holds a recipe that is none here: {error}") from error
        theirs = {**recipe.identity, "data": state["data"]}
        for name, mine in {**self.recipe.identity, "data": self._data}.items():
            if theirs.get(name) != mine:
                raise ValueError(
                    f"{path} is a checkpoint with {name} {theirs.get(name)}, not {mine}; give the same options to "
                    "resume it, or another output folder"
                )
        try:
            history = [Epoch(**epoch) for epoch in state["history"]]
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])
            steps, loss_sum, seconds = state.get("steps", 0), state.get("loss_sum", 0.0), state.get("seconds", 0.0)
            self.steps, self._loss_sum, self._seconds = int(steps), float(loss_sum), float(seconds)
        except (RuntimeError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{path} does not hold the state of {self.recipe.model} that its recipe says; remove it to start anew"
            ) from error
        self.history = history
        # The schedule warns if it steps before the optimizer did; here it did, before the checkpoint.
        self.optimizer._opt_called = True  # type: ignore[attr-defined]
        remove_remains(path)


def _own_random_numbers(device: torch.device) -> AbstractContextManager[None]:
    """Leave PyTorch's global generators as they were."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
