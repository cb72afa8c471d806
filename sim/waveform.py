"""The waveform of one mismatch: its inputs alone, replayed in Amaranth's simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from positcore.files import write_aside
from positcore.hw.emit import FlatUnit
from positcore.hw.gemm_job import plan
from positcore.hw.gemm_registers import gemm_registers
from positcore.hw.units import Design
from positcore.sim.report import Mismatch

__all__ = ["write_waveform"]

_PERIOD = 1e-8  # s
_PATIENCE = 1000  # cycles, for results that do not come


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

    async def product(context: Any) -> None:
        await _multiply(context, signals, design, mismatch)

    simulator = Simulator(flat)
    if design.latency:
        simulator.add_clock(_PERIOD)
    simulator.add_testbench({"vector": vector, "bus": product}.get(design.unit.kind, items))
    path = folder / f"{design.name}_mismatch.vcd"

    def write(aside: Path) -> None:
        with simulator.write_vcd(str(aside), traces=list(signals.values())):
            simulator.run()

    write_aside(path, write)
    return path


async def _multiply(context: Any, signals: dict[str, Any], design: Design, mismatch: Mismatch) -> None:
    """A row of A times a column of B on a `gemm`, through its registers and streams."""
    spec = design.spec
    assert design.rows
    assert design.columns
    assert design.depth
    a, b = (np.array(mismatch.inputs[name]) for name in ("a", "b"))
    job = plan(
        spec, a[None, :].astype(spec.a.dtype), b[:, None].astype(spec.b.dtype),
        rows=design.rows, columns=design.columns, depth=design.depth,
    )  # fmt: skip
    registers = {
        register.name: register
        for register in gemm_registers(spec, rows=design.rows, columns=design.columns, depth=design.depth)
    }
    start = registers["control"].mask("start")
    context.set(signals["s_axil_wstrb"], 15)
    context.set(signals["s_axil_bready"], 1)
    for name, word in (*job.settings.items(), ("control", start)):
        context.set(signals["s_axil_awaddr"], registers[name].address)
        context.set(signals["s_axil_wdata"], word)
        for valid in (1, 0):  # the bank waits for neither
            context.set(signals["s_axil_awvalid"], valid)
            context.set(signals["s_axil_wvalid"], valid)
            await context.tick()
        await context.tick()

    beats = {"a": _beats(job.bytes_a, len(job.a)), "b": _beats(job.bytes_b, len(job.b))}
    left = job.size * 8 // len(signals["m_axis_c_tdata"])
    context.set(signals["m_axis_c_tready"], 1)
    for _ in range(_PATIENCE + 4 * len(job.a)):
        for name, waiting in beats.items():
            context.set(signals[f"s_axis_{name}_tvalid"], bool(waiting))
            if waiting:
                context.set(signals[f"s_axis_{name}_tdata"], waiting[0])
        for name, waiting in beats.items():
            if waiting and context.get(signals[f"s_axis_{name}_tready"]):
                waiting.pop(0)
        left -= context.get(signals["m_axis_c_tvalid"])
        await context.tick()
        if not left:
            return


def _beats(content: bytes, count: int) -> list[int]:
    """Bytes as so many beats of a stream."""
    size = len(content) // count
    return [int.from_bytes(content[at : at + size], "little") for at in range(0, len(content), size)]


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
