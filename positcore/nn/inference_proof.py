"""`InferenceProof`: test images through a network in another backend, every code compared with the golden model's."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from positcore.data import Dataset
from positcore.nn.backends import current_backend, use_backend
from positcore.nn.checkpoint import load_checkpoint
from positcore.nn.convert import convert
from positcore.nn.evaluation import batch_of
from positcore.nn.models import build
from positcore.nn.policy import Policy
from positcore.nn.proof_report import ReportedProof, count_lines, summed
from positcore.nn.recipe import Recipe

__all__ = ["InferenceProof", "ProvenImages"]


@dataclass(frozen=True)
class ProvenImages:
    """What one batch came to.

    Parameters
    ----------
    first, count : int
        Which test images, counted from 0.
    codes : int
        Results of operations compared, all equal.
    right : int
        Images whose largest logit is at their label.
    seconds : float
    operations : dict of str to int
        What each unit did.
    """

    first: int
    count: int
    codes: int
    right: int
    seconds: float
    operations: dict[str, int] = field(default_factory=dict)


class InferenceProof(ReportedProof):
    """Label test images in a backend and in the golden model at once, each operation compared as it is done.

    The report is written after each batch, from which another process goes on.

    Parameters
    ----------
    recipe : Recipe
        Its model, policy, batch_size and seed count; the policy is not float32.
    test : Dataset
    images : range
        Which of the test images.
    folder : Path
        Where the report goes.
    backend : str
    weights : Path, optional
        A checkpoint of `positcore train` of that model; without it the weights are as they are before training.

    Raises
    ------
    ValueError
        If the policy is float32, the backend is the golden model or unknown, there are no such images, or the weights
        are of another model.
    """

    def __init__(
        self, recipe: Recipe, test: Dataset, images: range, folder: Path, backend: str = "rtl",
        weights: Path | None = None,
    ) -> None:  # fmt: skip
        super().__init__(recipe, folder, backend)
        if not 0 <= images.start < images.stop <= len(test):
            raise ValueError(
                f"InferenceProof: images {images.start}:{images.stop} are not among the {len(test)} of {test.name}"
            )
        self.test, self.images = test, images
        self.batches: list[ProvenImages] = []
        torch.manual_seed(recipe.seed)
        model = build(recipe.model, len(test.classes), test.images.shape[1:])
        self.model = convert(model, Policy.parse(recipe.policy)).eval()
        if weights is not None:
            state = load_checkpoint(weights)
            if state["recipe"]["model"] != recipe.model:
                raise ValueError(f"{weights} holds weights of {state['recipe']['model']}, not of {recipe.model}")
            self.model.load_state_dict(state["model"])
        self.weights = "untrained" if weights is None else hashlib.sha256(weights.read_bytes()).hexdigest()

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the bits, and what they are computed by."""
        return {
            "model": self.recipe.model, "policy": self.recipe.policy, "seed": self.recipe.seed, "weights": self.weights,
            "data": self.test.name, "images": [self.images.start, self.images.stop],
            "batch_size": self.recipe.batch_size, "backend": self.backend,
        }  # fmt: skip

    def resume(self) -> None:
        """Go on after the batches in the folder.

        Raises
        ------
        ValueError
            If the folder holds another proof, or a damaged report.
        """
        batches, same = self._found(
            lambda found: (
                [ProvenImages(**batch) for batch in found["batches"]],
                all(found[name] == value for name, value in self.identity.items()),
            )
        )
        if not same:
            raise ValueError(f"{self.report} is of other images, weights or options; start anew in another folder")
        self.batches = batches

    def run(self, told: Callable[[ProvenImages], object] | None = None) -> None:
        """Label the images that are missing; `told` is called after each batch.

        Raises
        ------
        MismatchError
            At the first code that differs: it names the layer, the operation, the index and both codes.
        """
        size, done = self.recipe.batch_size, sum(batch.count for batch in self.batches)
        with use_backend(self.backend, compare="golden"), torch.no_grad():
            both: Any = current_backend()
            for first in range(self.images.start + done, self.images.stop, size):
                images, labels = batch_of(
                    self.test, slice(first, min(first + size, self.images.stop)), torch.device("cpu")
                )
                before, codes, began = Counter(both.first.counts), both.compared, time.perf_counter()
                right = int((self.model(images).argmax(1) == labels).sum())
                operations = dict(sorted((Counter(both.first.counts) - before).items()))
                seconds = round(time.perf_counter() - began, 2)
                self.batches.append(ProvenImages(first, len(labels), both.compared - codes, right, seconds, operations))
                self.write()
                if told:
                    told(self.batches[-1])

    # Reports -----------------------------------------------------------------------------------------

    def record(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return {
            **self._head("test images in a backend, every operation equal to the golden model's code for code"),
            **self.identity,
            "done": sum(batch.count for batch in self.batches),
            "right": sum(batch.right for batch in self.batches),
            "codes_compared": sum(batch.codes for batch in self.batches),
            "differing": 0,
            "seconds": round(sum(batch.seconds for batch in self.batches), 1),
            "operations": summed(batch.operations for batch in self.batches),
            "batches": [asdict(batch) for batch in self.batches],
        }

    def text(self) -> str:
        """All figures, in lines."""
        facts = self.record()
        return "\n".join(
            [
                f"{facts['model']}, {facts['policy']}, {facts['done']} test images of {facts['data']} from "
                f"{self.images.start} on, in batches of {facts['batch_size']}, in the backend {facts['backend']}, "
                f"{facts['seconds']:.0f} s",
                f"{facts['codes_compared']:,} codes of all operations compared with the golden model's, 0 differ; "
                f"{facts['right']} images right",
                *count_lines(facts["operations"]),
            ]
        )
