"""Statistics of rows of values, in O: means and the scales that normalization divides by."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context
from fractions import Fraction
from functools import lru_cache

import torch
from torch import Tensor

from positcore.codec import decode
from positcore.format import PositFormat
from positcore.mac import Accumulator, MacSpec
from positcore.nn import tensors, workers
from positcore.nn.functional.operands import DotTerms, constant
from positcore.nn.gradients import MatmulTerms, Terms
from positcore.nn.policy import Policy, Stage

__all__ = [
    "Measure", "Running", "Statistics", "accumulator_of", "by_constants", "by_range", "by_variance",
    "deviation_of", "dots_of", "mean_of", "share_of",
]  # fmt: skip


def _total(mac: MacSpec, terms: Terms, rows: int, shared: bool) -> Tensor:
    """The sums (rows, 1), over all workers where they are shared; each in one accumulator, rounded once."""
    if not (shared and workers.active()):
        return terms.rounded(mac)
    quires = tensors.quires(mac, (rows, 1))
    terms.add_to(quires)
    return tensors.as_tensor(decode(mac.out, workers.summed(quires).round(), mac.out.tensor_dtype))


def mean_of(mac: MacSpec, rows: Tensor, count: int, shared: bool) -> Tensor:
    """Σ x·R_O(1 / count) of each row, (rows, 1); O is the format of `mac`'s second operand."""
    share = share_of(mac.b, max(1, count))
    column = torch.full((rows.shape[1], 1), share, dtype=tensors.dtype_of(mac.b), device=rows.device)
    return _total(mac, MatmulTerms(rows, column, (len(rows), 1)), len(rows), shared).to(rows.device)


def dots_of(mac: MacSpec, a: Tensor, b: Tensor, shared: bool) -> Tensor:
    """Σ a·b of each row, (rows, 1)."""
    return _total(mac, DotTerms(a, b, (len(a), 1)), len(a), shared).to(a.device)


def share_of(fmt: PositFormat, count: int) -> float:
    """1 / count, rounded once to `fmt`."""
    return constant(fmt, Fraction(1, count)).item()


# Statistics ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Statistics:
    """What a row of values was measured to be.

    Attributes
    ----------
    centered : Tensor
        x − μ in F, in the shape of the rows.
    inverse : Tensor, (rows, 1)
        r in O.
    count : int
        Values in a row, of all workers; 0 where mean and scale were given.
    share : Fraction
        What the gradient of the scale is multiplied by: 1/K, or that of the range.
    ends : pair of Tensor, (rows, 1), or None
        Where the largest and the smallest value of each row lie, if its range was taken; −1 for with another worker.
    """

    centered: Tensor
    inverse: Tensor
    count: int = 0
    share: Fraction = Fraction(0)
    ends: tuple[Tensor, Tensor] | None = None


class Running:
    """Statistics of O that follow those of batches."""

    def __init__(self, name: str, policy: Policy, momentum: float, held: tuple[Tensor | None, ...]) -> None:
        self.fmt, self.momentum, self.held = policy.optimizer.format, momentum, held
        dtype = tensors.dtype_of(self.fmt)
        for statistic in held:
            if statistic is not None and statistic.dtype.itemsize < dtype.itemsize:
                raise TypeError(
                    f"{name}: running statistics are values of {self.fmt}, which {statistic.dtype} does not hold; "
                    f"make them {dtype}"
                )

    def follow(self, *new: Tensor) -> None:
        """Move each statistic toward the new one."""
        momentum = constant(self.fmt, self.momentum)
        for statistic, value in zip(self.held, new, strict=True):
            if statistic is not None:
                old = tensors.quantize(self.fmt, statistic)
                step = tensors.sub(self.fmt, value.reshape(old.shape), old)
                statistic.copy_(tensors.fma(self.fmt, step, momentum, old))


Measure = Callable[[Tensor], Statistics]


def _centered(rows: Tensor, policy: Policy, count: int, shared: bool) -> tuple[Tensor, Tensor]:
    """The means in O, and the rows less their copies in F."""
    small, fmt = policy.forward.format, policy.optimizer.format
    mac = MacSpec((small, fmt), fmt, accumulator_of(policy.forward))
    mean = mean_of(mac, rows, count, shared)
    return mean, tensors.sub(small, rows, tensors.quantize(small, mean))


def by_variance(
    rows: Tensor, *, policy: Policy, eps: float, running: Running | None = None, whole: int | None = None
) -> Statistics:
    """Rows by their mean and variance; over all workers, where `whole` tells how many values a row has there."""
    small, fmt = policy.forward.format, policy.optimizer.format
    count, shared = rows.shape[1] if whole is None else whole, whole is not None
    mean, centered = _centered(rows, policy, count, shared)
    mac = MacSpec(small, fmt, accumulator_of(policy.forward))
    squares = dots_of(mac, centered, centered, shared)
    share = Fraction(1, max(1, count))
    if running is not None:
        running.follow(mean, tensors.mul(fmt, squares, constant(fmt, Fraction(1, count - 1))))
    root = deviation_of(policy, tensors.mul(fmt, squares, constant(fmt, share)), eps)
    return Statistics(centered, _inverse(policy, root), count, share)


def by_range(
    rows: Tensor, *, policy: Policy, eps: float, running: Running | None = None, whole: int | None = None
) -> Statistics:
    """Rows by their mean and range; otherwise as `by_variance`."""
    fmt = policy.optimizer.format
    count, shared = rows.shape[1] if whole is None else whole, whole is not None
    mean, centered = _centered(rows, policy, count, shared)
    (high, top), (low, bottom) = (_largest(x, shared) for x in (rows, rows.neg()))
    share = _range_share(count)
    deviation = tensors.mul(fmt, tensors.add(fmt, high, low), constant(fmt, share))
    if running is not None:
        running.follow(mean, deviation)
    inverse = _inverse(policy, tensors.add(fmt, deviation, constant(fmt, eps)))
    return Statistics(centered, inverse, count, share, (top, bottom))


def _largest(rows: Tensor, shared: bool) -> tuple[Tensor, Tensor]:
    """The largest value of each row, of all workers, and where the first such is, −1 if with another one; (rows, 1)."""
    if rows.shape[1]:
        value, place = rows.max(dim=1, keepdim=True)
    else:  # this worker has no samples, another one has
        value, place = rows.new_full((len(rows), 1), -math.inf), torch.full((len(rows), 1), -1, device=rows.device)
    if not shared:
        return value, place
    value, worker = torch.cat(workers.gathered(value), dim=1).max(dim=1, keepdim=True)
    return value, torch.where(worker == workers.rank(), place, -1)


def by_constants(x: Tensor, *, policy: Policy, mean: Tensor, root: Tensor) -> Statistics:
    """Values (N, C, P) by a mean and a scale of each channel."""
    small = policy.forward.format
    return Statistics(
        tensors.sub(small, x, tensors.quantize(small, mean)[:, None]), _inverse(policy, root.reshape(-1, 1))
    )


def deviation_of(policy: Policy, variance: Tensor, eps: float) -> Tensor:
    """R_O(√R_O(variance + ε))."""
    fmt = policy.optimizer.format
    return tensors.sqrt(fmt, tensors.add(fmt, tensors.quantize(fmt, variance), constant(fmt, eps)))


def _inverse(policy: Policy, root: Tensor) -> Tensor:
    fmt = policy.optimizer.format
    return tensors.div(fmt, constant(fmt, 1), root)


@lru_cache(maxsize=64)
def _range_share(count: int) -> Fraction:
    """1 / √(2 ln count) to 60 digits."""
    exact = Context(prec=60)
    return Fraction(exact.divide(1, exact.sqrt(exact.multiply(2, exact.ln(count)))))


def accumulator_of(stage: Stage) -> Accumulator:
    """The accumulator of F, B or G."""
    assert stage.accumulator is not None
    return stage.accumulator
