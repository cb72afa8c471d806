"""Normalization layers: by batch, range of a batch, layer and group."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from positcore.nn.functional.normalization import batch_norm, group_norm, layer_norm, range_batch_norm
from positcore.nn.layers.base import PositLayer
from positcore.nn.policy import Policy
from positcore.nn.tensors import dtype_of, quantize

__all__ = ["BatchNorm1d", "BatchNorm2d", "GroupNorm", "LayerNorm", "RangeBatchNorm1d"]


class _Running(PositLayer):
    """A layer with running statistics, which are values of O, now and when loaded."""

    momentum: float | None
    num_batches_tracked: Any

    def prepare(self) -> None:
        """Round the statistics."""
        _round_statistics(self)
        self.register_load_state_dict_post_hook(_round_statistics)  # type: ignore[no-untyped-call]

    def release(self) -> None:
        """Let statistics be loaded as they are."""
        hooks = self._load_state_dict_post_hooks
        for key in [key for key, hook in hooks.items() if hook is _round_statistics]:
            del hooks[key]

    def _follow(self) -> float:
        """Count a batch; the share that its statistics have in the running ones."""
        if not self.training or self.num_batches_tracked is None:
            return self.momentum or 0.0
        self.num_batches_tracked.add_(1)
        return 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum


def _round_statistics(module: Any, _: object = None) -> None:
    with torch.no_grad():
        for name, statistic in module.named_buffers(recurse=False):
            if statistic.is_floating_point() and not statistic.is_meta:
                setattr(module, name, quantize(module.policy.optimizer.format, statistic))


class _BatchNorm(_Running):
    """The `forward` of batch normalization."""

    weight: Any
    bias: Any
    running_mean: Any
    running_var: Any
    eps: float
    _check_input_dim: Any

    def forward(self, x: Tensor) -> Tensor:
        """Values of F, the shape of `x`."""
        self._check_input_dim(x)
        own = self.training or self.running_mean is None
        return batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.policy, own, self._follow(), self.eps
        )


class BatchNorm1d(_BatchNorm, torch.nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` in posit arithmetic, of (N, C) or (N, C, L); over the samples of all workers.

    Parameters as there, and `policy`. Running statistics are values of O. What is computed: `functional.batch_norm`.
    """

    float_class = torch.nn.BatchNorm1d


class BatchNorm2d(_BatchNorm, torch.nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` in posit arithmetic, of (N, C, H, W); otherwise as `BatchNorm1d`."""

    float_class = torch.nn.BatchNorm2d


class RangeBatchNorm1d(_Running):
    """Batch normalization by the range of a channel in place of its variance, of (N, C) or (N, C, L).

    As in PositNN (Raposo 2021), after Banner et al. (2018). It has no twin in `torch.nn`: it is put into a posit model
    as it is. What is computed: `functional.range_batch_norm`.

    Parameters
    ----------
    num_features : int
        C.
    eps : float
    momentum : float or None
        The share of a batch in the running statistics; None for the mean over all batches.
    affine : bool
        Whether there are γ and β, the parameters `weight` and `bias`.
    track_running_stats : bool
        Whether there are `running_mean` and `running_std`, which normalize in evaluation.
    policy : Policy
    """

    float_class = torch.nn.Module
    weight: Any
    bias: Any
    running_mean: Any
    running_std: Any

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        policy: Policy,
    ) -> None:
        super().__init__(policy=policy)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        dtype = dtype_of(policy.optimizer.format)
        for name, start in (("weight", torch.ones), ("bias", torch.zeros)):
            value = torch.nn.Parameter(start(num_features, dtype=dtype)) if affine else None
            self.register_parameter(name, value)
        for name, start in (("running_mean", torch.zeros), ("running_std", torch.ones)):
            self.register_buffer(name, start(num_features, dtype=dtype) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", torch.tensor(0) if track_running_stats else None)

    def to_float(self) -> torch.nn.Module:
        """Refused: there is no such layer.

        Raises
        ------
        TypeError
            Always.
        """
        raise TypeError("RangeBatchNorm1d has no twin in torch.nn; take it out of the model first")

    def forward(self, x: Tensor) -> Tensor:
        """Values of F, the shape of `x`."""
        if x.ndim not in (2, 3):
            raise ValueError(f"RangeBatchNorm1d: x must be of shape (N, C) or (N, C, L), not {tuple(x.shape)}")
        own = self.training or self.running_mean is None
        return range_batch_norm(
            x, self.running_mean, self.running_std, self.weight, self.bias, self.policy, own, self._follow(), self.eps
        )

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}, policy={self.policy}"
        )


class LayerNorm(PositLayer, torch.nn.LayerNorm):
    """`torch.nn.LayerNorm` in posit arithmetic; parameters as there, and `policy`. See `functional.layer_norm`."""

    float_class = torch.nn.LayerNorm

    def forward(self, x: Tensor) -> Tensor:
        """(..., *normalized_shape), values of F."""
        return layer_norm(x, self.normalized_shape, self.weight, self.bias, self.policy, self.eps)


class GroupNorm(PositLayer, torch.nn.GroupNorm):
    """`torch.nn.GroupNorm` in posit arithmetic; parameters as there, and `policy`. See `functional.group_norm`."""

    float_class = torch.nn.GroupNorm

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...), values of F."""
        return group_norm(x, self.num_groups, self.weight, self.bias, self.policy, self.eps)
