"""`ComparedBackend`: two backends that do every operation, up to the first code in which they differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from positcore.codec import decode, encode
from positcore.errors import MismatchError
from positcore.format import PositFormat
from positcore.mac import MacSpec
from positcore.nn.backends import Backend, Sums
from positcore.nn.places import where
from positcore.nn.tensors import as_array, as_tensor
from positcore.text import code_text

__all__ = ["ComparedBackend"]


class ComparedBackend:
    """Every operation in two backends; gives the results of the first one.

    Parameters
    ----------
    first, second : Backend
    names : pair of str
        What messages call them.

    Attributes
    ----------
    compared : int
        Codes compared so far, all equal.
    """

    def __init__(self, first: Backend, second: Backend, names: tuple[str, str]) -> None:
        self.first, self.second, self.names = first, second, names
        self.compared = 0

    def _both(self, operation: str, spec: PositFormat | MacSpec, *arguments: Any) -> Tensor:
        """The result of an operation.

        Raises
        ------
        MismatchError
            If the results differ: layer, operation, index and the fields of both codes.
        """
        return self._same(operation, spec, [getattr(x, operation)(spec, *arguments) for x in (self.first, self.second)])

    def _same(self, operation: str, spec: PositFormat | MacSpec, results: list[Tensor]) -> Tensor:
        fmt = spec if isinstance(spec, PositFormat) else spec.out
        a, b = (as_array(x.cpu()) for x in results)
        if a.shape != b.shape or results[0].dtype != results[1].dtype:
            raise MismatchError(
                f"{where()}: {operation} of {spec}: {self.names[0]} gives {results[0].dtype} {a.shape}, "
                f"{self.names[1]} gives {results[1].dtype} {b.shape}"
            )
        different = (a != b) & ~(np.isnan(a) & np.isnan(b))
        if different.any():
            index = tuple(int(i) for i in np.argwhere(different)[0])
            texts = (
                f"{name} {code_text(fmt, int(encode(fmt, x[index])))}"
                for name, x in zip(self.names, (a, b), strict=True)
            )
            raise MismatchError(
                f"{where()}: {operation} of {spec}, index {index}: {' != '.join(texts)}; "
                f"{int(different.sum())} of {a.size} codes differ"
            )
        self.compared += a.size
        return results[0]

    def quantize(self, fmt: PositFormat, x: Tensor) -> Tensor:
        """See `Backend.quantize`."""
        return self._both("quantize", fmt, x)

    def add(self, fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
        """See `Backend.add`."""
        return self._both("add", fmt, x, y)

    def sub(self, fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
        """See `Backend.sub`."""
        return self._both("sub", fmt, x, y)

    def mul(self, fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
        """See `Backend.mul`."""
        return self._both("mul", fmt, x, y)

    def div(self, fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
        """See `Backend.div`."""
        return self._both("div", fmt, x, y)

    def fma(self, fmt: PositFormat, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """See `Backend.fma`."""
        return self._both("fma", fmt, x, y, z)

    def sqrt(self, fmt: PositFormat, x: Tensor) -> Tensor:
        """See `Backend.sqrt`."""
        return self._both("sqrt", fmt, x)

    def look_up(self, fmt: PositFormat, name: str, x: Tensor) -> Tensor:
        """See `Backend.look_up`."""
        return self._both("look_up", fmt, name, x)

    def bit_trick(self, fmt: PositFormat, name: str, x: Tensor) -> Tensor:
        """See `Backend.bit_trick`."""
        return self._both("bit_trick", fmt, name, x)

    def matmul(self, spec: MacSpec, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
        """See `Backend.matmul`."""
        return self._both("matmul", spec, a, b, bias)

    def conv2d(self, spec: MacSpec, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Any) -> Tensor:
        """See `Backend.conv2d`."""
        return self._both("conv2d", spec, x, weight, bias, geometry)

    def conv2d_input_gradient(
        self, spec: MacSpec, gradient: Tensor, weight: Tensor, geometry: Any, size: tuple[int, int]
    ) -> Tensor:
        """See `Backend.conv2d_input_gradient`."""
        return self._both("conv2d_input_gradient", spec, gradient, weight, geometry, size)

    def conv2d_weight_gradient(self, spec: MacSpec, gradient: Tensor, x: Tensor, geometry: Any) -> Tensor:
        """See `Backend.conv2d_weight_gradient`."""
        return self._both("conv2d_weight_gradient", spec, gradient, x, geometry)

    def quires(self, spec: MacSpec, shape: tuple[int, ...]) -> Sums:
        """See `Backend.quires`: sums of both, compared when they are rounded."""
        return _BothSums(self, self.first.quires(spec, shape), self.second.quires(spec, shape))


class _BothSums:
    """The sums of two backends; see `positcore.nn.backends.Sums`."""

    def __init__(self, owner: ComparedBackend, first: Any, second: Any) -> None:
        self._owner, self._parts = owner, (first, second)
        self.spec, self.shape, self.size = first.spec, first.shape, first.size

    def each(self, function: Callable[..., Any], *others: Any) -> _BothSums:
        """What a function makes of the sums of each backend, and of its part of the others'."""
        first, second = zip(self._parts, *(other._parts for other in others), strict=True)
        return _BothSums(self._owner, function(*first), function(*second))

    def add_matmul(self, a: Any, b: Any) -> _BothSums:
        return self.each(lambda sums: sums.add_matmul(a, b))

    def add_product(self, a: Any, b: Any) -> _BothSums:
        return self.each(lambda sums: sums.add_product(a, b))

    def add_quire(self, other: _BothSums) -> _BothSums:
        return self.each(lambda sums, more: sums.add_quire(more), other)

    def sum(self, axis: int) -> _BothSums:
        return self.each(lambda sums: sums.sum(axis))

    def reshape(self, shape: tuple[int, ...]) -> _BothSums:
        return self.each(lambda sums: sums.reshape(shape))

    def __getitem__(self, index: Any) -> _BothSums:
        return self.each(lambda sums: sums[index])

    def __setitem__(self, index: Any, sums: _BothSums) -> None:
        for mine, part in zip(self._parts, sums._parts, strict=True):
            mine[index] = part

    def round(self) -> Any:
        fmt = self.spec.out
        codes = [sums.round() for sums in self._parts]
        self._owner._same("sums", self.spec, [as_tensor(decode(fmt, x, fmt.tensor_dtype)) for x in codes])
        return codes[0]
