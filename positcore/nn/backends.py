"""Where matrix products run: the golden model, or RTL in simulation. Found by name, loaded on first use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from positcore.codec import decode, encode
from positcore.gemm.convolution import conv2d_values, flipped, input_gradient_values, weight_gradient_values
from positcore.gemm.patches import Geometry, spread, unfold
from positcore.gemm.products import matmul_values, stacked_values
from positcore.mac import MacSpec
from positcore.nn.audit import golden
from positcore.nn.device.backend import DeviceBackend
from positcore.nn.tensors import as_array, as_tensor, on_cpu, use_torch_threads

__all__ = ["BACKENDS", "Backend", "CodesBackend", "GoldenBackend", "current_backend", "use_backend"]


class Backend(Protocol):
    """What a backend does: sums of products, each summed and rounded as `spec` says. Tensors hold posit values."""

    def matmul(self, spec: MacSpec, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
        """round(bias + a @ b) for tensors (..., M, K) and (..., K, N), whose stacks broadcast; so does bias."""
        ...

    def conv2d(self, spec: MacSpec, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        """round(bias + x ∗ weight) for images (N, C, H, W), kernels (O, C, kh, kw) and bias (O,)."""
        ...

    def conv2d_input_gradient(
        self, spec: MacSpec, gradient: Tensor, weight: Tensor, geometry: Geometry, size: tuple[int, int]
    ) -> Tensor:
        """The gradient (N, C, H, W) of a convolution's input of height and width `size`."""
        ...

    def conv2d_weight_gradient(self, spec: MacSpec, gradient: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
        """The gradient (O, C, kh, kw) of a convolution's weights."""
        ...


class GoldenBackend:
    """The golden model; the float64 product that it proves or corrects is PyTorch's.

    Tensors that are not on the CPU stay where they are: `positcore.nn.device` gives them the same bits there.
    """

    _elsewhere = DeviceBackend()

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

    @staticmethod
    def _run(operation: Callable[..., Any], *arguments: Any) -> Tensor:
        use_torch_threads()
        return as_tensor(operation(*arguments, product=_torch_product))


class CodesBackend:
    """A backend made of a function on codes, `matmul(spec, a, b, bias) -> codes`, such as a simulator's.

    A convolution is the matrix product with the patches of its images, and so are its gradients.
    """

    def __init__(self, matmul: Callable[..., Any]) -> None:
        self._matmul = matmul

    def matmul(self, spec: MacSpec, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
        """See `Backend.matmul`."""
        left, right, start = (None if x is None else as_array(x) for x in (a, b, bias))
        if a.ndim == b.ndim == 2:
            return as_tensor(self._values(spec, left, right, start))
        stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        out = np.empty((*stack, a.shape[-2], b.shape[-1]), spec.out.tensor_dtype)
        left, right = (np.broadcast_to(as_array(x), (*stack, *x.shape[-2:])) for x in (a, b))
        start = None if start is None else np.broadcast_to(start, out.shape)
        for index in np.ndindex(*stack):
            out[index] = self._values(spec, left[index], right[index], None if start is None else start[index])
        return as_tensor(out)

    def conv2d(self, spec: MacSpec, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        """See `Backend.conv2d`."""
        matrix = as_array(weight).reshape(len(weight), -1)
        start = None if bias is None else as_array(bias)[:, None]
        values = self._values(spec, matrix, unfold(as_array(x), geometry), start)
        return _to_images(values, len(x), geometry.output_size((x.shape[2], x.shape[3])))

    def conv2d_input_gradient(
        self, spec: MacSpec, gradient: Tensor, weight: Tensor, geometry: Geometry, size: tuple[int, int]
    ) -> Tensor:
        """See `Backend.conv2d_input_gradient`."""
        patches, around = spread(as_array(gradient), geometry, size)
        return _to_images(self._values(spec, flipped(as_array(weight)), unfold(patches, around)), len(gradient), size)

    def conv2d_weight_gradient(self, spec: MacSpec, gradient: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
        """See `Backend.conv2d_weight_gradient`."""
        rows = as_array(gradient.transpose(0, 1).reshape(gradient.shape[1], -1))
        values = self._values(spec, rows, unfold(as_array(x), geometry).T)
        return as_tensor(values.reshape(len(rows), x.shape[1], *geometry.kernel))

    def _values(self, spec: MacSpec, a: Any, b: Any, bias: Any = None) -> Any:
        start = None if bias is None else encode(spec.a, bias)
        codes = self._matmul(spec, encode(spec.a, a), encode(spec.b, b), start)
        return decode(spec.out, codes, spec.out.tensor_dtype)


def _to_images(values: Any, images: int, size: tuple[int, int]) -> Tensor:
    """Values (channels, N·H·W) as images (N, channels, H, W)."""
    shaped = values.reshape(len(values), images, *size)
    return as_tensor(np.ascontiguousarray(shaped.transpose(1, 0, 2, 3)))


def _torch_product(a: Any, b: Any) -> Any:
    """PyTorch's matrix product; in float64, if it was told to make less of float32 than its name says."""
    with golden():
        return _float_product(a, b)


def _float_product(a: Any, b: Any) -> Any:
    if a.dtype == np.float32 and torch.get_float32_matmul_precision() != "highest":
        a, b = a.astype(np.float64), b.astype(np.float64)
    return torch.matmul(torch.from_numpy(a), torch.from_numpy(b)).numpy()


def _rtl() -> Backend:
    return CodesBackend(import_module("positcore.sim.backend").matmul)


BACKENDS: dict[str, Callable[[], Backend]] = {"golden": GoldenBackend, "rtl": _rtl}
_loaded: dict[str, Backend] = {}
_current = "golden"


def current_backend() -> Backend:
    """The backend that layers use now."""
    if _current not in _loaded:
        _loaded[_current] = BACKENDS[_current]()
    return _loaded[_current]


class use_backend:  # noqa: N801 (reads as a verb, like torch.set_grad_enabled)
    """Run matrix products in the backend `name`, "golden" or "rtl": from now on, or within a `with` block.

    Raises
    ------
    ValueError
        If there is no such backend.
    """

    def __init__(self, name: str) -> None:
        global _current
        if name not in BACKENDS:
            raise ValueError(f"use_backend: no backend {name!r}; there are {', '.join(BACKENDS)}")
        self._name = name
        self._previous, _current = _current, name

    def __enter__(self) -> None:
        global _current
        if _current != self._name:  # entered anew
            self._previous, _current = _current, self._name

    def __exit__(self, *exception: object) -> None:
        global _current
        _current = self._previous
