"""Activations that several operations read: their gradient is the exact sum of what each sends back, rounded once in B.

PyTorch's engine adds the gradients of a tensor's uses as floats, one by one. Here every operation announces what it
reads by `enter`, and sends its gradient back through `Use.deliver`: the first one goes to the engine, the others are
kept aside, so that the engine has nothing to add, and a hook on the tensor replaces the first by the sum of all.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from positcore.format import PositFormat
from positcore.mac import MacSpec, Quire
from positcore.nn import tensors
from positcore.nn.backends import current_backend
from positcore.nn.batch_factor import check_pass, current_pass

__all__ = ["Use", "enter"]


class Use:
    """The readers of one activation; see `enter`."""

    def __init__(self, fmt: PositFormat, version: int) -> None:
        self.fmt, self.version, self.readers = fmt, version, 0
        self._parts: dict[int, list[Tensor]] = {}

    def deliver(self, gradient: Tensor | None) -> Tensor | None:
        """In a reader's backward: what it returns to the engine as the gradient of the activation."""
        check_pass()
        if gradient is None or self.readers < 2:
            return gradient
        parts = self._parts.setdefault(current_pass(), [])
        parts.append(gradient)
        return gradient if len(parts) == 1 else None

    def total(self, gradient: Tensor) -> Tensor | None:
        """The hook on the activation: the gradients of all readers in place of the first one's."""
        parts = self._parts.pop(current_pass(), [])
        if not parts:
            return None
        if gradient.shape != parts[0].shape or not _same(gradient, parts[0]):
            raise RuntimeError(
                f"an activation of shape {tuple(gradient.shape)} is read by a posit operation and by one of PyTorch's, "
                "whose gradients would be added in floats; run the module that reads it in a converted model"
            )
        return None if len(parts) == 1 else _sum(self.fmt, parts).to(gradient.dtype)


_uses = WeakTensorKeyDictionary()


def enter(x: Tensor, fmt: PositFormat) -> Callable[[Tensor | None], Tensor | None]:
    """Announce that an operation reads the activation `x`; call it before `torch.autograd.Function.apply`.

    Parameters
    ----------
    x : Tensor
    fmt : PositFormat
        The format of gradients (B) in which the first reader has the sum rounded.

    Returns
    -------
    callable
        For the operation's backward: takes the gradient of `x`, returns what to give the engine.
    """
    if not x.requires_grad or not torch.is_grad_enabled():
        return _nothing
    use: Use | None = _uses.get(x)  # type: ignore[no-untyped-call]
    if use is None or use.version != x._version:  # changed in place, it is another activation
        use = _uses[x] = Use(fmt, x._version)
    use.readers += 1
    if use.readers == 2:
        x.register_hook(use.total)  # type: ignore[no-untyped-call]
    return use.deliver


def _sum(fmt: PositFormat, parts: list[Tensor]) -> Tensor:
    """The sum of tensors of one shape, each element rounded once."""
    parts = [tensors.quantize(fmt, part) for part in parts]
    if len(parts) == 2:
        return tensors.add(fmt, *parts)
    rows = torch.stack([part.reshape(-1) for part in parts], dim=1)
    sums = current_backend().matmul(MacSpec(fmt, fmt, Quire()), rows, rows.new_ones(len(parts), 1))
    return sums.reshape(parts[0].shape)


def _nothing(gradient: Tensor | None) -> Tensor | None:
    return gradient


def _same(a: Tensor, b: Tensor) -> bool:
    return a.data_ptr() == b.data_ptr() or bool(((a == b) | (a.isnan() & b.isnan())).all())
