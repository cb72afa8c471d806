"""Layers and losses in posit arithmetic; parameters are named as in `torch.nn`, so state_dict keys are the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from positcore.gemm.patches import Geometry
from positcore.nn.functional import conv2d, cross_entropy, linear
from positcore.nn.policy import Policy
from positcore.nn.tensors import quantize

__all__ = ["Conv2d", "CrossEntropyLoss", "Linear"]


class Linear(torch.nn.Linear):
    """`torch.nn.Linear` in posit arithmetic: one rounding per output.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    policy : Policy
        Formats and accumulators; the parameters are master weights and belong to the O stage.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, policy: Policy) -> None:
        super().__init__(in_features, out_features, bias)
        self.policy = policy
        _round_parameters(self, policy)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) → (..., out), values of F."""
        return linear(x, self.weight, self.bias, self.policy)

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"{super().extra_repr()}, policy={self.policy}"


class Conv2d(torch.nn.Conv2d):
    """`torch.nn.Conv2d` in posit arithmetic: one rounding per output. Padding is by zeros.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
        As in `torch.nn.Conv2d`; `padding` may be "valid", or "same" where it is symmetric.
    policy : Policy

    Raises
    ------
    ValueError
        If the padding is not by zeros, or "same" is not symmetric.
    """

    def __init__(self, *args: Any, policy: Policy, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.padding_mode != "zeros":
            raise ValueError(f"Conv2d: padding_mode must be 'zeros', not {self.padding_mode!r}")
        self.policy = policy
        self.geometry = geometry_of(self)
        _round_parameters(self, policy)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, O, OH, OW), values of F."""
        return conv2d(x, self.weight, self.bias, self.geometry, self.groups, self.policy)

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"{super().extra_repr()}, policy={self.policy}"  # type: ignore[no-untyped-call]


def _round_parameters(layer: torch.nn.Module, policy: Policy) -> None:
    """Make a layer's parameters master weights, now and when loaded: O values in O's dtype."""
    for key, parameter in list(layer.named_parameters(recurse=False)):
        if not parameter.is_meta:
            setattr(layer, key, torch.nn.Parameter(quantize(policy.optimizer.format, parameter)))
    layer.register_load_state_dict_post_hook(_round_loaded)  # type: ignore[no-untyped-call]


def _round_loaded(layer: Any, _: object) -> None:
    """Weights of any origin become master weights when they are loaded."""
    with torch.no_grad():
        for parameter in layer.parameters(recurse=False):
            parameter.copy_(quantize(layer.policy.optimizer.format, parameter))


def geometry_of(layer: torch.nn.Conv2d) -> Geometry:
    """The geometry of a convolution layer, with its padding as numbers."""
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    padding: Any = layer.padding
    if padding == "valid":
        padding = (0, 0)
    elif padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        if any(t % 2 for t in total):
            raise ValueError(f"Conv2d: padding='same' with kernel {kernel} is not symmetric; pad explicitly")
        padding = tuple(t // 2 for t in total)
    return Geometry(_pair(kernel), _pair(stride), _pair(padding), _pair(dilation))


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    vertical, horizontal = values
    return vertical, horizontal


class CrossEntropyLoss(torch.nn.Module):
    """Cross-entropy of logits with class indices, in the L stage.

    Parameters
    ----------
    policy : Policy
    reduction : "mean" or "sum"
    """

    def __init__(self, policy: Policy, reduction: str = "mean") -> None:
        super().__init__()
        self.policy, self.reduction = policy, reduction

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """(N, classes) logits and (N,) classes → one L value."""
        return cross_entropy(logits, target, self.policy, self.reduction)
