"""Losses in the L stage: every step of each is one golden operation.

Each is a sum over a batch, in one accumulator of L, or the mean: the sum divided by the number of its terms, as PyTorch
counts them: samples for class indices, elements otherwise. A mean hands on that number times its gradient and declares
it (`positcore.nn.batch_factor`), so that gradients of parameters are those of the mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from positcore.mac import MacSpec, Quire
from positcore.nn import tensors
from positcore.nn.batch_factor import declare_factor
from positcore.nn.functional.operands import Operand, constant, row_dots
from positcore.nn.functional.operation import operation
from positcore.nn.policy import Policy

__all__ = [
    "CALLS", "binary_cross_entropy_with_logits", "check_reduction", "cross_entropy", "huber_loss", "mse_loss",
    "nll_loss",
]  # fmt: skip


class _Terms(NamedTuple):
    """A loss is Σ a·b (b: 1 if None); `slope` makes its gradient with respect to the input, all in L."""

    a: Tensor
    b: Tensor | None
    slope: Callable[[], Tensor]


# Class indices ---------------------------------------------------------------------------------------


@operation
def cross_entropy(
    logits: Tensor,
    target: Tensor,
    policy: Policy,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of logits with class indices, computed in L.

    Each step is one golden operation: z − max, exp, the sum of a row, log and division, then the sum over the batch.
    The gradient q_c − [c = t] is R_L(p_c / S) for the other classes, and −R_L(R_L(Σ_{c≠t} p_c) / S) for the target:
    from q_t, rounded near 1, what is left would cancel to 0 while the others still push. In the order "positnn" it is
    R_L((p_t − S)·R_L(1 / S)) (Raposo 2021).

    With label smoothing ε over C classes the loss of a sample is R_L(Σ t_c·l_c), where l_c = R_L(ln S − s_c) and t_c is
    R_L(1 − ε + ε/C) for the target and R_L(ε/C) for the others; its gradient is R_L(q_c − t_c).

    Parameters
    ----------
    logits : float tensor, (N, classes), or (N, classes, ...)
        Rounded to L first.
    target : int64 tensor, (N,), or (N, ...)
    policy : Policy
    reduction : "mean" or "sum"
    ignore_index : int
        Targets of this value, and their logits, take no part.
    label_smoothing : float
        0..1.

    Returns
    -------
    tensor of one L value

    Raises
    ------
    TypeError, ValueError
        If the target is not int64, the shapes do not fit, a target is no class, or an option is not of its range.
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must be in 0..1, not {label_smoothing}")

    def compute(z: Tensor, classes: Tensor) -> _Terms:
        fmt, mac = policy.loss.format, policy.loss_mac
        shifted = tensors.sub(fmt, z, z.amax(dim=1, keepdim=True))
        powers = tensors.exp(fmt, shifted)
        sums = row_dots(mac, powers)[:, None]
        logarithms = tensors.log(fmt, sums)
        own = classes[:, None]
        if label_smoothing:
            share = label_smoothing / z.shape[1]
            targets = constant(fmt, share).to(z.device).expand(z.shape).clone()
            top = constant(fmt, 1 - label_smoothing + share).to(z.device).expand(z.shape)
            targets.scatter_(1, own, top)
            losses = row_dots(mac, targets, tensors.sub(fmt, logarithms, shifted))
            return _Terms(losses, None, lambda: tensors.sub(fmt, tensors.div(fmt, powers, sums), targets))

        def slope() -> Tensor:
            if policy.order == "positnn":
                inverse = tensors.div(fmt, torch.ones_like(sums), sums)
                exact = MacSpec(fmt, fmt, Quire())
                pair = torch.cat([powers.gather(1, own), sums.neg()], dim=1)
                target_slope = row_dots(exact, pair, inverse.expand(-1, 2))[:, None]
            else:
                others = row_dots(mac, powers.scatter(1, own, 0.0))[:, None]
                target_slope = tensors.div(fmt, others, sums).neg()
            return tensors.div(fmt, powers, sums).scatter_(1, own, target_slope)

        return _Terms(tensors.sub(fmt, logarithms, shifted.gather(1, own))[:, 0], None, slope)

    return _of_classes("cross_entropy", "logits", logits, target, policy, reduction, ignore_index, compute)


@operation
def nll_loss(
    log_probabilities: Tensor, target: Tensor, policy: Policy, reduction: str = "mean", ignore_index: int = -100
) -> Tensor:
    """R_L(Σ −z_t), the negative log-likelihood of class indices; its gradient is −1 at the target.

    Parameters and errors as for `cross_entropy`, with logarithms of probabilities, rounded to L, in place of logits.
    """

    def compute(z: Tensor, classes: Tensor) -> _Terms:
        def slope() -> Tensor:
            return torch.zeros_like(z).scatter_(1, classes[:, None], -1.0).masked_fill(z.isnan(), torch.nan)

        return _Terms(z.gather(1, classes[:, None])[:, 0].neg(), None, slope)

    return _of_classes("nll_loss", "input", log_probabilities, target, policy, reduction, ignore_index, compute)


def _of_classes(
    name: str,
    what: str,
    x: Tensor,
    target: Tensor,
    policy: Policy,
    reduction: str,
    ignore_index: int,
    compute: Callable[[Tensor, Tensor], _Terms],
) -> Tensor:
    """A loss of rows (samples, classes) and their classes, without those that are to be ignored."""
    if target.dtype != torch.int64:
        raise TypeError(f"{name}: target must be int64 class indices, not {target.dtype}; call .long() on it")
    if x.ndim < 2 or target.shape != x.shape[:1] + x.shape[2:]:
        raise ValueError(
            f"{name}: {what} must be (N, classes) and target (N,), not {tuple(x.shape)} and {tuple(target.shape)}; "
            "or (N, classes, ...) and (N, ...)"
        )
    kept = target != ignore_index
    chosen = target[kept]
    if chosen.numel() and not 0 <= int(chosen.min()) <= int(chosen.max()) < x.shape[1]:
        raise ValueError(f"{name}: targets must be classes 0..{x.shape[1] - 1}, or {ignore_index} to be ignored")

    def within(z: Tensor, _: Tensor) -> _Terms:
        rows = z.movedim(1, -1)
        if rows.ndim == 2 and len(chosen) == len(rows):
            return compute(rows, chosen)
        terms = compute(rows[kept], chosen)

        def slope() -> Tensor:
            full = torch.zeros_like(rows)
            full[kept] = terms.slope()
            return full.movedim(-1, 1)

        return terms._replace(slope=slope)

    return _loss(name, x, target, policy, reduction, within, count=chosen.numel())


# Elements --------------------------------------------------------------------------------------------


@operation
def mse_loss(x: Tensor, target: Tensor, policy: Policy, reduction: str = "mean") -> Tensor:
    """R_L(Σ d·d) with d = R_L(x − target): one sum of products; its gradient is R_L(2·d).

    Parameters
    ----------
    x, target : float tensors of one shape
        Rounded to L first.
    policy : Policy
    reduction : "mean" or "sum"
        The mean is over all elements.

    Returns
    -------
    tensor of one L value

    Raises
    ------
    ValueError
        If the shapes differ, or `reduction` is another.
    """

    def compute(z: Tensor, t: Tensor) -> _Terms:
        fmt = policy.loss.format
        d = tensors.sub(fmt, z, t)
        return _Terms(d, d, lambda: tensors.mul(fmt, constant(fmt, 2.0), d))

    return _of_elements("mse_loss", x, target, policy, reduction, compute)


@operation
def huber_loss(x: Tensor, target: Tensor, policy: Policy, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """Σ of R_L(R_L(½·d)·d) where |d| ≤ δ, else R_L(δ·|d| − R_L(½·δ²)), with d = R_L(x − target) and δ rounded to L.

    Its gradient is d between −δ and δ, else these: exact. Otherwise as `mse_loss`.
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be positive, not {delta}")

    def compute(z: Tensor, t: Tensor) -> _Terms:
        fmt = policy.loss.format
        d, bound = tensors.sub(fmt, z, t), constant(fmt, delta)
        inner = tensors.mul(fmt, tensors.mul(fmt, constant(fmt, 0.5), d), d)
        outer = tensors.fma(fmt, bound, d.abs(), constant(fmt, -0.5 * delta * delta))
        losses = torch.where(d.abs() > bound.item(), outer, inner)
        return _Terms(losses, None, lambda: d.clamp(-bound.item(), bound.item()))

    return _of_elements("huber_loss", x, target, policy, reduction, compute)


@operation
def binary_cross_entropy_with_logits(x: Tensor, target: Tensor, policy: Policy, reduction: str = "mean") -> Tensor:
    """Σ of R_L(a + b): a = softplus(−|x|) by a table, b = R_L(max(x, 0) − x·target), which is exact for 0 and 1.

    Its gradient is R_L(sigmoid(x) − target), the sigmoid by a table, and −sigmoid(−x) for a target of 1: from a
    sigmoid that was rounded near 1, what is left would cancel. Otherwise as `mse_loss`; the target gets no gradient.
    """
    if target.requires_grad:
        raise ValueError("binary_cross_entropy_with_logits: the target gets no gradient; detach it")

    def compute(z: Tensor, t: Tensor) -> _Terms:
        fmt = policy.loss.format
        small = tensors.look_up(fmt, "softplus", z.abs().neg())
        large = tensors.fma(fmt, z.neg(), t, z.clamp(min=0.0))
        losses = tensors.add(fmt, small, large)

        def slope() -> Tensor:
            shares = tensors.look_up(fmt, "sigmoid", torch.where(t == 1, z.neg(), z))
            return torch.where(t == 1, shares.neg(), tensors.sub(fmt, shares, t))

        return _Terms(losses, None, slope)

    return _of_elements("binary_cross_entropy_with_logits", x, target, policy, reduction, compute)


def _of_elements(
    name: str,
    x: Tensor,
    target: Tensor,
    policy: Policy,
    reduction: str,
    compute: Callable[[Tensor, Tensor], _Terms],
) -> Tensor:
    """A loss of elements and their targets."""
    if x.shape != target.shape:
        raise ValueError(
            f"{name}: input and target must be of one shape, not {tuple(x.shape)} and {tuple(target.shape)}"
        )
    target = target if target.is_floating_point() else target.double()

    def rounded(z: Tensor, t: Tensor) -> _Terms:
        return compute(z, tensors.quantize(policy.loss.format, t))

    return _loss(name, x, target, policy, reduction, rounded, count=x.numel())


# All of them -----------------------------------------------------------------------------------------


def check_reduction(name: str, reduction: str) -> None:
    """Refuse what is no way to make one number of a batch.

    Raises
    ------
    ValueError
        If `reduction` is not "mean" or "sum".
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"{name}: reduction must be 'mean' or 'sum', not {reduction!r}")


def _loss(
    name: str,
    x: Tensor,
    target: Tensor,
    policy: Policy,
    reduction: str,
    compute: Callable[[Tensor, Tensor], _Terms],
    count: int,
) -> Tensor:
    check_reduction(name, reduction)
    operands = Operand(x, policy), Operand(target, policy)
    divisor = count if reduction == "mean" else None
    result: Tensor = _Loss.apply(x, target, policy, compute, divisor, *operands)  # type: ignore[no-untyped-call]
    return result


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, target: Tensor, policy: Policy, compute: Any, count: int | None, *operands: Operand
    ) -> Tensor:
        fmt = policy.loss.format
        terms: _Terms = compute(tensors.quantize(fmt, x), target)
        other = None if terms.b is None else terms.b.reshape(1, -1)
        total = row_dots(policy.loss_mac, terms.a.reshape(1, -1), other).reshape(())
        if any(ctx.needs_input_grad[:2]):
            ctx.save_for_backward(terms.slope())
        ctx.policy, ctx.count, ctx.operands = policy, count, operands
        return total if count is None else tensors.div_by_count(fmt, total, count, fmt)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        fmt = ctx.policy.loss.format
        if float(gradient) != 1.0:
            slope = tensors.mul(fmt, slope, tensors.quantize(fmt, gradient))
        declare_factor(1 if ctx.count is None else max(1, ctx.count), mean=ctx.count is not None)
        sent: list[Tensor | None] = [None, None]
        for i, (wanted, operand) in enumerate(zip(ctx.needs_input_grad[:2], ctx.operands, strict=True)):
            if wanted:
                part = slope.neg() if i else slope
                if operand.parameter is not None:  # whose terms are values of B
                    part = tensors.quantize(ctx.policy.backward.format, part)
                sent[i] = operand.send(part)
        return *sent, None, None, None, None, None


# As PyTorch's functions -------------------------------------------------------------------------------


def _call(name: str, function: Callable[..., Tensor], *more: str) -> Callable[..., Tensor]:
    """A loss of `torch.nn.functional`, whose options are `reduction` and `more`."""

    def call(policy: Policy, input: Tensor, target: Tensor, *args: Any, **options: Any) -> Tensor:
        given = {key: value for key, value in options.items() if value is not None}
        refused = [key for key in given if key not in ("reduction", *more)]
        if args or refused:
            raise ValueError(
                f"{name}: the options are reduction{''.join(f', {key}' for key in more)}, by name, not "
                f"{', '.join(refused) or 'others'}"
            )
        return function(input, target, policy, **given)

    return call


CALLS: dict[str, Callable[..., Any]] = {
    "cross_entropy": _call("cross_entropy", cross_entropy, "ignore_index", "label_smoothing"),
    "nll_loss": _call("nll_loss", nll_loss, "ignore_index"),
    "mse_loss": _call("mse_loss", mse_loss),
    "huber_loss": _call("huber_loss", huber_loss, "delta"),
    "binary_cross_entropy_with_logits": _call("binary_cross_entropy_with_logits", binary_cross_entropy_with_logits),
}
