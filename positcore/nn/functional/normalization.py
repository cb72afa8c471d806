"""Normalization over a batch, over layers and over groups of channels: one core, each step of it a golden operation.

What the elements of a row have in common, its statistics, are values of O: a mean is one sum of products with
R_O(1 / count), so that neither a large sum nor a large count is rounded in a small format. What happens to each element
is in F, with copies of the statistics in F; and in B in the backward pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor

from positcore.mac import Quire
from positcore.nn import tensors, workers
from positcore.nn.functional.operands import constant
from positcore.nn.functional.operation import operation
from positcore.nn.functional.standardization import Layout, normalized
from positcore.nn.functional.statistics import (
    Running,
    Statistics,
    by_constants,
    by_range,
    by_variance,
    deviation_of,
)
from positcore.nn.policy import Policy

__all__ = ["CALLS", "batch_norm", "group_norm", "layer_norm", "range_batch_norm"]


@operation
def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    policy: Policy,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Batch normalization of channels; where there are several workers, over the samples of all of them.

    With K values in a channel: μ = R_O(Σ x·R_O(1/K)), d = R_F(x − R_F(μ)), S = R_O(Σ d²), v = R_O(S·R_O(1/K)),
    r = R_O(1 / R_O(√R_O(v + ε))), h = R_F(d·R_F(r)), and the result R_F(h·γ + β). Running statistics s are values of O:
    s ← R_O(momentum·R_O(new − s) + s), where the new variance is R_O(S·R_O(1/(K − 1))).

    Parameters
    ----------
    x : float tensor, (N, C, ...)
        Rounded to F first.
    running_mean, running_var : tensors of O values, (C,), or None
        Updated in place if `training`, read if not.
    weight, bias : float tensors, (C,), or None
        γ and β, master weights in O.
    policy : Policy
    training : bool
        Whether to normalize by the statistics of the batch.
    momentum, eps : float
        Rounded to O.

    Returns
    -------
    tensor of F values, the shape of `x`

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit, there is one value in a channel, running statistics are missing or of a dtype that does
        not hold O; with several workers, if F or B has no quire.
    """
    _check_channels("batch_norm", x, weight, bias, running_mean, running_var)
    if training:
        running = Running("batch_norm", policy, momentum, (running_mean, running_var))
        measure = partial(by_variance, policy=policy, eps=eps, running=running)
        return _over_batch("batch_norm", x, weight, bias, policy, measure)
    if running_mean is None or running_var is None:
        raise ValueError("batch_norm: running_mean and running_var must be given where training is False")
    measure = partial(by_constants, policy=policy, mean=running_mean, root=deviation_of(policy, running_var, eps))
    return normalized(x, weight, bias, _channels_of(x), policy, measure)


@operation
def range_batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_std: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    policy: Policy,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Batch normalization by the range of a channel in place of its variance (Banner et al. 2018, §3).

    As `batch_norm`, but with σ = R_O(R_O(max x − min x)·R_O(1/√(2 ln K))) and r = R_O(1 / R_O(σ + ε)). `running_std`
    holds the average of σ. The gradient of the range goes to the first of the largest and the first of the smallest, by
    the worker's number and then in the batch.

    Raises
    ------
    TypeError, ValueError
        As for `batch_norm`.
    """
    _check_channels("range_batch_norm", x, weight, bias, running_mean, running_std)
    if training:
        running = Running("range_batch_norm", policy, momentum, (running_mean, running_std))
        measure = partial(by_range, policy=policy, eps=eps, running=running)
        return _over_batch("range_batch_norm", x, weight, bias, policy, measure)
    if running_mean is None or running_std is None:
        raise ValueError("range_batch_norm: running_mean and running_std must be given where training is False")
    fmt = policy.optimizer.format
    root = tensors.add(fmt, tensors.quantize(fmt, running_std), constant(fmt, eps))
    measure = partial(by_constants, policy=policy, mean=running_mean, root=root)
    return normalized(x, weight, bias, _channels_of(x), policy, measure)


@operation
def layer_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
    policy: Policy,
    eps: float = 1e-5,
) -> Tensor:
    """Normalization of each sample over its last dimensions; the steps of `batch_norm`, for rows of one sample.

    Parameters
    ----------
    x : float tensor, (..., *normalized_shape)
        Rounded to F first.
    normalized_shape : sequence of int
    weight, bias : float tensors of that shape, or None
    policy : Policy
    eps : float
        Rounded to O.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    shape = tuple(normalized_shape)
    if not shape or tuple(x.shape[-len(shape) :]) != shape:
        raise ValueError(f"layer_norm: x must be of shape (..., {', '.join(map(str, shape))}), not {tuple(x.shape)}")
    _check_parameters("layer_norm", shape, weight, bias)
    length = math.prod(shape)
    samples = math.prod(x.shape[: x.ndim - len(shape)])
    layout = Layout((samples, length, 1), (samples, length), channels_first=False)
    return normalized(x, weight, bias, layout, policy, partial(by_variance, policy=policy, eps=eps))


@operation
def group_norm(
    x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, policy: Policy, eps: float = 1e-5
) -> Tensor:
    """Normalization of each sample over groups of channels; the steps of `batch_norm`, for rows of one group.

    Parameters
    ----------
    x : float tensor, (N, C, ...)
        Rounded to F first.
    num_groups : int
        A divisor of C.
    weight, bias : float tensors, (C,), or None
    policy : Policy
    eps : float
        Rounded to O.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    _check_channels("group_norm", x, weight, bias)
    samples, channels, positions = _sizes(x)
    if num_groups < 1 or channels % num_groups:
        raise ValueError(f"group_norm: num_groups must divide the {channels} channels, not be {num_groups}")
    rows = (samples * num_groups, channels // num_groups * positions)
    layout = Layout((samples, channels, positions), rows, channels_first=False)
    return normalized(x, weight, bias, layout, policy, partial(by_variance, policy=policy, eps=eps))


# Layouts of batches, and checks ---------------------------------------------------------------------


def _channels_of(x: Tensor) -> Layout:
    """Values (N, C, P) whose channels have statistics of their own, without a sum over them."""
    return Layout(_sizes(x), _sizes(x), channels_first=False)


def _over_batch(
    name: str, x: Tensor, weight: Tensor | None, bias: Tensor | None, policy: Policy, measure: Callable[..., Statistics]
) -> Tensor:
    samples, channels, positions = _sizes(x)
    if workers.active():
        for stage in (policy.forward, policy.backward):
            if not isinstance(stage.accumulator, Quire):
                raise ValueError(
                    f"{name}: sums over the samples of several workers are exact only in a quire, not with the "
                    f"accumulator {stage.accumulator} of {policy}; add q to the F and B stages"
                )
    whole = workers.total(samples * positions)
    if whole < 2:
        raise ValueError(f"{name}: training needs more than one value in a channel, not an x of {tuple(x.shape)}")
    layout = Layout((samples, channels, positions), (channels, samples * positions), channels_first=True)
    return normalized(x, weight, bias, layout, policy, partial(measure, whole=whole))


def _sizes(x: Tensor) -> tuple[int, int, int]:
    return x.shape[0], x.shape[1], math.prod(x.shape[2:])


def _check_channels(name: str, x: Tensor, *parameters: Tensor | None) -> None:
    if x.ndim < 2:
        raise ValueError(f"{name}: x must be of shape (N, C, ...), not {tuple(x.shape)}")
    _check_parameters(name, (x.shape[1],), *parameters)


def _check_parameters(name: str, shape: tuple[int, ...], *parameters: Tensor | None) -> None:
    for parameter in parameters:
        if parameter is not None and tuple(parameter.shape) != shape:
            raise ValueError(
                f"{name}: parameters and statistics must be of shape {shape}, not {tuple(parameter.shape)}"
            )


# As PyTorch's functions ------------------------------------------------------------------------------


def _batch_norm(
    policy: Policy,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    return batch_norm(input, running_mean, running_var, weight, bias, policy, training, momentum, eps)


def _layer_norm(
    policy: Policy,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    return layer_norm(input, normalized_shape, weight, bias, policy, eps)


def _group_norm(
    policy: Policy,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    return group_norm(input, num_groups, weight, bias, policy, eps)


CALLS: dict[str, Callable[..., Any]] = {
    "batch_norm": _batch_norm,
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
}
