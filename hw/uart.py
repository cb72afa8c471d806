"""A UART: bytes over one wire each way, with 8 data bits, no parity and one stop bit."""

from __future__ import annotations

from amaranth.hdl import *
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["LEAST_CLOCKS", "MOST_CLOCKS", "UartReceiver", "UartTransmitter", "check_clocks_per_bit"]

LEAST_CLOCKS, MOST_CLOCKS = 8, 65535
DATA_BITS = 8


def check_clocks_per_bit(unit: str, clocks: object) -> int:
    """`clocks` itself, if a bit can take so many: fewer would leave no room for clocks that differ, and for edges."""
    if isinstance(clocks, bool) or not isinstance(clocks, int):
        raise TypeError(f"{unit}: clocks_per_bit must be an integer in {LEAST_CLOCKS}..{MOST_CLOCKS}, not {clocks!r}")
    if not LEAST_CLOCKS <= clocks <= MOST_CLOCKS:
        raise ValueError(
            f"{unit}: clocks_per_bit must be in {LEAST_CLOCKS}..{MOST_CLOCKS}, not {clocks}; take another baud rate"
        )
    return clocks


class UartReceiver(wiring.Component):
    """Takes bytes from a wire, each bit by the majority of three samples around its centre.

    A start bit that is over by its centre is noise, and forgotten. A byte without a stop bit is `broken`; the next
    one can begin when the wire is high again. A sender's clock may differ by 2 percent, more with more clocks a bit.

    Parameters
    ----------
    clocks_per_bit : int
        8..65535.

    Members
    -------
    rx : In(1)
        The wire, high when idle; of any clock.
    byte : Out(8)
    valid : Out(1)
        For one cycle: a byte has come.
    broken : Out(1)
        For one cycle: what came is no byte.
    """

    def __init__(self, clocks_per_bit: int):
        self.clocks_per_bit = check_clocks_per_bit("UartReceiver", clocks_per_bit)
        super().__init__({"rx": In(1, init=1), "byte": Out(DATA_BITS), "valid": Out(1), "broken": Out(1)})

    def elaborate(self, platform: object) -> Module:
        """The samples, a timer that counts to the next centre, and the bits."""
        m = Module()
        line, bit = Signal(init=1), Signal()
        m.submodules.synchronizer = FFSynchronizer(self.rx, line, init=1, stages=3)
        earlier = Signal(2, init=3)
        m.d.sync += earlier.eq(Cat(line, earlier[0]))
        m.d.comb += bit.eq((line & earlier[0]) | (line & earlier[1]) | earlier.all())

        timer = Signal(range(self.clocks_per_bit))
        left = Signal(range(DATA_BITS + 1))
        with m.If(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        m.d.sync += [self.valid.eq(0), self.broken.eq(0)]
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [timer.eq(self.clocks_per_bit // 2), left.eq(DATA_BITS)]
                with m.If(~line):
                    m.next = "START"
            with m.State("START"), m.If(timer == 0):
                m.d.sync += timer.eq(self.clocks_per_bit - 1)
                with m.If(bit):
                    m.next = "IDLE"
                with m.Else():
                    m.next = "BITS"
            with m.State("BITS"), m.If(timer == 0):
                m.d.sync += timer.eq(self.clocks_per_bit - 1)
                with m.If(left != 0):
                    m.d.sync += [self.byte.eq(Cat(self.byte[1:], bit)), left.eq(left - 1)]
                with m.Else():
                    m.d.sync += [self.valid.eq(bit), self.broken.eq(~bit)]
                    m.next = "IDLE"  # at once: the next start bit of a faster sender is near
                    with m.If(~bit):
                        m.next = "BROKEN"
            with m.State("BROKEN"), m.If(line):
                m.next = "IDLE"
        return m


class UartTransmitter(wiring.Component):
    """Sends bytes on a wire, without a pause while there are any.

    Parameters
    ----------
    clocks_per_bit : int
        8..65535.

    Members
    -------
    i : In(stream.Signature(8))
    tx : Out(1)
        The wire, high when idle.
    """

    def __init__(self, clocks_per_bit: int):
        self.clocks_per_bit = check_clocks_per_bit("UartTransmitter", clocks_per_bit)
        super().__init__({"i": In(stream.Signature(DATA_BITS)), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        """A shift register of the start bit, the data and the stop bit, and a timer."""
        m = Module()
        bits = Signal(DATA_BITS + 1, init=-1)
        left = Signal(range(DATA_BITS + 3))
        timer = Signal(range(self.clocks_per_bit))
        m.d.comb += self.i.ready.eq((left == 0) & (timer == 0))
        with m.If(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Elif(left != 0):
            m.d.sync += [
                Cat(self.tx, bits).eq(Cat(bits, C(1, 1))),
                left.eq(left - 1),
                timer.eq(self.clocks_per_bit - 1),
            ]
        with m.Elif(self.i.valid):
            m.d.sync += [bits.eq(Cat(C(0, 1), self.i.payload)), left.eq(DATA_BITS + 2)]
        return m
