"""The cocotb side of `positcore.sim.bench`: it runs inside the simulator and follows the plan in its folder."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import Timer

__all__ = ["streams"]

_PATIENCE = 2000  # cycles without any progress


class StreamFaultError(Exception):
    """What the unit did wrong."""


class Stream:
    """The unit's two streams, driven and watched one cycle at a time."""

    def __init__(self, dut: Any, rng: random.Random):
        self.dut = dut
        self.rng = rng
        self.cycles = 0
        self._held: int | None = None
        self._offering = False

    async def reset(self) -> None:
        """Hold reset for a few cycles."""
        dut = self.dut
        dut.rst.value = 1
        for port in (dut.i_valid, dut.o_ready, dut.i_a, dut.i_b, dut.i_last):
            port.value = 0
        await Timer(1, "ns")
        for _ in range(self.rng.randint(1, 3)):
            await self._clock()
        dut.rst.value = 0
        self._held = None
        self._offering = False

    async def cycle(self, term: tuple[int, int, int] | None, pace: tuple[float, float]) -> tuple[bool, int | None]:
        """One cycle: whether the term was accepted, and the result taken, if any."""
        dut, rng = self.dut, self.rng
        self._offering = term is not None and (self._offering or rng.random() < pace[0])
        ready = rng.random() < pace[1]
        dut.i_valid.value = int(self._offering)
        dut.o_ready.value = int(ready)
        # What lies on the payload while it is not valid must not matter.
        a, b, last = term if term and self._offering else (rng.getrandbits(2), rng.getrandbits(2), rng.getrandbits(1))
        dut.i_a.value, dut.i_b.value, dut.i_last.value = a, b, last
        await Timer(1, "ns")
        valid = bool(int(dut.o_valid.value))
        code = int(dut.o_code.value) if valid else None
        if self._held is not None and code != self._held:
            raise StreamFaultError(f"a result of {self._held} became {code} before it was taken")
        self._held = code if valid and not ready else None
        accepted = self._offering and bool(int(dut.i_ready.value))
        if accepted:
            self._offering = False
        await self._clock()
        return accepted, code if ready else None

    async def _clock(self) -> None:
        self.dut.clk.value = 1
        await Timer(1, "ns")
        self.dut.clk.value = 0
        await Timer(1, "ns")
        self.cycles += 1


@cocotb.test()
async def streams(dut: Any) -> None:
    """Send every dot product of the plan, some before a reset that drops them, and compare what comes out."""
    plan = json.loads(Path("plan.json").read_text())
    rng = random.Random(plan["seed"])
    stream = Stream(dut, rng)
    dut.clk.value = 0
    outcome: dict[str, Any] = {"results": 0, "resets": 0, "fault": ""}
    try:
        at, start = 0, 0
        lengths = plan["lengths"]
        while at < len(lengths):
            count = min(rng.randint(1, 30), len(lengths) - at)
            terms = []
            for length in lengths[at : at + count]:
                terms += [
                    (plan["a"][i], plan["b"][i], int(i == start + length - 1)) for i in range(start, start + length)
                ]
                start += length
            await stream.reset()
            await _segment(stream, terms, plan["expected"][at : at + count], at, outcome)
            at += count
        if not outcome["results"]:
            raise StreamFaultError("nothing was compared")
    except StreamFaultError as fault:
        outcome["fault"] = str(fault)
    except ValueError as fault:  # of cocotb, for a bit that is neither 0 nor 1
        outcome["fault"] = f"an output is undefined: {fault}"
    outcome["cycles"] = stream.cycles
    Path("outcome.json").write_text(json.dumps(outcome))


async def _segment(
    stream: Stream, terms: list[tuple[int, int, int]], expected: list[int], first: int, outcome: dict[str, Any]
) -> None:
    """Send terms and compare results, to the end or up to a random moment."""
    rng = stream.rng
    pace = (rng.choice([0.2, 0.6, 1.0]), rng.choice([0.2, 0.6, 1.0]))
    cut = rng.randint(1, 2 * len(terms)) if rng.random() < 0.3 else None
    sent = received = waited = cycles = 0
    while sent < len(terms) or received < len(expected):
        if cut is not None and cycles >= cut:
            outcome["resets"] += 1
            return
        accepted, code = await stream.cycle(terms[sent] if sent < len(terms) else None, pace)
        cycles += 1
        waited = 0 if accepted or code is not None else waited + 1
        if waited > _PATIENCE:
            raise StreamFaultError(
                f"stuck: {sent} of {len(terms)} terms sent, {received} of {len(expected)} results received"
            )
        sent += accepted
        if code is not None:
            if received == len(expected):
                raise StreamFaultError("a result more than dot products")
            if code != expected[received]:
                raise StreamFaultError(f"dot product {first + received}: RTL {code} != golden {expected[received]}")
            received += 1
            outcome["results"] += 1
    for _ in range(16):
        if (await stream.cycle(None, (0, 1)))[1] is not None:
            raise StreamFaultError("a result more than dot products")
