"""`MacSpec`: the one description of a multiply-accumulate datapath, read by the golden model, hw and nn.

Its accumulator says how products are summed: `Quire`, `Fused`, `Rounded` or `Aligned`.
"""

from __future__ import annotations

from dataclasses import dataclass

from positcore.format import PositFormat

__all__ = ["Accumulator", "Aligned", "Fused", "MacSpec", "Quire", "Rounded"]


@dataclass(frozen=True)
class Quire:
    """The exact accumulator of the Posit Standard: every sum of products is exact and is rounded once.

    Parameters
    ----------
    carry_bits : int
        C, the headroom above maxpos²: 1..63. Any sum of at most 2^C − 1 products is exact in any order.
    """

    carry_bits: int = 31

    def __post_init__(self) -> None:
        _check_integer("Quire: carry_bits", self.carry_bits, 63)

    def __str__(self) -> str:
        return "quire" if self.carry_bits == 31 else f"quire{self.carry_bits}"

    @property
    def tag(self) -> str:
        """The accumulator as a part of an identifier: `quire31`."""
        return f"quire{self.carry_bits}"

    @property
    def capacity(self) -> int:
        """The longest dot product that cannot overflow, in products: 2^carry_bits − 1."""
        return (1 << self.carry_bits) - 1


@dataclass(frozen=True)
class Fused:
    """A chain of fused multiply-adds: acc ← round(acc + a·b), in index order, in the output's format.

    The sum starts at zero, or at the bias rounded to the output's format.
    """

    def __str__(self) -> str:
        return "fused"

    tag = property(__str__)


@dataclass(frozen=True)
class Rounded:
    """A multiplier and an adder: acc ← round(acc + round(a·b)), in index order, in the output's format.

    The sum starts at zero, or at the bias rounded to the output's format.
    """

    def __str__(self) -> str:
        return "rounded"

    tag = property(__str__)


@dataclass(frozen=True)
class Aligned:
    """A dot unit of `lanes` products with truncating alignment: acc ← round(acc + Σ products), chunk by chunk.

    The grid of a chunk is 2^(e − width), e the largest scale among its nonzero terms; a product's scale is the sum of
    its operands' scales. Each exact term, in two's complement, is truncated toward −∞ to the grid; the truncated
    terms are summed exactly and rounded once, to the output's format. A short last chunk is padded with zeros.

    Parameters
    ----------
    lanes : int
        Products in a chunk, 1..64.
    width : int
        Bits of the grid below the largest term's leading bit, 1..256.
    """

    lanes: int
    width: int

    def __post_init__(self) -> None:
        _check_integer("Aligned: lanes", self.lanes, 64)
        _check_integer("Aligned: width", self.width, 256)

    def __str__(self) -> str:
        return f"aligned({self.lanes} lanes, {self.width} bits)"

    @property
    def tag(self) -> str:
        """The accumulator as a part of an identifier: `aligned4x14`."""
        return f"aligned{self.lanes}x{self.width}"


Accumulator = Quire | Fused | Rounded | Aligned


def _check_integer(name: str, value: object, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer in 1..{high}, not {value!r}")
    if not 1 <= value <= high:
        raise ValueError(f"{name} must be an integer in 1..{high}, not {value}")


@dataclass(frozen=True)
class MacSpec:
    """What a multiply-accumulate unit computes, and nothing that cannot change a result bit.

    Parameters
    ----------
    inputs : PositFormat or pair of PositFormat
        The formats of the two operands a and b; one format stands for both.
    output : PositFormat, optional
        The format of the result; that of `a` unless told.
    accumulator : Quire, Fused, Rounded or Aligned, optional
        How products are summed; the standard's quire unless told.

    Raises
    ------
    TypeError
        If a field is not of its kind.
    """

    inputs: PositFormat | tuple[PositFormat, PositFormat]
    output: PositFormat | None = None
    accumulator: Accumulator = Quire()

    def __post_init__(self) -> None:
        inputs = self.inputs if isinstance(self.inputs, tuple) else (self.inputs, self.inputs)
        if len(inputs) != 2 or not all(isinstance(f, PositFormat) for f in inputs):
            raise TypeError(f"MacSpec: inputs must be a PositFormat or a pair of them, not {self.inputs!r}")
        if self.output is not None and not isinstance(self.output, PositFormat):
            raise TypeError(f"MacSpec: output must be a PositFormat, not {self.output!r}")
        if not isinstance(self.accumulator, Accumulator):
            raise TypeError(
                f"MacSpec: accumulator must be a Quire, Fused, Rounded or Aligned, not {self.accumulator!r}"
            )
        object.__setattr__(self, "inputs", inputs)
        object.__setattr__(self, "output", inputs[0] if self.output is None else self.output)

    def __str__(self) -> str:
        a, b = self.a, self.b
        inputs = str(a) if a == b else f"{a}×{b}"
        return f"{inputs} → {self.out}, {self.accumulator}"

    @property
    def a(self) -> PositFormat:
        """The format of the first operand."""
        return self.inputs[0]  # type: ignore[index]

    @property
    def b(self) -> PositFormat:
        """The format of the second operand."""
        return self.inputs[1]  # type: ignore[index]

    @property
    def out(self) -> PositFormat:
        """The format of the result."""
        assert self.output is not None
        return self.output

    @property
    def quire(self) -> Quire:
        """The accumulator, where it is a quire; the properties below describe that.

        Raises
        ------
        TypeError
            If the accumulator is another.
        """
        if not isinstance(self.accumulator, Quire):
            raise TypeError(f"MacSpec: only a Quire accumulator has these bits, not {self.accumulator}")
        return self.accumulator

    @property
    def accumulator_fraction_bits(self) -> int:
        """Bits of the quire right of the point: max_scale of a plus max_scale of b."""
        return self.a.max_scale + self.b.max_scale

    @property
    def accumulator_bits(self) -> int:
        """Width of the quire: 1 + carry_bits + 2·(max_scale of a + max_scale of b)."""
        return 1 + self.quire.carry_bits + 2 * self.accumulator_fraction_bits

    @property
    def product_fraction_bits(self) -> int:
        """Fraction bits of an exact product: fraction_bits of a plus fraction_bits of b."""
        return self.a.fraction_bits + self.b.fraction_bits

    @property
    def window_top(self) -> int:
        """The power of two that bounds what the rounder looks at: sums at or above it round to maxpos.

        The output's max_scale, or the weight of the accumulator's sign bit where that is smaller.
        """
        return min(self.out.max_scale, self.accumulator_bits - 1 - self.accumulator_fraction_bits)

    @property
    def window_fraction_bits(self) -> int:
        """Bits right of the point that the rounder looks at; the rest of the accumulator is sticky.

        The output's max_scale + 1 (the guard bit of minpos for es = 0), and what it has below minpos to underflow;
        at most accumulator_fraction_bits.
        """
        below = self.out.max_scale + 1 + (1 << self.out.es if self.out.underflow else self.out.flush or 0)
        return min(below, self.accumulator_fraction_bits)

    @property
    def window_bits(self) -> int:
        """Bits of the accumulator that the rounder looks at: window_top + window_fraction_bits."""
        return self.window_top + self.window_fraction_bits

    @property
    def tag(self) -> str:
        """The spec as a part of an identifier or a file name, such as `8_2_to_16_2_quire31`."""
        inputs = self.a.tag if self.a == self.b else f"{self.a.tag}_{self.b.tag}"
        output = "" if self.out == self.a == self.b else f"_to_{self.out.tag}"
        return f"{inputs}{output}_{self.accumulator.tag}"
