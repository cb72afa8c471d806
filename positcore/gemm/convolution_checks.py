"""What convolutions on codes check before they compute: kinds, shapes, parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from positcore.codec import check_codes
from positcore.format import PositFormat
from positcore.gemm.patches import Geometry
from positcore.mac import MacSpec

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["ConvolutionChecks"]


@dataclass(frozen=True)
class ConvolutionChecks:
    """What one of the functions checks, under its name; one dimension becomes two, with a height of 1."""

    name: str
    dimensions: int

    def spec(self, spec: MacSpec) -> None:
        """Check that `spec` is one."""
        if not isinstance(spec, MacSpec):
            raise TypeError(f"{self.name}: spec must be a MacSpec, not {spec!r}")

    def codes(self, fmt: PositFormat, operand: str, codes: ArrayLike) -> NDArray[Any]:
        """The operand's codes, with four dimensions, none of them empty but the batch."""
        array = check_codes(fmt, codes, f"{self.name}: {operand}")
        names = {"x": "N, C, H, W", "weight": "O, C / groups, kh, kw", "gradient": "N, O, OH, OW"}[operand].split(", ")
        if self.dimensions == 1:
            del names[2]
        if array.ndim != len(names) or 0 in array.shape[operand != "weight" :]:
            raise ValueError(
                f"{self.name}: {operand} must be of shape ({', '.join(names)}), each at least 1"
                f"{'' if operand == 'weight' else ' but N'}, not {array.shape}"
            )
        return array if self.dimensions == 2 else array[:, :, None]

    def numbers(self, parameter: str, value: Any, low: int, fill: int = 1) -> tuple[int, int]:
        """A parameter's vertical and horizontal number; `fill` is the vertical one of one dimension."""
        pair = isinstance(value, tuple | list)
        both = tuple(value) if pair else (value,) * self.dimensions
        kinds = "an integer or a pair of integers" if self.dimensions == 2 else "an integer"
        if len(both) != self.dimensions or not all(_is_integer(v) for v in both):
            raise TypeError(f"{self.name}: {parameter} must be {kinds}, not {value!r}")
        if min(both) < low:
            raise ValueError(f"{self.name}: {parameter} must be at least {low}, not {value}")
        return (int(both[0]), int(both[1])) if self.dimensions == 2 else (fill, int(both[0]))

    def geometry(
        self, kernel: tuple[int, ...], size: tuple[int, ...], stride: Any, padding: Any, dilation: Any, groups: Any
    ) -> tuple[Geometry, int]:
        """The geometry and the number of groups, checked to be positive and to give an output."""
        height, width = kernel
        geometry = Geometry(
            (height, width),
            self.numbers("stride", stride, 1),
            self.numbers("padding", padding, 0, fill=0),
            self.numbers("dilation", dilation, 1),
        )
        if not _is_integer(groups):
            raise TypeError(f"{self.name}: groups must be an integer, not {groups!r}")
        if groups < 1:
            raise ValueError(f"{self.name}: groups must be at least 1, not {groups}")
        padded = [size[i] + 2 * geometry.padding[i] for i in (0, 1)]
        span = [geometry.dilation[i] * (kernel[i] - 1) + 1 for i in (0, 1)]
        if span[0] > padded[0] or span[1] > padded[1]:
            raise ValueError(
                f"{self.name}: a kernel that spans {self._text(span)} does not fit into images that are "
                f"{self._text(padded)} with their padding"
            )
        return geometry, int(groups)

    def groups(self, groups: int, outputs: int, inputs: int | None = None, each: int | None = None) -> None:
        """Check the channels: of the output, of the images, and those of the images that a kernel sees."""
        if outputs % groups:
            raise ValueError(f"{self.name}: {groups} groups do not divide {outputs} output channels")
        if inputs is not None and inputs % groups:
            raise ValueError(f"{self.name}: {groups} groups do not divide the {inputs} channels of x")
        if inputs is not None and each is not None and inputs != each * groups:
            raise ValueError(
                f"{self.name}: weight is for {each} channels in each of {groups} groups, so x must have "
                f"{each * groups} channels, not {inputs}"
            )

    def gradient(self, gradient: NDArray[Any], images: int, channels: int, size: tuple[int, int]) -> None:
        """Check that the gradient has the shape of the output."""
        expected = (images, channels, *size)
        if gradient.shape != expected:
            shapes = [s if self.dimensions == 2 else (*s[:2], s[3]) for s in (expected, gradient.shape)]
            raise ValueError(f"{self.name}: gradient must be of the output's shape {shapes[0]}, not {shapes[1]}")

    def joined(self, parts: list[NDArray[Any]], axis: int) -> NDArray[Any]:
        """The results of all groups, side by side, with the dimensions that the function promises."""
        codes = parts[0] if len(parts) == 1 else np.concatenate(parts, axis)
        return codes if self.dimensions == 2 else codes[:, :, 0]

    def _text(self, size: list[int]) -> str:
        return "×".join(map(str, size[-self.dimensions :]))


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
