"""`Pipeline`: registers at cuts of a data path; `balanced`: which cuts; `deliver`: a path's end between streams."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import accumulate
from typing import Any

from amaranth.hdl import *
from amaranth.lib import data

__all__ = ["Pipeline", "add_delay", "balanced", "deliver"]


class Pipeline:
    """Cuts a data path at the first `stages` of its named cuts, and nowhere else.

    What is computed does not depend on the number of stages. The registers load in each cycle, or in those of
    `enable`.

    Parameters
    ----------
    m : Module
        Receives the registers.
    cuts : tuple of str
        The cuts in order of preference; the first `stages` of them get a register.
    stages : int
        How many cuts to make.
    valid : Value, optional
        Whether there is an item at the input of the path; `self.valid` is the same at the last cut made, cleared by
        reset.
    enable : Value, optional
        The cycles in which the path moves, as a whole.

    Attributes
    ----------
    beside : dict of str to Value or View
        What passes each cut beside its own values, by name: put in here, and read behind the cuts.
    """

    def __init__(
        self,
        m: Module,
        cuts: tuple[str, ...],
        stages: int,
        *,
        valid: Value | None = None,
        enable: Value | None = None,
    ):
        self.valid: Any = valid
        self.beside: dict[str, Any] = {}
        self._enable = enable
        self._m = m
        self._active = frozenset(cuts[:stages])
        self._cuts = frozenset(cuts)

    def cut(self, cut: str, **values: Any) -> tuple[Any, ...]:
        """The values behind the cut: registers named after them where the cut is made, else themselves."""
        assert cut in self._cuts
        assert not values.keys() & self.beside.keys()
        if cut not in self._active:
            return tuple(values.values())
        own = len(values)
        values |= self.beside
        registers = []
        for name, value in values.items():
            shape = value.shape() if isinstance(value, data.View) else Value.cast(value).shape()
            registers.append(Signal(shape, name=f"{name}_{cut}", reset_less=True))
        loads = [register.eq(value) for register, value in zip(registers, values.values(), strict=True)]
        if self.valid is not None:
            full = Signal(name=f"{cut}_valid")
            loads.append(full.eq(self.valid))
            self.valid = full
        if self._enable is None:
            self._m.d.sync += loads
        else:
            with self._m.If(self._enable):
                self._m.d.sync += loads
        self.beside.update(zip(self.beside, registers[own:], strict=True))
        return tuple(registers[:own])

    def made(self, cut: str) -> bool:
        """Whether there are registers at the cut."""
        return cut in self._active

    def among(self, cuts: Iterable[str]) -> tuple[str, ...]:
        """Those of the cuts that are made."""
        return tuple(filter(self.made, cuts))


def add_delay(width: int) -> int:
    """The delay of an addition of so many bits and of a look-up table before it, about that of so many tables."""
    return 3 + width // 12


def balanced(parts: Mapping[str, int], stages: int) -> tuple[str, ...]:
    """All cuts of a path, of which the first `stages` divide it most evenly.

    The longest part between these is as short as it can be, and of all such choices the sum of the squares of the
    parts is the least.

    Parameters
    ----------
    parts : mapping of str to int
        The cuts in the order of the data, each with the delay of what lies between the cut before it and itself, as
        many as the look-up tables in line that would take so long. The path ends at the last one.
    stages : int
        0..len(parts).
    """
    ends = (0, *accumulate(parts.values()))

    @cache
    def longest(start: int, count: int) -> int:
        if not count:
            return ends[-1] - ends[start]
        later = range(start + 1, len(ends) + 1 - count)
        return min(max(ends[cut] - ends[start], longest(cut, count - 1)) for cut in later)

    @cache
    def squares(start: int, count: int) -> tuple[int, tuple[int, ...]]:
        """The least sum of squares, and the cuts; infinite where a part is too long."""
        choices = []
        for cut in range(start + 1, len(ends) + 1 - count) if count else (len(ends) - 1,):
            part = ends[cut] - ends[start]
            if part <= limit:
                rest, cuts = squares(cut, count - 1) if count else (0, ())
                choices.append((part * part + rest, (cut, *cuts) if count else ()))
        return min(choices, default=(sys.maxsize, ()))

    limit = longest(0, stages)
    _, cuts = squares(0, stages)
    names = tuple(parts)
    chosen = tuple(names[cut - 1] for cut in cuts)
    return chosen + tuple(name for name in names if name not in chosen)


def deliver(m: Module, i: Any, o: Any, *, enable: Signal, result: Any, valid: Value) -> None:
    """End a data path between two streams: its results go to `o`, and `enable` says when it moves.

    The path stands still while a result at its end cannot leave. One result more is kept beside it, so that
    `i.ready` depends on registers alone, and items go in as long as less than two results wait. Where the consumer
    is ready nothing is delayed.

    Parameters
    ----------
    m : Module
        Receives the logic.
    i, o : stream interfaces
        The input, whose payload and `valid` are for the caller to read, and the output.
    enable : Signal
        Driven here: the cycles in which every register of the path loads.
    result : Value or View
        What is at the end of the path, of the width of the output's payload.
    valid : Value
        Whether there is a result; reset must clear it.
    """
    waits = Signal(name="waits")  # a result is kept
    kept = Signal.like(Value.cast(result), name="kept", reset_less=True)
    m.d.comb += [
        enable.eq(~(waits & valid)),
        i.ready.eq(enable),
        Value.cast(o.payload).eq(Mux(waits, kept, result)),
        o.valid.eq(waits | valid),
    ]
    m.d.sync += waits.eq(o.valid & ~o.ready)
    with m.If(~waits):
        m.d.sync += kept.eq(result)
