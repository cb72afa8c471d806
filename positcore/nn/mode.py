"""PyTorch's functions as posit operations, in the `forward` of modules that users write.

`convert` sees modules, not the code in their `forward`. There `x + y`, `x @ y` or `torch.nn.functional.gelu(x)` would
be float arithmetic. While such a module runs, a `PositMode` stands between it and PyTorch: what is in `OPERATIONS`
becomes the posit operation, what only moves, selects or compares values stays PyTorch's own, and all else is an error
that names it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name

from positcore.nn.functional.calls import OPERATIONS
from positcore.nn.functional.movement import MOVES, move_part
from positcore.nn.gradients import deliver, row_sums
from positcore.nn.policy import Policy
from positcore.nn.tensors import quantize
from positcore.nn.uses import enter

__all__ = ["PositMode", "run_in_posits", "stop_running"]

# Functions whose result, and whose gradient, only moves, selects or changes the sign of values.
_EXACT_NAMES = """
    T mT H view reshape view_as reshape_as flatten unflatten transpose swapaxes swapdims t permute movedim moveaxis
    squeeze unsqueeze contiguous clone chunk split tensor_split unbind cat concat concatenate stack hstack vstack dstack
    narrow select flip roll rot90 tril triu diagonal masked_fill masked_fill_ where relu relu_ relu6 hardtanh clamp
    clamp_min clamp_max neg negative __neg__ pad alias copy_ __setitem__ fill_ zero_ pixel_shuffle pixel_unshuffle
    channel_shuffle
"""

# Functions that give no gradient, or no floats: comparison, indices, shapes, properties, new tensors.
_PLAIN_NAMES = """
    detach detach_ eq ne lt le gt ge __eq__ __ne__ __lt__ __le__ __gt__ __ge__ equal isnan isinf isfinite argmax argmin
    argsort sign numel nelement element_size dim ndimension size stride storage_offset data_ptr is_contiguous
    is_floating_point is_complex get_device item tolist numpy cpu cuda __len__ __bool__ __float__ __int__ __index__
    __repr__ __str__ __format__ __contains__ __hash__ zeros_like ones_like full_like empty_like rand_like randn_like
    randint_like new_zeros new_ones new_full new_empty new_tensor requires_grad_ retain_grad register_hook type
    is_same_size is_nonzero bernoulli __deepcopy__ __reduce_ex__ __array__ result_type promote_types can_cast
"""

_EXACT, _PLAIN = frozenset(_EXACT_NAMES.split()), frozenset(_PLAIN_NAMES.split())
_CASTS = frozenset(("to", "float", "double", "type_as"))


class PositMode(TorchFunctionMode):
    """While it is on, PyTorch's functions on float tensors are posit operations of `policy`, or errors.

    Raises
    ------
    TypeError
        Where a function has no posit counterpart; the message names it.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by PyTorch in place of `func`."""
        kwargs = kwargs or {}
        getter = getattr(func, "__self__", None) if getattr(func, "__name__", "") == "__get__" else None
        name = getattr(getter or func, "__name__", "")
        if getter is not None and name not in ("T", "mT", "H"):
            return func(*args, **kwargs)
        if name in _PLAIN or not any(x.is_floating_point() for x in _tensors((args, kwargs.values()))):
            return func(*args, **kwargs)
        if name in MOVES and args and (part := move_part(name, self.policy, *args, **kwargs)) is not None:
            return part
        if name in OPERATIONS and not (name == "__getitem__" and _moves(args[1])):
            if kwargs.pop("out", None) is not None:
                raise TypeError(f"{name}: a posit operation makes a new tensor; assign its result in place of out=")
            return OPERATIONS[name](self.policy, *args, **kwargs)
        if name.endswith("_") and not name.startswith("_") and name[:-1] in OPERATIONS:  # x += y and x.add_(y)
            return _Overwrite.apply(args[0], OPERATIONS[name[:-1]](self.policy, *args, **kwargs))  # type: ignore[no-untyped-call]
        if name == "where":
            args = self._of_one_shape(*args)
        if name in _EXACT or (name == "__getitem__" and _moves(args[1])):
            if name[-1] == "_" and name != "__getitem__" and not name.startswith("__neg"):
                return func(*args, **kwargs)
            return func(*self._read(args), **{key: self._read(value) for key, value in kwargs.items()})
        if name in _CASTS:
            return self._cast(func, args, kwargs)
        raise TypeError(
            f"{resolve_name(func) or name} has no posit counterpart: its arithmetic would be done in floats; "
            "see docs/training.md for what a converted model's forward may use"
        )

    def _read(self, value: Any) -> Any:
        """The value with each activation in it announced as read, so that gradients meet in posits."""
        if isinstance(value, Tensor):
            if not (value.requires_grad and torch.is_grad_enabled()):
                return value
            if isinstance(value, torch.nn.Parameter):
                return _ReadParameter.apply(value, self.policy)  # type: ignore[no-untyped-call]
            return _Read.apply(value, enter(value, self.policy.backward.format))  # type: ignore[no-untyped-call]
        if type(value) in (list, tuple):
            return type(value)(self._read(item) for item in value)
        return value

    def _of_one_shape(self, *operands: Any) -> tuple[Any, ...]:
        """Operands of `torch.where`, those with a gradient spread by the posit operation that sums it again."""
        shape = torch.broadcast_shapes(*[x.shape for x in operands if isinstance(x, Tensor)])  # type: ignore[no-untyped-call]
        return tuple(
            OPERATIONS["expand"](self.policy, x, shape) if isinstance(x, Tensor) and x.requires_grad else x
            for x in operands
        )

    def _cast(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = func(*args, **kwargs)
        if (
            result.is_floating_point()
            and args[0].is_floating_point()
            and result.dtype.itemsize < args[0].dtype.itemsize
        ):
            raise TypeError(
                f"{resolve_name(func)} from {args[0].dtype} to {result.dtype} would round posit values to floats; "
                "leave the dtype as it is"
            )
        return result


class _Read(torch.autograd.Function):
    """The activation itself, for a function of PyTorch's that reads it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, use: Any) -> Tensor:
        ctx.use = use
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None]:
        return ctx.use(gradient), None


class _Overwrite(torch.autograd.Function):
    """An activation that takes the values of another in place; it gets no gradient for what it was."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        return x.copy_(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, gradient


class _ReadParameter(torch.autograd.Function):
    """The parameter itself, for a function of PyTorch's that reads it; its gradient is rounded in G."""

    @staticmethod
    def forward(ctx: Any, parameter: Tensor, policy: Policy) -> Tensor:
        ctx.parameter, ctx.policy = parameter, policy
        return parameter.view_as(parameter)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None]:
        terms = row_sums(quantize(ctx.policy.backward.format, gradient).reshape(-1, 1), tuple(gradient.shape))
        return deliver(ctx.parameter, ctx.policy, terms), None


def _tensors(value: Any) -> Iterable[Tensor]:
    for item in value:
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, list | tuple) or type(item).__name__ == "dict_values":
            yield from _tensors(item)


def _moves(index: Any) -> bool:
    """Whether indexing takes no element twice: slices, integers, masks; an index tensor may."""
    if isinstance(index, tuple):
        return all(_moves(item) for item in index)
    if isinstance(index, Tensor):
        return index.dtype == torch.bool or not index.ndim
    return not isinstance(index, list | np.ndarray)


# Modules of users ------------------------------------------------------------------------------------


_running: list[PositMode] = []


def _start(module: Any, arguments: Any) -> None:
    mode = PositMode(module.posit_policy)
    mode.__enter__()  # type: ignore[no-untyped-call]
    _running.append(mode)


def _stop(module: Any, arguments: Any, result: Any) -> None:
    _running.pop().__exit__(None, None, None)  # type: ignore[no-untyped-call]


def run_in_posits(module: Any, policy: Policy) -> None:
    """Let a module's own `forward` run in a `PositMode` of `policy`, which becomes its attribute `posit_policy`."""
    module.posit_policy = policy
    module.register_forward_pre_hook(_start, prepend=True)
    module.register_forward_hook(_stop, always_call=True)


def stop_running(module: Any) -> None:
    """Undo `run_in_posits`."""
    for hooks, mine in ((module._forward_pre_hooks, _start), (module._forward_hooks, _stop)):
        for key in [key for key, hook in hooks.items() if hook is mine]:
            del hooks[key]
            module._forward_hooks_always_called.pop(key, None)
    del module.posit_policy
