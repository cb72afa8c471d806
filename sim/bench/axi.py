"""The cocotb side of a bench of the gemm: it runs inside the simulator, with the bus models of cocotbext-axi."""

from __future__ import annotations

import json
import random
from itertools import repeat
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, SimTimeoutError, Timer, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp, AxiStreamBus, AxiStreamSink, AxiStreamSource

from positcore.sim.bench.coverage import Coverage

__all__ = ["products"]

_PERIOD = 2000  # picoseconds
_PATIENCE = 20  # microseconds for a job, 500 cycles each


class GemmFaultError(Exception):
    """What the gemm did wrong."""


class StreamMonitor:
    """Watches one AXI4-Stream: that a beat waits unchanged until it is taken, and what happened on it."""

    def __init__(self, dut: Any, name: str, prefix: str, coverage: Coverage):
        self.group, self.coverage = f"stream {name}", coverage
        self.valid, self.ready = getattr(dut, f"{prefix}_tvalid"), getattr(dut, f"{prefix}_tready")
        self.data, self.last = getattr(dut, f"{prefix}_tdata"), getattr(dut, f"{prefix}_tlast", None)
        self.dut = dut
        self.reset()

    def reset(self) -> None:
        """Forget what came before."""
        self.beats = 0
        self._held: tuple[int, int] | None = None
        self._taken = False

    def see(self) -> None:
        """Check and count one cycle, at its clock edge."""
        valid, ready = bool(int(self.valid.value)), bool(int(self.ready.value))
        self.coverage.hit(self.group, (("idle", "awaited"), ("waiting", "taken"))[valid][ready])
        beat = (int(self.data.value), int(self.last.value) if self.last is not None else 0) if valid else None
        if self._held is not None and beat != self._held:
            raise GemmFaultError(f"{self.group}: a beat of {self._held} became {beat} before it was taken")
        self._held = None if ready else beat
        taken = valid and ready
        self.beats += taken
        if taken and self._taken:
            self.coverage.hit(self.group, "beat after beat")
        self._taken = taken


class Bench:
    """The ports of the gemm, each with a bus model, its streams with a monitor."""

    def __init__(self, dut: Any, plan: dict[str, Any]):
        self.dut, self.plan = dut, plan
        self.rng = random.Random(plan["seed"])
        self.coverage = Coverage(plan["groups"])
        ports = plan["ports"]
        self.low: bool = ports["low"]
        self.clock, self.reset_port = getattr(dut, ports["clock"]), getattr(dut, ports["reset"])
        common = self.clock, self.reset_port, not self.low
        self.bus = AxiLiteMaster(AxiLiteBus.from_prefix(dut, ports["registers"]), *common)
        self.a = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis_a"), *common)
        self.b = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis_b"), *common)
        self.c = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis_c"), *common)
        channels = (
            self.a, self.b, self.c, self.bus.write_if.aw_channel, self.bus.write_if.w_channel,
            self.bus.write_if.b_channel, self.bus.read_if.ar_channel, self.bus.read_if.r_channel,
        )  # fmt: skip
        self._channels = dict(zip(plan["channels"], channels, strict=True))
        self.monitors = {
            name: StreamMonitor(dut, name, prefix, self.coverage) for name, prefix in plan["streams"].items()
        }
        self._handshakes = [
            getattr(dut, f"{prefix}_{signal}")
            for prefix, signals in (
                (ports["registers"], ("awready", "wready", "bvalid", "arready", "rvalid")),
                ("s_axis_a", ("tready",)), ("s_axis_b", ("tready",)), ("m_axis_c", ("tvalid",)),
            )
            for signal in signals
        ]  # fmt: skip
        self.cycles = self.resets = 0
        self.fault: GemmFaultError | None = None
        self._settled = 0

    async def watch(self) -> None:
        """Let the monitors see each cycle; the first fault is kept."""
        while self.fault is None:
            await RisingEdge(self.clock)
            self.cycles += 1
            if self._settled or bool(int(self.reset_port.value)) != self.low:
                self._settled = max(0, self._settled - 1)
                for monitor in self.monitors.values():
                    monitor.reset()
                continue
            try:
                for monitor in self.monitors.values():
                    monitor.see()
            except GemmFaultError as error:
                self.fault = error

    async def reset(self) -> None:
        """Hold reset for a few cycles.

        Where it is active low, as AXI has it, it begins at any moment, and all that is said to be valid or ready must
        go with it; masters may go on in the next cycle.
        """
        if self.low:
            await Timer(self.rng.randrange(1, _PERIOD), "ps")
        self.reset_port.value = int(not self.low)
        if self.low:
            await Timer(1, "ps")
            for handshake in self._handshakes:
                if int(handshake.value):
                    raise GemmFaultError(f"{handshake._name} is 1 during a reset")
        await ClockCycles(self.clock, 3)
        self.reset_port.value = int(self.low)
        await ClockCycles(self.clock, self.rng.randint(1, 3) if self.low else 2)

    def pace(self) -> None:
        """Let each channel pause in a share of the cycles of its own from now on."""
        for name, channel in self._channels.items():
            share = self.rng.choice(["never", *self.plan["shares"]])
            self.coverage.hit("pauses", f"{name} {share}")
            part = self.plan["shares"][share]
            pauses = iter(lambda part=part: self.rng.random() < part, None) if part else repeat(False)
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

    async def send(self, job: dict[str, Any]) -> None:
        """Hand the operands of a job to the sources."""
        await self.a.send(bytes.fromhex(job["a"]))
        await self.b.send(bytes.fromhex(job["b"]))

    async def break_off(self, how: str) -> None:
        """Reset in mid-stream: no beat that was sent before may count afterwards."""
        streams = (self.a, self.b, self.c)
        for stream in streams:
            stream.assert_reset(True)
        self._settled = 1 << 30  # a source that is reset withdraws its beat
        if how.startswith("by reset"):
            await self.reset()
        else:
            await self.write(self.plan["control"], self.plan["reset"])
        for stream in streams:
            stream.clear()
            stream.assert_reset(False)
        self._settled = 2
        self.resets += 1
        self.coverage.hit("reset", how)
        if await self.read(self.plan["status"]):
            raise GemmFaultError("the status is not clear after a reset")


@cocotb.test()
async def products(dut: Any) -> None:
    """Do every job of the plan, break some off by a reset of either kind, and tell what comes out."""
    plan = json.loads(Path("plan.json").read_text())
    bench = Bench(dut, plan)
    bench.clock.value, bench.reset_port.value = 0, int(not bench.low)
    await Timer(1, "ps")
    Clock(bench.clock, _PERIOD, "ps").start()
    results: dict[int, str] = {}
    fault = ""
    try:
        await _run(bench, results)
    except GemmFaultError as error:
        fault = str(error)
    except ValueError as error:  # of cocotb, for a bit that is neither 0 nor 1
        fault = f"an output is undefined: {error}"
    outcome = {
        "results": results, "resets": bench.resets, "cycles": bench.cycles, "fault": fault,
        "coverage": bench.coverage.counts,
    }  # fmt: skip
    Path("outcome.json").write_text(json.dumps(outcome))


async def _run(bench: Bench, results: dict[int, str]) -> None:
    plan = bench.plan
    await bench.reset()
    cocotb.start_soon(bench.watch())
    for address, word in plan["constants"]:
        if (found := await bench.read(address)) != word:
            raise GemmFaultError(f"register 0x{address:02x} is 0x{found:08x}, not 0x{word:08x}")
        await bench.refused(address, write=True)
    for write in (False, True):
        await bench.refused(plan["nowhere"], write=write)
    sent = False  # the operands of the job that comes
    for number, job in enumerate(plan["jobs"]):
        bench.pace()
        following = plan["jobs"][number + 1] if number + 1 < len(plan["jobs"]) else None
        ahead = following is not None and not job["reset"] and not following["reset"] and bench.rng.random() < 0.7
        try:
            frame = await with_timeout(_do(bench, job, following if ahead else None, sent=sent), _PATIENCE, "us")
        except SimTimeoutError as error:
            raise bench.fault or GemmFaultError(f"job {number}: stuck") from error
        if bench.fault:
            raise bench.fault
        sent = ahead
        if frame is None:
            continue
        results[number] = bytes(frame.tdata).hex()
        for group, name in job["bins"].items():
            bench.coverage.hit(group, name)
        if not await bench.read(plan["status"]) & plan["done"]:
            raise GemmFaultError(f"job {number}: results came, but it is not done")
        if (tiles := await bench.read(plan["tiles"])) != job["tiles"]:
            raise GemmFaultError(f"job {number}: {tiles} tiles counted, not {job['tiles']}")
    await ClockCycles(bench.clock, 20)
    if not bench.c.empty():
        raise GemmFaultError("a result more than asked for")


async def _do(bench: Bench, job: dict[str, Any], following: dict[str, Any] | None, *, sent: bool) -> Any:
    """One job, its operands `sent` or not; gives its frame of results, or None if it was broken off."""
    plan = bench.plan
    for address, word in job["settings"]:
        await bench.write(address, word)
    await bench.write(plan["control"], plan["start"])
    if not sent:
        await bench.refused(job["settings"][0][0], write=True)  # it waits for operands, and settings are locked
        if job["reset"] and job["reset"].endswith("before operands"):
            await bench.break_off(job["reset"])
            return None
        for monitor in bench.monitors.values():
            monitor.beats = 0
        await bench.send(job)
    bench.coverage.hit("operands", "behind those of the job before" if sent else "after the start")
    if following is not None:
        await bench.send(following)
    if job["reset"]:
        stream = "c" if job["reset"].endswith("results") else "a"
        while bench.c.empty():
            await RisingEdge(bench.clock)
            if bench.monitors[stream].beats:
                await bench.break_off(job["reset"])
                return None
    return await bench.c.recv()
