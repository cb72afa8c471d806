"""`RegisterBank`: every kind of register, strobes, addresses without registers, and a master that takes its time."""

import random

import pytest
from amaranth.sim import Simulator

from positcore.hw.registers import OKAY, SLVERR, Field, Kind, Register, RegisterBank, register_table

pytestmark = pytest.mark.rtl

REGISTERS = (
    Register("name", 0x00, Kind.CONSTANT, "who it is", 0x12345678),
    Register("go", 0x04, Kind.COMMAND, "commands", fields=(Field("start", 0, 1, "begin"), Field("stop", 1, 1, "end"))),
    Register("count", 0x08, Kind.SETTING, "how many", 7),
    Register("level", 0x10, Kind.STATE, "how much", fields=(Field("low", 0, 8, "the lower part"),)),
)


class Master:
    """An AXI4-Lite master, in whose accesses everything begins at a moment of its own."""

    def __init__(self, bank, ctx, rng, share=0.5):
        self.bus, self.ctx, self.rng, self.share = bank.bus, ctx, rng, share
        self.watch = lambda: None

    async def _access(self, sends, answers, take):
        """Send on the channels, take the answer on another; gives it."""
        ctx, bus = self.ctx, self.bus
        offered, sent, waiting = set(), set(), None
        for _ in range(200):
            for channel in sends:
                if channel not in sent and self.rng.random() < self.share:
                    offered.add(channel)
                ctx.set(getattr(bus, f"{channel}valid"), channel in offered)
            ready = self.rng.random() < self.share
            ctx.set(getattr(bus, f"{answers}ready"), ready)
            for channel in list(offered):
                if ctx.get(getattr(bus, f"{channel}ready")):
                    sent.add(channel)
            valid = ctx.get(getattr(bus, f"{answers}valid"))
            answer = [ctx.get(getattr(bus, name)) for name in take] if valid else None
            assert waiting is None or answer == waiting, "an answer changed before it was taken"
            waiting = answer
            self.watch()
            await ctx.tick()
            for channel in sent & offered:
                offered.discard(channel)
                ctx.set(getattr(bus, f"{channel}valid"), 0)
            if valid and ready:
                ctx.set(getattr(bus, f"{answers}ready"), 0)
                assert sent == set(sends), "an answer before what it answers"
                return answer
        raise AssertionError("stuck")

    async def write(self, address, word, strobes=15):
        self.ctx.set(self.bus.awaddr, address)
        self.ctx.set(self.bus.wdata, word)
        self.ctx.set(self.bus.wstrb, strobes)
        return (await self._access(("aw", "w"), "b", ("bresp",)))[0]

    async def read(self, address):
        self.ctx.set(self.bus.araddr, address)
        word, response = await self._access(("ar",), "r", ("rdata", "rresp"))
        return word, response


def simulate(bank, bench):
    simulator = Simulator(bank)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_registers_of_each_kind(share):
    bank = RegisterBank(REGISTERS)

    async def bench(ctx):
        master = Master(bank, ctx, random.Random(1), share)
        ctx.set(bank.level, 0xCAFE)
        assert await master.read(0x00) == (0x12345678, OKAY)
        assert await master.read(0x03) == (0x12345678, OKAY)  # the two low bits are ignored
        assert await master.read(0x08) == (7, OKAY)
        assert await master.read(0x10) == (0xCAFE, OKAY)
        assert await master.read(0x04) == (0, OKAY)
        assert await master.write(0x00, 1) == SLVERR
        assert await master.write(0x10, 1) == SLVERR
        assert await master.read(0x10) == (0xCAFE, OKAY)
        for address in (0x0C, 0x14, 0x408, 0xFFC):
            assert await master.read(address) == (0, SLVERR)
            assert await master.write(address, 99) == SLVERR
        assert await master.read(0x08) == (7, OKAY)

    simulate(bank, bench)


def test_strobes_and_lock():
    bank = RegisterBank(REGISTERS)
    rng = random.Random(2)

    async def bench(ctx):
        master = Master(bank, ctx, rng)
        held = 7
        for _ in range(40):
            word, strobes, locked = rng.getrandbits(32), rng.getrandbits(4), rng.random() < 0.3
            ctx.set(bank.locked, locked)
            assert await master.write(0x08, word, strobes) == (SLVERR if locked else OKAY)
            mask = sum(0xFF << 8 * i for i in range(4) if strobes >> i & 1 and not locked)
            held = held & ~mask | word & mask
            assert ctx.get(bank.count) == held
            assert await master.read(0x08) == (held, OKAY)

    simulate(bank, bench)


def test_a_command_is_a_pulse_of_one_cycle():
    bank = RegisterBank(REGISTERS)

    async def bench(ctx):
        master = Master(bank, ctx, random.Random(3))
        pulses = []
        master.watch = lambda: pulses.append(ctx.get(bank.go))
        ctx.set(bank.locked, 1)  # commands are not settings
        for word, strobes, seen in ((1, 15, [1]), (2, 15, [2]), (0, 15, []), (3, 14, []), (0x103, 1, [3])):
            pulses.clear()
            assert await master.write(0x04, word, strobes) == OKAY
            await master.read(0x00)
            assert [pulse for pulse in pulses if pulse] == seen

    simulate(bank, bench)


def test_reads_and_writes_back_to_back():
    """Two cycles each, with a master that is always ready."""
    bank = RegisterBank(REGISTERS)

    async def bench(ctx):
        bus = bank.bus
        for name in ("awvalid", "wvalid", "bready", "arvalid", "rready"):
            ctx.set(getattr(bus, name), 1)
        ctx.set(bus.awaddr, 0x08)
        ctx.set(bus.wstrb, 15)
        reads = writes = 0
        for cycle in range(60):
            ctx.set(bus.wdata, cycle)
            reads += ctx.get(bus.rvalid)
            writes += ctx.get(bus.bvalid)
            await ctx.tick()
        assert (reads, writes) == (30, 29)

    simulate(bank, bench)


def test_fields_and_table():
    assert [REGISTERS[1].mask(name) for name in ("start", "stop")] == [1, 2]
    assert REGISTERS[3].mask("low") == 0xFF
    assert register_table(REGISTERS).splitlines() == [
        "| address | register | access | meaning |",
        "|---|---|---|---|",
        "| 0x00 | `name` | constant | who it is |",
        "| 0x04 | `go` | write | commands; bit 0 `start`: begin; bit 1 `stop`: end |",
        "| 0x08 | `count` | read, write | how many |",
        "| 0x10 | `level` | read | how much; bits 7..0 `low`: the lower part |",
    ]


def test_tables_are_checked(unbuilt):
    first = REGISTERS[0]
    for wrong in ((first, first), (first, Register("name", 4, Kind.STATE, "")), (Register("bus", 0, Kind.STATE, ""),)):
        with pytest.raises(ValueError, match="RegisterBank: registers must have distinct addresses and names"):
            RegisterBank(wrong)
    for address in (2, -4, 4096):
        with pytest.raises(
            ValueError, match=r"RegisterBank: addresses must be multiples of 4 bytes below 4096, not \["
        ):
            RegisterBank((Register("name", address, Kind.STATE, ""),))
    with pytest.raises(ValueError, match=r"RegisterBank: addresses must be .*, not \[\]"):
        RegisterBank(())
