"""The two shifters of posit arithmetic: right with sticky, and left by the length of a leading run."""

from __future__ import annotations

from amaranth.hdl import *

__all__ = ["count_bits", "normalize", "normalize_sticky", "shift_right_sticky"]


def count_bits(width: int) -> int:
    """Bits that count a leading run in `width` bits: bit_length(width)."""
    return width.bit_length()


def shift_right_sticky(m: Module, value: Value, amount: Value, *, name: str) -> tuple[Value, Value]:
    """Shift a signed value right and say whether a one was shifted out: (shifted, sticky).

    The result is the floor of value / 2^amount in the width of the value; sticky is 1 where that is not exact.
    Amounts larger than the width act as such: the sign remains, and the rest is sticky. One multiplexer stage
    a bit of the amount; amounts of 2^bit_length(width) and more are taken as 2^bit_length(width) − 1, which
    shifts everything out already.

    Parameters
    ----------
    m : Module
        Receives the logic.
    value, amount : Value
        The number, read as two's complement, and the unsigned shift in bits.
    name : str
        What the signals' names begin with.
    """
    width = len(value)
    levels = min(len(amount), count_bits(width))
    far = amount[levels:].any()
    sticky: Value = Const(0, 1)
    shifted = value.as_signed()
    for level in reversed(range(levels)):
        step = min(1 << level, width)
        taken = Signal(name=f"{name}_by_{1 << level}")
        wider = Signal(signed(width), name=f"{name}_{1 << level}")
        lost = Signal(name=f"{name}_lost_{1 << level}")
        m.d.comb += [
            taken.eq(amount[level] | far),
            wider.eq(Mux(taken, shifted >> step, shifted)),
            lost.eq(sticky | (taken & shifted[:step].any())),
        ]
        shifted, sticky = wider, lost
    return shifted, sticky


def normalize(m: Module, value: Value, sign: Value, *, name: str) -> tuple[Value, Value]:
    """Shift out the leading run of bits that equal the sign: (shifted, run length).

    Zeros come in from the right, so that the top bit of the result differs from the sign, except where all
    bits are 0 as the sign: there the length is all ones, at least the width. It has bit_length(width) bits. Count
    and shift share their stages: whether the top 2^i bits are all sign is bit i of the length and moves the
    value at once.

    Parameters
    ----------
    m : Module
        Receives the logic.
    value : Value
        The bits right of the sign bit.
    sign : Value
        The bit whose run is counted.
    name : str
        What the signals' names begin with.
    """
    width = len(value)
    length: list[Value] = []
    shifted: Value = value
    for level in reversed(range(count_bits(width))):
        step = 1 << level
        run = Signal(name=f"{name}_run_{step}")
        moved = Signal(width, name=f"{name}_{step}")
        m.d.comb += [
            run.eq(shifted[width - step :] == sign.replicate(step)),
            moved.eq(Mux(run, Cat(Const(0, step), shifted[: width - step]), shifted)),
        ]
        length.insert(0, run)
        shifted = moved
    return shifted, Cat(*length)


def normalize_sticky(
    m: Module, value: Value, sign: Value, keep: int, *, name: str, longest: int | None = None, least: int = 1
) -> tuple[Value, Value, Value]:
    """As `normalize`, but of the result only the top `keep` bits, and whether a one is below them: three values.

    A stage computes only what the later ones can still bring to the top.

    Parameters
    ----------
    m : Module
        Receives the logic.
    value : Value
        The bits right of the sign bit.
    sign : Value
        The bit whose run is counted.
    keep : int
        How many bits are needed, at least 1; a narrower value stays as narrow as it is.
    name : str
        What the signals' names begin with.
    longest : int, optional
        The longest run that there can be, if not that of all bits; a longer one is cut short.
    least : int
        A power of two: the run is shifted out up to a rest below it, and counted in multiples of it.
    """
    length: list[Value] = []
    shifted: Value = value
    sticky: Value = Const(0, 1)
    levels = range(least.bit_length() - 1, count_bits(len(value) if longest is None else longest))
    for level in reversed(levels):
        step, width = 1 << level, len(shifted)
        dropped = max(0, width - (keep + step - 1))
        run = Signal(name=f"{name}_run_{step}")
        moved = Signal(width - dropped, name=f"{name}_{step}")
        lost = Signal(name=f"{name}_lost_{step}")
        up = Cat(Const(0, step), shifted[: width - step])
        m.d.comb += [
            run.eq(shifted[width - step :] == sign.replicate(step)),
            moved.eq(Mux(run, up[dropped:], shifted[dropped:])),
            lost.eq(sticky | Mux(run, up[:dropped].any(), shifted[:dropped].any())),
        ]
        length.insert(0, run)
        shifted, sticky = moved, lost
    return shifted, Cat(*length), sticky
