"""`AdaptiveScale`: gradients between layers scaled by an estimate of what is to come in the same backward pass."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.mac import MacSpec, Quire
from positcore.nn import tensors, workers
from positcore.nn.backends import current_backend
from positcore.nn.optim.constants import rounded
from positcore.nn.policy import Policy
from positcore.nn.scaling.factors import power
from positcore.nn.scaling.layers import HALF, LayerScale, log2
from positcore.rational import value_of

__all__ = ["AdaptiveScale"]

_THOUSANDTH = Fraction(125331447, 10**11)  # √(π/2) / 1000: of |x| < this, a thousandth


class AdaptiveScale(LayerScale):
    """Scaling of the gradients between layers by what is to come in the same pass, after PositNN's AdaptiveScale.

    Used like `BackScale`. When a gradient g of n elements arrives at the output of layer i, the standard deviation of
    the gradient that the layer's weights w, m of them, will make of it is estimated, as of a sum of t products of
    independent factors, where t is m by the number of the layer's inputs or input channels. Each R a rounding to O,
    with sums in a quire: x = R(g); the means μ_x = R(R(Σ x) / R(n)), μ_w alike; the mean squares
    p_x = R(R(Σ x·x) / R(n)), p_w alike; a = R(μ_x·μ_w); v = max(0, R(R(p_x·p_w) − a·a));
    σ = R(R(√R(v·R(t))) · 2^K_(i+1)); then r_i ← R(κ·R(σ − r_i) + r_i) with κ = R(1 − momentum), where the first σ
    becomes r_i.

    The gradient is divided by 2^k_i before the layer sees it, where K_i is log2(c·r_i) to the nearest integer, of the
    logarithm rounded down to 1/256, and k_i = K_i − K_(i+1), as far as 2^k_i is a value of B and 2^K_i one of O. c is

    - normalize: 1, for a deviation of 1
    - half: 0.6745, for half of the elements below 1
    - default: √(π/2) / (1000·u), for a thousandth of them below u, the smallest value of B that has a fraction bit

    of a normal distribution. (PositNN's source has √(π/2)·u / 1000 for the last, which brings gradients to about
    800 / u, the far end of the format.) The first backward pass after `unscale_` decides; further ones that add to the
    same gradients keep the factors. So the split of a batch matters, and several workers are refused. With `measuring`
    set to False the factors stay for good.

    Parameters
    ----------
    layers : iterable of torch.nn.Module
        A chain, in forward order, of layers with a `weight` of at least two dimensions, outputs first.
    policy : Policy
    mode : "default", "normalize" or "half"
    momentum : float

    Raises
    ------
    TypeError, ValueError
        As `LayerScale`, and if there is no such mode, a layer has no such weight, or B no fraction bits for "default".
    """

    modes = ("default", "normalize", "half")

    def __init__(
        self, layers: Iterable[torch.nn.Module], policy: Policy, mode: str = "default", momentum: float = 0.9
    ) -> None:
        layers = list(layers)
        if mode not in self.modes:
            raise ValueError(f"AdaptiveScale: no mode {mode!r}; there are {', '.join(self.modes)}")
        for index, layer in enumerate(layers):
            weight = getattr(layer, "weight", None)
            if not isinstance(weight, Tensor) or weight.ndim < 2:
                raise TypeError(
                    f"AdaptiveScale: layer {index} has no weight of two dimensions or more; give Linear and Conv layers"
                )
        self.mode = mode
        self._decided: set[int] = set()
        super().__init__(layers, policy, momentum)
        for index in range(len(layers)):
            self._aimed(index)

    def _aimed(self, index: int) -> Fraction:
        """The c of a layer."""
        if self.mode != "default":
            return Fraction(1) if self.mode == "normalize" else HALF
        fmt = self._format(index)
        if not fmt.fraction_bits:
            raise ValueError(
                f"AdaptiveScale: no value of the backward format {fmt} has a fraction bit; take another mode"
            )
        smallest = value_of(fmt, 1 << (fmt.es + 1))
        assert smallest is not None
        return _THOUSANDTH / smallest

    def _measure(self, index: int, gradient: Tensor) -> None:
        if index in self._decided:
            return
        if workers.active():
            raise RuntimeError(
                "AdaptiveScale: each worker would choose factors from its own samples; take BackScale, which sums them"
            )
        self._decided.add(index)
        fmt, layer = self.policy.optimizer.format, self.layers[index]
        above = sum(self.exponents[index + 1 :])
        weight = layer.weight
        assert isinstance(weight, Tensor)
        x, w = tensors.quantize(fmt, gradient).reshape(-1), tensors.quantize(fmt, weight).reshape(-1)
        squares = tensors.mul(fmt, _average(fmt, x, x), _average(fmt, w, w))
        means = tensors.mul(fmt, _average(fmt, x), _average(fmt, w))
        variance = tensors.fma(fmt, -means, means, squares).clamp(min=0)
        terms = torch.tensor(rounded(fmt, self._terms(index)), dtype=torch.float64)
        deviation = tensors.sqrt(fmt, tensors.mul(fmt, variance, terms))
        self._learn(index, tensors.mul(fmt, deviation, power(above)))
        running = self.running[index]
        if running is not None:
            self._aim(index, round(log2(self._aimed(index) * Fraction(running))))

    def _terms(self, index: int) -> Fraction:
        """The products in an element of the layer's input gradient."""
        layer = self.layers[index]
        weight, groups = layer.weight, getattr(layer, "groups", 1)
        assert isinstance(weight, Tensor)
        return Fraction(weight.numel(), weight.shape[1] * groups)

    def _after_pass(self) -> None:
        self._decided.clear()


def _average(fmt: PositFormat, x: Tensor, y: Tensor | None = None) -> Tensor:
    """R(R(Σ x·y) / R(n)) of two vectors; Σ x if there is one."""
    other = torch.ones_like(x) if y is None else y
    total = current_backend().matmul(MacSpec(fmt, fmt, Quire()), x[None], other[:, None]).reshape(())
    return tensors.div_by_count(fmt, total, x.numel(), fmt)
