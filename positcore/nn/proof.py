"""`Proof`: steps of training in a simulation alone, every bit of their outcome compared with the golden model's."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from positcore.data import Dataset
from positcore.errors import MismatchError
from positcore.nn.backends import current_backend, use_backend
from positcore.nn.guard import only_simulated
from positcore.nn.proof_report import ReportedProof, count_lines, summed
from positcore.nn.recipe import Recipe
from positcore.nn.tensors import as_array
from positcore.nn.training import Trainer

__all__ = ["Proof", "ProvenStep"]


@dataclass(frozen=True)
class ProvenStep:
    """What one step came to.

    Parameters
    ----------
    step : int
        Counted from 1.
    loss : float
        The same in both runs.
    codes : int
        Elements of weights, buffers and optimizer state compared after it, all equal.
    seconds : float
        That the simulation took, its compilation at the first use included.
    operations : dict of str to int
        What each unit did, in the simulation.
    barred : int
        Names of golden functions that would have raised, had they been called.
    """

    step: int
    loss: float
    codes: int
    seconds: float
    operations: dict[str, int] = field(default_factory=dict)
    barred: int = 0


class Proof(ReportedProof):
    """Train the first steps of a recipe twice: in the golden model, and in a simulation.

    The simulated steps run under `only_simulated`, where golden arithmetic raises, and under `pnn.audit`, where float
    arithmetic of PyTorch's does. After each step the loss, all weights and buffers and the optimizer's state are
    compared bit for bit. A checkpoint is written after each step, from which another process goes on.

    Parameters
    ----------
    recipe : Recipe
        With a policy.
    train, test : Dataset
        The second one only says what the network is built for.
    folder : Path
        Where checkpoint and report go.
    backend : str
        The simulation, or the board.
    compare : bool
        Whether each operation is compared with the golden model as soon as it is done, too. The golden model must run
        for that, so nothing is barred.

    Raises
    ------
    ValueError
        If the recipe is of float32, the backend is the golden model or unknown, or a board without `compare`.
    """

    def __init__(
        self, recipe: Recipe, train: Dataset, test: Dataset, folder: Path, backend: str = "rtl", compare: bool = False
    ) -> None:
        super().__init__(recipe, folder, backend)
        if backend == "board" and not compare:
            raise ValueError(
                "Proof: a board has no units for elements, which are the golden model's, so that it cannot be barred; "
                "compare each operation (--compare)"
            )
        self.compare = compare
        self.golden = Trainer(recipe, train, test)
        self.simulated = Trainer(recipe, train, test, audited=True)
        self.steps: list[ProvenStep] = []

    @property
    def checkpoint(self) -> Path:
        """The state of the simulated run."""
        return self.folder / "checkpoint.pt"

    def resume(self) -> None:
        """Go on after the steps in the folder; their outcome is compared anew.

        Raises
        ------
        ValueError
            If the folder holds another run, or files that are damaged.
        """
        self.simulated.resume(self.checkpoint)
        steps, same = self._found(
            lambda found: (
                [ProvenStep(**step) for step in found["steps"]][: self.simulated.steps],
                found["backend"] == self.backend and found["compared_operations"] == self.compare,
            )
        )
        if not same or len(steps) != self.simulated.steps:
            raise ValueError(f"{self.report} is of another backend or comparison; start anew in another folder")
        self.steps = steps
        while self.golden.steps < self.simulated.steps:
            self._golden_step()
        self._compare(steps[-1].loss if steps else 0.0, steps[-1].loss if steps else 0.0)

    def run(self, steps: int, told: Callable[[ProvenStep], object] | None = None) -> None:
        """Do the steps that are missing up to so many; `told` is called after each.

        Raises
        ------
        MismatchError
            At the first step after which a bit differs: it names the tensor, the index and both values.
        GoldenArithmeticError
            If golden arithmetic was called in the simulated run.
        ValueError
            If an epoch has not so many steps, or the loss is NaR.
        """
        while len(self.steps) < steps:
            golden_loss = self._golden_step()
            start = time.perf_counter()
            with use_backend(self.backend, compare="golden" if self.compare else None):
                before = self._counts()
                with nullcontext(0) if self.compare else only_simulated() as barred:
                    loss = self.simulated.step()
                after = self._counts()
            seconds = time.perf_counter() - start
            operations = {name: count - before.get(name, 0) for name, count in after.items()}
            codes = self._compare(golden_loss, loss)
            operations = {name: count for name, count in sorted(operations.items()) if count}
            self.steps.append(ProvenStep(len(self.steps) + 1, loss, codes, seconds, operations, barred))
            self.write()
            self.simulated.save(self.checkpoint)
            if told:
                told(self.steps[-1])

    def _golden_step(self) -> float:
        with use_backend("golden"):
            return self.golden.step()

    def _counts(self) -> dict[str, int]:
        backend: Any = current_backend()
        return dict((backend.first if self.compare else backend).counts)

    def _compare(self, golden_loss: float, loss: float) -> int:
        """The elements compared; a MismatchError at the first that differs."""
        codes = 1
        if loss != golden_loss:
            raise MismatchError(
                f"step {self.simulated.steps}: the loss is {loss}, and {golden_loss} in the golden model"
            )
        theirs = _state(self.golden)
        for name, mine in _state(self.simulated).items():
            a, b = as_array(mine), as_array(theirs[name])
            different = np.argwhere((a != b) & ~(np.isnan(a) & np.isnan(b)))
            if len(different):
                index = tuple(int(i) for i in different[0])
                raise MismatchError(
                    f"step {self.simulated.steps}: {name}{list(index)} is {a[index]}, not {b[index]}, as in the "
                    f"golden model; {len(different)} of {a.size} differ; --compare finds the operation"
                )
            codes += a.size
        return codes

    # Reports -----------------------------------------------------------------------------------------

    @property
    def operations(self) -> dict[str, int]:
        """What each unit did in all steps."""
        return summed(step.operations for step in self.steps)

    def record(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return {
            **self._head("training steps in simulated RTL, equal to the golden model's bit for bit"),
            "recipe": asdict(self.recipe),
            "backend": self.backend,
            "compared_operations": self.compare,
            "seconds": round(sum(step.seconds for step in self.steps), 1),
            "codes_compared": sum(step.codes for step in self.steps),
            "differing": 0,
            "operations": self.operations,
            "steps": [asdict(step) for step in self.steps],
        }

    def text(self) -> str:
        """All figures, in lines."""
        steps, seconds = len(self.steps), sum(step.seconds for step in self.steps)
        barred = min((step.barred for step in self.steps), default=0)
        lines = [
            f"{self.recipe.model}, {self.recipe.policy}, {steps} step(s) of batch {self.recipe.batch_size} in the "
            f"backend {self.backend}, {seconds:.0f} s",
            f"{sum(step.codes for step in self.steps):,} codes of losses, weights, buffers and optimizer state "
            "compared with the golden model's, 0 differ",
        ]
        lines.append(
            "every operation was compared as it was done" if self.compare else
            f"golden arithmetic was barred ({barred} names), and float arithmetic audited"
        )  # fmt: skip
        return "\n".join([*lines, *count_lines(self.operations)])


def _state(trainer: Trainer) -> dict[str, Tensor]:
    """All floats that a step changes, by name."""
    named = {name: x for name, x in trainer.model.state_dict().items() if x.is_floating_point()}
    for key, state in trainer.optimizer.state_dict()["state"].items():
        named |= {f"optimizer state {key} {name}": x for name, x in state.items() if isinstance(x, torch.Tensor)}
    return {name: x for name, x in named.items() if x.is_floating_point()}
