"""Losses in the L stage: every step of each is one golden operation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.nn import tensors
from positcore.nn.backends import current_backend
from positcore.nn.batch_factor import declare_factor
from positcore.nn.functional.operation import operation
from positcore.nn.policy import Policy
from positcore.nn.uses import enter

__all__ = ["cross_entropy"]


@operation
def cross_entropy(logits: Tensor, target: Tensor, policy: Policy, reduction: str = "mean") -> Tensor:
    """Cross-entropy of logits with class indices, computed in L.

    Each step is one golden operation: z − max, exp, the sum of a row in a quire, log and division, then
    the sum over the batch in a quire.

    Parameters
    ----------
    logits : float tensor, (N, classes)
        Rounded to L first.
    target : int64 tensor, (N,)
    policy : Policy
    reduction : "mean" or "sum"

    Returns
    -------
    tensor of one L value

    Raises
    ------
    TypeError, ValueError
        If the target is not int64, the shapes do not fit, or a target is no class.
    """
    if target.dtype != torch.int64:
        raise TypeError(f"cross_entropy: target must be int64 class indices, not {target.dtype}; call .long() on it")
    if logits.ndim != 2 or target.shape != logits.shape[:1]:
        raise ValueError(
            f"cross_entropy: logits must be (N, classes) and target (N,), not {tuple(logits.shape)} "
            f"and {tuple(target.shape)}"
        )
    if target.numel() and not 0 <= int(target.min()) <= int(target.max()) < logits.shape[1]:
        raise ValueError(f"cross_entropy: targets must be classes 0..{logits.shape[1] - 1}")
    if reduction not in ("mean", "sum"):
        raise ValueError(f"cross_entropy: reduction must be 'mean' or 'sum', not {reduction!r}")
    use = enter(logits, policy.backward.format)
    result: Tensor = _CrossEntropy.apply(logits, target, policy, reduction, use)  # type: ignore[no-untyped-call]
    return result


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, policy: Policy, reduction: str, use: Any) -> Tensor:
        fmt, mac, backend = policy.loss.format, policy.loss_mac, current_backend()
        z = tensors.quantize(fmt, logits)
        shifted = tensors.sub(fmt, z, z.amax(dim=1, keepdim=True))
        powers = tensors.exp(fmt, shifted)
        sums = backend.matmul(mac, powers, powers.new_ones(z.shape[1], 1))
        chosen = shifted.gather(1, target[:, None])
        losses = tensors.sub(fmt, tensors.log(fmt, sums), chosen)
        total = backend.matmul(mac, losses.T, losses.new_ones(z.shape[0], 1)).reshape(())
        probabilities = tensors.div(fmt, powers, sums)
        ctx.save_for_backward(probabilities, target)
        ctx.fmt, ctx.mean, ctx.use = fmt, reduction == "mean", use
        return tensors.div_by_count(fmt, total, z.shape[0], fmt) if reduction == "mean" else total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        probabilities, target = ctx.saved_tensors
        fmt: PositFormat = ctx.fmt
        one_hot = torch.zeros_like(probabilities).scatter_(1, target[:, None], 1.0)
        result = tensors.sub(fmt, probabilities, one_hot)
        if float(gradient) != 1.0:
            result = tensors.mul(fmt, result, tensors.quantize(fmt, gradient))
        declare_factor(len(target) if ctx.mean else 1, mean=ctx.mean)
        return ctx.use(result), None, None, None, None
