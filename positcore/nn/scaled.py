"""Layers whose weights and outputs are posits times powers of two: for networks that were trained in float.

Posits have most of their fraction bits near 1. A power of two that brings a tensor there costs nothing: it shifts an
exponent. A scaled layer holds weights w̃ = R_F(w·2^s)·2^−s, s for the layer or for each output channel, and computes

    y = R_F(2^a · (b̃ + Σ w̃·x)) · 2^−a

with one rounding: the quire holds the exact sum, and a power of two in front of it only moves the place where it is
rounded. The golden operation is the quire's matrix product on operands that carry the powers of two themselves; they
are exact in posit(32, es), and so is every product.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from positcore.format import PositFormat
from positcore.mac import MacSpec, Quire
from positcore.nn import tensors
from positcore.nn.backends import current_backend
from positcore.nn.functional.operation import operation
from positcore.nn.layers import Conv2d, Linear, PositLayer, forget_rounding

__all__ = ["ScaledConv2d", "ScaledLinear", "carrier_format", "largest_shift", "power_of_two", "quantize_scaled"]


def carrier_format(fmt: PositFormat) -> PositFormat:
    """The format of operands that carry their powers of two: 32 bits with the exponent bits of `fmt`."""
    return PositFormat(32, fmt.es)


def largest_shift(fmt: PositFormat) -> int:
    """The largest |s| of one scale: max(0, 31 − n − es)·2^es / 2.

    Two scales meet in an operand. 2^s lengthens the regime of a value by s / 2^es bits at most, so that every value
    of `fmt` times 2^±2s is one of `carrier_format`.
    """
    return (max(0, 31 - fmt.n - fmt.es) << fmt.es) // 2


def quantize_scaled(fmt: PositFormat, x: Tensor, shift: Tensor | int) -> Tensor:
    """R(x·2^shift)·2^−shift: `x` rounded to `fmt` after a shift of its exponents, and shifted back.

    Parameters
    ----------
    fmt : PositFormat
    x : float tensor
    shift : int, or integer tensor that broadcasts to `x`

    Returns
    -------
    tensor of `fmt.tensor_dtype`
    """
    with tensors.golden():
        power = power_of_two(shift, x)
        rounded = tensors.quantize(fmt, x.double() * power)
        return (rounded.double() / power).to(rounded.dtype)


def power_of_two(shift: Tensor | int, like: Tensor) -> Tensor:
    """2^shift in float64, exact, on the device of `like`; a product with it is exact, too."""
    powers = np.ldexp(np.float64(1), torch.as_tensor(shift).cpu().numpy())
    return torch.as_tensor(powers, device=like.device)


class _Scaled(PositLayer):
    """What the scaled layers share; see the module. They are made by `quantize_model`, to be tested, not trained.

    Attributes
    ----------
    weight_shift : int64 tensor, () or (out,)
        s.
    input_shift : int64 tensor, ()
        The power of two of the inputs: what is not yet such a value is rounded to one.
    output_shift : int64 tensor, ()
        a.
    """

    weight_shift: Tensor
    input_shift: Tensor
    output_shift: Tensor

    @classmethod
    def from_twin(
        cls, layer: PositLayer, weight: Tensor, bias: Tensor | None, weight_shift: Tensor, shifts: tuple[int, int]
    ) -> Self:
        """Make a posit layer a scaled one, in place, with float weights and the shifts of its input and output.

        Raises
        ------
        ValueError
            If the F stage does not sum through a quire, or a shift is too large for its format.
        """
        fmt, accumulator = layer.policy.forward.format, layer.policy.forward.accumulator
        if not isinstance(accumulator, Quire):
            raise ValueError(f"scaling is exact in a quire only, not with {accumulator}; write F{fmt.n}q in the policy")
        largest = largest_shift(fmt)
        if max(*map(abs, shifts), int(weight_shift.abs().max())) > largest:
            raise ValueError(f"shifts must be in −{largest}..{largest} for {fmt}")
        forget_rounding(layer)
        layer.__class__ = cls
        assert isinstance(layer, cls)
        layer.register_buffer("weight_shift", weight_shift)
        layer.register_buffer("input_shift", torch.tensor(shifts[0]))
        layer.register_buffer("output_shift", torch.tensor(shifts[1]))
        columns = weight_shift.reshape(-1, *[1] * (weight.ndim - 1))
        layer.weight = torch.nn.Parameter(quantize_scaled(fmt, weight.detach(), columns), requires_grad=False)
        if bias is not None:
            layer.bias = torch.nn.Parameter(quantize_scaled(fmt, bias.detach(), shifts[1]), requires_grad=False)
        return layer

    def release(self) -> None:
        """Remove the shifts."""
        super().release()
        for name in ("weight_shift", "input_shift", "output_shift"):
            delattr(self, name)

    @operation
    def _operands(self: Any, x: Tensor) -> tuple[MacSpec, Tensor, Tensor, Tensor | None]:
        """The spec, the rounded inputs, and the weights and the bias with the power of two of the output."""
        fmt = self.policy.forward.format
        wide = carrier_format(fmt)
        spec = MacSpec((wide, wide), fmt, self.policy.forward.accumulator or Quire())
        with tensors.golden():
            power = power_of_two(self.output_shift, x).to(self.weight.dtype)
            weight, bias = self.weight * power, None if self.bias is None else self.bias * power
        return spec, quantize_scaled(fmt, x, self.input_shift), weight, bias

    def _result(self, y: Tensor) -> Tensor:
        with tensors.golden():
            return y / power_of_two(self.output_shift, y).to(y.dtype)

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        low, high = int(self.weight_shift.min()), int(self.weight_shift.max())
        weights = f"{low}" if low == high else f"{low}..{high}"
        shifts = f"weights·2^{weights}, inputs·2^{int(self.input_shift)}, outputs·2^{int(self.output_shift)}"
        return f"{super().extra_repr()}, {shifts}"


class ScaledLinear(_Scaled, Linear):
    """A `Linear` of scaled weights and outputs; see the module."""

    @operation
    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """(..., in) → (..., out), values of F times 2^−a."""
        spec, inputs, weight, bias = self._operands(x)
        y = current_backend().matmul(spec, inputs.reshape(-1, inputs.shape[-1]), weight.T, bias)
        return self._result(y).reshape(*x.shape[:-1], len(weight))


class ScaledConv2d(_Scaled, Conv2d):
    """A `Conv2d` of scaled weights and outputs; see the module."""

    @operation
    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, O, OH, OW), values of F times 2^−a."""
        spec, inputs, weight, bias = self._operands(x)
        starts: Any = [None] * self.groups if bias is None else bias.chunk(self.groups)
        groups = zip(inputs.chunk(self.groups, dim=1), weight.chunk(self.groups), starts, strict=True)
        parts = [current_backend().conv2d(spec, *part, self.geometry) for part in groups]
        return self._result(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))
