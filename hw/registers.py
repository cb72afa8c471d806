"""`RegisterBank`: a table of 32-bit registers on AXI4-Lite."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from amaranth.hdl import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = [
    "OKAY", "SLVERR", "WORD", "Field", "Kind", "Register", "RegisterBank", "axi_lite", "register_table",
]  # fmt: skip

WORD = 32  # bits of a register
PAGE = 12  # bits of an address within 4 KiB, the least that an AXI interconnect gives to a slave
OKAY, SLVERR = 0, 2  # responses


class Kind(Enum):
    """What software may do with a register."""

    CONSTANT = "constant"  # read what the design was built with
    STATE = "read"  # read what the hardware says
    SETTING = "read, write"  # write, and read it back
    COMMAND = "write"  # write ones, each of which is a pulse of one cycle; it reads as 0


@dataclass(frozen=True)
class Field:
    """Some bits of a register: `low` is the least significant of them."""

    name: str
    low: int
    width: int
    summary: str


@dataclass(frozen=True)
class Register:
    """A word of 32 bits.

    Parameters
    ----------
    name : str
        Also that of the bank's member behind it.
    address : int
        In bytes, a multiple of 4.
    kind : Kind
    summary : str
        What it means, in a line.
    value : int
        A constant's value, or a setting's after reset.
    fields : tuple of Field
        The meaning of its bits, if it is not one number.
    """

    name: str
    address: int
    kind: Kind
    summary: str
    value: int = 0
    fields: tuple[Field, ...] = ()

    def mask(self, field: str) -> int:
        """The bits of a field in the word."""
        found = next(entry for entry in self.fields if entry.name == field)
        return ((1 << found.width) - 1) << found.low


def axi_lite(address_bits: int = PAGE) -> wiring.Signature:
    """The signals of an AXI4-Lite bus of 32-bit words, as its master sees them, without awprot and arprot.

    Source: AMBA AXI and ACE Protocol Specification (ARM IHI 0022E), part B.
    """
    return wiring.Signature(
        {
            "awaddr": Out(address_bits), "awvalid": Out(1), "awready": In(1),
            "wdata": Out(WORD), "wstrb": Out(WORD // 8), "wvalid": Out(1), "wready": In(1),
            "bresp": In(2), "bvalid": In(1), "bready": Out(1),
            "araddr": Out(address_bits), "arvalid": Out(1), "arready": In(1),
            "rdata": In(WORD), "rresp": In(2), "rvalid": In(1), "rready": Out(1),
        }
    )  # fmt: skip


class RegisterBank(wiring.Component):
    """Registers that a processor reads and writes over AXI4-Lite.

    The address and the data of a write come in any order, and wait for each other. Byte strobes are heeded. A
    write to a constant or a state, and any access to an address without a register, is answered by SLVERR and
    does nothing; so is a write to a setting while `locked`. The two low bits of an address are ignored. One
    read and one write at a time, each of two cycles and those in which the master is not ready.

    Parameters
    ----------
    registers : tuple of Register

    Members
    -------
    bus : In(axi_lite())
    locked : In(1)
        Settings cannot be written now.
    NAME : In(32) of a state, Out(32) of a setting or a command
        One for each register that is not a constant. A command's ones stand for one cycle.
    """

    def __init__(self, registers: tuple[Register, ...]):
        addresses = [register.address for register in registers]
        names = {register.name for register in registers}
        if len(names) < len(registers) or len(set(addresses)) < len(registers) or names & {"bus", "locked"}:
            raise ValueError(
                "RegisterBank: registers must have distinct addresses and names, other than bus and locked, not "
                + ", ".join(f"{register.name} at {register.address}" for register in registers)
            )
        if not registers or any(address not in range(0, 1 << PAGE, WORD // 8) for address in addresses):
            raise ValueError(f"RegisterBank: addresses must be multiples of 4 bytes below {1 << PAGE}, not {addresses}")
        self.registers = tuple(registers)
        flows = {Kind.STATE: In(WORD), Kind.SETTING: Out(WORD), Kind.COMMAND: Out(WORD)}
        members = {register.name: flows[register.kind] for register in registers if register.kind is not Kind.CONSTANT}
        for register in registers:
            if register.kind is Kind.SETTING:
                members[register.name] = Out(WORD, init=register.value)
        super().__init__({"bus": In(axi_lite()), "locked": In(1)} | members)

    def elaborate(self, platform: object) -> Module:
        """A write side and a read side, which share nothing but the registers."""
        m = Module()
        self._elaborate_write(m)
        self._elaborate_read(m)
        return m

    def _elaborate_write(self, m: Module) -> None:
        bus = self.bus
        address = Signal.like(bus.awaddr, name="write_address", reset_less=True)
        word = Signal(WORD, name="write_word", reset_less=True)
        strobes = Signal(WORD // 8, name="write_strobes", reset_less=True)
        has_address, has_word, write = (Signal(name=name) for name in ("has_address", "has_word", "write"))
        response = Signal(2, init=SLVERR)
        m.d.comb += [
            bus.awready.eq(~has_address),
            bus.wready.eq(~has_word),
            write.eq(has_address & has_word & ~bus.bvalid),
        ]
        with m.If(bus.awvalid & bus.awready):
            m.d.sync += [address.eq(bus.awaddr), has_address.eq(1)]
        with m.If(bus.wvalid & bus.wready):
            m.d.sync += [word.eq(bus.wdata), strobes.eq(bus.wstrb), has_word.eq(1)]
        with m.If(bus.bvalid & bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        with m.If(write):
            m.d.sync += [has_address.eq(0), has_word.eq(0), bus.bvalid.eq(1), bus.bresp.eq(response)]
        mask = Cat(strobe.replicate(8) for strobe in strobes)
        with m.Switch(address[2:]):
            for register in self.registers:
                if register.kind not in (Kind.SETTING, Kind.COMMAND):
                    continue
                member = getattr(self, register.name)
                with m.Case(register.address >> 2):
                    if register.kind is Kind.COMMAND:
                        m.d.comb += [response.eq(OKAY), member.eq(Mux(write, word & mask, 0))]
                    else:
                        m.d.comb += response.eq(Mux(self.locked, SLVERR, OKAY))
                        with m.If(write & ~self.locked):
                            m.d.sync += member.eq((word & mask) | (member & ~mask))

    def _elaborate_read(self, m: Module) -> None:
        bus = self.bus
        m.d.comb += bus.arready.eq(~bus.rvalid)
        with m.If(bus.rvalid & bus.rready):
            m.d.sync += bus.rvalid.eq(0)
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += bus.rvalid.eq(1)
            with m.Switch(bus.araddr[2:]):
                for register in self.registers:
                    with m.Case(register.address >> 2):
                        m.d.sync += [bus.rdata.eq(self._read(register)), bus.rresp.eq(OKAY)]
                with m.Default():
                    m.d.sync += [bus.rdata.eq(0), bus.rresp.eq(SLVERR)]

    def _read(self, register: Register) -> ValueCastable | Value | int:
        if register.kind is Kind.CONSTANT:
            return Const(register.value, WORD)
        return Const(0, WORD) if register.kind is Kind.COMMAND else getattr(self, register.name)


def register_table(registers: tuple[Register, ...]) -> str:
    """The registers as a table in Markdown."""
    return "\n".join(["| address | register | access | meaning |", "|---|---|---|---|", *_rows(registers)]) + "\n"


def _rows(registers: tuple[Register, ...]) -> Iterator[str]:
    for register in registers:
        fields = [
            f"bit{f's {f.low + f.width - 1}..{f.low}' if f.width > 1 else f' {f.low}'} `{f.name}`: {f.summary}"
            for f in register.fields
        ]
        meaning = "; ".join([register.summary, *fields])
        yield f"| 0x{register.address:02x} | `{register.name}` | {register.kind.value} | {meaning} |"
