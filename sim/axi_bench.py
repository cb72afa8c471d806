"""The cocotb side of `positcore.sim.gemm_bench`: it runs inside the simulator, with the bus models of cocotbext-axi."""

from __future__ import annotations

import json
import random
from itertools import repeat
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, SimTimeoutError, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp, AxiStreamBus, AxiStreamSink, AxiStreamSource

__all__ = ["products"]

_PATIENCE = 20  # microseconds for a job, 500 cycles each


class GemmFaultError(Exception):
    """What the gemm did wrong."""


class Bench:
    """The ports of the gemm, each with a bus model."""

    def __init__(self, dut: Any, rng: random.Random):
        self.dut = dut
        self.rng = rng
        self.bus = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        self.a = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis_a"), dut.clk, dut.rst)
        self.b = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis_b"), dut.clk, dut.rst)
        self.c = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis_c"), dut.clk, dut.rst)
        self._channels = [
            self.a, self.b, self.c, self.bus.write_if.aw_channel, self.bus.write_if.w_channel,
            self.bus.write_if.b_channel, self.bus.read_if.ar_channel, self.bus.read_if.r_channel,
        ]  # fmt: skip

    async def reset(self) -> None:
        """Hold reset for a few cycles."""
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, 3)
        self.dut.rst.value = 0
        await ClockCycles(self.dut.clk, 2)

    def pace(self) -> None:
        """Let each channel pause in a share of the cycles of its own from now on."""
        for channel in self._channels:
            share = self.rng.choice([0.0, 0.0, 0.4, 0.8])
            pauses = iter(lambda share=share: self.rng.random() < share, None) if share else repeat(False)
            channel.set_pause_generator(pauses)

    async def read(self, address: int) -> int:
        """The word of a register."""
        answer = await self.bus.read(address, 4)
        if answer.resp != AxiResp.OKAY:
            raise GemmFaultError(f"reading 0x{address:02x} was answered by {answer.resp!r}")
        return int.from_bytes(answer.data, "little")

    async def write(self, address: int, word: int) -> None:
        """Set a register."""
        answer = await self.bus.write(address, word.to_bytes(4, "little"))
        if answer.resp != AxiResp.OKAY:
            raise GemmFaultError(f"writing 0x{address:02x} was answered by {answer.resp!r}")

    async def refused(self, address: int, *, write: bool) -> None:
        """An access that must be answered by SLVERR."""
        answer = await (self.bus.write(address, bytes(4)) if write else self.bus.read(address, 4))
        if answer.resp != AxiResp.SLVERR:
            raise GemmFaultError(f"0x{address:02x} should answer SLVERR, and answered {answer.resp!r}")


@cocotb.test()
async def products(dut: Any) -> None:
    """Do every job of the plan, break some off by a reset of either kind, and tell what comes out."""
    plan = json.loads(Path("plan.json").read_text())
    dut.clk.value = 0
    Clock(dut.clk, 2, "ns").start()
    bench = Bench(dut, random.Random(plan["seed"]))
    outcome: dict[str, Any] = {"results": {}, "resets": 0, "fault": ""}
    try:
        await _run(bench, plan, outcome)
    except GemmFaultError as fault:
        outcome["fault"] = str(fault)
    except ValueError as fault:  # of cocotb, for a bit that is neither 0 nor 1
        outcome["fault"] = f"an output is undefined: {fault}"
    Path("outcome.json").write_text(json.dumps(outcome))


async def _run(bench: Bench, plan: dict[str, Any], outcome: dict[str, Any]) -> None:
    await bench.reset()
    for address, word in plan["constants"]:
        if (found := await bench.read(address)) != word:
            raise GemmFaultError(f"register 0x{address:02x} is 0x{found:08x}, not 0x{word:08x}")
        await bench.refused(address, write=True)
    for write in (False, True):
        await bench.refused(plan["nowhere"], write=write)
    for number, job in enumerate(plan["jobs"]):
        bench.pace()
        try:
            frame = await with_timeout(_do(bench, plan, job, hard=number % 2 == 0), _PATIENCE, "us")
        except SimTimeoutError as error:
            raise GemmFaultError(f"job {number}: stuck") from error
        if frame is None:
            outcome["resets"] += 1
            continue
        outcome["results"][number] = bytes(frame.tdata).hex()
        if not await bench.read(plan["status"]) & plan["done"]:
            raise GemmFaultError(f"job {number}: results came, but it is not done")
        if (tiles := await bench.read(plan["tiles"])) != job["tiles"]:
            raise GemmFaultError(f"job {number}: {tiles} tiles counted, not {job['tiles']}")
    await ClockCycles(bench.dut.clk, 20)
    if not bench.c.empty():
        raise GemmFaultError("a result more than asked for")


async def _do(bench: Bench, plan: dict[str, Any], job: dict[str, Any], *, hard: bool) -> Any:
    """One job; gives its frame of results, or None if it was to be broken off."""
    for address, word in job["settings"]:
        await bench.write(address, word)
    await bench.write(plan["control"], plan["start"])
    await bench.refused(job["settings"][0][0], write=True)  # it waits for operands, and settings are locked
    await bench.a.send(bytes.fromhex(job["a"]))
    await bench.b.send(bytes.fromhex(job["b"]))
    if not job["reset"]:
        return await bench.c.recv()
    await ClockCycles(bench.dut.clk, job["reset"])
    await _break_off(bench, plan, hard=hard)
    return None


async def _break_off(bench: Bench, plan: dict[str, Any], *, hard: bool) -> None:
    """Reset in mid-stream: no beat that was sent before may count afterwards."""
    streams = (bench.a, bench.b, bench.c)
    for stream in streams:
        stream.assert_reset(True)
    if hard:
        await bench.reset()
    else:
        await bench.write(plan["control"], plan["reset"])
    for stream in streams:
        stream.clear()
        stream.assert_reset(False)
    if await bench.read(plan["status"]):
        raise GemmFaultError("the status is not clear after a reset")
