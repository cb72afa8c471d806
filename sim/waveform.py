"""The waveform of one mismatch: its inputs alone, replayed in Amaranth's simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from positcore.files import write_aside
from positcore.hw.emit import FlatUnit
from positcore.hw.units import Design
from positcore.sim.report import Mismatch

__all__ = ["write_waveform"]

_PERIOD = 1e-8  # s


def write_waveform(design: Design, mismatch: Mismatch, folder: Path) -> Path:
    """Write `<design>_mismatch.vcd` into a folder: the unit's signals while it computes that input; gives its path."""
    from amaranth.sim import Simulator

    flat = FlatUnit(design.component())
    signals = flat.signals

    async def vector(context: Any) -> None:
        for name, values in mismatch.inputs.items():
            context.set(signals[name], values[0])
        for _ in range(design.latency):
            await context.tick()
        await context.delay(_PERIOD)

    async def items(context: Any) -> None:
        context.set(signals["o_ready"], 1)
        context.set(signals["i_valid"], 1)
        columns = _packed(design, mismatch)
        for index in range(len(columns["a"])):
            for name, values in columns.items():
                context.set(signals[f"i_{name}"], values[index])
            if "i_last" in signals:
                context.set(signals["i_last"], index == len(columns["a"]) - 1)
            await context.tick()
        context.set(signals["i_valid"], 0)
        for _ in range(design.latency + 1):
            await context.tick()

    simulator = Simulator(flat)
    if design.latency:
        simulator.add_clock(_PERIOD)
    simulator.add_testbench(items if design.unit.streaming else vector)
    path = folder / f"{design.name}_mismatch.vcd"

    def write(aside: Path) -> None:
        with simulator.write_vcd(str(aside), traces=list(signals.values())):
            simulator.run()

    write_aside(path, write)
    return path


def _packed(design: Design, mismatch: Mismatch) -> dict[str, list[int]]:
    """The items of a stream: the codes of each chunk of terms as one number, lane 0 in its low bits."""
    widths, terms = {"a": design.spec.a.n, "b": design.spec.b.n}, design.terms
    return {
        name: [
            sum(code << (widths.get(name, 0) * lane) for lane, code in enumerate(values[at : at + terms]))
            for at in range(0, len(values), terms)
        ]
        for name, values in mismatch.inputs.items()
    }
