"""The shifters of posit arithmetic, right with sticky and left by the length of a leading run; and its increment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth.hdl import *

__all__ = [
    "count_bits",
    "increment",
    "normalize",
    "normalize_at",
    "normalize_parts",
    "normalize_sticky",
    "shift_right_sticky",
]


AT_ONCE = 3  # bits of the length of a run that are all counted in the value as it comes
SEEN_ALONE = 8  # bits whose run, found at the top, may be cut from the shift that it decides


def count_bits(width: int) -> int:
    """Bits that count a leading run in `width` bits: bit_length(width)."""
    return width.bit_length()


def normalize_parts(width: int, name: str) -> dict[str, int]:
    """The cuts in `normalize_at` of so many bits, with the delays before each, as for `balanced`.

    The last shift, which has none, takes one look-up table to see and one to shift.
    """
    parts: dict[str, int] = {}
    for level in reversed(range(1, count_bits(width))):
        seen = (level + 2) // 2
        if not parts and 1 << level >= SEEN_ALONE:
            parts[f"{name}_run"] = seen
            seen = 1
        parts[f"{name}_{1 << level}"] = 1 + seen
    return parts


def shift_right_sticky(
    m: Module,
    value: Value,
    amount: Value,
    *,
    name: str,
    least_first: bool = False,
    cut: Callable[..., tuple[Any, ...]] | None = None,
) -> tuple[Value, Value]:
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
    least_first : bool
        Whether the least bit of the amount shifts first: what is lost is then known later than the result.
    cut : callable, optional
        `cut(place, **values)` gives the values behind a cut: called after each shift but the last, where `place` is the
        number of bits that it shifts by.
    """
    width = len(value)
    levels = min(len(amount), count_bits(width))
    far: Value = amount[levels:].any()
    sticky: Value = Const(0, 1)
    shifted: Value = value.as_signed()
    order = range(levels) if least_first else reversed(range(levels))
    for position, level in enumerate(order):
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
        if cut is not None and position < levels - 1:
            names = (f"{name}_value", f"{name}_amount", f"{name}_far", f"{name}_sticky")
            values = zip(names, (shifted, amount[:levels], far, sticky), strict=True)
            shifted, amount, far, sticky = cut(str(step), **dict(values))
    return shifted, sticky


def normalize(m: Module, value: Value, sign: Value, *, name: str) -> tuple[Value, Value]:
    """Shift out the leading run of bits that equal the sign: (shifted, run length).

    Zeros come in from the right, so that the top bit of the result differs from the sign, except where all
    bits are 0 as the sign: there the length is all ones, at least the width. It has bit_length(width) bits:
    whether the top 2^i bits are all sign is bit i of the length and moves the value at once. All but the least
    (in short values all) are counted in the value as it comes, where the upper ones tell to look, so that they do
    not wait for the shifts.

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
    shifted, length, _ = normalize_at(m, value, sign, name=name)
    return shifted, length


def normalize_at(
    m: Module, value: Value, sign: Value, *, name: str, cut: Callable[..., tuple[Any, ...]] | None = None
) -> tuple[Value, Value, Value]:
    """As `normalize`, in a pipeline: (shifted, run length, sign), the sign as it is at the same time.

    Parameters
    ----------
    m, value, sign, name
        As in `normalize`.
    cut : callable, optional
        `cut(place, **values)` gives the values behind a cut: called at each of `normalize_parts`, where `place` is what
        follows the name: "run" before the first shift, and each step but the last after it. Behind a step's cut what is
        left of the run is counted in what the shifts have left.
    """
    length: list[Value] = []
    known: list[Value] = []  # bits of the length that are counted in `value`, the upper first
    shifted: Value = value
    for level in reversed(range(count_bits(len(value)))):
        step = 1 << level
        run = Signal(name=f"{name}_run_{step}")
        if level or len(known) < AT_ONCE:
            m.d.comb += run.eq(_select_run(m, value, sign, known, level, 0, name=f"{name}_at"))
        else:
            m.d.comb += run.eq(shifted[-1] == sign)
        if cut is not None and not length and step >= SEEN_ALONE:
            names = (f"{name}_value", f"{name}_run", f"{name}_sign")
            shifted, run, sign = cut("run", **dict(zip(names, (shifted, run, sign), strict=True)))
            value = shifted
        moved = shifted = _move_up(m, shifted, run, step, name=f"{name}_{step}")
        length.insert(0, run)
        known.append(run)
        if cut is not None and level:
            names = (f"{name}_value", f"{name}_length", f"{name}_sign")
            shifted, counted, sign = cut(str(step), **dict(zip(names, (moved, Cat(*length), sign), strict=True)))
            if shifted is not moved:
                value, length, known = shifted, list(counted), []
    return shifted, Cat(*length), sign


def _select_run(
    m: Module, value: Value, sign: Value, known: list[Value], level: int, start: int, *, name: str
) -> Value:
    """Whether 2^level bits are all sign, below `start` places and those that the known upper bits tell."""
    if not known:
        return _all_sign(m, value, sign, start, 1 << level, name=f"{name}_{start}_{1 << level}")
    further = start + (1 << (level + len(known)))
    return Mux(
        known[0],
        _select_run(m, value, sign, known[1:], level, further, name=name),
        _select_run(m, value, sign, known[1:], level, start, name=name),
    )


def _all_sign(m: Module, value: Value, sign: Value, start: int, count: int, *, name: str) -> Value:
    """Whether `count` bits, from `start` places below the top on, all equal the sign; below the value zeros follow."""
    high = max(0, len(value) - start)
    low = len(value) - start - count
    found = Signal(name=name)
    same = value[max(0, low) : high] == sign.replicate(high - max(0, low)) if high else Const(1, 1)
    m.d.comb += found.eq(same if low >= 0 else same & ~sign)
    return found


def _move_up(m: Module, value: Value, run: Value, step: int, *, name: str) -> Value:
    """The value, moved up by `step` places if `run`."""
    moved = Signal(len(value), name=name)
    m.d.comb += moved.eq(Mux(run, Cat(Const(0, min(step, len(value))), value[: max(0, len(value) - step)]), value))
    return moved


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


def increment(m: Module, value: Value, by: Value, *, name: str) -> Value:
    """value + by, of a bit `by` that comes late, in the width of the value.

    Plain logic in the place of a carry chain: where the carry would pass is known before it comes.
    """
    group = 4
    passes: Value = Const(1, 1)
    bits: list[Value] = []
    for low in range(0, len(value), group):
        part = value[low : low + group]
        passed = Signal(name=f"{name}_passes_{low}")
        m.d.comb += passed.eq(passes)
        bits += [bit ^ (by & passed & part[:i].all()) if i else bit ^ (by & passed) for i, bit in enumerate(part)]
        passes = passed & part.all()
    return Cat(*bits)
