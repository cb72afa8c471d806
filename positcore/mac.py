"""`MacSpec`: the one description of a multiply-accumulate datapath, read by the golden model, hw and nn."""

from __future__ import annotations

from dataclasses import dataclass

from positcore.format import PositFormat

__all__ = ["Accumulator", "MacSpec", "Quire"]


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
        if isinstance(self.carry_bits, bool) or not isinstance(self.carry_bits, int):
            raise TypeError(f"Quire: carry_bits must be an integer in 1..63, not {self.carry_bits!r}")
        if not 1 <= self.carry_bits <= 63:
            raise ValueError(f"Quire: carry_bits must be an integer in 1..63, not {self.carry_bits}")

    def __str__(self) -> str:
        return "quire" if self.carry_bits == 31 else f"quire{self.carry_bits}"

    @property
    def capacity(self) -> int:
        """The longest dot product that cannot overflow, in products: 2^carry_bits − 1."""
        return (1 << self.carry_bits) - 1


Accumulator = Quire


@dataclass(frozen=True)
class MacSpec:
    """What a multiply-accumulate unit computes, and nothing that cannot change a result bit.

    Parameters
    ----------
    inputs : PositFormat or pair of PositFormat
        The formats of the two operands a and b; one format stands for both.
    output : PositFormat, optional
        The format of the result; that of `a` unless told.
    accumulator : Quire, optional
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
            raise TypeError(f"MacSpec: accumulator must be a Quire, not {self.accumulator!r}")
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
    def accumulator_fraction_bits(self) -> int:
        """Bits of the accumulator right of the point: max_scale of a plus max_scale of b."""
        return self.a.max_scale + self.b.max_scale

    @property
    def accumulator_bits(self) -> int:
        """Width of the accumulator: 1 + carry_bits + 2·(max_scale of a + max_scale of b)."""
        return 1 + self.accumulator.carry_bits + 2 * self.accumulator_fraction_bits

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

        The output's max_scale + 1 (the guard bit of minpos for es = 0), with underflow another 2^es; at most
        accumulator_fraction_bits.
        """
        below = self.out.max_scale + 1 + (1 << self.out.es if self.out.underflow else 0)
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
        return f"{inputs}{output}_quire{self.accumulator.carry_bits}"
