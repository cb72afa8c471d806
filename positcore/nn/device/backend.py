"""`DeviceBackend`: matrix products and convolutions of posit tensors where they lie, with the golden model's bits."""

from __future__ import annotations

from torch import Tensor

from positcore.gemm.patches import Geometry
from positcore.mac import MacSpec
from positcore.nn.device.convolution import conv2d_values, input_gradient_values, weight_gradient_values
from positcore.nn.device.gemm import values_matmul

__all__ = ["DeviceBackend"]


class DeviceBackend:
    """A `positcore.nn.backends.Backend` of tensor code, on the device of its operands; results stay there.

    `GoldenBackend` hands it what is not on the CPU.
    """

    def matmul(self, spec: MacSpec, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
        """See `Backend.matmul`."""
        return values_matmul(spec, a, b, bias)

    def conv2d(self, spec: MacSpec, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        """See `Backend.conv2d`."""
        return conv2d_values(spec, x, weight, bias, geometry)

    def conv2d_input_gradient(
        self, spec: MacSpec, gradient: Tensor, weight: Tensor, geometry: Geometry, size: tuple[int, int]
    ) -> Tensor:
        """See `Backend.conv2d_input_gradient`."""
        return input_gradient_values(spec, gradient, weight, geometry, size)

    def conv2d_weight_gradient(self, spec: MacSpec, gradient: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
        """See `Backend.conv2d_weight_gradient`."""
        return weight_gradient_values(spec, gradient, x, geometry)
