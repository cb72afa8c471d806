"""Tensors that hold posit values, and the golden operations on them.

A posit tensor is a float tensor whose values are posits (`PositFormat.tensor_dtype`); NaR is nan. These
functions know nothing of autograd. Each runs in the backend that is used now (`positcore.nn.backends`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.nn.backends import Sums, current_backend
from positcore.threads import get_num_threads, set_num_threads

if TYPE_CHECKING:
    from positcore.mac import MacSpec

__all__ = [
    "add", "as_array", "as_tensor", "bit_trick", "carrier", "div", "div_by_count", "dtype_of", "exp", "fma", "golden",
    "log", "look_up", "mul", "on_cpu", "quantize", "quires", "sqrt", "sub", "tensors_in",
    "use_torch_threads",
]  # fmt: skip

golden = torch._C._DisableTorchDispatch
"""Within `with golden():` ATen calls belong to a golden operation, which answers for their result."""


def use_torch_threads() -> None:
    """Let kernels use as many threads as PyTorch does."""
    if get_num_threads() != torch.get_num_threads():
        set_num_threads(torch.get_num_threads())


def on_cpu(*operands: Tensor | None) -> bool:
    """Whether none of the tensors is on another device."""
    return all(x is None or x.device.type == "cpu" for x in operands)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors of a value: itself, or those in lists and tuples, however deep."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)


def as_array(x: Tensor) -> np.ndarray[Any, np.dtype[Any]]:
    """A tensor's values as a NumPy array, sharing its memory; half precision, widened to float32.

    Raises
    ------
    TypeError
        If the tensor is not of floats, or not on the CPU.
    """
    if not x.is_floating_point():
        raise TypeError(f"posit operations take float tensors that hold posit values, not {x.dtype}")
    if x.device.type != "cpu":
        raise TypeError(f"posit operations run on CPU tensors, not on {x.device}; move it with .cpu()")
    with golden():  # what moves values between PyTorch and NumPy is most of what an audit would look at
        return (x if x.element_size() >= 4 else x.float()).detach().numpy()


def as_tensor(x: np.ndarray[Any, np.dtype[Any]]) -> Tensor:
    """A NumPy array as a tensor, sharing its memory."""
    with golden():
        return torch.from_numpy(x)


def dtype_of(fmt: PositFormat) -> torch.dtype:
    """The dtype of tensors that hold values of `fmt`: `fmt.tensor_dtype` as PyTorch knows it."""
    return torch.float32 if fmt.tensor_dtype == np.float32 else torch.float64


def carrier(*formats: PositFormat) -> torch.dtype:
    """The dtype that holds values of all these formats.

    PyTorch gives a gradient the dtype of the tensor that it belongs to, so activations take the carrier of the formats
    of forward, backward and loss.
    """
    return max((dtype_of(fmt) for fmt in formats), key=lambda dtype: dtype.itemsize)


# The golden operations, in the backend that is used now -----------------------------------------------


def quantize(fmt: PositFormat, x: Tensor) -> Tensor:
    """`x` rounded to values of `fmt`: nearest, ties to the even code; inf and nan give NaR (nan).

    Parameters
    ----------
    fmt : PositFormat
    x : float tensor of any shape

    Returns
    -------
    tensor of `fmt.tensor_dtype`, the shape of `x`
    """
    return current_backend().quantize(fmt, x)


def add(fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
    """x + y, rounded once to `fmt`; operands broadcast."""
    return current_backend().add(fmt, x, y)


def sub(fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
    """x − y, rounded once to `fmt`; operands broadcast."""
    return current_backend().sub(fmt, x, y)


def mul(fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
    """x · y, rounded once to `fmt`; operands broadcast."""
    return current_backend().mul(fmt, x, y)


def div(fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
    """x / y, rounded once to `fmt`; operands broadcast; x / 0 is NaR."""
    return current_backend().div(fmt, x, y)


def fma(fmt: PositFormat, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """x · y + z, rounded once to `fmt`; operands broadcast."""
    return current_backend().fma(fmt, x, y, z)


def sqrt(fmt: PositFormat, x: Tensor) -> Tensor:
    """√x, rounded once to `fmt`; x < 0 is NaR."""
    return current_backend().sqrt(fmt, x)


def div_by_count(fmt: PositFormat, x: Tensor, count: int, count_format: PositFormat) -> Tensor:
    """x / count, rounded once to `fmt`, where the count is first rounded to `count_format`."""
    return div(fmt, x, quantize(count_format, torch.tensor(float(count), dtype=torch.float64)))


def exp(fmt: PositFormat, x: Tensor) -> Tensor:
    """e^x, correctly rounded to `fmt` (n ≤ 16); `x` holds values of `fmt`."""
    return look_up(fmt, "exp", x)


def log(fmt: PositFormat, x: Tensor) -> Tensor:
    """The natural logarithm, correctly rounded to `fmt` (n ≤ 16); `x` holds values of `fmt`."""
    return look_up(fmt, "log", x)


def look_up(fmt: PositFormat, name: str, x: Tensor) -> Tensor:
    """A function of `positcore.functions`, such as "tanh", correctly rounded (n ≤ 16); `x` holds values of `fmt`."""
    return current_backend().look_up(fmt, name, x)


def bit_trick(fmt: PositFormat, name: str, x: Tensor) -> Tensor:
    """The "sigmoid" or "tanh" of `positcore.approximations`, es = 0; `x` holds values of `fmt`."""
    return current_backend().bit_trick(fmt, name, x)


def quires(spec: MacSpec, shape: tuple[int, ...]) -> Sums:
    """Sums that go on over several operations, all 0; a ValueError if the backend has no such sums."""
    return current_backend().quires(spec, shape)
