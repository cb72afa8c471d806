"""The audit: arithmetic that no golden operation did is an error that names it.

PyTorch's operations arrive at a `TorchDispatchMode` as ATen calls, in the forward pass, in the backward pass and in
the optimizer's step alike. Golden operations compute outside of ATen, or under `positcore.nn.tensors.golden`, so what
arrives are the calls between them: moving, selecting, comparing values is exact and passes; floating-point arithmetic
does not. Modes belong to a thread, so a GPU's backward pass runs in the audit's thread, too, not in one of its own.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from positcore.errors import AuditError
from positcore.nn.batch_factor import current_pass
from positcore.nn.tensors import tensors_in

__all__ = ["AuditError", "audit"]

# ATen operations on floats that compute nothing new: each result is an operand's value, its negative, a constant or an
# index. By the names of their overload packets.
_EXACT_NAMES = """
    _reshape_alias _unsafe_view alias as_strided broadcast_tensors cat chunk clone constant_pad_nd contiguous detach
    diagonal expand flip index masked_fill masked_select movedim narrow permute pixel_shuffle pixel_unshuffle reshape
    roll select slice split split_with_sizes squeeze stack t take_along_dim transpose tril triu unbind unfold
    unsafe_split unsqueeze view view_as where select_backward slice_backward select_scatter slice_scatter
    as_strided_scatter copy copy_ fill fill_ zero zero_ index_put index_put_ masked_fill_ set_ resize_ masked_scatter
    scatter scatter_ gather index_select empty empty_like empty_strided new_empty new_empty_strided new_zeros new_ones
    new_full zeros zeros_like ones ones_like full full_like scalar_tensor lift_fresh lift_fresh_copy tensor arange eye
    relu relu_ threshold_backward hardtanh hardtanh_ hardtanh_backward clamp clamp_ clamp_min clamp_min_ clamp_max neg
    neg_ abs sign sgn max min amax amin maximum minimum argmax argmin topk sort argsort max_pool2d_with_indices
    max_pool2d_with_indices_backward eq ne lt le gt ge isnan isinf isfinite equal logical_not logical_and logical_or any
    all nonzero bernoulli_ bernoulli uniform_ normal_ random_ rand randn rand_like randn_like randint_like randperm
    randint _local_scalar_dense is_pinned _pin_memory record_stream
"""
_EXACT = frozenset(_EXACT_NAMES.split())


class audit(TorchDispatchMode):  # noqa: N801 (reads as a verb, like torch.no_grad)
    """Within `with pnn.audit():`, floating-point arithmetic outside of the golden operations raises `AuditError`.

    The error names the ATen call, the shapes and dtypes of its operands, the pass, and in the forward pass the module.
    Integers and booleans may be computed with. The audit costs a few microseconds for each call that PyTorch makes.

    Parameters
    ----------
    model : torch.nn.Module, optional
        Its modules are named in errors.
    """

    def __init__(self, model: torch.nn.Module | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._names = {} if model is None else {module: name for name, module in model.named_modules()}
        self._inside: list[torch.nn.Module] = []
        self._hooks: list[Any] = []
        self._one_thread: Any = None

    def __enter__(self) -> audit:
        for module in self._names:
            self._hooks.append(module.register_forward_pre_hook(self._go_in, prepend=True))
            self._hooks.append(module.register_forward_hook(self._come_out, always_call=True))
        self._one_thread = torch.autograd.set_multithreading_enabled(False)  # takes effect as it is made
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
        self._one_thread.__exit__(kind, error, trace)
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._inside.clear()

    def _go_in(self, module: torch.nn.Module, arguments: Any) -> None:
        self._inside.append(module)

    def _come_out(self, module: torch.nn.Module, arguments: Any, result: Any) -> None:
        self._inside.pop()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Of PyTorch: whether to keep its compiler out of each call, which takes as long as the audit itself."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by PyTorch for each ATen call."""
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        exact = name in _EXACT and not _adds(name, args)
        if func is torch.ops.aten.view.dtype and _is_float(result) and not _is_float(args[0]):
            raise AuditError(self._message(str(func), [args[0]]))
        if not exact and func.namespace == "aten" and any(map(_is_float, tensors_in(result))):
            operands = [x for x in tensors_in((args, list((kwargs or {}).values()))) if _is_float(x)]
            if operands and not (name == "_to_copy" and _keeps(operands[0], result)):
                raise AuditError(self._message(str(func), operands))
        return result

    def _message(self, call: str, operands: list[Tensor]) -> str:
        shapes = ", ".join(f"{str(x.dtype).removeprefix('torch.')}{list(x.shape)}" for x in operands)
        if current_pass() >= 0:
            where = "in the backward pass"
        elif self._inside:
            module = self._inside[-1]
            where = f"in the forward pass, in {type(module).__name__} {self._names[module] or 'at the top'!r}"
        else:
            where = "outside of the model"
        return (
            f"audit: {call} on {shapes} {where} is float arithmetic, which no hardware unit of the policy performs; "
            "use the posit operation of positcore.nn, or convert the module that calls it"
        )


def _is_float(x: Tensor) -> bool:
    return x.is_floating_point() or x.is_complex()


def _adds(name: str, args: tuple[Any, ...]) -> bool:
    """Whether a call that usually moves values adds some up, or rounds them."""
    if name in ("index_put", "index_put_"):
        return len(args) > 3 and bool(args[3])
    if name == "copy_":
        return _is_float(args[0]) and _is_float(args[1]) and not _keeps(args[1], args[0])
    if name == "max_pool2d_with_indices_backward":
        _, _, kernel, stride, _, dilation, *_ = args
        return any(s < d * (k - 1) + 1 for k, s, d in zip(kernel, stride or kernel, dilation, strict=True))
    return False


def _keeps(before: Tensor, after: Tensor) -> bool:
    """Whether a conversion of dtype loses nothing."""
    return after.dtype.itemsize >= before.dtype.itemsize
