"""The registry of units: what generate, verify and the tests know about each by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from positcore.format import PositFormat
from positcore.hw import golden
from positcore.hw.adder import Adder
from positcore.hw.decode import Decoder
from positcore.hw.encode import Encoder
from positcore.hw.mac import QuireMac
from positcore.hw.multiplier import Multiplier
from positcore.hw.parameters import check_spec, check_stages
from positcore.mac import MacSpec

if TYPE_CHECKING:
    from amaranth.lib import wiring
    from numpy.typing import NDArray

__all__ = ["UNITS", "Design", "Unit", "unit"]

Builder = Callable[[MacSpec, int], "wiring.Component"]
Golden = Callable[[MacSpec, golden.Arrays], "dict[str, NDArray[Any]]"]


@dataclass(frozen=True)
class Unit:
    """A kind of hardware: how it is built, and what can be said of it without building it.

    Parameters
    ----------
    name : str
        What users call it.
    summary : str
        What it computes, in a line.
    build : callable
        (spec, stages) → component.
    cuts : tuple of str
        Where its pipeline can be cut, in order of preference; as many as `stages` may be.
    operands : int
        How many codes it takes at a time; 0 for a raw form.
    item : str
        What it takes one of in each cycle.
    golden : callable, optional
        (spec, inputs by port) → outputs by port; None for a unit with a stream's handshake.
    """

    name: str
    summary: str
    build: Builder
    cuts: tuple[str, ...]
    operands: int
    item: str
    golden: Golden | None = None

    @property
    def streaming(self) -> bool:
        """Whether it speaks a stream's handshake and has a whole `MacSpec`, rather than one format."""
        return self.golden is None


def _encoder(spec: MacSpec, stages: int) -> Encoder:
    fmt = spec.out
    return Encoder(fmt, scale_bits=fmt.scale_bits + 1, fraction_bits=fmt.fraction_bits + 2, stages=stages)


UNITS: dict[str, Unit] = {
    entry.name: entry
    for entry in (
        Unit(
            "decode", "the raw form of a code", lambda spec, stages: Decoder(spec.out, stages=stages),
            Decoder.CUTS, 1, "code", lambda spec, inputs: golden.golden_decode(spec.out, inputs),
        ),
        Unit(
            "encode", "the code nearest to an unrounded raw form", _encoder, Encoder.CUTS, 0, "raw form",
            lambda spec, inputs: golden.golden_encode(
                spec.out, inputs, fraction_bits=spec.out.fraction_bits + 2
            ),
        ),
        Unit(
            "add", "a + b, rounded once", lambda spec, stages: Adder(spec.out, stages=stages),
            Adder.CUTS, 2, "pair", lambda spec, inputs: golden.golden_add(spec.out, inputs),
        ),
        Unit(
            "sub", "a - b, rounded once", lambda spec, stages: Adder(spec.out, subtract=True, stages=stages),
            Adder.CUTS, 2, "pair", lambda spec, inputs: golden.golden_sub(spec.out, inputs),
        ),
        Unit(
            "mul", "a * b, rounded once", lambda spec, stages: Multiplier(spec.out, stages=stages),
            Multiplier.CUTS, 2, "pair", lambda spec, inputs: golden.golden_mul(spec.out, inputs),
        ),
        Unit(
            "mac", "dot products, summed exactly in a quire and rounded once",
            lambda spec, stages: QuireMac(spec, stages=stages), QuireMac.CUTS, 2, "term",
        ),
    )
}  # fmt: skip


def unit(name: str) -> Unit:
    """The unit of a name.

    Raises
    ------
    ValueError
        If there is none; the message lists those that there are.
    """
    if name not in UNITS:
        raise ValueError(f"unknown unit {name!r}; the units are: {', '.join(UNITS)}")
    return UNITS[name]


@dataclass(frozen=True)
class Design:
    """A unit, its spec and its pipeline: all that its text depends on, besides the version.

    Parameters
    ----------
    unit : Unit
        A unit of the registry.
    spec : MacSpec
        What it computes. Units other than the MAC have one format, which stands as input and output.
    stages : int
        Registers in its pipeline; they change no bit of its results.

    Raises
    ------
    TypeError, ValueError
        If the unit is unknown, or does not take that spec or so many stages.
    """

    unit: Unit
    spec: MacSpec
    stages: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.unit, Unit):
            raise TypeError(f"Design: unit must be a Unit of the registry, not {self.unit!r}; Design.of takes a name")
        name = self.unit.name
        check_spec(name, self.spec)
        check_stages(name, self.stages, self.unit.cuts)
        if not self.unit.streaming and self.spec != MacSpec(self.spec.out):
            raise ValueError(f"{name}: has one format and no accumulator; drop the output format and the accumulator")

    @classmethod
    def of(cls, name: str, spec: PositFormat | MacSpec, stages: int = 0) -> Design:
        """The design of a unit by its name, with a format or a whole spec."""
        return cls(unit(name), MacSpec(spec) if isinstance(spec, PositFormat) else spec, stages)

    def __str__(self) -> str:
        return f"{self.unit.name}[{self.spec_text}]"

    @property
    def spec_text(self) -> str:
        """The spec in words: that of a MAC, or the format of any other unit."""
        return str(self.spec) if self.unit.streaming else str(self.spec.out)

    @property
    def name(self) -> str:
        """The name of the emitted module: `posit_add_8_2`, `posit_mac_8_2_quire31_s2`."""
        tag = self.spec.tag if self.unit.streaming else self.spec.out.tag
        return f"posit_{self.unit.name}_{tag}" + (f"_s{self.stages}" if self.stages else "")

    @property
    def latency(self) -> int:
        """Cycles from an input (of a MAC, the last term) to its result."""
        return self.stages + self.unit.streaming

    @property
    def command(self) -> str:
        """The command that emits this design, less its `-o`."""
        spec = self.spec
        words = [f"positcore generate {self.unit.name} --format {spec.a.spelling}"]
        if self.unit.streaming:
            if spec.b != spec.a:
                words.append(f"--second-format {spec.b.spelling}")
            if spec.out != spec.a:
                words.append(f"--output-format {spec.out.spelling}")
            if spec.quire.carry_bits != 31:
                words.append(f"--carry-bits {spec.quire.carry_bits}")
        if self.stages:
            words.append(f"--stages {self.stages}")
        return " ".join(words)

    def component(self) -> Any:
        """A new component of this design."""
        return self.unit.build(self.spec, self.stages)
