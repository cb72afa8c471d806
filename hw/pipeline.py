"""`Pipeline`: registers at chosen cuts of a data path; `connect_streams`: such a path between two streams."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import *
from amaranth.lib import data

__all__ = ["Pipeline", "connect_streams"]


class Pipeline:
    """Cuts a data path at the first `stages` of its named cuts, and nowhere else.

    What is computed does not depend on the number of stages. The registers load in each cycle, or in those of
    `enable`. With a handshake, a stage loads where it is empty or its successor takes what it holds.

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
    ready : Signal, optional
        The handshake at the input, with `valid`; after the last cut, `self.ready` is for the caller to drive.
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
        ready: Signal | None = None,
        enable: Value | None = None,
    ):
        self.valid: Any = valid
        self.ready: Any = ready
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
        if self.ready is not None:
            ready = Signal(name=f"{cut}_ready")
            self._m.d.comb += self.ready.eq(~full | ready)
            with self._m.If(self.ready):
                self._m.d.sync += loads
            self.ready = ready
        elif self._enable is None:
            self._m.d.sync += loads
        else:
            with self._m.If(self._enable):
                self._m.d.sync += loads
        return tuple(registers)

    def made(self, cut: str) -> bool:
        """Whether there are registers at the cut."""
        return cut in self._active


def connect_streams(m: Module, path: Any, i: Any, o: Any) -> None:
    """Put a data path between two streams, as the submodule `path`; its input payload is for the caller to drive.

    The path stands still while a result at its end cannot leave. One result more is kept beside it, so that
    `i.ready` depends on registers alone, and items go in as long as less than two results wait. Where the consumer
    is ready nothing is delayed.

    Parameters
    ----------
    m : Module
        Receives the logic.
    path : wiring.Component
        With members `o`, the payload of its results, `i_valid` and `o_valid`, and `enable`: the cycles in which it
        moves. Reset must clear what becomes `o_valid`.
    i, o : stream interfaces
        The input and the output, which has the payload of the path.
    """
    waits = Signal(name="waits")  # a result is kept
    kept = Signal.like(Value.cast(path.o), name="kept", reset_less=True)
    m.submodules.path = path
    m.d.comb += [
        path.enable.eq(~(waits & path.o_valid)),
        path.i_valid.eq(i.valid),
        i.ready.eq(path.enable),
        Value.cast(o.payload).eq(Mux(waits, kept, path.o)),
        o.valid.eq(waits | path.o_valid),
    ]
    m.d.sync += waits.eq(o.valid & ~o.ready)
    with m.If(~waits):
        m.d.sync += kept.eq(path.o)
