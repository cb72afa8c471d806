"""`GoldenBackend`: every operation of training in the golden model, on tensors of any device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from positcore import approximations, arithmetic
from positcore.codec import decode, encode, round_values
from positcore.format import PositFormat
from positcore.functions import table
from positcore.gemm.convolution import conv2d_values, input_gradient_values, weight_gradient_values
from positcore.gemm.patches import Geometry
from positcore.gemm.products import matmul_values, stacked_values
from positcore.mac import MacSpec
from positcore.nn.backends import Sums
from positcore.nn.device.backend import DeviceBackend
from positcore.nn.tensors import as_array, as_tensor, golden, on_cpu, use_torch_threads
from positcore.quire import QuireArray

__all__ = ["GoldenBackend"]


class GoldenBackend:
    """The golden model; the float64 product that it proves or corrects is PyTorch's.

    Tensors that are not on the CPU stay where they are: `positcore.nn.device` gives them the same bits there.
    """

    _elsewhere = DeviceBackend()

    # Elements ----------------------------------------------------------------------------------------

    def quantize(self, fmt: PositFormat, x: Tensor) -> Tensor:
        """See `Backend.quantize`."""
        if not on_cpu(x):
            from positcore.nn import device

            return device.quantize(fmt, x)
        use_torch_threads()
        return as_tensor(round_values(fmt, as_array(x), fmt.tensor_dtype))

    def add(self, fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
        """See `Backend.add`."""
        return _apply(arithmetic.values_add, fmt, x, y)

    def sub(self, fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
        """See `Backend.sub`."""
        return _apply(arithmetic.values_sub, fmt, x, y)

    def mul(self, fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
        """See `Backend.mul`."""
        return _apply(arithmetic.values_mul, fmt, x, y)

    def div(self, fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
        """See `Backend.div`."""
        return _apply(arithmetic.values_div, fmt, x, y)

    def fma(self, fmt: PositFormat, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """See `Backend.fma`."""
        return _apply(arithmetic.values_fma, fmt, x, y, z)

    def sqrt(self, fmt: PositFormat, x: Tensor) -> Tensor:
        """See `Backend.sqrt`."""
        return _apply(arithmetic.values_sqrt, fmt, x)

    def look_up(self, fmt: PositFormat, name: str, x: Tensor) -> Tensor:
        """See `Backend.look_up`."""
        if not on_cpu(x):
            from positcore.nn.device import values

            return values.look_up(fmt, name, x)
        use_torch_threads()
        return as_tensor(decode(fmt, table(fmt, name)[encode(fmt, as_array(x))], fmt.tensor_dtype))

    def bit_trick(self, fmt: PositFormat, name: str, x: Tensor) -> Tensor:
        """See `Backend.bit_trick`."""
        trick = getattr(approximations, f"bit_trick_{name}")
        return as_tensor(decode(fmt, trick(fmt, encode(fmt, as_array(x))), fmt.tensor_dtype))

    # Sums of products --------------------------------------------------------------------------------

    def matmul(self, spec: MacSpec, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
        """See `Backend.matmul`."""
        if not on_cpu(a, b, bias):
            return self._elsewhere.matmul(spec, a, b, bias)
        operands = [None if x is None else as_array(x) for x in (a, b, bias)]
        return self._run(matmul_values if a.ndim == b.ndim == 2 else stacked_values, spec, *operands)

    def conv2d(self, spec: MacSpec, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        """See `Backend.conv2d`."""
        if not on_cpu(x, weight, bias):
            return self._elsewhere.conv2d(spec, x, weight, bias, geometry)
        start = None if bias is None else as_array(bias)
        return self._run(conv2d_values, spec, as_array(x), as_array(weight), start, geometry)

    def conv2d_input_gradient(
        self, spec: MacSpec, gradient: Tensor, weight: Tensor, geometry: Geometry, size: tuple[int, int]
    ) -> Tensor:
        """See `Backend.conv2d_input_gradient`."""
        if not on_cpu(gradient, weight):
            return self._elsewhere.conv2d_input_gradient(spec, gradient, weight, geometry, size)
        return self._run(input_gradient_values, spec, as_array(gradient), as_array(weight), geometry, size)

    def conv2d_weight_gradient(self, spec: MacSpec, gradient: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
        """See `Backend.conv2d_weight_gradient`."""
        if not on_cpu(gradient, x):
            return self._elsewhere.conv2d_weight_gradient(spec, gradient, x, geometry)
        return self._run(weight_gradient_values, spec, as_array(gradient), as_array(x), geometry)

    def quires(self, spec: MacSpec, shape: tuple[int, ...]) -> Sums:
        """See `Backend.quires`."""
        return QuireArray(spec, shape)

    @staticmethod
    def _run(operation: Callable[..., Any], *arguments: Any) -> Tensor:
        use_torch_threads()
        return as_tensor(operation(*arguments, product=_torch_product))


def _apply(op: Callable[..., Any], fmt: PositFormat, *operands: Tensor) -> Tensor:
    if not on_cpu(*operands):
        from positcore.nn.device import values

        return getattr(values, op.__name__.removeprefix("values_"))(fmt, *operands)
    use_torch_threads()
    return as_tensor(op(fmt, *[as_array(x) for x in operands]))


def _torch_product(a: Any, b: Any) -> Any:
    """PyTorch's matrix product; in float64, if it was told to make less of float32 than its name says."""
    with golden():
        return _float_product(a, b)


def _float_product(a: Any, b: Any) -> Any:
    if a.dtype == np.float32 and torch.get_float32_matmul_precision() != "highest":
        a, b = a.astype(np.float64), b.astype(np.float64)
    return torch.matmul(torch.from_numpy(a), torch.from_numpy(b)).numpy()
