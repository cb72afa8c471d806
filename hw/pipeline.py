"""`Pipeline`: registers at chosen cuts of a data path; `deliver`: the end of such a path between two streams."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import *
from amaranth.lib import data

__all__ = ["Pipeline", "deliver"]


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
        self._enable = enable
        self._m = m
        self._active = frozenset(cuts[:stages])
        self._cuts = frozenset(cuts)

    def cut(self, cut: str, **values: Any) -> tuple[Any, ...]:
        """The values behind the cut: registers named after them where the cut is made, else themselves."""
        assert cut in self._cuts
        if cut not in self._active:
            return tuple(values.values())
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
        return tuple(registers)

    def made(self, cut: str) -> bool:
        """Whether there are registers at the cut."""
        return cut in self._active


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
