"""`CodesBackend`: a backend made of functions on codes, such as those of a simulator.

Between tensors of values and codes nothing is computed: only values that a format has become its codes, and all others
are refused. So every rounding is that of a unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from positcore.approximations import bit_trick_sigmoid
from positcore.codec import decode, exact_codes
from positcore.format import PositFormat
from positcore.gemm.convolution import flipped
from positcore.gemm.patches import Geometry, spread, unfold
from positcore.mac import MacSpec, Quire
from positcore.nn.backends import Sums
from positcore.nn.golden import GoldenBackend
from positcore.nn.tensors import as_array, as_tensor
from positcore.nn.term_sums import TermSums
from positcore.nn.wide_division import wide_format
from positcore.rational import round_fraction

__all__ = ["CodesBackend"]

Codes = NDArray[np.unsignedinteger[Any]]
_PORTS = ("a", "b", "c")


class CodesBackend:
    """A backend of two functions on codes. What they do not do is an error, and nothing goes to the golden model.

    Parameters
    ----------
    matmul : callable
        (spec, a, b, bias) → codes, for stacks of matrices (..., M, K) and (..., K, N) with equal stacks, and a bias
        that broadcasts to the result; a bias or None.
    run : callable, optional
        (unit, spec, inputs by port, **options) → codes: a unit of `positcore.hw.units` on vectors of one length. A
        backend without it leaves the operations on elements, and what goes on over several, to the golden model.
    counts : mapping of str to int, optional
        What each unit did so far, which the functions keep.

    Attributes
    ----------
    formats : dict
        The formats that operations named so far: what values may be of.
    """

    def __init__(
        self,
        matmul: Callable[..., Any],
        run: Callable[..., Any] | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        self._matmul, self._run, self.counts = matmul, run, {} if counts is None else counts
        self._golden = GoldenBackend()
        self.formats: dict[PositFormat, None] = {}

    # Elements ----------------------------------------------------------------------------------------

    def quantize(self, fmt: PositFormat, x: Tensor) -> Tensor:
        """See `Backend.quantize`: `convert` from the format that all values are of, else `from-float`.

        Values of `fmt` stay what they are: that takes no hardware.
        """
        if self._run is None:
            return self._golden.quantize(fmt, x)
        self.formats.setdefault(fmt)
        values = as_array(x)
        codes = exact_codes(fmt, values)
        if codes is None:
            source, found = self._source(values, but=fmt)
            if source is not None:
                codes = self._run("convert", MacSpec(source, fmt), {"a": found.reshape(-1)})
            else:
                single = values.astype(np.float32)
                if not ((single == values) | np.isnan(values)).all():
                    raise ValueError(
                        f"quantize: float64 values that are neither float32 nor posits of a format in use are to be "
                        f"rounded to {fmt}, and no unit reads float64; give float32"
                    )
                words = np.ascontiguousarray(single).view(np.uint32)
                codes = self._run("from-float", MacSpec(fmt), {"bits": words.reshape(-1)}, float_format="float32")
        return self._values(fmt, codes, values.shape)

    def add(self, fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
        """See `Backend.add`."""
        return self._elements("add", fmt, x, y)

    def sub(self, fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
        """See `Backend.sub`."""
        return self._elements("sub", fmt, x, y)

    def mul(self, fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
        """See `Backend.mul`."""
        return self._elements("mul", fmt, x, y)

    def div(self, fmt: PositFormat, x: Tensor, y: Tensor) -> Tensor:
        """See `Backend.div`."""
        return self._elements("div", fmt, x, y)

    def fma(self, fmt: PositFormat, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """See `Backend.fma`."""
        return self._elements("fma", fmt, x, y, z)

    def sqrt(self, fmt: PositFormat, x: Tensor) -> Tensor:
        """See `Backend.sqrt`."""
        return self._elements("sqrt", fmt, x)

    def look_up(self, fmt: PositFormat, name: str, x: Tensor) -> Tensor:
        """See `Backend.look_up`."""
        if self._run is None:
            return self._golden.look_up(fmt, name, x)
        values = as_array(x)
        codes = self._run("function", MacSpec(fmt), {"a": self._exact(name, fmt, values).reshape(-1)}, function=name)
        return self._values(fmt, codes, values.shape)

    def bit_trick(self, fmt: PositFormat, name: str, x: Tensor) -> Tensor:
        """See `Backend.bit_trick`: the trick itself is wiring, and what is around it in tanh, the units mul and sub."""
        if self._run is None:
            return self._golden.bit_trick(fmt, name, x)
        values, spec = as_array(x), MacSpec(fmt)
        codes = self._exact(name, fmt, values).reshape(-1)
        if name == "sigmoid":
            return self._values(fmt, bit_trick_sigmoid(fmt, codes), values.shape)
        two, one = (np.full_like(codes, round_fraction(fmt, number)) for number in (2, 1))
        half = bit_trick_sigmoid(fmt, self._run("mul", spec, {"a": two, "b": codes}))
        twice = self._run("mul", spec, {"a": two, "b": half})
        return self._values(fmt, self._run("sub", spec, {"a": twice, "b": one}), values.shape)

    def _elements(self, unit: str, fmt: PositFormat, *operands: Tensor) -> Tensor:
        if self._run is None:
            result: Tensor = getattr(self._golden, unit)(fmt, *operands)
            return result
        self.formats.setdefault(fmt)
        arrays = [as_array(x) for x in operands]
        shape = np.broadcast_shapes(*[array.shape for array in arrays])
        found = [exact_codes(fmt, array) for array in arrays]
        if any(codes is None for codes in found):
            return self._mixed(unit, fmt, arrays, shape)
        columns = {port: _spread(codes, shape) for port, codes in zip(_PORTS, found, strict=False)}
        return self._values(fmt, self._run(unit, MacSpec(fmt), columns), shape)

    def _mixed(self, unit: str, fmt: PositFormat, arrays: list[NDArray[Any]], shape: tuple[int, ...]) -> Tensor:
        """An operation on values of other formats than its result's: the sum of one or two products in a quire."""
        if unit == "div":
            return self._mixed_quotient(fmt, arrays[0], arrays[1], shape)
        if unit == "sqrt":
            raise ValueError(f"sqrt: an operand is no value of {fmt}; quantize it first")
        flat = [np.broadcast_to(array, shape).reshape(-1, 1) for array in arrays]
        one = np.ones_like(flat[0])
        if unit in ("add", "sub"):
            left, right = np.hstack(flat), np.hstack([one, -one if unit == "sub" else one])
        elif unit == "mul":
            left, right = flat
        else:
            left, right = np.hstack([flat[0], flat[2]]), np.hstack([flat[1], one])
        formats = [self._source(values)[0] for values in (left, right)]
        if None in formats:
            raise ValueError(f"{unit}: the operands are not all values of a format in use; quantize them first")
        spec = MacSpec((formats[0], formats[1]), fmt, Quire())  # type: ignore[arg-type]
        return as_tensor(self._product(spec, left[:, None, :], right[:, :, None]).reshape(shape))

    def _mixed_quotient(self, fmt: PositFormat, x: NDArray[Any], y: NDArray[Any], shape: tuple[int, ...]) -> Tensor:
        """A quotient of other formats' values: in a format so wide that its rounding is not seen in that of `fmt`."""
        assert self._run is not None
        wide = wide_format(fmt, x, y)
        if wide is None:
            raise ValueError(
                f"div: an operand is no value of {fmt}, and no format of up to 32 bits is known to be so wide that a "
                "quotient may be rounded to it first; for the division by the batch take a batch size that is a value "
                "of the G format, such as a power of two"
            )
        columns = {port: _spread(exact_codes(wide, operand), shape) for port, operand in (("a", x), ("b", y))}
        quotients = self._run("div", MacSpec(wide), columns)
        return self._values(fmt, self._run("convert", MacSpec(wide, fmt), {"a": quotients}), shape)

    def _source(self, values: NDArray[Any], but: PositFormat | None = None) -> tuple[PositFormat | None, Any]:
        """The first format in use that has all values, and their codes in it."""
        for fmt in self.formats:
            if fmt != but and (codes := exact_codes(fmt, values)) is not None:
                return fmt, codes
        return None, None

    def _exact(self, name: str, fmt: PositFormat, values: NDArray[Any]) -> Codes:
        self.formats.setdefault(fmt)
        codes = exact_codes(fmt, values)
        if codes is None:
            raise ValueError(f"{name}: an operand is no value of {fmt}; quantize it first")
        return codes

    @staticmethod
    def _values(fmt: PositFormat, codes: Any, shape: Iterable[int]) -> Tensor:
        return as_tensor(decode(fmt, codes, fmt.tensor_dtype).reshape(tuple(shape)))

    # Sums of products --------------------------------------------------------------------------------

    def matmul(self, spec: MacSpec, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
        """See `Backend.matmul`."""
        left, right, start = (None if x is None else as_array(x) for x in (a, b, bias))
        return as_tensor(self._product(spec, left, right, start))

    def conv2d(self, spec: MacSpec, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        """See `Backend.conv2d`: the matrix product of the kernels and the patches of the images."""
        kernels = self._exact("conv2d", spec.a, as_array(weight))
        images = self._exact("conv2d", spec.b, as_array(x))
        start = None if bias is None else self._exact("conv2d", spec.a, as_array(bias))[:, None]
        codes = self._matmul(spec, kernels.reshape(len(kernels), -1), _patches(images, geometry), start)
        return self._images(spec, codes, len(x), geometry.output_size((x.shape[2], x.shape[3])))

    def conv2d_input_gradient(
        self, spec: MacSpec, gradient: Tensor, weight: Tensor, geometry: Geometry, size: tuple[int, int]
    ) -> Tensor:
        """See `Backend.conv2d_input_gradient`: the product of the turned kernels and patches of the gradient."""
        kernels = self._exact("conv2d_input_gradient", spec.a, as_array(weight))
        images = self._exact("conv2d_input_gradient", spec.b, as_array(gradient))
        codes = self._matmul(spec, flipped(kernels), _patches(*spread(images, geometry, size)), None)
        return self._images(spec, codes, len(gradient), size)

    def conv2d_weight_gradient(self, spec: MacSpec, gradient: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
        """See `Backend.conv2d_weight_gradient`: the product of the gradient and the transposed patches."""
        rows = self._exact("conv2d_weight_gradient", spec.a, as_array(gradient))
        images = self._exact("conv2d_weight_gradient", spec.b, as_array(x))
        rows = np.ascontiguousarray(rows.swapaxes(0, 1)).reshape(rows.shape[1], -1)
        codes = self._matmul(spec, rows, _patches(images, geometry).T, None)
        return self._values(spec.out, codes, (len(rows), x.shape[1], *geometry.kernel))

    def quires(self, spec: MacSpec, shape: tuple[int, ...]) -> Sums:
        """See `Backend.quires`: terms wait until a sum is rounded, and are then a product of matrices."""
        if self._run is None:
            return self._golden.quires(spec, shape)
        return TermSums(spec, shape, lambda spec, a, b: self._matmul(spec, a, b, None))

    def _product(self, spec: MacSpec, a: Any, b: Any, bias: Any = None) -> NDArray[Any]:
        """The values of bias + a @ b, for values (..., M, K) and (..., K, N)."""
        left, right = self._exact("matmul", spec.a, a), self._exact("matmul", spec.b, b)
        start = None if bias is None else self._exact("matmul", spec.a, bias)
        stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        left, right = (np.broadcast_to(x, (*stack, *x.shape[-2:])) for x in (left, right))
        codes = self._matmul(spec, left, right, start) if len(stack) < 1 else self._stacked(spec, left, right, start)
        return decode(spec.out, codes, spec.out.tensor_dtype)

    def _stacked(self, spec: MacSpec, a: Codes, b: Codes, bias: Codes | None) -> Codes:
        stack = a.shape[:-2]
        shape = (*stack, a.shape[-2], b.shape[-1])
        start = None if bias is None else np.broadcast_to(bias, shape).reshape(-1, *shape[-2:])
        a, b = a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:])
        if self._run is not None:
            codes: Codes = self._matmul(spec, a, b, start)
            return codes.reshape(shape)
        out = np.empty((len(a), *shape[-2:]), spec.out.dtype)
        for i in range(len(a)):
            out[i] = self._matmul(spec, a[i], b[i], None if start is None else start[i])
        return out.reshape(shape)

    def _images(self, spec: MacSpec, codes: Codes, images: int, size: tuple[int, int]) -> Tensor:
        """Codes (channels, N·H·W) as images (N, channels, H, W)."""
        shaped = codes.reshape(len(codes), images, *size).transpose(1, 0, 2, 3)
        return self._values(spec.out, np.ascontiguousarray(shaped), shaped.shape)


def _spread(codes: Any, shape: tuple[int, ...]) -> Codes:
    return np.broadcast_to(codes, shape).reshape(-1)


def _patches(codes: Codes, geometry: Geometry) -> Codes:
    """The patches of images of codes; padding is the code 0."""
    return unfold(codes, geometry, codes.dtype)
