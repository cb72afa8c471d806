"""`ComparedBackend`: two backends that do every operation, up to the first code in which they differ."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from positcore.codec import encode
from positcore.errors import MismatchError
from positcore.format import PositFormat
from positcore.mac import MacSpec
from positcore.nn.backends import Backend
from positcore.nn.places import where
from positcore.nn.tensors import as_array
from positcore.quire import QuireArray
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
        results: list[Tensor] = [getattr(x, operation)(spec, *arguments) for x in (self.first, self.second)]
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

    def quires(self, spec: MacSpec, shape: tuple[int, ...]) -> QuireArray:
        """See `Backend.quires`: those of the first backend, of which only that is known."""
        return self.first.quires(spec, shape)
