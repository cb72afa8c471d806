"""`RawLayout`: the form in which units hand numbers to each other between decoder and rounder.

A nonzero real number is significand · 2^scale, the significand in two's complement with two integer bits
{sign, ~sign} before its fraction: [1, 2) for positive and [−2, −1) for negative numbers. This is the value
formula of the Posit Standard itself,

    ((1 − 3·sign) + fraction) · 2^((1 − 2·sign)·(2^es·regime + exponent + sign)),

where (1 − 2·sign)·(x + sign) is x XOR sign, bit by bit: the scale is {regime, exponent} XOR sign, read from the
code as it stands. Nothing is negated, before the core or after it.

References
----------
Posit Working Group, "Standard for Posit Arithmetic (2022)", §3.3.
R. Murillo, D. Mallasén, A. A. Del Barrio, G. Botella, "Comparing Different Decodings for Posit Arithmetic",
CoNGA 2022.
"""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import data

from positcore.format import PositFormat
from positcore.hw.parameters import check_width

__all__ = ["RawLayout", "significand"]


class RawLayout(data.StructLayout):
    """The raw form of a number: what a decoder gives and, with `sticky`, what the rounder takes.

    Parameters
    ----------
    scale_bits : int
        Width of the signed scale, at least 1.
    fraction_bits : int
        Width of the fraction, at least 0.
    sticky : bool
        Whether the form is unrounded: then the exact significand lies strictly between the one given and
        the next where `sticky` is 1.

    Members
    -------
    fraction : fraction_bits
    scale : signed(scale_bits)
    sign : 1
    zero : 1
        The number is 0; sign and fraction are 0 in a decoder's output, and the scale is at most that of −minpos.
    nar : 1
        The number is NaR; the other fields mean nothing.
    sticky : 1
        Present if `sticky`.
    """

    def __init__(self, scale_bits: int, fraction_bits: int, *, sticky: bool = False):
        self.scale_bits = check_width("RawLayout", "scale_bits", scale_bits, 1)
        self.fraction_bits = check_width("RawLayout", "fraction_bits", fraction_bits, 0)
        members = {"fraction": fraction_bits, "scale": signed(scale_bits), "sign": 1, "zero": 1, "nar": 1}
        super().__init__(members | ({"sticky": 1} if sticky else {}))

    @classmethod
    def of(cls, fmt: PositFormat) -> RawLayout:
        """The exact raw form of the codes of a format."""
        return cls(fmt.scale_bits, fmt.fraction_bits)


def significand(raw: data.View) -> Value:
    """The signed significand of an exact raw form, with fraction_bits bits right of the point; 0 for zero."""
    return Cat(raw.fraction, ~(raw.sign | raw.zero), raw.sign).as_signed()
