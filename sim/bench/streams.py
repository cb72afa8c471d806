"""The cocotb side of a bench of streams: it runs inside the simulator and follows the plan in its folder.

One cycle at a time, a `Producer` and a `Consumer` drive the two streams, a `Monitor` sees that both keep their
protocol, and a `Scoreboard` compares what comes out with the golden model's results.
"""

from __future__ import annotations

import json
import random
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import cocotb
from cocotb.triggers import Timer

from positcore.sim.bench.coverage import Coverage

__all__ = ["streams"]

_PATIENCE = 2000  # cycles without any progress
_BLOCKED = 40  # cycles for which a blocked consumer waits for the unit to refuse an item
_WAITS = ((0, "0 cycles"), (1, "1 cycle"), (3, "2 to 3"), (15, "4 to 15"), (1 << 60, "16 or more"))


class StreamFaultError(Exception):
    """What the unit did wrong."""


class Cycle(NamedTuple):
    """The handshakes of both streams in a cycle, before the clock's edge."""

    i_valid: bool
    i_ready: bool
    o_valid: bool
    o_ready: bool
    code: int | None

    @property
    def names(self) -> tuple[str, str]:
        """The states of the two streams, as bins are named."""
        i = (("busy", "idle"), ("refused", "taken"))[self.i_valid][self.i_ready]
        o = (("idle", "awaited"), ("waiting", "taken"))[self.o_valid][self.o_ready]
        return i, o


class Pauses:
    """When a side acts: always, at random, seldom, in bursts, or (a consumer) once the unit refuses items."""

    def __init__(self, pattern: str, rng: random.Random):
        self.pattern, self.rng = pattern, rng
        self._on, self._refused, self._left = False, False, 0

    def acts(self, *, refused: bool = False) -> bool:
        """Whether it acts in this cycle; `refused` where the unit refuses an item."""
        if self.pattern in ("steady", "random", "sparse"):
            return self.rng.random() < {"steady": 1.0, "random": 0.5, "sparse": 0.15}[self.pattern]
        if self.pattern == "blocked" and not self._on and refused and not self._refused:
            self._refused, self._left = True, self.rng.choice((0, 2, 20))
        if not self._left:
            self._on = not self._on
            self._refused = False
            blocked = self.pattern == "blocked" and not self._on
            self._left = _BLOCKED if blocked else self.rng.randint(1, 8)
        self._left -= 1
        return self._on


class Producer:
    """Offers the items of a segment; one that it has offered it keeps up, unchanged, until it is taken."""

    def __init__(self, dut: Any, plan: dict[str, Any], rng: random.Random):
        self.ports = [(getattr(dut, f"i_{name}"), name, width) for name, width in plan["inputs"]]
        self.valid, self.ready = dut.i_valid, dut.i_ready
        self.rng = rng
        self.begin(None)

    def begin(self, segment: dict[str, Any] | None) -> None:
        """Start with the first item of a segment, or with none."""
        self.segment = segment
        self.count = len(segment["items"][self.ports[0][1]]) if segment else 0
        self.pauses = Pauses(segment["producer"] if segment else "steady", self.rng)
        self.sent, self.offering = 0, False

    def drive(self) -> None:
        """Put this cycle's item on the ports, or what must not matter."""
        self.offering = self.sent < self.count and (self.offering or self.pauses.acts())
        self.put(valid=self.offering)

    def put(self, *, valid: bool) -> None:
        """An item, or random bits where there is none to offer."""
        real = self.segment is not None and self.offering
        for port, name, width in self.ports:
            port.value = self.segment["items"][name][self.sent] if real else self.rng.getrandbits(width)  # type: ignore[index]
        self.valid.value = int(valid)

    def taken(self) -> None:
        """The item that was offered is the unit's."""
        self.sent += 1
        self.offering = False


class Consumer:
    """Takes results, as its pattern lets it."""

    def __init__(self, dut: Any, plan: dict[str, Any], rng: random.Random):
        self.valid, self.ready, self.code = dut.o_valid, dut.o_ready, getattr(dut, f"o_{plan['output']}")
        self.rng = rng
        self.begin(None)

    def begin(self, segment: dict[str, Any] | None) -> None:
        """Keep the pattern of a segment, or be ready."""
        self.pauses = Pauses(segment["consumer"] if segment else "steady", self.rng)

    def drive(self, *, refused: bool) -> None:
        """Be ready or not."""
        self.ready.value = int(self.pauses.acts(refused=refused))


class Monitor:
    """Sees that the streams keep their protocol, and counts what happened on them."""

    def __init__(self, plan: dict[str, Any], coverage: Coverage):
        self.coverage, self.latency = coverage, plan["latency"]
        self.iterates = plan["iterates"]
        self.reset()

    def reset(self) -> None:
        """Forget what came before."""
        self.before: Cycle | None = None
        self.last_taken = False  # the item taken in the cycle before was the last of its packet
        self.item_waits = self.result_waits = self.late = 0

    def see(self, now: Cycle, *, last: bool, owed: bool) -> None:
        """Check a cycle: `last` where its item ends a packet, `owed` where a result is in work before it."""
        i, o = now.names
        before = self.before
        if before is not None and before.o_valid and not before.o_ready:
            if not now.o_valid:
                raise StreamFaultError(f"a result of {before.code} was withdrawn before it was taken")
            if now.code != before.code:
                raise StreamFaultError(f"a result of {before.code} became {now.code} before it was taken")
        bin_name = f"input {i}, output {o}"
        if not self.coverage.has("handshake", bin_name):
            raise StreamFaultError(f"{bin_name} in one cycle, which the unit must not show")
        self.coverage.hit("handshake", bin_name)
        self.late = self.late + 1 if owed and not now.o_valid else 0
        if self.late >= self.latency:
            raise StreamFaultError(f"a result is due, and does not come in {self.latency} cycles: it was lost")
        self._count(now, before, last=last)
        self.before, self.last_taken = now, last and i == "taken"

    def _count(self, now: Cycle, before: Cycle | None, *, last: bool) -> None:
        coverage = self.coverage
        i, o = now.names
        if i == "taken":
            coverage.hit("an item waits", _wait_bin(self.item_waits))
        if o == "taken":
            coverage.hit("a result waits", _wait_bin(self.result_waits))
        self.item_waits = self.item_waits + 1 if i == "refused" else 0
        self.result_waits = self.result_waits + 1 if o == "waiting" else 0
        if self.iterates:
            if i == o == "taken":
                coverage.hit("back to back", "item as the result leaves")
        elif before is not None:
            if i == "taken" and before.names[0] == "taken":
                coverage.hit("back to back", "packet after packet" if self.last_taken else "item after item")
            if o == "taken" and before.names[1] == "taken":
                coverage.hit("back to back", "result after result")


class Scoreboard:
    """The golden model's results of a segment, in order."""

    def __init__(self, plan: dict[str, Any], coverage: Coverage):
        self.classes, self.coverage = plan["classes"], coverage
        self.compared = 0
        self.begin(None)

    def begin(self, segment: dict[str, Any] | None) -> None:
        """Expect the results of a segment, or none."""
        self.segment = segment
        self.due = segment["due"] if segment else []
        self.received = 0

    def owed(self, sent: int) -> bool:
        """Whether a result of the items sent is still to come."""
        return self.received < len(self.due) and self.due[self.received] < sent

    @property
    def complete(self) -> bool:
        """Whether all results came."""
        return self.received == len(self.due)

    def see(self, code: int, sent: int, *, taken: bool) -> None:
        """Compare a result that is offered, and count it if it is taken."""
        if not self.owed(sent):
            raise StreamFaultError(f"a result more than there should be, {code}")
        assert self.segment is not None
        expected = self.segment["expected"][self.received]
        if code != expected:
            item = self.due[self.received]
            raise StreamFaultError(f"{self._place(item)}: RTL {code} != golden {expected}")
        if taken:
            self.coverage.hit("result", self.classes[self.segment["result_classes"][self.received]])
            self.received += 1
            self.compared += 1

    def _place(self, item: int) -> str:
        assert self.segment is not None
        packet, at = self.segment["packet"], 0
        for length in self.segment["lengths"]:
            if item < at + length:
                break
            packet, at = packet + 1, at + length
        return f"packet {packet}, item {item - at}"


class Bench:
    """The unit between its producer and consumer, clocked."""

    def __init__(self, dut: Any, plan: dict[str, Any]):
        self.dut, self.plan = dut, plan
        self.rng = random.Random(plan["seed"])
        self.coverage = Coverage(plan["groups"])
        self.producer, self.consumer = Producer(dut, plan, self.rng), Consumer(dut, plan, self.rng)
        self.monitor, self.scoreboard = Monitor(plan, self.coverage), Scoreboard(plan, self.coverage)
        self.cycles = self.resets = 0
        self.ends: set[int] = set()  # items sent where a packet of the segment ends

    async def reset(self) -> None:
        """Hold reset for a few cycles, in which whatever is offered must be dropped."""
        for side in (self.producer, self.consumer, self.scoreboard):
            side.begin(None)
        self.dut.rst.value = 1
        for _ in range(self.rng.randint(1, 3)):
            offered = self.rng.random() < 0.5
            self.producer.put(valid=offered)
            self.consumer.drive(refused=False)
            await Timer(1, "ns")
            if offered and self.cycles:
                self.coverage.hit("reset", "an item offered during it")
            await self._clock()
        self.dut.rst.value = 0
        self.monitor.reset()

    async def cycle(self) -> Cycle:
        """Drive, see and clock one cycle."""
        producer, consumer, scoreboard = self.producer, self.consumer, self.scoreboard
        producer.drive()
        # Whether the unit is full is in its registers: a consumer that acts at once lets the item wait a single cycle.
        consumer.drive(refused=producer.offering and not int(producer.ready.value))
        await Timer(1, "ns")
        o_valid = bool(int(consumer.valid.value))
        now = Cycle(
            producer.offering, bool(int(producer.ready.value)), o_valid, bool(int(consumer.ready.value)),
            int(consumer.code.value) if o_valid else None,
        )  # fmt: skip
        self.monitor.see(now, last=producer.sent + 1 in self.ends, owed=scoreboard.owed(producer.sent))
        if now.code is not None:
            scoreboard.see(now.code, producer.sent, taken=now.o_ready)
        if now.i_valid and now.i_ready:
            self._count_item(producer.sent)
            producer.taken()
        await self._clock()
        return now

    async def segment(self, segment: dict[str, Any]) -> None:
        """Send a segment after a reset, to the end or up to the reset that is planned."""
        await self.reset()
        self.ends = set(accumulate(segment["lengths"]))
        for side in (self.producer, self.consumer, self.scoreboard):
            side.begin(segment)
        self.coverage.hit("pattern", f"producer {segment['producer']}, consumer {segment['consumer']}")
        least = 0 if segment["reset"] == "item refused" else self.rng.randint(0, self.producer.count)
        idle = cycles = 0
        while self.producer.sent < self.producer.count or not self.scoreboard.complete:
            now = await self.cycle()
            cycles += 1
            if segment["reset"] and cycles >= least and self._position(now, segment["reset"]):
                self._reset_now(segment["reset"])
                return
            idle = 0 if (now.i_valid and now.i_ready) or (now.o_valid and now.o_ready) else idle + 1
            if idle > _PATIENCE:
                raise StreamFaultError(
                    f"stuck: {self.producer.sent} of {self.producer.count} items sent, "
                    f"{self.scoreboard.received} of {len(self.scoreboard.due)} results received"
                )
        for _ in range(16 + self.plan["latency"]):
            await self.cycle()
        if segment["reset"] == "idle":
            self._reset_now("idle")

    def _reset_now(self, position: str) -> None:
        self.coverage.hit("reset", position)
        self.resets += 1

    def _position(self, now: Cycle, position: str) -> bool:
        """Whether the unit is where a reset was to meet it."""
        owed = self.scoreboard.owed(self.producer.sent)
        if position == "result waiting":
            return now.o_valid and not now.o_ready
        if position == "item refused":
            return now.i_valid and not now.i_ready
        if position == "result in flight":
            return owed and not now.o_valid
        return position == "within a packet" and self.producer.sent not in self.ends | {0}

    def _count_item(self, item: int) -> None:
        segment, coverage = self.producer.segment, self.coverage
        assert segment is not None
        for name, items in segment["classes"].items():
            for index in items[item]:
                coverage.hit(f"operand {name}", self.plan["classes"][index])
        if "operation" in coverage.counts:
            name = list(coverage.counts["operation"])[segment["items"]["operation"][item]]
            coverage.hit("operation", name)
        if item + 1 in self.ends:
            length = item + 1 - max((end for end in self.ends if end <= item), default=0)
            coverage.hit("items of a packet", _length_bin(list(coverage.counts["items of a packet"]), length))

    async def _clock(self) -> None:
        self.dut.clk.value = 1
        await Timer(1, "ns")
        self.dut.clk.value = 0
        await Timer(1, "ns")
        self.cycles += 1


def _wait_bin(cycles: int) -> str:
    return next(name for most, name in _WAITS if cycles <= most)


def _length_bin(names: list[str], length: int) -> str:
    """The last of the bins that begins at or below the length: `3 to 7` begins at 3."""
    return [name for name in names if int(name.split()[0]) <= length][-1]


@cocotb.test()
async def streams(dut: Any) -> None:
    """Send every segment of the plan and compare what comes out; tell it in `outcome.json`."""
    plan = json.loads(Path("plan.json").read_text())
    dut.clk.value = 0
    bench = Bench(dut, plan)
    fault = ""
    try:
        for segment in plan["segments"]:
            await bench.segment(segment)
        if not bench.scoreboard.compared:
            raise StreamFaultError("nothing was compared")
    except StreamFaultError as error:
        fault = str(error)
    except ValueError as error:  # of cocotb, for a bit that is neither 0 nor 1
        fault = f"an output is undefined: {error}"
    outcome = {
        "results": bench.scoreboard.compared, "resets": bench.resets, "cycles": bench.cycles, "fault": fault,
        "coverage": bench.coverage.counts,
    }  # fmt: skip
    Path("outcome.json").write_text(json.dumps(outcome))
