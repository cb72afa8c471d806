"""`finfo`: the limits of a format, under the names that `numpy.finfo` has for those of floats."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from positcore.format import PositFormat
from positcore.rational import floor_log2
from positcore.scalar import Posit

__all__ = ["finfo"]


class finfo:  # noqa: N801  # the name that numpy has
    """The limits of a posit format, as `numpy.finfo` gives them for floats; every number is exact in float64.

    Posits are most precise near 1 and less so toward both ends: `eps`, `precision` and `resolution` are those at 1,
    and at maxpos the next number is useed times nearer to zero.

    Parameters
    ----------
    of : PositFormat, Posit, PositArray or str
        The format, what is of that format, or its spelling (`8,2`).

    Attributes
    ----------
    fmt : PositFormat
    bits, es : int
        Width of a code, and exponent bits.
    dtype : numpy.dtype
        That of codes.
    eps, epsneg : float
        From 1 up and down to the next posit. `eps` is nan for n = 2, where 1 is the largest.
    nmant, machep, negep : int
        Fraction bits next to 1; the powers of two at or below eps and epsneg (0 for the former, if that is nan).
    max, maxpos, min : float
        The largest posit, and the most negative.
    tiny, minpos, smallest_normal, smallest_subnormal : float
        The least positive posit; posits have no subnormals.
    minexp, maxexp : int
        The scales of minpos and maxpos: their powers of two.
    useed : int
        2^(2^es).
    precision : int
        Decimal digits that always survive, next to 1: ⌊−log10 eps⌋, at least 0.
    resolution : float
        10^−precision.
    quire_bits : int
        Width of the standard's quire, with 31 carry bits.

    Raises
    ------
    TypeError, ValueError
        If `of` has no posit format.
    """

    def __init__(self, of: Any) -> None:
        fmt = PositFormat.parse(of) if isinstance(of, str) else getattr(of, "fmt", of)
        if not isinstance(fmt, PositFormat):
            raise TypeError(f"finfo: a PositFormat, or posits, are expected, not {of!r}; numpy.finfo describes floats")
        one = Posit(fmt, fmt.nar >> 1)
        above, below = (None if p.is_nar else p.value for p in (one.next_up(), one.next_down()))
        eps = None if above is None else above - 1
        epsneg = Fraction(1) if below is None else 1 - below
        self.fmt = fmt
        self.bits, self.es, self.dtype = fmt.n, fmt.es, fmt.dtype
        self.eps, self.epsneg = float("nan") if eps is None else float(eps), float(epsneg)
        self.nmant = fmt.fraction_bits
        self.machep, self.negep = (0 if e is None else floor_log2(e) for e in (eps, epsneg))
        self.max = self.maxpos = fmt.maxpos
        self.min = -fmt.maxpos
        self.tiny = self.minpos = self.smallest_normal = self.smallest_subnormal = fmt.minpos
        self.minexp, self.maxexp = -fmt.max_scale, fmt.max_scale
        self.useed = fmt.useed
        self.precision = 0 if eps is None else max(0, len(str(int(1 / eps))) - 1)
        self.resolution = 10.0**-self.precision
        self.quire_bits = fmt.quire_bits()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, finfo) and self.fmt == other.fmt

    def __hash__(self) -> int:
        return hash((finfo, self.fmt))

    def __repr__(self) -> str:
        return f"finfo({self.fmt}, min={self.min:g}, max={self.max:g}, minpos={self.minpos:g}, eps={self.eps:g})"

    def __str__(self) -> str:
        rows = [
            (("bits", self.bits), ("es", self.es)),
            (("eps", _power(self.eps)), ("precision", f"{self.precision} decimal digits near 1")),
            (("epsneg", _power(self.epsneg)), ("fraction bits", f"{self.nmant} near 1, 0 at the ends")),
            (("minpos", _power(self.minpos)), ("maxpos", _power(self.maxpos))),
            (("useed", self.useed), ("quire", f"{self.quire_bits} bits")),
        ]
        lines = [f"{a:<7} {x!s:<26} {b:<13} {y}" for (a, x), (b, y) in rows]
        return "\n".join([f"Limits of {self.fmt}", "-" * 72, *lines])


def _power(x: float) -> str:
    """A number as text, with its power of two if it is one."""
    fraction, exponent = np.frexp(x)
    return f"2^{exponent - 1} = {x:g}" if fraction == 0.5 else f"{x:g}"
