"""The clocks that the PLLs of ECP5 and iCE40 make: their dividers, and the primitives with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from amaranth.hdl import ClockSignal, Const, Instance, Signal

__all__ = ["RANGES", "Pll", "find_pll", "mhz_text"]

MHZ = 1_000_000


class _Ranges(NamedTuple):
    """From and to, in Hz: of the clock in, the phase detector, the oscillator, and the clock out."""

    source: tuple[int, int]
    detector: tuple[int, int]
    oscillator: tuple[int, int]
    out: tuple[int, int]


RANGES = {
    "ecp5": _Ranges((8 * MHZ, 400 * MHZ), (10 * MHZ, 400 * MHZ), (400 * MHZ, 800 * MHZ), (3_125_000, 400 * MHZ)),
    "ice40": _Ranges((10 * MHZ, 133 * MHZ), (10 * MHZ, 133 * MHZ), (533 * MHZ, 1066 * MHZ), (16 * MHZ, 275 * MHZ)),
}


@dataclass(frozen=True)
class Pll:
    """A PLL from one clock to another: out = in · feedback / (reference · output).

    Parameters
    ----------
    family : str
        ecp5 (Lattice FPGA-TN-02200, EHXPLLL) or ice40 (FPGA-TN-02052, SB_PLL40).
    in_hz, out_hz : int
    reference, feedback, output : int
        The dividers before the phase detector, on the way back to it, and behind the oscillator.
    """

    family: str
    in_hz: int
    out_hz: int
    reference: int
    feedback: int
    output: int

    @property
    def oscillator_hz(self) -> int:
        """What the oscillator runs at: out · output."""
        return self.out_hz * self.output

    def instance(self, pin: Any, locked: Signal) -> Instance:
        """The primitive from a pin to the clock of `sync`; `locked` is its lock."""
        return _ehxplll(self, pin, locked) if self.family == "ecp5" else _sb_pll40(self, pin, locked)


def mhz_text(hz: int) -> str:
    """Hertz in MHz, exactly: 12890625 is 12.890625."""
    whole, rest = divmod(hz, MHZ)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".")


def find_pll(family: str, in_hz: int, out_hz: int) -> Pll:
    """The dividers that give a clock exactly, with the oscillator as slow as may be.

    Each is within the ranges of the data sheets (Lattice FPGA-DS-02012, FPGA-DS-02008). ECP5: in 8..400 MHz, phase
    detector 10..400 MHz, oscillator 400..800 MHz, out 3.125..400 MHz, dividers 1..128. iCE40: in and phase detector
    10..133 MHz, oscillator 533..1066 MHz, out 16..275 MHz, output a power of two, 2..64.

    Raises
    ------
    ValueError
        If a clock is out of range, or no dividers give it; the message names the range, or the nearest clocks of whole
        MHz that there are.
    """
    if family not in RANGES:
        raise ValueError(f"find_pll: family must be one of {', '.join(RANGES)}, not {family!r}")
    ranges = RANGES[family]
    for verb, hz, (least, most) in (("takes", in_hz, ranges.source), ("makes", out_hz, ranges.out)):
        if not least <= hz <= most:
            raise ValueError(
                f"the PLL of {family} {verb} {mhz_text(least)} to {mhz_text(most)} MHz, not {mhz_text(hz)} MHz"
            )
    found = _dividers(family, in_hz, out_hz)
    if found is not None:
        return Pll(family, in_hz, out_hz, *found)
    whole = range(-(-ranges.out[0] // MHZ), ranges.out[1] // MHZ + 1)
    near = sorted(whole, key=lambda mhz: abs(mhz * MHZ - out_hz))
    exact = [mhz for mhz in near if _dividers(family, in_hz, mhz * MHZ)][:3]
    raise ValueError(
        f"the PLL of {family} makes no {mhz_text(out_hz)} MHz of {mhz_text(in_hz)} MHz; "
        f"take one of: {', '.join(f'{mhz} MHz' for mhz in sorted(exact))}"
    )


def _dividers(family: str, in_hz: int, out_hz: int) -> tuple[int, int, int] | None:
    ecp5 = family == "ecp5"
    (least, most), (slowest, fastest) = RANGES[family].detector, RANGES[family].oscillator
    for output in range(1, 129) if ecp5 else (1 << power for power in range(1, 7)):
        if not slowest <= out_hz * output <= fastest:
            continue
        for reference in range(1, 129 if ecp5 else 17):
            feedback, rest = divmod(out_hz * output * reference, in_hz)
            if least * reference <= in_hz <= most * reference and not rest and feedback <= 128:
                return reference, feedback, output
    return None


def _ehxplll(pll: Pll, pin: Any, locked: Signal) -> Instance:
    # The first output is the way back to the phase detector, the second one the clock.
    back = Signal(name="feedback")
    return Instance(
        "EHXPLLL",
        a_FREQUENCY_PIN_CLKI=mhz_text(pll.in_hz), a_FREQUENCY_PIN_CLKOS=mhz_text(pll.out_hz),
        a_ICP_CURRENT="12", a_LPF_RESISTOR="8", a_MFG_ENABLE_FILTEROPAMP="1", a_MFG_GMCREF_SEL="2",
        p_PLLRST_ENA="DISABLED", p_INTFB_WAKE="DISABLED", p_STDBY_ENABLE="DISABLED", p_DPHASE_SOURCE="DISABLED",
        p_FEEDBK_PATH="CLKOP", p_OUTDIVIDER_MUXA="DIVA", p_OUTDIVIDER_MUXB="DIVB",
        p_CLKOP_ENABLE="ENABLED", p_CLKOS_ENABLE="ENABLED",
        p_CLKI_DIV=pll.reference, p_CLKFB_DIV=1, p_CLKOP_DIV=pll.feedback, p_CLKOS_DIV=pll.output,
        p_CLKOP_CPHASE=pll.feedback - 1, p_CLKOP_FPHASE=0, p_CLKOS_CPHASE=pll.output - 1, p_CLKOS_FPHASE=0,
        i_RST=Const(0), i_STDBY=Const(0), i_CLKI=pin, i_CLKFB=back,
        i_PHASESEL0=Const(0), i_PHASESEL1=Const(0), i_PHASEDIR=Const(1), i_PHASESTEP=Const(1),
        i_PHASELOADREG=Const(1), i_PLLWAKESYNC=Const(0), i_ENCLKOP=Const(0),
        o_CLKOP=back, o_CLKOS=ClockSignal(), o_LOCK=locked,
    )  # fmt: skip


def _sb_pll40(pll: Pll, pin: Any, locked: Signal) -> Instance:
    detector = pll.in_hz // pll.reference
    limits = (17, 26, 44, 66, 101)
    return Instance(
        "SB_PLL40_PAD",
        p_FEEDBACK_PATH="SIMPLE", p_DIVR=Const(pll.reference - 1, 4), p_DIVF=Const(pll.feedback - 1, 7),
        p_DIVQ=Const(pll.output.bit_length() - 1, 3),
        p_FILTER_RANGE=Const(1 + sum(detector >= limit * MHZ for limit in limits), 3),
        i_PACKAGEPIN=pin, i_RESETB=Const(1), i_BYPASS=Const(0),
        o_PLLOUTGLOBAL=ClockSignal(), o_LOCK=locked,
    )  # fmt: skip
