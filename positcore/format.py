"""`PositFormat`: the constants of a posit format and the layout of its quire."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["PositFormat", "posit8", "posit16", "posit32"]


def _integer(name: str, value: object, low: int, high: int) -> int:
    """`value` as an int, checked to be an integer in `low..high`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"PositFormat: {name} must be an integer in {low}..{high}, not {value!r}")
    if not low <= value <= high:
        raise ValueError(f"PositFormat: {name} must be an integer in {low}..{high}, not {value}")
    return int(value)


@dataclass(frozen=True)
class PositFormat:
    """A posit format: `n` bits with `es` exponent bits.

    A nonzero posit is (−1)^sign · 2^scale · 1.fraction with scale = k·2^es + exponent, k the regime's run
    length less one (or minus the run length for a run of zeros). `es > n − 3` is legal: exponent bits that
    do not fit read as zero.

    Parameters
    ----------
    n : int
        Width of a code in bits, 2..32.
    es : int
        Exponent bits, 0..4; 2 as in the Posit Standard (2022).
    underflow : bool
        False: a nonzero value never rounds to zero. True: the rounding rule is carried below minpos, so
        that |x| ≤ minpos / 2^(2^es) rounds to 0 (Raposo 2021, eq. 6).
    flush : int, optional
        The other kind of underflow: what is below minpos / 2^flush in magnitude becomes 0, and only that; 0..64.

    Raises
    ------
    TypeError, ValueError
        If a parameter is not an integer, or not in its range, or both kinds of underflow are asked for.

    References
    ----------
    Posit Working Group, "Standard for Posit Arithmetic (2022)", §3 and §4.
    """

    n: int
    es: int = 2
    underflow: bool = False
    flush: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", _integer("n", self.n, 2, 32))
        object.__setattr__(self, "es", _integer("es", self.es, 0, 4))
        if not isinstance(self.underflow, bool | np.bool_):
            raise TypeError(f"PositFormat: underflow must be True or False, not {self.underflow!r}")
        object.__setattr__(self, "underflow", bool(self.underflow))
        if self.flush is not None:
            object.__setattr__(self, "flush", _integer("flush", self.flush, 0, 64))
            if self.underflow:
                raise ValueError("PositFormat: underflow=True and flush are two rules for one thing; give one of them")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The format written as `n,es` (`8,2`), then `u` for underflow (`8,2u`) or `fK` for flush=K (`8,2f3`)."""
        found = re.fullmatch(r"\s*(?:posit)?[<(]?\s*(\d+)\s*(?:,\s*(\d+)\s*)?[>)]?(u?|f(\d+))\s*", text)
        if not found:
            raise ValueError(
                "PositFormat: a format is written n,es such as 8,2 (or 8,2u with underflow, 8,2f3 with flush), "
                f"not {text!r}"
            )
        n, es, underflow, flush = found.groups()
        return cls(int(n), 2 if es is None else int(es), underflow == "u", None if flush is None else int(flush))

    def __str__(self) -> str:
        return f"posit<{self.n},{self.es}>{self.variant}"

    @property
    def spelling(self) -> str:
        """The format as `parse` and the command line read it: `8,2`, `8,2u` or `8,2f3`."""
        return f"{self.n},{self.es}{self.variant}"

    @property
    def variant(self) -> str:
        """What becomes of tiny values, as a suffix: none (they round to ±minpos), `u` (underflow), `fK` (flush)."""
        return "u" if self.underflow else "" if self.flush is None else f"f{self.flush}"

    @property
    def tag(self) -> str:
        """The format as a part of an identifier or a file name: `8_2` or `8_2u`."""
        return self.spelling.replace(",", "_")

    # Codes ---------------------------------------------------------------------------------------

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned NumPy dtype that holds a code."""
        return np.dtype(np.uint8 if self.n <= 8 else np.uint16 if self.n <= 16 else np.uint32)

    @property
    def mask(self) -> int:
        """The largest n-bit integer, 2^n − 1."""
        return (1 << self.n) - 1

    @property
    def nar(self) -> int:
        """The code of NaR, 2^(n−1)."""
        return 1 << (self.n - 1)

    @property
    def maxpos_code(self) -> int:
        """The code of the largest posit, 2^(n−1) − 1."""
        return self.nar - 1

    # Values --------------------------------------------------------------------------------------

    @property
    def useed(self) -> int:
        """2^(2^es), the factor by which one more regime bit scales a value."""
        return 1 << (1 << self.es)

    @property
    def max_scale(self) -> int:
        """The scale of maxpos, (n−2)·2^es; that of minpos is its negative."""
        return (self.n - 2) << self.es

    @property
    def minpos(self) -> float:
        """The smallest positive posit, 2^−max_scale; exact as a float64."""
        return 2.0**-self.max_scale

    @property
    def maxpos(self) -> float:
        """The largest posit, 2^max_scale; exact as a float64."""
        return 2.0**self.max_scale

    @property
    def flushed(self) -> int:
        """Which magnitudes become 0, as the kernels take it: the bits of the largest such float64, as an integer.

        Those of minpos / 2^(2^es) with `underflow`, of the float64 before minpos / 2^flush, or zero's own, 0.
        A float64 that was rounded to odd lies on the same side of the threshold as the number it stands for.
        """
        if self.underflow:
            return (1023 - self.max_scale - (1 << self.es)) << 52
        return 0 if self.flush is None else ((1023 - self.max_scale - self.flush) << 52) - 1

    @property
    def fraction_bits(self) -> int:
        """Fraction bits of the most precise codes (those next to 1): max(0, n − 3 − es)."""
        return max(0, self.n - 3 - self.es)

    @property
    def significand_bits(self) -> int:
        """Fraction bits and the hidden bit: fraction_bits + 1."""
        return self.fraction_bits + 1

    @property
    def regime_count_bits(self) -> int:
        """Bits that count a regime's run less one, which is at most n − 2: bit_length(n − 2)."""
        return (self.n - 2).bit_length()

    @property
    def scale_bits(self) -> int:
        """Bits of the signed scale of a decoded code, {regime, exponent}: 1 + regime_count_bits + es."""
        return 1 + self.regime_count_bits + self.es

    @property
    def sum_scale_bits(self) -> int:
        """Bits of the signed scale of a sum, −max_scale − 1 .. max_scale + 1: 1 + bit_length(max_scale + 1)."""
        return 1 + (self.max_scale + 1).bit_length()

    @property
    def product_scale_bits(self) -> int:
        """Bits of the signed scale of a product, −2·max_scale − 1 .. 2·max_scale: 1 + bit_length(2·max_scale)."""
        return 1 + (2 * self.max_scale).bit_length()

    @property
    def tensor_dtype(self) -> np.dtype[Any]:
        """The float dtype in which PyTorch holds this format exactly: float32 for n ≤ 16 and es ≤ 2, else float64."""
        return np.dtype(np.float32 if self.n <= 16 and self.es <= 2 else np.float64)

    # The quire -----------------------------------------------------------------------------------

    @property
    def quire_fraction_bits(self) -> int:
        """Bits of the quire right of the point: 2·max_scale, so that its LSB weighs minpos²."""
        return 2 * self.max_scale

    def quire_bits(self, carry_bits: int = 31) -> int:
        """Width of the quire: sign, carry guard and the 4·max_scale bits from minpos² up to maxpos².

        1 + carry_bits + 4·(n−2)·2^es; with 31 carry bits and es = 2 this is the standard's 16·n.
        """
        return 1 + carry_bits + 4 * self.max_scale

    # Codes and floats ------------------------------------------------------------------------------

    def encode(self, x: ArrayLike) -> NDArray[Any]:
        """Round floats to codes of this format; see `positcore.codec.encode`."""
        from positcore.codec import encode

        return encode(self, x)

    def decode(self, codes: ArrayLike) -> NDArray[np.float64]:
        """The exact float64 values of codes; see `positcore.codec.decode`."""
        from positcore.codec import decode

        return decode(self, codes)


posit8 = PositFormat(8)
posit16 = PositFormat(16)
posit32 = PositFormat(32)
