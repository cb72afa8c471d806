"""`Pipeline`: registers at chosen cuts of a data path, free running or with a stream's handshake."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import *
from amaranth.lib import data

__all__ = ["Pipeline"]


class Pipeline:
    """Cuts a data path at the first `stages` of its named cuts, and nowhere else.

    What is computed does not depend on the number of stages. Without a handshake every register loads in each
    cycle. With one, a stage loads where it is empty or its successor takes what it holds, so that the pipeline
    moves one item a cycle and closes its bubbles while its end is stalled.

    Parameters
    ----------
    m : Module
        Receives the registers.
    cuts : tuple of str
        The cuts in order of preference; the first `stages` of them get a register.
    stages : int
        How many cuts to make.
    valid, ready : Signal, optional
        The handshake at the input; after the last cut, `self.valid` and `self.ready` are that at the end of
        the pipeline, and `self.ready` is for the caller to drive.
    """

    def __init__(
        self,
        m: Module,
        cuts: tuple[str, ...],
        stages: int,
        *,
        valid: Value | None = None,
        ready: Signal | None = None,
    ):
        self.valid: Any = valid
        self.ready: Any = ready
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
        if self.ready is None:
            self._m.d.sync += loads
            return tuple(registers)
        full = Signal(name=f"{cut}_valid")
        ready = Signal(name=f"{cut}_ready")
        self._m.d.comb += self.ready.eq(~full | ready)
        with self._m.If(self.ready):
            self._m.d.sync += [full.eq(self.valid), *loads]
        self.valid, self.ready = full, ready
        return tuple(registers)
