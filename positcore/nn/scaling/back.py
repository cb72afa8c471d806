"""`BackScale`: gradients between layers scaled by their deviations of earlier steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from positcore.codec import decode, encode
from positcore.format import PositFormat
from positcore.mac import MacSpec, Quire
from positcore.nn import tensors, workers
from positcore.nn.backends import Sums
from positcore.nn.policy import Policy
from positcore.nn.scaling.factors import power
from positcore.nn.scaling.layers import HALF, LayerScale, log2

__all__ = ["BackScale"]


class BackScale(LayerScale):
    """Scaling of the gradients between layers by their standard deviations of earlier steps, after PositNN's BackScale.

    ::

        scaling = pnn.BackScale([twin.conv1, twin.conv2, twin.fc1, twin.fc2], policy, "mix")
        loss_function(twin(x), y).backward()
        scaling.unscale_(optimizer)
        optimizer.step()

    At point i, the output of layer i, a backward pass brings a gradient g of n_i elements. It is measured, then
    divided by 2^k_i: R_B(g · 2^−k_i), one multiplication. `unscale_` multiplies `parameter.grad` by 2^K_i in O,
    learns from what was measured, and chooses the k_i of the next pass.

    Measuring, each R a rounding to O: x = R(g), μ = R(R(Σ x) / R(n_i)), q = R(R(Σ x·x) / R(n_i)),
    v = max(0, R(q − μ·μ)), σ = R(R(√v) · 2^K_(i+1)). The sums are exact, in quires, over all backward passes since the
    last `unscale_` and over all workers of `torch.distributed`, so that neither the split of a batch nor the number of
    workers changes a bit. Then r_i ← R(κ·R(σ − r_i) + r_i) with κ = R(1 − momentum); the first σ becomes r_i. Choosing
    is the host's, in exact integers: s_i is log2 r_i, rounded down to 1/256. The modes aim at

    ========= =======================================================================================
    mode      K_i, rounded to the nearest integer
    ========= =======================================================================================
    loss      log2 of the mean of all r, weighted by n; one factor, at the last layer
    log-loss  the mean of all s, weighted by n; one factor, at the last layer
    multi-log at each place p, the mean of s, weighted by n, from the layer before p to the next place
    mix       the mean of s_(i−1) and s_i, weighted by n
    before    s_(i−1): the gradient that arrives at the next point has a deviation of 1
    after     s_i: the gradient that leaves the point has a deviation of 1
    half      log2(0.6745·r_(i−1)): half of the gradient that arrives at the next point is below 1
    ========= =======================================================================================

    where K_0 = K_1 in the last four: point 0 is not scaled. In all of them k_i = K_i − K_(i+1), as far as 2^k_i is
    a value of B and 2^K_i one of O. A σ of 0 or NaR teaches nothing, and until each layer has taught, all k are 0. With
    `measuring` set to False the factors stay.

    PositNN names the modes; the table is what its source computes, with these differences: it has factors that
    are no powers of two unless told, rounds every k_i by itself, starts all r at 1, and computes logarithms in posits.

    Parameters
    ----------
    layers : iterable of torch.nn.Module
        A chain, in forward order: all gradients of a layer and of those before it come through its output. Blocks of
        layers will do.
    policy : Policy
    mode : str
    momentum : float
    places : sequence of int, optional
        For multi-log: the indices of the layers at which gradients are scaled.

    Raises
    ------
    TypeError, ValueError
        As `LayerScale`, and if there is no such mode, or places are missing, or the mode needs two layers.
    """

    modes = ("loss", "log-loss", "multi-log", "mix", "before", "after", "half")

    def __init__(
        self,
        layers: Iterable[torch.nn.Module],
        policy: Policy,
        mode: str = "loss",
        momentum: float = 0.9,
        places: Sequence[int] | None = None,
    ) -> None:
        layers = list(layers)
        if mode not in self.modes:
            raise ValueError(f"BackScale: no mode {mode!r}; there are {', '.join(self.modes)}")
        if mode in self.modes[3:] and len(layers) == 1:
            raise ValueError(f"BackScale: {mode} scales between layers and needs two; take loss or log-loss")
        if (mode == "multi-log") != (places is not None):
            raise ValueError("BackScale: multi-log, and no other mode, needs places, the indices of layers that scale")
        if places is not None and not (places and all(0 <= place < len(layers) for place in places)):
            raise ValueError(f"BackScale: places must be indices of the {len(layers)} layers, not {places}")
        self.mode, self.places = mode, sorted(set(places or ()), reverse=True)
        self._seen: dict[int, tuple[int, Sums]] = {}
        self._sizes = [0] * len(layers)
        super().__init__(layers, policy, momentum)

    def _measure(self, index: int, gradient: Tensor) -> None:
        """Add to the sums of a point: Σ x and Σ x·x."""
        fmt = self.policy.optimizer.format
        x = encode(fmt, tensors.as_array(tensors.quantize(fmt, gradient.detach().cpu()))).reshape(-1)
        count, sums = self._seen.get(index) or (0, tensors.quires(MacSpec(fmt, fmt, Quire()), (1, 2)))
        sums.add_matmul(x[None], np.stack([np.full_like(x, encode(fmt, 1.0)), x], axis=1))
        self._seen[index] = count + len(x), sums

    def _after_pass(self) -> None:
        seen, self._seen = self._seen, {}
        missing = [index for index in range(len(self.layers)) if index not in seen]
        if seen and missing:
            raise ValueError(
                f"BackScale: no gradient came to the output of layer {missing[0]}, so it teaches nothing; leave out "
                "layers that are not trained or not run"
            )
        totals = [*self.totals, 0]
        for index in sorted(seen):
            count, sums = seen[index]
            self._sizes[index] = workers.total(count)
            deviation = _deviation(self.policy.optimizer.format, workers.summed(sums), self._sizes[index])
            self._learn(index, tensors.mul(self.policy.optimizer.format, deviation, power(totals[index + 1])))
        known = [Fraction(r) for r in self.running if r is not None]
        if seen and len(known) == len(self.layers):
            targets = self._targets(known)
            for index in reversed(range(len(targets))):
                self._aim(index, round(targets[index]))

    def _targets(self, r: list[Fraction]) -> list[Fraction]:
        """K of every layer, from the running deviations."""
        n, count = self._sizes, len(r)
        s = [log2(x) for x in r]
        if self.mode == "loss":
            return [log2(_mean(r, n))] * count
        if self.mode == "log-loss":
            return [_mean(s, n)] * count
        if self.mode == "multi-log":
            targets, reached = [Fraction(0)] * count, Fraction(0)
            for place, following in zip(self.places, [*self.places[1:], 0], strict=True):
                reached = _mean(s[following:place], n[following:place]) if place > following else reached
                targets[: place + 1] = [reached] * (place + 1)
            return targets
        pairs = range(1, count)
        if self.mode == "mix":
            targets = [_mean(s[i - 1 : i + 1], n[i - 1 : i + 1]) for i in pairs]
        elif self.mode == "half":
            targets = [log2(HALF * r[i - 1]) for i in pairs]
        else:
            targets = [s[i - 1 if self.mode == "before" else i] for i in pairs]
        return [targets[0], *targets]

    def state_dict(self) -> dict[str, Any]:
        """The running standard deviations, the exponents and the sizes of the gradients."""
        return {**super().state_dict(), "sizes": list(self._sizes)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state of `state_dict`; errors as for `LayerScale`."""
        super().load_state_dict(state_dict)
        self._sizes = list(state_dict["sizes"])


def _deviation(fmt: PositFormat, sums: Sums, count: int) -> Tensor:
    """The standard deviation from Σ x and Σ x·x; see `BackScale`."""
    rounded = tensors.as_tensor(decode(fmt, sums.round(), fmt.tensor_dtype))
    mean, square = (tensors.div_by_count(fmt, total, count, fmt) for total in rounded[0])
    return tensors.sqrt(fmt, tensors.fma(fmt, -mean, mean, square).clamp(min=0))


def _mean(values: Sequence[Fraction], weights: Sequence[int]) -> Fraction:
    return sum((x * n for x, n in zip(values, weights, strict=True)), Fraction(0)) / sum(weights)
